"""A call between two phones: ringing, audio, keys, holds, messages and the end.

Covers `telephony/phone/phone.py`, `telephony/phone/state.py` and `telephony/phone/registration.py`.
"""

import asyncio

import pytest

from helpers.phone import tone
from telephony.errors import ProtocolError
from telephony.phone import (
    CallFailedError,
    CallState,
    InvalidStateError,
    RegistrationError,
    VoIPCall,
)


async def within(awaitable, seconds=5):
    return await asyncio.wait_for(awaitable, seconds)


async def test_a_call_rings_is_answered_and_ends_on_both_sides(phones):
    placed = await phones.first.call("202")
    assert placed.state is CallState.DIALING
    taken = await within(phones.came.get())
    await within(placed.wait_for(CallState.RINGING))
    await taken.answer()
    await within(placed.wait_for(CallState.ANSWERED))
    await within(placed.hangup())
    await within(taken.wait_for(CallState.ENDED))
    assert (placed.state, placed.status) == (CallState.ENDED, 200)
    assert phones.first.calls == phones.second.calls == []


async def test_the_called_phone_can_hang_up(phones):
    placed, taken = await phones.connect()
    await within(taken.hangup())
    await within(placed.wait_for(CallState.ENDED))


async def test_a_denied_call_ends_with_its_status(phones):
    placed = await phones.first.call("202")
    await (await within(phones.came.get())).deny(486)
    with pytest.raises(CallFailedError) as failed:
        await within(placed.wait_for(CallState.ANSWERED))
    assert failed.value.status == placed.status == 486


async def test_a_caller_that_hangs_up_ends_the_ringing_with_487(phones):
    placed = await phones.first.call("202")
    taken = await within(phones.came.get())
    await within(placed.hangup())
    await within(taken.wait_for(CallState.ENDED))
    assert placed.status == taken.status == 487


async def test_a_phone_without_a_callback_refuses_calls_with_480(make_phone):
    async with make_phone() as deaf, make_phone(deaf.address) as caller:
        call = await caller.call("202")
        await within(call.wait_for(CallState.ENDED))
        assert call.status == 480


async def test_each_side_hears_the_others_audio(phones, hears):
    placed, taken = await phones.connect()
    await asyncio.gather(placed.write_audio(tone(440)), taken.write_audio(tone(1000)))
    assert await hears(taken, 440)
    assert await hears(placed, 1000)


async def test_silence_is_sent_when_nothing_is_queued(phones):
    _, taken = await phones.connect()
    assert set(await within(taken.read_audio(800))) <= {0, 8, 0xF8, 0xFF}


async def test_received_audio_can_be_read_after_the_call_ended(phones):
    placed, taken = await phones.connect()
    await within(taken.read_audio(160))
    await within(placed.hangup())
    await within(taken.wait_for(CallState.ENDED))
    left = await within(taken.read_audio(80_000))
    assert len(left) < 160_000
    assert await within(taken.read_audio(1)) == b""


async def test_dtmf_keys_arrive_once_each_and_in_order(phones):
    placed, taken = await phones.connect()
    await within(placed.send_dtmf("4929#"))
    assert await within(taken.get_dtmf(5)) == "4929#"


async def test_pressing_a_dtmf_key_leaves_the_queued_audio_in_place(phones):
    placed, taken = await phones.connect()
    sender = placed.media.stream.sender
    await placed.write_audio(tone(440, 0.3))
    waiting = sender.queued
    sender.press("1")
    assert sender.queued == waiting
    await within(placed.send_dtmf("2"))
    assert await within(taken.get_dtmf(2)) == "12"


async def test_send_dtmf_refuses_characters_that_are_not_keys(phones):
    placed, _ = await phones.connect()
    with pytest.raises(ProtocolError):
        await placed.send_dtmf("1x")


async def test_hold_stops_the_other_sides_media_and_resume_restarts_it(phones):
    placed, taken = await phones.connect()
    await within(placed.hold())
    assert not taken.media.stream.remote.receive
    assert placed.media.stream.remote.receive is True
    await within(placed.resume())
    assert taken.media.stream.remote.receive is True
    await within(taken.read_audio(taken.media.stream.playout.unread + 320))


async def test_each_side_can_hold_the_other_in_turn(phones):
    placed, taken = await phones.connect()
    for call in (placed, taken):
        await within(call.hold())
        await within(call.resume())
    assert placed.state is taken.state is CallState.ANSWERED


