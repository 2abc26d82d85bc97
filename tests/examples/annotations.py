"""The example of an annotation backend as a program, its callers, and the databases that it is tested on."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from examples.annotation_backend import database

from superpixel_kernels import codec
from superpixel_service.client.exports import fingerprint
from tests.examples.process import running_example

ROOT = Path(__file__).parents[2]
PHOTO = (ROOT / "examples" / "photos" / "chelsea.jpg").read_bytes()
OTHER_PHOTO = (ROOT / "examples" / "photos" / "coffee.jpg").read_bytes()
PROGRAM = [sys.executable, "-m", "examples.annotation_backend"]


@dataclass(frozen=True)
class Answer:
    """What the backend answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> Any:
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.json["status"] == self.status
        return self.json


@dataclass(frozen=True)
class Backend:
    """A running backend."""

    address: str

    def call(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str
    ) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=300)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def upload(self, photo: bytes = PHOTO, name: str = "cat.jpg") -> Answer:
        return self.call("POST", f"/images?name={name}", photo, content_type="image/jpeg")

    def add_image(self, photo: bytes = PHOTO, name: str = "cat.jpg") -> str:
        answer = self.upload(photo, name)
        assert answer.status == 201, answer
        path: str = answer.headers["location"]
        return path

    def replace(self, path: str, photo: bytes, seen: int) -> Answer:
        return self.call("PUT", path, photo, content_type="image/jpeg", if_match=f'"{seen}"')

    def label_map(self, path: str) -> codec.LabelMap:
        return codec.decode(self.call("GET", f"{path}/map").body)

    def save(self, path: str, selection: bytes | Any, seen: int, author: str = "ann") -> Answer:
        body = selection if isinstance(selection, bytes) else json.dumps(selection).encode()
        condition = {"if_match": f'"{seen}"'} if seen else {"if_none_match": "*"}
        return self.call(
            "PUT", f"{path}/selection?author={author}", body, content_type="application/json", **condition
        )


def selection_of(label_map: codec.LabelMap, first: int = 100, length: int = 50) -> dict[str, Any]:
    """A selection of some regions, as `Selection.toJSON` writes it."""
    rest = label_map.count - first - length
    return {
        "format": "superpixel-selection",
        "version": 2,
        "width": label_map.labels.shape[1],
        "height": label_map.labels.shape[0],
        "count": label_map.count,
        "map": fingerprint(label_map.labels),
        "parameters": {"compactness": 10, "edges": None},
        "classes": [{"name": "cat", "color": "#e69f00", "id": 7}],
        "objects": [{"class": 1, "name": "Tom"}],
        "regions": [0, first, 256, length, 0, rest],
        "pixels": [],
    }


def mask_of(label_map: codec.LabelMap, first: int = 100, length: int = 50) -> Any:
    """The mask of `selection_of`."""
    chosen = np.zeros(label_map.count, np.uint8)
    chosen[first : first + length] = 1
    return chosen[label_map.labels]


def environment_of(url: str, server: str = "127.0.0.1:1", **settings: str) -> dict[str, str]:
    own = {"DATABASE_URL": url, "SUPERPIXEL_SERVER": server, "PORT": "0", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **own, **settings}


@contextmanager
def running_backend(url: str, server: str, **settings: str) -> Iterator[Backend]:
    """Bring the database at `url` to the newest schema, and run the backend on it."""
    environment = environment_of(url, server, **settings)
    engine = database.open_engine(url)
    database.migrate(engine)
    engine.dispose()
    with running_example(PROGRAM, environment) as address:
        yield Backend(address)


@dataclass(frozen=True)
class PostgreSQL:
    """A running PostgreSQL."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL of Debian's package, on a socket of its own."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert versions, "postgresql is missing: run `make system-packages`"
    bin_folder = versions[-1]
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    initdb = [bin_folder / "initdb", "-U", "postgres", "-E", "UTF8", "-A", "trust", "--no-sync", "-D", data]
    try:
        subprocess.run(initdb, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        flags = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", folder]
        postgres = [bin_folder / "postgres", "-D", data, *flags]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(postgres, user=user, cwd=folder, stdout=log, stderr=log)
        try:
            ready = [bin_folder / "pg_isready", "-q", "-h", folder]
            while subprocess.run(ready, check=False).returncode:
                assert process.poll() is None, (folder / "log").read_text()
            yield PostgreSQL(f"postgresql://postgres@/postgres?host={folder}", process)
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(folder)
