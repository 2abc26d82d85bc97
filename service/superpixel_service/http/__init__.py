"""What the servers that speak HTTP share: the annotation page's gateway, and the HTTP API.

It needs the extra `web`.
"""