async def test_an_info_reaches_the_other_side_with_its_headers_and_body(phones):
    placed, taken = await phones.connect()
    headers = (("Record", "off"), ("Content-Type", "text/plain"))
    assert await within(placed.send_info(b"pause", headers)) == 200
    (request,) = taken.infos
    assert (request.headers.get("Record"), request.body) == ("off", b"pause")


async def test_operations_that_need_an_answered_call_raise_invalid_state_error(phones):
    placed = await phones.first.call("202")
    for wanted in (placed.write_audio(b""), placed.hold(), placed.transfer("1"), placed.answer()):
        with pytest.raises(InvalidStateError):
            await wanted
    await within(placed.hangup())


async def test_a_refused_refer_returns_its_status(phones):
    placed, _ = await phones.connect()
    assert await within(placed.transfer("203")) == 405


async def test_stopping_a_phone_ends_its_call_on_both_sides(phones):
    placed, taken = await phones.connect()
    await within(phones.first.stop())
    await within(taken.wait_for(CallState.ENDED))
    assert placed.state is CallState.ENDED


async def test_a_phone_that_is_not_started_places_no_call(make_phone):
    with pytest.raises(InvalidStateError):
        await make_phone().call("202")


async def test_a_call_reports_its_response_statuses_and_reception_quality(phones):
    placed, taken = await phones.connect()
    assert placed.statuses == [180, 200]
    await within(taken.read_audio(800))
    assert taken.reception.received >= 5
    assert taken.reception.lost == 0


async def test_audio_can_be_iterated_in_pieces_until_the_call_ends(phones):
    placed, taken = await phones.connect()
    async with placed:
        pieces = taken.audio(320)
        assert len(await within(anext(pieces))) == 640
    left = [piece async for piece in pieces]
    assert all(len(piece) == 640 for piece in left[:-1])
    assert placed.state is taken.state is CallState.ENDED


async def test_audio_written_after_the_call_ended_is_discarded(phones):
    placed, taken = await phones.connect()
    await within(placed.hangup())
    await within(taken.wait_for(CallState.ENDED))
    await within(taken.write_audio(bytes(16_000)))
    assert taken.media.stream.sender.queued == 0


async def test_an_exception_in_the_call_callback_ends_the_call(make_phone):
    async def broken(call):
        if call.remote.uri.user == "203":
            await call.answer()
        raise ZeroDivisionError

    async with make_phone(user="202", call_callback=broken) as called:
        for user, status in (("201", 500), ("203", 200)):
            async with make_phone(called.address, user=user) as caller:
                call = await caller.call("202")
                await within(call.wait_for(CallState.ENDED))
                assert call.status == status


async def test_a_phone_finds_its_own_and_its_servers_address(make_phone):
    came = asyncio.Queue[VoIPCall]()
    async with (
        make_phone(("localhost", 9), user="202", my_ip="", call_callback=came.put) as called,
        make_phone(("localhost", called.address.port), my_ip="") as caller,
    ):
        await caller.call("202")
        uri = (await within(came.get())).request.uri
        assert (uri.host, uri.port) == ("localhost", called.address.port)
        assert caller.address.host == called.address.host


async def test_an_unreachable_server_is_reported_differently_from_a_refusal(make_phone):
    options = {"transport": "tcp"}
    async with make_phone(("127.0.0.1", 9), **options) as phone:
        call = await phone.call("202")
        with pytest.raises(CallFailedError, match="no response to the INVITE") as failed:
            await within(call.wait_for(CallState.ANSWERED))
        assert failed.value.unreachable
        assert (call.status, call.statuses) == (503, [])
    with pytest.raises(RegistrationError, match="no response to REGISTER") as lost:
        await within(make_phone(("127.0.0.1", 9), register=True, **options).start())
    assert (lost.value.unreachable, lost.value.status) == (True, 503)


async def test_a_message_request_in_a_call_gets_405(phones):
    placed, _ = await phones.connect()
    text = (("Content-Type", "text/plain"),)
    _, response = await within(placed.requests.send(placed.dialog, "MESSAGE", text, b"hello"))
    assert response.status == 405


async def test_a_ping_without_a_response_raises_call_failed_error(make_phone):
    async with make_phone(("127.0.0.1", 9), transport="tcp") as phone:
        with pytest.raises(CallFailedError) as failed:
            await within(phone.ping())
        assert failed.value.unreachable
    with pytest.raises(InvalidStateError):
        await phone.ping()


async def test_dtmf_keys_can_be_sent_by_info(phones):
    placed, taken = await phones.connect()
    await within(placed.send_dtmf("1*a", by="info"))
    assert await within(taken.get_dtmf(3)) == "1*A"
    with pytest.raises(ProtocolError):
        await placed.send_dtmf("x", by="info")
