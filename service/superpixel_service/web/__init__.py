"""The annotation page and its gateway, which speaks HTTP to the browser and gRPC to a server.

It needs the extra `web`.
"""
