"""The gRPC part of the server: receives calls and sends answers."""
