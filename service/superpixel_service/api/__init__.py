"""The HTTP API: segmentation, server information and smart select, for programs that speak no gRPC.

It needs the extra `web`. docs/http-api.md describes it for its callers.
"""
