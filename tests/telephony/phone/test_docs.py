"""The examples of docs/phone.md that need only a second phone, run as they are written.

The examples that need a server are run in `tests/peers/test_phone_docs.py`.

Covers `telephony/phone/phone.py` and `telephony/phone/account.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import struct
import wave
from dataclasses import replace
from pathlib import Path

import pytest
from pyVoIP import VoIP as pyVoIP

from helpers.phone import loudness, tone
from helpers.phone_examples import FUNCTIONS, PAGE, ROOT, example, used
from net.tls import Tls, server_context
from telephony.phone import CallFailedError, CallState, VoIPCall, VoIPPhone
from telephony.sip.events import Address
from telephony.sip.transaction.timers import Timings

PEERS = ROOT / "tests/peers/test_phone_docs.py"


@pytest.fixture(autouse=True)
def _ports_of_this_test(monkeypatch, ports):
    monkeypatch.setitem(VoIPPhone.__init__.__kwdefaults__, "rtp_ports", ports.pair)


async def within(awaitable, seconds=10):
    return await asyncio.wait_for(awaitable, seconds)


async def beside(phones, ours, theirs):
    """Return the example's result while the called phone runs `theirs`."""

    async def answer():
        await theirs(await phones.came.get())

    done, _ = await within(asyncio.gather(ours, answer()))
    return done


async def answer(call):
    await call.answer()


async def busy(call):
    await call.deny()


def test_every_example_of_the_page_is_run_by_a_test():
    assert used(Path(__file__), PEERS) == FUNCTIONS.keys()


