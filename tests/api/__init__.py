"""Tests of the HTTP API: `superpixel http` in a process of its own, before a real server."""
