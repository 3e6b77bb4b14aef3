"""Compression of public files, which are the same for everybody.

A response with a caller's details or a token must never be compressed: its length shows whether it
repeats something that an attacker has put into the request (the attack BREACH).
"""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

PUBLIC = ("/static/", "/api/v1/strings/", "/api/v1/openapi.json")
"""The beginnings of the paths whose responses have no personal data and depend on no session."""
_SMALLEST = 1000
"""Shorter responses are sent as they are, because they fit into one packet in any case."""


class PublicFileCompression:
    """ASGI middleware that compresses the responses for the paths in `PUBLIC` with gzip."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._compressed = GZipMiddleware(app, minimum_size=_SMALLEST, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and compress the response if its path is public."""
        public = scope["type"] == "http" and scope["path"].startswith(PUBLIC)
        await (self._compressed if public else self._app)(scope, receive, send)