def test_the_readme_links_to_the_page():
    assert "](docs/phone.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_each_name_in_the_pyvoip_table_exists_in_its_library():
    (table,) = re.findall(
        r"^## From pyVoIP\n\n(.*?)\n\n", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    left, right = zip(*(row.split("|")[1:3] for row in table.splitlines()[2:]), strict=True)
    for rows, phone, call in (
        (left, pyVoIP.VoIPPhone, pyVoIP.VoIPCall),
        (right, VoIPPhone, VoIPCall),
    ):
        named = re.findall(r"\b(phone|call)\.(\w+)", " ".join(rows))
        assert len(named) > 5
        for kind, name in named:
            source = inspect.getsource(phone if kind == "phone" else call)
            assert re.search(rf"\bdef {name}\b|self\.{name}\b", source), name


def test_pyvoips_8_bit_audio_converts_to_16_bit():
    from_pyvoip = example("from_pyvoip")
    assert from_pyvoip(bytes([0, 128, 255])) == struct.pack("<3h", -32_768, 0, 32_512)


async def test_the_example_waits_until_the_call_is_held(phones):
    placed, taken = await phones.connect()
    waiting = asyncio.create_task(example("until_held")(taken))
    await within(placed.hold())
    assert await within(waiting)


async def test_the_example_places_a_call_and_returns_its_audio(phones):
    async def speak(call):
        await call.answer()
        await call.write_audio(tone(440, 2))

    heard = await beside(phones, example("place")(phones.first), speak)
    assert loudness(heard[4000:], 440) > 0.9
    assert phones.first.calls == []


async def test_the_example_reports_why_a_call_was_not_answered(phones):
    why_not = example("why_not")
    assert await beside(phones, why_not(phones.first), busy) == "busy"
    assert await beside(phones, why_not(phones.first), answer) == "answered"


async def test_the_example_denies_a_caller_by_number(make_phone):
    async with (
        make_phone(user="202", call_callback=example("deny")) as called,
        make_phone(called.address, user="07700900123") as caller,
    ):
        call = await caller.call("202")
        await within(call.wait_for(CallState.ENDED))
        assert call.status == 603


async def test_the_example_holds_and_resumes_a_party(phones):
    placed, taken = await phones.connect()
    held = asyncio.create_task(taken.changes.until(lambda: not taken.media.stream.remote.receive))
    await within(example("consult")(placed))
    assert held.done()
    assert taken.media.stream.remote.receive


async def test_the_example_follows_a_transfer(make_phone):
    async with (
        make_phone(user="303", call_callback=answer) as third,
        make_phone(
            third.address,
            user="302",
            call_callback=answer,
            transfer_callback=example("moved"),
        ) as second,
        make_phone(second.address) as first,
    ):
        call = await first.call("302")
        await within(call.wait_for(CallState.ANSWERED))
        assert await within(call.transfer("303")) == 200
        await within(call.wait_for(CallState.ENDED))
        assert [there.state for there in third.calls] == [CallState.ANSWERED]


async def test_the_example_sends_and_receives_dtmf_keys(phones):
    placed, taken = await phones.connect()
    pressed, keys, _ = await within(
        asyncio.gather(example("menu")(placed), taken.get_dtmf(4), taken.send_dtmf("98#4"))
    )
    assert (pressed, keys) == ("98#4", "123#")


async def test_the_example_sends_dtmf_keys_by_info(phones):
    placed, taken = await phones.connect()
    await within(example("menu_by_info")(placed))
    assert await within(taken.get_dtmf(3)) == "12#"


async def test_the_example_ends_when_the_other_side_is_gone(phones):
    placed, taken = await phones.connect()
    waiting = placed if taken.session.timer.we_refresh else taken
    gone = asyncio.create_task(example("until_they_are_gone")(waiting))
    timer = waiting.session.timer
    waiting.session._start(replace(timer, started=timer.started - timer.interval))
    await within(gone)


async def test_the_examples_play_and_record_audio_files(phones, tmp_path):
    placed, taken = await phones.connect()
    said, heard = tmp_path / "said.wav", tmp_path / "heard.wav"
    with wave.open(str(said), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(tone(440, 1))
    recording = asyncio.create_task(example("record")(taken, str(heard)))
    await within(example("play")(placed, str(said)))
    await within(placed.hangup())
    await within(recording)
    with wave.open(str(heard), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        pcm = file.readframes(file.getnframes())
    assert len(pcm) >= 14_000
    halves = (pcm[start : start + 8000] for start in range(0, len(pcm) - 7999, 1600))
    assert any(loudness(half, 440) > 0.9 for half in halves)  # half a second, after silence


async def test_the_example_reports_the_quality_of_both_directions(phones):
    placed, _ = await phones.connect()
    assert await within(example("quality")(placed), 20) == "0% lost here, 0% there"


async def test_the_example_plays_an_announcement_without_answering(phones):
    placed = await phones.first.call("202")
    await within(example("announce")(await within(phones.came.get())))
    heard = await within(placed.read_audio(4000))
    assert max(heard) > 0
    with pytest.raises(CallFailedError):
        await within(placed.wait_for(CallState.ANSWERED))
    assert placed.statuses == [180, 183, 480]


async def test_the_example_lets_the_called_side_make_the_offer(phones):
    call = await beside(phones, example("late")(phones.first), answer)
    assert call.state is CallState.ANSWERED
    assert not call.client.request.body
    assert await within(call.read_audio(160))


@pytest.mark.parametrize("rule", ["required", "optional"])
async def test_the_example_reports_if_a_call_is_protected(make_phone, rule):
    async with (
        make_phone(user="202", call_callback=answer) as called,
        make_phone(called.address, srtp=rule) as caller,
    ):
        assert await within(example("secret")(caller)) is (rule == "required")


async def test_the_example_registers_and_calls_over_tls(make_exchange, authority):
    context = server_context(*authority.issue("docs", "sip.example.com"))
    exchange = await make_exchange(Address("127.0.0.1", 0, "TLS"), Tls(server=context))
    await within(example("over_tls")("127.0.0.1", exchange.address.port, authority.path))
    assert exchange.of("REGISTER")
    assert exchange.of("INVITE")


async def test_the_example_calls_over_ipv6(make_phone):
    async with make_phone(("::1", 9), my_ip="::1", call_callback=answer) as called:
        assert await within(example("over_ipv6")(called.address.port)) == 200


async def test_the_example_sends_the_record_key_by_info(phones):
    placed, taken = await phones.connect()
    assert await within(example("pause")(placed))
    assert [request.headers.get("Record") for request in taken.infos] == ["off"]


async def test_the_example_distinguishes_the_failures_of_a_registration(exchange, monkeypatch):
    try_password = example("try_password")
    server = exchange.address[:2]
    assert await within(try_password(*server, "secret")) == "registered"
    assert await within(try_password(*server, "wrong")) == "refused: 401"
    monkeypatch.setattr(Timings, "timeout", property(lambda _: 0.2))  # not 32 s
    assert await within(try_password("127.0.0.1", 9, "")) == "nobody there"
    assert (await within(try_password("192.0.2.999", 5060, ""))).startswith("no socket: ")


async def test_the_example_pings_its_server(phones):
    assert await within(example("alive")(phones.first))


async def test_the_example_catches_the_error_of_an_invalid_number(phones):
    assert await example("careful")(phones.first, "sip:") == "SipParseError"
