"""The contract, the generated code and the service agree."""

import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from superpixel_service.contract import Reason
from superpixel_service.errors import (
    CallCancelled,
    DeadlinePassed,
    Draining,
    InternalError,
    InvalidRequest,
    OutOfMemory,
    Overloaded,
    ServiceError,
    to_status,
)
from superpixel_service.model import ImageFormat, LabelEncoding, Lane, NoticeCode
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "protos" / "superpixel" / "v1" / "superpixel.proto"


def test_generated_code_lint_and_format_are_clean() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "protos" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_file_has_its_canonical_name() -> None:
    assert pb.DESCRIPTOR.name == "superpixel/v1/superpixel.proto"
    assert pb.DESCRIPTOR.package == "superpixel.v1"


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_listed_in_the_contract(reason: Reason) -> None:
    stores = CONTRACT.with_name("stores.proto")
    assert f"//   {reason.value} " in CONTRACT.read_text() + stores.read_text()


def test_every_enumeration_has_its_numbers() -> None:
    assert {f"NOTICE_CODE_{code.name}" for code in NoticeCode} == set(pb.NoticeCode.keys()[1:])
    files = {f"IMAGE_FORMAT_{item.name}" for item in ImageFormat if item is not ImageFormat.RAW}
    assert files == set(pb.ImageFormat.keys()[1:])
    assert {f"LABEL_ENCODING_{item.name}" for item in LabelEncoding} == set(pb.LabelEncoding.keys()[1:])
    assert {f"PRIORITY_{lane.name}" for lane in Lane} == set(pb.Priority.keys()[1:])


ERRORS: list[tuple[ServiceError, grpc.StatusCode, bool]] = [
    (InvalidRequest(Reason.IMAGE_MISSING, "text", field="source"), grpc.StatusCode.INVALID_ARGUMENT, False),
    (Overloaded(Reason.QUEUE_FULL, "text"), grpc.StatusCode.RESOURCE_EXHAUSTED, True),
    (OutOfMemory(), grpc.StatusCode.RESOURCE_EXHAUSTED, True),
    (DeadlinePassed(), grpc.StatusCode.DEADLINE_EXCEEDED, False),
    (CallCancelled(), grpc.StatusCode.CANCELLED, False),
    (Draining(), grpc.StatusCode.UNAVAILABLE, False),
    (InternalError("id"), grpc.StatusCode.INTERNAL, False),
]


@pytest.mark.parametrize(("error", "code", "pushed_back"), ERRORS, ids=lambda item: type(item).__name__)
def test_errors_on_the_wire(error: ServiceError, code: grpc.StatusCode, pushed_back: bool) -> None:
    status = to_status(error, "request-1")
    trailers = dict(status.trailing_metadata)
    wire = Status.FromString(trailers["grpc-status-details-bin"])
    info = ErrorInfo()
    assert wire.details[0].Unpack(info)
    assert (status.code, wire.code, wire.message) == (code, code.value[0], status.details)
    assert (info.domain, info.reason) == ("superpixel.v1", error.reason.value)
    assert trailers["x-request-id"] == "request-1"
    assert ("grpc-retry-pushback-ms" in trailers) is pushed_back


def test_each_rejection_states_its_own_time_to_retry() -> None:
    """The server makes each status once; those of other rejections must not be sent."""
    for seconds in (0.05, 0.06, 0.05):
        trailers = dict(to_status(Overloaded(Reason.QUEUE_FULL, "text", seconds), "id").trailing_metadata)
        retry = RetryInfo()
        assert Status.FromString(trailers["grpc-status-details-bin"]).details[1].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() == round(1000 * seconds)
        assert trailers["grpc-retry-pushback-ms"] == str(round(1000 * seconds))
