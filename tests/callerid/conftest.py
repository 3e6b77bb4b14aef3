"""An empty database with this package's tables, and an HTTP server on the loopback."""

from helpers.database import engine
from helpers.http_server import server

__all__ = ["engine", "server"]
