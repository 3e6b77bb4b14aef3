"""A phone at a server: registration, passwords, and the outcome of a transfer.

Covers `telephony/phone/registration.py` and `telephony/phone/dialog_requests.py`.
"""

import asyncio

import pytest

from telephony.phone import CallFailedError, CallState, RegistrationError
from telephony.sip.ua.auth import parse_digest


async def within(awaitable, seconds=5):
    return await asyncio.wait_for(awaitable, seconds)


async def test_a_phone_registers_with_digest_and_removes_its_binding_at_the_end(
    make_phone, exchange
):
    phone = make_phone(exchange.address, register=True)
    await within(phone.start())
    await within(phone.stop())
    asked = exchange.of("REGISTER")
    assert [int(request.headers.get("Expires")) for request in asked] == [300, 300, 0, 0]
    assert asked[0].headers.get("Authorization") is None
    assert parse_digest(asked[1].headers.get("Authorization"))["username"] == "201"
    assert [request.cseq.number for request in asked] == [1, 2, 3, 4]
    assert len({(request.call_id, request.from_.tag) for request in asked}) == 1


async def test_a_binding_is_refreshed_before_it_expires(make_phone, exchange):
    exchange.expires = 1
    async with make_phone(exchange.address, register=True):
        exchange.after.clear()
        await within(exchange.after.wait())


async def test_a_wrong_password_raises_registration_error_after_one_attempt(make_phone, exchange):
    phone = make_phone(exchange.address, user="209", register=True)
    with pytest.raises(RegistrationError) as failed:
        await within(phone.start())
    assert failed.value.status == 401
    assert len(exchange.of("REGISTER")) == 2


async def test_a_challenged_invite_is_sent_again_with_credentials(make_phone, exchange):
    async with make_phone(exchange.address) as phone:
        call = await phone.call("202")
        await within(call.wait_for(CallState.ANSWERED))
        first, second = exchange.of("INVITE")
        assert (first.cseq.number, second.cseq.number) == (1, 2)
        assert first.call_id == second.call_id
        assert second.headers.get("Authorization")


async def test_a_call_with_a_wrong_password_ends_with_401(make_phone, exchange):
    async with make_phone(exchange.address, user="209") as phone:
        call = await phone.call("202")
        await within(call.wait_for(CallState.ENDED))
        assert call.status == 401


async def test_a_transfer_returns_the_targets_final_status(make_phone, exchange):
    exchange.notifies = ["100 Trying", "180 Ringing", "486 Busy Here"]
    async with make_phone(exchange.address) as phone:
        call = await phone.call("202")
        await within(call.wait_for(CallState.ANSWERED))
        assert await within(call.transfer("301")) == 486
        (refer,) = exchange.of("REFER")
        host, port = exchange.address[:2]
        assert refer.headers.get("Refer-To") == f"<sip:301@{host}:{port}>"
        assert call.state is CallState.ANSWERED


async def test_a_transfer_without_a_reported_outcome_raises_call_failed_error(make_phone, exchange):
    exchange.notifies = []
    async with make_phone(exchange.address) as phone:
        call = await phone.call("202")
        await within(call.wait_for(CallState.ANSWERED))
        with pytest.raises(CallFailedError):
            await within(call.transfer("301"))
        assert call.state is CallState.ENDED
