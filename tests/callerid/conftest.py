"""An empty database with this package's tables, and an HTTP server on the loopback."""

import pytest

from helpers.database import engine
from helpers.http_server import HttpServer

__all__ = ["engine", "server"]


@pytest.fixture
async def server():
    server = HttpServer()
    await server.start()
    yield server
    await server.stop()
