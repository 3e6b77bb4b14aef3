"""The messages that finalisers and desks receive after they have connected to the switch."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from galwad import link
from galwad.messages import (
    CallsSnapshot,
    DialNumber,
    Hello,
    Party,
    Pause,
    PauseReply,
    PhoneAct,
    PhoneReply,
    PhonesRegistered,
    RegisteredPhone,
    SetAway,
    SpoolClosed,
    own_version,
)
from galwad.switch.call.commands import DeskCommands
from galwad.switch.life.link_server import LinkServer

PATIENCE_S = 60.0
SIAN, GWEN = Party("201", "sian"), Party("202", "gwen")


class FakeCommands:
    """Keeps what the desk has reported."""

    def __init__(self) -> None:
        self.away: tuple[str, ...] | None = None
        self.lost = asyncio.Event()
        self.phone_answers = asyncio.Event()

    def live_calls(self):
        return ()

    async def act(self, command):
        await self.phone_answers.wait()
        return PhoneReply(command.ref, "phone_silent")

    def dial(self, command):
        return PhoneReply(command.ref, "busy")

    async def pause(self, command):
        return PauseReply(command.ref, (), "paused", durable=True)

    def set_away(self, users):
        self.away = users

    def desk_lost(self):
        self.lost.set()


@pytest.fixture
async def served(tmp_path):
    """A link server with fake commands; `connect(hello)` returns the link of a desk."""
    commands = FakeCommands()
    links = LinkServer(cast("DeskCommands", commands), tmp_path / "ended.jsonl")
    server = await links.listen(tmp_path / "switch.sock")
    desks = []

    async def connect(hello):
        desks.append(link.Link(*await asyncio.open_unix_connection(tmp_path / "switch.sock")))
        desks[-1].send(hello)
        return desks[-1]

    async with asyncio.timeout(PATIENCE_S):
        yield links, commands, connect
    for desk in desks:
        await desk.close()
    server.close()
    await server.wait_closed()
    links.outbox.close()


async def test_a_finaliser_is_notified_of_closed_spools_once_its_hello_is_echoed(tmp_path):
    links = LinkServer(cast("DeskCommands", None), tmp_path / "ended.jsonl")
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


async def test_a_desk_receives_the_registered_phones_and_then_only_the_changes(served):
    links, _, connect = served
    links.devices({SIAN: 2})
    desk = await connect(Hello.of("desk"))
    assert await desk.receive() == CallsSnapshot((), own_version())
    complete = PhonesRegistered((RegisteredPhone(SIAN, 2),), complete=True)
    assert await desk.receive() == complete
    links.devices({SIAN: 2})
    links.devices({SIAN: 2, GWEN: 1})
    assert await desk.receive() == PhonesRegistered((RegisteredPhone(GWEN, 1),))
    links.devices({GWEN: 1})
    assert await desk.receive() == PhonesRegistered((RegisteredPhone(SIAN, 0),))


async def test_a_desk_of_another_version_receives_no_message_that_it_does_not_know(served):
    links, _, connect = served
    desk = await connect(Hello("desk", "0"))
    assert isinstance(await desk.receive(), CallsSnapshot)
    links.devices({SIAN: 1})
    links.alarm("after.it")
    assert (await desk.receive()).kind == "after.it"


async def test_a_pause_does_not_wait_for_a_phone_that_is_asked_to_answer(served):
    _, commands, connect = served
    desk = await connect(Hello("desk", "0"))
    assert isinstance(await desk.receive(), CallsSnapshot)
    desk.send(PhoneAct(1, "call", "answer", "sian", "201", "user:sian"))
    desk.send(Pause(2, "page:sian", "page", "user:sian", user="sian"))
    assert await desk.receive() == PauseReply(2, (), "paused", durable=True)
    commands.phone_answers.set()
    assert await desk.receive() == PhoneReply(1, "phone_silent")


async def test_the_reply_to_a_number_to_dial_has_its_reference(served):
    _, _, connect = served
    desk = await connect(Hello("desk", "0"))
    assert isinstance(await desk.receive(), CallsSnapshot)
    desk.send(DialNumber(9, "sian", "201", "301"))
    assert await desk.receive() == PhoneReply(9, "busy")


async def test_the_commands_learn_who_is_away_and_that_the_last_desk_is_gone(served):
    _, commands, connect = served
    one, two = [await connect(Hello.of("desk")) for _ in range(2)]
    for desk in (one, two):
        assert isinstance(await desk.receive(), CallsSnapshot)
    two.send(SetAway(("sian",)))
    await two.close()
    await one.close()
    await commands.lost.wait()
    assert commands.away == ("sian",)
