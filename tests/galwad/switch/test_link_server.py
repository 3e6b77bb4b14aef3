"""The messages that a finaliser receives after it has connected to the switch."""

from __future__ import annotations

import asyncio
from typing import cast

from galwad import link
from galwad.messages import Hello, SpoolClosed
from galwad.switch.link_server import Commands, LinkServer

PATIENCE_S = 20.0


async def test_a_finaliser_is_notified_of_closed_spools_once_its_hello_is_echoed(tmp_path):
    links = LinkServer(cast("Commands", None), tmp_path / "ended.jsonl")
    server = await links.listen(tmp_path / "switch.sock")
    finaliser = link.Link(*await asyncio.open_unix_connection(tmp_path / "switch.sock"))
    links.spool_closed("nobody-hears-this")
    hello = Hello("finaliser", "0")
    finaliser.send(hello)
    async with asyncio.timeout(PATIENCE_S):
        assert await finaliser.receive() == hello
        links.spool_closed("20260301-090000-abcdefgh")
        assert await finaliser.receive() == SpoolClosed("20260301-090000-abcdefgh")
    await finaliser.close()
    server.close()
    await server.wait_closed()
    links.outbox.close()
