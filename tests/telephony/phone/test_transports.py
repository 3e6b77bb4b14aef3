"""The phone over TCP, TLS and IPv6.

Covers `telephony/phone/registration.py`.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from helpers.phone import tone
from net.tls import Tls, client_context, server_context
from telephony.phone import CallState, RegistrationError, VoIPCall
from telephony.sip.events import Address


async def within(awaitable, seconds=5):
    return await asyncio.wait_for(awaitable, seconds)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_two_phones_talk_over_each_transport_and_ip_family(
    make_phone, hears, host, transport
):
    came = asyncio.Queue[VoIPCall]()
    async with contextlib.AsyncExitStack() as stack:
        options = {"my_ip": host, "transport": transport}
        second = make_phone((host, 9), user="202", call_callback=came.put, **options)
        await stack.enter_async_context(second)
        first = await stack.enter_async_context(make_phone(second.address, **options))
        placed = await first.call("202")
        taken = await within(came.get())
        await taken.answer()
        await within(placed.wait_for(CallState.ANSWERED))
        await placed.write_audio(tone(440))
        assert await hears(taken, 440)
        await within(taken.hangup())
        await within(placed.wait_for(CallState.ENDED))


@pytest.fixture
async def secure(make_exchange, authority):
    context = server_context(*authority.issue("exchange", "sip.example.com"))
    return await make_exchange(Address("127.0.0.1", 0, "TLS"), Tls(server=context))


async def test_a_phone_registers_over_tls_only_with_a_server_of_the_expected_name(
    make_phone, secure, authority
):
    options = {"transport": "tls", "tls": client_context(ca=authority.path), "register": True}
    phone = make_phone(secure.address, server_name="sip.example.com", **options)
    async with phone:
        contact = secure.of("REGISTER")[-1].contacts[0]
        assert contact.uri.parameter("transport") == "tls"
    with pytest.raises(RegistrationError) as refused:
        await within(make_phone(secure.address, server_name="other.example.com", **options).start())
    assert refused.value.status == 503


async def test_a_phone_that_lost_its_connection_registers_again_at_once(make_phone, make_exchange):
    exchange = await make_exchange(Address("127.0.0.1", 0, "TCP"))
    async with make_phone(exchange.address, transport="tcp", register=True):
        before = len(exchange.of("REGISTER"))
        exchange.after.clear()
        for connection in exchange.transport.connections.all():
            connection._transport.abort()
        await within(exchange.after.wait())
        assert len(exchange.of("REGISTER")) > before
