"""Fixtures for the tests of call events: an outbox, and calls with events."""

from __future__ import annotations

import pytest

from galwad.desk.webhooks.outbox import WebhookOutbox
from galwad.desk.webhooks.tables import metadata
from helpers.http_server import HttpServer


@pytest.fixture
async def outbox(engine):
    """An empty outbox."""
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    return WebhookOutbox(engine)


@pytest.fixture
async def server():
    """A receiver on the loopback."""
    server = HttpServer()
    await server.start()
    yield server
    await server.stop()
