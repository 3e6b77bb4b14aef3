"""The examples of docs/phone.md that need a server, run as written against the real service."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

import numpy as np
import pytest

from galwad.simulate.sound import speech
from helpers.peers.programs import Callee
from helpers.peers.sound import find
from helpers.peers.waiting import PATIENCE_S
from helpers.phone_examples import PROGRAM, example
from telephony.phone import CallFailedError, CallState, VoIPCall, VoIPPhone

pytestmark = pytest.mark.peer


@pytest.fixture
async def desk_phones(switch, ports):
    """Makes registered phones of the service; each answers its calls and keeps them."""
    async with AsyncExitStack() as stack:

        async def make(extension, **more):
            calls = asyncio.Queue[VoIPCall]()

            async def answer(call):
                await call.answer()
                await calls.put(call)

            phone = VoIPPhone(
                *(*switch.sip, extension, f"secret-{extension}"),
                rtp_ports=ports.pair,
                call_callback=answer,
                **more,
            )
            await stack.enter_async_context(phone)
            return phone, calls

        yield make


async def connected(phone, number, calls):
    placed = await phone.call(number)
    await placed.wait_for(CallState.ANSWERED)
    return placed, await calls.get()


async def rung(phone, number):
    """Call a phone that may not be registered yet, again until it answers."""
    while True:
        call = await phone.call(number)
        try:
            await call.wait_for(CallState.ANSWERED)
        except CallFailedError:
            await asyncio.sleep(0.1)
        else:
            return call


async def repeat(call, pcm):
    while True:
        await call.write_audio(pcm)


async def hears(call, said):
    """Return once the call receives this sound."""
    heard = b""
    async for piece in call.audio(1600):
        heard = (heard + piece)[-6 * said.nbytes :]
        samples = np.frombuffer(heard, "<i2")
        if len(samples) > len(said) and find(samples, said)[1] > 0.9:
            return


async def test_the_first_program_of_the_document_answers_and_echoes(switch, desk_phones, ports):
    text = PROGRAM.replace("192.0.2.10", "127.0.0.1").replace("5060", str(switch.sip[1]))
    text = text.replace(
        "call_callback", f"rtp_ports=({ports.last - 3}, {ports.last}), call_callback"
    )
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", text.replace('"301", "secret"', '"301", "secret-301"'))
    )
    said = speech(0.5, 71)
    try:
        phone, _ = await desk_phones("302")
        async with asyncio.timeout(PATIENCE_S), await rung(phone, "301") as call:
            speaking = asyncio.create_task(repeat(call, said.tobytes()))
            await hears(call, said)
            speaking.cancel()
            assert call.state is CallState.ANSWERED
    finally:
        program.terminate()
        await program.wait()


async def test_the_alive_example_gets_an_answer_to_options(desk_phones):
    phone, _ = await desk_phones("301")
    assert await example("alive")(phone)


async def test_the_transfer_example_makes_a_blind_transfer(desk_phones):
    async with asyncio.timeout(PATIENCE_S):
        phone, _ = await desk_phones("301")
        _, there = await desk_phones("302")
        _, target = await desk_phones("303")
        placed, taken = await connected(phone, "302", there)
        await example("transfer")(taken)
        await taken.wait_for(CallState.ENDED)
        sent_on = await target.get()
        assert placed.state is sent_on.state is CallState.ANSWERED


async def test_the_transfer_example_keeps_the_call_when_the_transfer_fails(desk_phones):
    async with asyncio.timeout(PATIENCE_S):
        phone, _ = await desk_phones("301")
        _, there = await desk_phones("302")
        placed, taken = await connected(phone, "302", there)
        await example("transfer")(taken)
        assert placed.state is taken.state is CallState.ANSWERED


async def test_the_attended_example_joins_the_caller_with_a_consulted_colleague(desk_phones):
    async with asyncio.timeout(PATIENCE_S):
        phone, _ = await desk_phones("301")
        advisor, there = await desk_phones("302")
        _, target = await desk_phones("303")
        placed, taken = await connected(phone, "302", there)
        assert await example("attended")(advisor, taken) == 200
        joined = await target.get()
        await taken.wait_for(CallState.ENDED)
        assert placed.state is joined.state is CallState.ANSWERED


async def test_the_take_over_example_moves_a_call_to_a_second_phone(desk_phones):
    async with asyncio.timeout(PATIENCE_S):
        phone, _ = await desk_phones("301")
        _, there = await desk_phones("302")
        other, _ = await desk_phones("303")
        placed, taken = await connected(phone, "302", there)
        call = await example("take_over")(other, taken)
        await taken.wait_for(CallState.ENDED)
        assert call.state is placed.state is CallState.ANSWERED


async def test_the_followed_example_calls_the_new_contact_of_a_302(ended, ports, tmp_path):
    sipp = ended(Callee(tmp_path, "uas_moved", "127.0.0.1"))
    async with (
        asyncio.timeout(PATIENCE_S),
        VoIPPhone(
            *("127.0.0.1", sipp.port, "301", ""), rtp_ports=ports.pair, register=False
        ) as phone,
    ):
        assert await example("followed")(phone) == [302, 180, 200]
