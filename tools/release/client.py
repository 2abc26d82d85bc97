"""The light distribution superpixel-client, made from a wheel of superpixel-service, with fewer files.

It has the client, the codec and the contract, and none of the server's dependencies.
"""

import re
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement

NAME = "superpixel-client"

_SERVICE = "superpixel_service"
_KERNELS = "superpixel_kernels"

PARTS = (
    *(f"{_SERVICE}/{part}" for part in ("client/", "pb/", "protos/")),
    *(f"{_SERVICE}/{part}" for part in ("__init__.py", "addresses.py", "contract.py", "pem.py", "py.typed")),
    f"{_SERVICE}/web/static/src/smart/weights.json",
    f"{_KERNELS}/codec/",
    *(f"{_KERNELS}/{part}" for part in ("errors.py", "params.py", "py.typed")),
)
"""Files of the service that the client has too; a folder ends with a slash."""

_DEPENDENCIES = (
    "numpy",
    "pillow",
    "grpcio",
    "grpcio-health-checking",
    "googleapis-common-protos",
    "protobuf",
)

_START = f"{_KERNELS}/__init__.py"
_WHOLE = f"{_KERNELS}/_whole.py"
_START_TEXT = '''"""The codec of label maps. The engine, `segment` and the rest are in superpixel-service.

If superpixel-service is installed too, this module has all its names.
"""

from importlib.util import find_spec

from superpixel_kernels import errors

if find_spec("superpixel_kernels.cpu") is not None:
    from superpixel_kernels import _whole

    globals().update({name: getattr(_whole, name) for name in _whole.__all__})
    __all__ = _whole.__all__
else:
    __all__ = ["errors"]


def __getattr__(name: str) -> object:
    raise AttributeError(f"superpixel_kernels.{name} needs superpixel-service, which is not installed")
'''

_README = """\
# superpixel-client

The Python client of superpixel-service: calls the gRPC server, reads label maps, exports and imports
annotations, smart select. It needs neither the engine nor the server's dependencies. The modules have the
same names as in superpixel-service, so a program need not change; install one of the two distributions.

```python
from superpixel_service.client import Client

with Client("127.0.0.1:50051") as client:
    result = client.segment("photo.jpg", counts=[100, 400, 1600])
    labels = result.labels_at(400)
```

The contract lies in `superpixel_service/protos`.
"""


def client_wheel(service: Path, out: Path) -> Path:
    """Write the client's wheel.

    Args:
        service: a wheel of superpixel-service.
        out: the folder of the new wheel, which has the same version and tags.
    """
    from wheel.wheelfile import WheelFile  # in .venv-release

    target = out / f"{NAME.replace('-', '_')}-{service.name.split('-', 1)[1]}"
    target.unlink(missing_ok=True)
    with zipfile.ZipFile(service) as source, WheelFile(target, "w") as wheel:
        old = next(_dist_info(source))
        new = f"{NAME.replace('-', '_')}-{old.split('-', 1)[1]}"
        date = source.infolist()[0].date_time
        files = {
            info.filename: source.read(info)
            for info in source.infolist()
            if info.filename.startswith(PARTS) and not info.is_dir()
        }
        files |= {_START: _START_TEXT.encode(), _WHOLE: source.read(_START)}
        files |= {
            f"{new}/METADATA": _metadata(source.read(f"{old}/METADATA")),
            f"{new}/WHEEL": source.read(f"{old}/WHEEL"),
            f"{new}/licenses/LICENSE": source.read(f"{old}/licenses/LICENSE"),
        }
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name, date)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
            wheel.writestr(info, content)
    return target


def _dist_info(wheel: zipfile.ZipFile) -> Iterator[str]:
    for name in wheel.namelist():
        top = PurePosixPath(name).parts[0]
        if top.endswith(".dist-info"):
            yield top


def _metadata(service: bytes) -> bytes:
    """The client's metadata: the service's, with another name, fewer dependencies and no extras."""
    given = BytesParser(policy=compat32).parsebytes(service)
    made = Message(policy=compat32)
    for field, value in given.items():
        if field in ("Provides-Extra", "Description-Content-Type"):
            continue
        if field == "Requires-Dist":
            requirement = Requirement(value)
            if requirement.marker is not None or _normal(requirement.name) not in _DEPENDENCIES:
                continue
        changed = {"Name": NAME, "Summary": "Client of superpixel-service: nested superpixels over gRPC"}
        made[field] = changed.get(field, value)
    made["Description-Content-Type"] = "text/markdown"
    made.set_payload(_README)
    return made.as_bytes()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
