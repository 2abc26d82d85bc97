"""The documentation site: built strictly, complete, nothing loaded from elsewhere, readable in a browser."""

import functools
import html
import importlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Page, Request
from tools.docs import ROOT, contract, gather, reference
from tools.docs.__main__ import CONFIG, build

from superpixel_service.config import Settings, flag
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.page.annotator import running_chromium
from tests.project.test_commands import documents

TEXT = re.compile(r"<(pre|code)\b.*?</\1>|<[^>]+>", re.DOTALL)
LOADED = re.compile(
    r"""(?:<(?:script|img|iframe|source)\b[^>]*?\ssrc|<link\b[^>]*?\shref)=["']?([^"'\s>]+)"""
)
IN_STYLES = re.compile(r"url\(([^)]+)\)|@import\s+([^;]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "tools.docs", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return out


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")  # other modules use the thread's event loop
def browser() -> Iterator[Browser]:
    with running_chromium() as running:
        yield running


def page_of(site: Path, document: str) -> Path:
    """Where a Markdown file of the project is in the site."""
    path = Path(document)
    folder = path.parent if path.stem == "README" else path.with_suffix("")
    return site / folder / "index.html"


def article(page: Path) -> str:
    match = re.search(r"<article.*?</article>", page.read_text(), re.DOTALL)
    assert match is not None, page
    return match[0]


def words(page: Path) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", article(page))).split())


def test_every_document_is_a_page(site: Path) -> None:
    assert len(documents()) > 25
    assert [document for document in documents() if not page_of(site, document).is_file()] == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    found = []
    for page in site.rglob("*.html"):
        found += LOADED.findall(page.read_text())
    for style in site.rglob("*.css"):
        found += [next(filter(None, groups)).strip("\"' ") for groups in IN_STYLES.findall(style.read_text())]
    assert len(found) > 100
    assert [url for url in found if re.match(r"[a-z]+:|//", url) and not url.startswith("data:")] == []


def test_pages_read_as_on_a_code_host(site: Path) -> None:
    """Python-Markdown wants an empty line before a table or list; elsewhere there are tables without."""
    left = []
    for page in site.rglob("index.html"):
        text = TEXT.sub(lambda tag: "" if tag[1] else tag[0], article(page))
        for paragraph in re.findall(r"<(?:p|li)>(.*?)</(?:p|li)>", text, re.DOTALL):
            left += re.findall(r"^\s*(?:\||- |\d+\. |#+ |```).*", paragraph, re.MULTILINE)
        left += re.findall(r".*\]\(.*", text)
    assert left == []


def test_the_contract_is_complete(site: Path) -> None:
    text = words(page_of(site, contract.PAGE))
    service = pb.DESCRIPTOR.services_by_name["SuperpixelService"]
    names = [service.name, *service.methods_by_name]
    for message in pb.DESCRIPTOR.message_types_by_name.values():
        names += [message.name, *message.fields_by_name, *message.oneofs_by_name]
    for enum in pb.DESCRIPTOR.enum_types_by_name.values():
        names += [enum.name, *enum.values_by_name]
    names = [name for name in names if not name.startswith("_")]  # protoc's own, of optional fields
    assert len(names) > 120
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
    # And what is said of them: a field's, a value's, a method's and a reason's comment.
    for comment in (
        "Each from 1 to the number of pixels of the region of interest.",
        "No person waits: yields to interactive work.",
        "Segments many images over one call.",
        "the caller cancelled the call",
    ):
        assert comment in text


@pytest.mark.parametrize(
    "comment",
    [
        "// Segments one image.\n  //\n",
        "// Order of work if the server has more than it can do at once.\nenum",
        "// No person waits: yields to interactive work.\n",
        "// A part of an image, in pixels; must lie inside it.\n",
        "// Topmost row.\n  uint32 y = 2",
        "// The result.\n",
    ],
    ids=["method", "enum", "value", "message", "field", "oneof"],
)
def test_what_has_no_comment_is_an_error(comment: str, tmp_path: Path) -> None:
    text = (contract.PROTOS / contract.CONTRACT).read_text()
    assert text.count(comment) == 1
    bare = re.sub(r"^ *//.*$", "", comment, flags=re.MULTILINE)
    if "method" not in comment and "//\n" in comment:  # all of a longer comment
        start = text.index(comment)
        end = text.index("  rpc Segment(", start)
        text = text[:start] + text[end:]
    else:
        text = text.replace(comment, bare)
    path = tmp_path / contract.CONTRACT
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(contract.Uncommented, match=r"has no comment$"):
        contract.page(contract.describe(tmp_path))


@pytest.mark.parametrize("name", reference.PACKAGES)
def test_every_public_name_is_described(name: str, site: Path) -> None:
    _, module = reference.PACKAGES[name]
    imported = importlib.import_module(module)
    public = getattr(imported, "__all__", None) or [
        key for key, it in vars(imported).items() if getattr(it, "__module__", "") == module and key[0] != "_"
    ]
    assert public
    anchors = set(re.findall(r'\bid="([^"]+)"', article(page_of(site, f"{reference.FOLDER}/{name}.md"))))
    modules = {"superpixel_kernels.errors"}  # a page of its own
    assert {f"{module}.{key}" for key in public} - anchors - modules == set()


def test_every_setting_and_command_is_described(site: Path) -> None:
    settings = words(page_of(site, f"{reference.FOLDER}/settings.md"))
    assert [name for name in Settings.model_fields if not re.search(rf"{flag(name)}\b", settings)] == []
    assert "largest image, as sent (at least 1 KiB, at most 1 GiB)" in settings
    commands = words(page_of(site, f"{reference.FOLDER}/commands.md"))
    for said in ("superpixel token new", "--max-image-bytes", "--counts"):
        assert said in commands


FAULTS = {
    "[x](gone.md)": "a.md: links to gone.md, which does not exist",
    "[x](../outside.md)": "a.md: links to ../outside.md, which does not exist",
    "![x](gone.png)": "a.md: links to gone.png, which does not exist",
    "[![x](gone.png)](a.md)": "a.md: links to gone.png, which does not exist",
    "[x](loose/b.md)": "a.md: links to loose/b.md, which is not a page of the site",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_broken_link_is_an_error(text: str, tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "loose").mkdir(parents=True)
    (root / "loose" / "b.md").write_text("# B\n")
    (tmp_path / "outside.md").write_text("# Outside\n")
    (root / "a.md").write_text(f"# A\n\n`[x](gone.md)` is code.\n\n```\n[x](gone.md)\n```\n\n{text}\n")
    with pytest.raises(gather.Broken) as caught:
        gather.gather(root, tmp_path / "out", {})
    assert str(caught.value) == FAULTS[text]


def test_links_lead_to_what_they_name(tmp_path: Path) -> None:
    root, out = tmp_path / "project", tmp_path / "out"
    for folder in ("docs", "protos/superpixel/v1", "code"):
        (root / folder).mkdir(parents=True)
    (root / "protos" / contract.CONTRACT).write_text("contract")
    (root / "code" / "README.md").write_text("# Code\n")
    (root / "code" / "a.py").write_text("pass\n")
    (root / "docs" / "a.md").write_text(
        "[contract](../protos/superpixel/v1/superpixel.proto)\n"
        "[code](../code) [file](../code/a.py)\n[docs](.)\n"
        "[here](#a) [there](../code/README.md#code) [web](https://example.com/a)\n"
    )
    gather.gather(root, out, {contract.PAGE: "# Contract\n"})
    assert (out / "docs" / "a.md").read_text() == (
        "[contract](reference/contract.md)\n[code](../code/README.md) [file](../code/a.py)\ndocs\n"
        "[here](#a) [there](../code/README.md#code) [web](https://example.com/a)\n"
    )
    assert (out / "code" / "a.py").read_text() == "pass\n"
    assert (out / contract.PAGE).read_text() == "# Contract\n"


@pytest.mark.parametrize(
    ("pages", "complaint"),
    [
        ({"a.md": "[x](b.md#gone)\n"}, "does not contain an anchor"),
        ({"a.md": "[x](#gone)\n"}, "no such anchor"),
        ({"a.md": "[x](/b.md)\n"}, "absolute link"),
        ({"a.md": "fine\n", "c.md": "# C\n"}, 'not included in the "nav"'),
        ({"a.md": "[x](b.md#b)\n"}, ""),
    ],
    ids=["anchor", "own anchor", "absolute", "not in nav", "sound"],
)
def test_the_build_is_strict(
    pages: dict[str, str], complaint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By what mkdocs.yml says is to be validated."""
    checked = yaml.safe_load(CONFIG.read_text())["validation"]
    (tmp_path / "docs").mkdir()
    for name, text in {"b.md": "# B\n", **pages}.items():
        (tmp_path / "docs" / name).write_text(text)
    config = {"site_name": "x", "validation": checked, "plugins": [], "nav": ["a.md", "b.md"]}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(config))
    status = build(tmp_path / "site", config=tmp_path / "mkdocs.yml")
    said = capfd.readouterr().err
    assert (status == 0) == (complaint == ""), said
    assert complaint in said


@pytest.fixture
def reader(browser: Browser, address: str) -> Iterator[Page]:
    """A browser that reaches the site and nothing else, and whose console stays empty."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    context.set_default_timeout(60_000)
    page = context.new_page()
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))

    def elsewhere(request: Request) -> None:
        if not request.url.startswith((address, "blob:", "data:")):
            heard.append(request.url)

    page.on("request", elsewhere)
    page.goto(address)
    yield page
    context.close()
    assert heard == []


def test_search_needs_nobody(reader: Page) -> None:
    reader.wait_for_function("'keyboard$' in window")  # the theme's scripts are ready
    reader.keyboard.press("/")
    reader.keyboard.type("undersegmentation", delay=20)
    results = reader.locator(".md-search-result__item")
    results.first.wait_for(timeout=300_000)
    assert "algorithm" in "".join(results.locator("a").evaluate_all("links => links.map(link => link.href)"))


def test_the_scheme_is_the_readers(reader: Page) -> None:
    assert reader.locator("body").get_attribute("data-md-color-scheme") == "slate"
    reader.emulate_media(color_scheme="light")
    reader.reload()
    assert reader.locator("body").get_attribute("data-md-color-scheme") == "default"


@pytest.mark.slow
def test_no_page_is_wider_than_a_telephone(browser: Browser, address: str, site: Path) -> None:
    """Wide tables and programs scroll by themselves; also where scripts are off."""
    context = browser.new_context(viewport={"width": 360, "height": 740}, java_script_enabled=False)
    context.set_default_timeout(60_000)
    page, wide = context.new_page(), []
    for path in sorted(site.rglob("index.html")):
        page.goto(f"{address}/{path.relative_to(site).parent}/")
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            wide.append(str(path.relative_to(site)))
    context.close()
    assert wide == []
