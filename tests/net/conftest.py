"""An HTTP server on the loopback."""

from helpers.http_server import server

__all__ = ["server"]
