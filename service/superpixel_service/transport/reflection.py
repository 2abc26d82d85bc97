"""Server reflection, versions 1 and v1alpha: clients read the contract from the server."""

import functools
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2  # type: ignore[import-untyped]

from superpixel_service.contract import HEALTH_SERVICE, SERVICE
from superpixel_service.errors import ServiceError
from superpixel_service.transport.call import permit_of_call
from superpixel_service.transport.gate import Limit, Permit
from superpixel_service.transport.interceptors import end_with, parse_message

SERVICES = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)

# Each open stream occupies a thread, so silent ones end.
_STREAMS = 16
_SECONDS = 10.0

_parse = functools.partial(parse_message, reflection_pb2.ServerReflectionRequest)


def limits() -> dict[str, Limit]:
    """The gate's limits of the reflection methods."""
    limit = Limit("reflection", _STREAMS, patience=lambda: _SECONDS, small=True)
    return {f"/{service}/ServerReflectionInfo": limit for service in SERVICES}


def add_to(server: grpc.Server, more: tuple[str, ...] = ()) -> None:
    """Serve reflection on `server`, whose gate has these `limits`; `more`: optional services that it has."""
    _describe_version_1()
    servicer = reflection.ReflectionServicer((SERVICE, *more, HEALTH_SERVICE, *SERVICES))

    def questions(messages: Iterator[bytes], permit: Permit) -> Iterator[Any]:
        while True:
            try:
                message = permit.receive(messages)
            except StopIteration:
                return
            permit.answering()
            yield _parse(message)

    def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        permit = permit_of_call()
        try:
            with permit.serving(context):
                yield from servicer.ServerReflectionInfo(questions(messages, permit), context)
        except ServiceError as error:
            end_with(context, error)

    handler: Any = grpc.stream_stream_rpc_method_handler(
        answer, response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString
    )
    for service in SERVICES:
        methods = {"ServerReflectionInfo": handler}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))


@functools.cache
def _describe_version_1() -> None:
    """Add version 1 to the known descriptors. Its messages are those of v1alpha in another package.

    Clients such as k6 and grpcurl ask for the descriptor of every service that the server lists.
    """
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = "grpc/reflection/v1/reflection.proto", "grpc.reflection.v1"
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace("v1alpha", "v1")
    for method in file.service[0].method:
        method.input_type = method.input_type.replace("v1alpha", "v1")
        method.output_type = method.output_type.replace("v1alpha", "v1")
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
