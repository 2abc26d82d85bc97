"""The annotation page and its gateway: HTTP to the browser, gRPC to a server. Needs the extra `web`."""
