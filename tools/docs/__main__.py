"""Build the documentation site from the working tree, without network. Any warning is an error.

    python -m tools.docs --out site

The pages are the Markdown files of the project. `gather` copies them, and the files that they link to, to
build/docs, so that the same text works on a code host and on the site. `contract` and `reference` generate
reference pages from the sources. Needs the packages of the `dev` dependency group.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tools.docs import ROOT, contract, gather, http_api, reference

CONFIG = ROOT / "mkdocs.yml"
STYLE = Path(__file__).with_name("site.css")
PAGES = ROOT / "build" / "docs"  # docs_dir of mkdocs.yml


def build(out: Path, *, config: Path = CONFIG) -> int:
    """Write the site to `out`; return mkdocs' exit status."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
    # Without --quiet, which would also keep warnings from being counted. The variable suppresses Material's
    # notice about MkDocs 2.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command += ["--site-dir", str(out.resolve())]
    return subprocess.run(command, check=False, env=environment).returncode  # noqa: S603


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="the site's folder (default: site)")
    arguments = parser.parse_args()
    try:
        generated = {
            **contract.pages(),
            **reference.pages(),
            **http_api.pages(),
            STYLE.name: STYLE.read_text(),
        }
        gather.gather(ROOT, PAGES, generated)
    except (gather.Broken, contract.Uncommented) as error:
        print(f"docs: {error}", file=sys.stderr)
        return 1
    return build(arguments.out)


if __name__ == "__main__":
    raise SystemExit(main())
