"""gRPC: calls in, answers out."""
