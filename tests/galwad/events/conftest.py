"""Fixtures for the tests of call events: an outbox, and a receiver on the loopback."""

from __future__ import annotations

import base64
from functools import partial

import pytest

from galwad.events.outbox import WebhookOutbox
from galwad.settings.desk import WebhookSection
from helpers.followed_calls import write_events
from helpers.http_server import HttpServer

KEY = b"k" * 32


@pytest.fixture
async def outbox(engine):
    """An empty outbox."""
    return WebhookOutbox(engine)


@pytest.fixture
def write(engine, outbox):
    """Return a function that writes the events of steps at a time."""
    return partial(write_events, engine, outbox)


@pytest.fixture
async def server():
    """A receiver on the loopback."""
    server = HttpServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def section(server, tmp_path):
    """Return a function that makes the settings of a receiver, by default of `server`."""
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + base64.b64encode(KEY).decode() + "\n")

    def section(**values):
        base = {"url": f"{server.url}/calls", "secret_file": str(secret)}
        return WebhookSection.model_validate({**base, **values})

    return section
