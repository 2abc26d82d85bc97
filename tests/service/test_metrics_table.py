"""/metrics agrees with docs/service.md: names, labels, closed sets of values."""

import re
from pathlib import Path

import grpc
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from superpixel_service.contract import SCOPES, Reason
from superpixel_service.model import ImageFormat, LabelEncoding, Lane
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.security.tokens import line_of, new_token
from superpixel_service.stores.call import STAGES
from superpixel_service.work.decode_processes import REPLACED
from superpixel_service.work.segmenter import ENGINE_STAGES
from tests.service.certificates import Authority, write_private
from tests.service.harness import refused, request, running_server
from tests.service.images import encoded, raw, scene

DOCUMENT = Path(__file__).parents[2] / "docs" / "service.md"
NAME = re.compile(r"`((?:superpixel|grpc)_[a-z_]+)`")
PROCESS = re.compile(r"(process|python)_")
PARTS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL))
ON_A_GPU = {"superpixel_gpu_memory_used_bytes"}

CODES = {"OK", "INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"}
VALUES: dict[str, set[str]] = {
    "grpc_service": {"superpixel.v1.SuperpixelService", "other"},
    "grpc_method": {"Segment", "SegmentStream", "GetServerInfo", "other"},
    "grpc_code": CODES,
    "stage": {"queue", "decode", "segment", "encode", *ENGINE_STAGES, *STAGES},
    "backend": {"cpu", "cuda"},
    "encoding": {*ImageFormat, *LabelEncoding},
    "lane": set(Lane),
    "reason": {reason.value for reason in Reason},
    "file": {"certificate", "tokens"},
    "result": {"ok", "failed", "hit", "miss", "shared"},
    "cause": set(REPLACED),
    "check": {"engine", "queue", "serving", "accepting"},
}


def table() -> dict[str, set[str]]:
    """Names of the table, without `_total`, and the labels of each."""
    section = next(text for title, text in PARTS.items() if title.startswith("Metrics"))
    rows = [row.strip("|").split("|") for row in section.splitlines() if row.startswith("| `")]
    assert len(rows) >= 10
    found = {}
    for names, labels in rows:
        for name in NAME.findall(names):
            found[name.removesuffix("_total")] = set(re.findall(r"(?<!-> )`(\w+)`", labels))
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Metric]:
    """The metrics of a server after calls of every kind, over TLS and with tokens."""
    folder = tmp_path_factory.mktemp("metrics")
    authority, token, poor = Authority(), new_token(), new_token()
    pair = authority.issue("127.0.0.1")
    lines = [line_of("all", SCOPES.values(), token), line_of("poor", ["info"], poor)]
    for name, data in (("chain", pair.chain), ("key", pair.key), ("tokens", "\n".join(lines).encode())):
        write_private(folder / name, data)
    flags = [f"--tls-cert-file={folder / 'chain'}", f"--tls-key-file={folder / 'key'}"]
    with running_server(*flags, f"--token-file={folder / 'tokens'}", "--cache-bytes=1000000") as server:
        with grpc.secure_channel(server.listen, authority.credentials()) as channel:
            stub = pb_grpc.SuperpixelServiceStub(channel)
            told = [("authorization", f"Bearer {token}")]
            for source in (
                encoded(scene()),
                encoded(scene(), "JPEG"),
                encoded(scene(), "WEBP"),
                raw(scene()),
            ):
                for encoding in (1, 2, 3):
                    stub.Segment(request(source, 5, label_encoding=encoding), metadata=told)
            message = pb.SegmentStreamRequest(request_id='odd\n{}"', request=request(encoded(scene()), 5))
            list(stub.SegmentStream(iter([message]), metadata=told))
            refused(lambda: stub.Segment(request(b"", 5), metadata=told))
            refused(lambda: stub.Segment(request(b"", 5)))
            refused(lambda: stub.Segment(request(b"", 5), metadata=[("authorization", f"Bearer {poor}")]))
            for path in ("/a/b", "/superpixel.v1.SuperpixelService/Unheard"):
                with pytest.raises(grpc.RpcError):
                    channel.unary_unary(path)(b"", metadata=[*told, ("x-request-id", "label")])
        return {family.name: family for family in text_string_to_metric_families(server.metrics_text())}


def labels_of(family: Metric) -> set[str]:
    sets = {
        frozenset(sample.labels) - {"le"} for sample in family.samples if not sample.name.endswith("_created")
    }
    assert len(sets) == 1, family
    return set(sets.pop())


def test_names_and_labels_are_those_of_the_table(served: dict[str, Metric]) -> None:
    expected = {name: labels for name, labels in table().items() if name not in ON_A_GPU}
    own = {name: family for name, family in served.items() if not PROCESS.match(name)}
    own = {name: family for name, family in own.items() if not name.endswith("_created")}
    assert set(own) - ON_A_GPU == set(expected)
    for name, family in own.items():
        if name in ON_A_GPU:
            assert not family.samples
            continue
        # One row has three names and all their labels; the first of them counts calls that have no code yet.
        wanted = expected[name] - {"grpc_code"} if name == "grpc_server_started" else expected[name]
        assert labels_of(family) == wanted, name


def test_label_values_are_of_closed_sets(served: dict[str, Metric]) -> None:
    for name, family in served.items():
        if PROCESS.match(name) or name == "superpixel_build_info":
            continue
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label == "le" or value in VALUES[label], (name, label, value)
