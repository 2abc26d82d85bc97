"""A stand-in for grpcurl: a call described in JSON, with nothing but what the server's reflection tells.

Takes the flags that docs/clients.md uses, and as grpcurl does, field names as in the contract or in lower
camel case, and bytes as base64. What it proves is that the page's service, fields and JSON are right.
"""

import argparse
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-max-time", type=float)
    parser.add_argument("-max-msg-sz", type=int, default=4 << 20)
    parser.add_argument("-d", choices=["@"], required=True)
    parser.add_argument("address")
    parser.add_argument("method")
    options = parser.parse_args()

    channel_options = [("grpc.max_receive_message_length", options.max_msg_sz)]
    with grpc.insecure_channel(options.address, options=channel_options) as channel:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        service, _, name = options.method.partition("/")
        method = pool.FindServiceByName(service).FindMethodByName(name)
        request = message_factory.GetMessageClass(method.input_type)()
        json_format.Parse(sys.stdin.read(), request, descriptor_pool=pool)
        call = channel.unary_unary(
            f"/{service}/{name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        answer = call(request, timeout=options.max_time)
    print(json_format.MessageToJson(answer, descriptor_pool=pool))


if __name__ == "__main__":
    main()
