"""Asterisk as the PBX behind Galwad and in front of it, with the settings of the guide."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from galwad.simulate.sound import RATE, speech
from galwad.simulate.transfers import TRANSFERS
from helpers.peers.asterisk import PASSWORD, Asterisk
from helpers.peers.client import PBX_LINE, OfficerClient
from helpers.peers.programs import Caller
from helpers.peers.waiting import wait_until
from telephony.phone import CallState, VoIPCall, VoIPPhone

pytestmark = [pytest.mark.peer, pytest.mark.long]

PLACES = """
[[destinations]]
match = "850"                       # a queue
class = "department"

[[destinations]]
match = "/700|[*]97/"               # parking, and voicemail
class = "department"
"""
ROWS = [row.name for row in TRANSFERS if row.at_pbx]


@pytest.fixture
def service(start):
    """All three processes; Asterisk is a trusted trunk."""
    return start(
        *("switch", "desk", "finaliser"),
        users=True,
        trunk_peers='"127.0.0.2", "127.0.0.3"',
        more=PLACES,
    )


@pytest.fixture
def transfers(service, tmp_path):
    """Runs `simulate transfers` through Asterisk, and returns the verdicts by row."""
    client = OfficerClient(service, tmp_path / "client")

    def transfers(status=0):
        return client.simulate(
            *("transfers", "--pbx-answer", "201", "--pbx-answer", "500"),
            *(word for row in ROWS for word in ("--only", row)),
            where={"number": PBX_LINE},
            passwords=[PASSWORD, PASSWORD],
            status=status,
        )

    return transfers


def test_with_the_settings_of_the_guide_all_transfers_by_asterisk_are_recognised(
    service, transfers, ended
):
    ended(Asterisk(service))
    rows = transfers()
    assert {name: row["verdict"] for name, row in rows.items()} == dict.fromkeys(ROWS, "ok")
    assert "trunk trunk names the parties that answer" in service.galwad("check")


def test_transfers_by_asterisk_without_connected_lines_are_reported(service, transfers, ended):
    ended(Asterisk(service, connected_line="no"))
    rows = transfers(status=1)
    for row in rows.values():
        assert "the PBX has named no one after the transfer" in "; ".join(row["reasons"])


@pytest.fixture
def pbx_phone(ports):
    """Registers one of our phones at Asterisk; its calls arrive in the queue."""

    @asynccontextmanager
    async def pbx_phone(asterisk, extension, calls=None):
        async with VoIPPhone(
            *(*asterisk.address, extension, PASSWORD),
            my_ip="127.0.0.1",
            rtp_ports=ports.pair,
            call_callback=None if calls is None else calls.put,
        ) as phone:
            yield phone

    return pbx_phone


@pytest.fixture
def shown_as(service):
    """Waits until an administrator sees the only call at this extension, in this state."""

    async def shown_as(extension, state):
        with service.sign_in("ceri") as page:

            def shown():
                (call,) = page.get("/api/v1/calls").json()
                return (call["extension"], call["recording"]) == (extension, state)

            await asyncio.to_thread(wait_until, shown, what=f"{extension} {state}")

    return shown_as


async def say(mouth, caller, said):
    """Let the caller speak, and wait until everything has arrived."""
    mouth.say(said, caller.media_target)
    await asyncio.sleep(len(said) / RATE + 0.5)


async def test_voicemail_of_asterisk_is_not_recorded_as_the_advisor_who_did_not_answer(  # noqa: PLR0917 - fixtures
    service, pbx_phone, talker, ended, judge, shown_as
):
    asterisk = ended(await asyncio.to_thread(Asterisk, service, line="box"))
    mouth, said = talker("127.0.0.2"), speech(2, 830)
    async with asyncio.timeout(60), pbx_phone(asterisk, "201", asyncio.Queue[VoIPCall]()):
        caller = ended(Caller(service, "01970000200", media=mouth.port))
        await shown_as("*97", "ceased")
        await say(mouth, caller, said)
        await asyncio.to_thread(caller.hang_up)
    call_id = service.call_id()
    await asyncio.to_thread(judge, service, call_id, [], [(0, said)], ["transfer"])


async def test_a_caller_whom_asterisk_parks_is_recorded_only_while_connected_to_an_advisor(  # noqa: PLR0917 - fixtures
    service, pbx_phone, talker, ended, judge, shown_as
):
    asterisk, mouth = await asyncio.to_thread(Asterisk, service), talker("127.0.0.2")
    ended(asterisk)
    calls, words = asyncio.Queue[VoIPCall](), [speech(1.5, seed) for seed in (840, 841, 842)]

    async with asyncio.timeout(60), pbx_phone(asterisk, "201", calls) as phone:
        caller = ended(Caller(service, "01970000200", media=mouth.port))
        first = await calls.get()
        await first.answer()
        await shown_as("201", "recording")
        await say(mouth, caller, words[0])
        leaving = asyncio.ensure_future(first.transfer("700"))
        await shown_as("700", "ceased")
        leaving.cancel()
        await first.hangup()
        await say(mouth, caller, words[1])
        second = await phone.call("701")
        await second.wait_for(CallState.ANSWERED)
        await shown_as("201", "recording")
        await say(mouth, caller, words[2])
        await asyncio.to_thread(caller.hang_up)
        await second.wait_for(CallState.ENDED)
    kept, lost = [(0, words[0]), (0, words[2])], [(0, words[1])]
    await asyncio.to_thread(judge, service, service.call_id(), kept, lost, ["transfer"])


async def test_a_caller_in_a_queue_of_asterisk_is_recorded_only_while_connected_to_an_advisor(  # noqa: PLR0917 - fixtures
    service, pbx_phone, talker, ended, judge, shown_as
):
    asterisk, mouth = await asyncio.to_thread(Asterisk, service), talker("127.0.0.2")
    ended(asterisk)
    calls, words = asyncio.Queue[VoIPCall](), [speech(1.5, seed) for seed in (810, 811, 812)]

    async with asyncio.timeout(60), pbx_phone(asterisk, "201", calls):
        caller = ended(Caller(service, "01970000200", media=mouth.port))
        first = await calls.get()
        await first.answer()
        await shown_as("201", "recording")
        await say(mouth, caller, words[0])
        leaving = asyncio.ensure_future(first.transfer("850"))
        await shown_as("850", "ceased")
        leaving.cancel()  # Asterisk reports the end of the transfer only when the queue is left
        await first.hangup()
        await say(mouth, caller, words[1])
        second = await calls.get()
        await second.answer()
        await shown_as("201", "recording")
        await say(mouth, caller, words[2])
        await asyncio.to_thread(caller.hang_up)
        await second.wait_for(CallState.ENDED)
    kept, lost = [(0, words[0]), (0, words[2])], [(0, words[1]), (1, words[1])]
    await asyncio.to_thread(judge, service, service.call_id(), kept, lost, ["transfer"])


async def test_a_call_from_an_asterisk_in_front_reaches_a_phone_of_galwad_and_is_recorded(
    service, phone, pbx_phone, ended, judge
):
    asterisk = ended(await asyncio.to_thread(Asterisk, service))
    calls, words = asyncio.Queue[VoIPCall](), (speech(2, 820), speech(2, 821))
    async with asyncio.timeout(60), phone(calls), pbx_phone(asterisk, "500") as front:
        placed = await front.call("01970000100")
        answered = await calls.get()
        await answered.answer()
        await placed.wait_for(CallState.ANSWERED)
        await asyncio.sleep(0.5)
        for call, said in zip((placed, answered), words, strict=True):
            await call.write_audio(said.tobytes())
        await asyncio.gather(placed.drain_audio(), answered.drain_audio())
        await asyncio.sleep(0.5)
        await placed.hangup()
        await answered.wait_for(CallState.ENDED)
    kept = list(enumerate(words))
    await asyncio.to_thread(judge, service, service.call_id(), kept, [], [])
