"""The CUDA errors that the fake runtime and driver answer."""

import enum


class Code(enum.IntEnum):
    """Values that the runtime and the driver have in common, unless the name says otherwise."""

    SUCCESS = 0
    INVALID_VALUE = 1
    MEMORY_ALLOCATION = 2
    INVALID_CONFIGURATION = 9
    NO_DEVICE = 100
    INVALID_DEVICE = 101
    INVALID_IMAGE = 200
    INVALID_HANDLE = 400
    NOT_FOUND = 500
    NOT_READY = 600
    ILLEGAL_ADDRESS = 700
    LAUNCH_FAILURE = 719
    COOPERATIVE_LAUNCH_TOO_LARGE = 720
    NOT_SUPPORTED = 801
    CAPTURE_UNSUPPORTED = 900
    CAPTURE_INVALIDATED = 901
    CAPTURE_UNMATCHED = 903
    CAPTURE_ISOLATION = 905
    CAPTURED_EVENT = 907
    UNKNOWN = 999


RUNTIME_NAMES = {
    Code.SUCCESS: "cudaSuccess",
    Code.INVALID_VALUE: "cudaErrorInvalidValue",
    Code.MEMORY_ALLOCATION: "cudaErrorMemoryAllocation",
    Code.INVALID_CONFIGURATION: "cudaErrorInvalidConfiguration",
    Code.NO_DEVICE: "cudaErrorNoDevice",
    Code.INVALID_DEVICE: "cudaErrorInvalidDevice",
    Code.INVALID_IMAGE: "cudaErrorInvalidKernelImage",
    Code.INVALID_HANDLE: "cudaErrorInvalidResourceHandle",
    Code.NOT_FOUND: "cudaErrorSymbolNotFound",
    Code.NOT_READY: "cudaErrorNotReady",
    Code.ILLEGAL_ADDRESS: "cudaErrorIllegalAddress",
    Code.LAUNCH_FAILURE: "cudaErrorLaunchFailure",
    Code.COOPERATIVE_LAUNCH_TOO_LARGE: "cudaErrorCooperativeLaunchTooLarge",
    Code.NOT_SUPPORTED: "cudaErrorNotSupported",
    Code.CAPTURE_UNSUPPORTED: "cudaErrorStreamCaptureUnsupported",
    Code.CAPTURE_INVALIDATED: "cudaErrorStreamCaptureInvalidated",
    Code.CAPTURE_UNMATCHED: "cudaErrorStreamCaptureUnmatched",
    Code.CAPTURE_ISOLATION: "cudaErrorStreamCaptureIsolation",
    Code.CAPTURED_EVENT: "cudaErrorCapturedEvent",
    Code.UNKNOWN: "cudaErrorUnknown",
}


class Failure(Exception):
    """A call ends with this code."""

    def __init__(self, code: Code, why: str = "") -> None:
        super().__init__(f"{code.name}: {why}")
        self.code = code
