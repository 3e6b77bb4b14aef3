"""Our phone as a user agent, with SIPp for the other side: what no second phone of ours proves."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from telephony.phone import CallState, VoIPPhone

pytestmark = pytest.mark.peer


@pytest.fixture
async def beside(harness, ended, ports, tmp_path):
    """Calls a SIPp that goes through a scenario; the call, and what waits for SIPp's content."""
    phones = []

    async def beside(scenario, *, follow=False, **options):
        sipp = ended(harness.programs.Callee(tmp_path, scenario, "127.0.0.1"))
        phone = VoIPPhone(
            *("127.0.0.1", sipp.port, "201", "secret"),
            rtp_ports=ports.pair,
            register=False,
            **options,
        )
        await phone.start()
        phones.append(phone)
        call = await phone.call("service", follow=follow)
        await call.wait_for(CallState.ANSWERED)
        return call, lambda: asyncio.to_thread(sipp.wait)

    yield beside
    for phone in phones:
        await phone.stop()


async def test_a_redirected_call_exchanges_keys_by_info_and_is_held_inactive(beside):
    async with asyncio.timeout(30):
        call, content = await beside("uas_moved", follow=True)
        assert call.statuses == [302, 180, 200]
        assert call.moved_to[0].startswith("sip:moved@")
        assert await call.get_dtmf() == "5"
        await call.send_dtmf("7", by="info")
        await call.hold("inactive")
        assert not call.media.stream.remote.receive
        await call.hangup()
        await content()


async def test_a_session_is_as_long_as_the_other_side_wants_and_refreshed(beside):
    async with asyncio.timeout(30):
        call, content = await beside("uas_timing", session_expires=90)
        assert call.statuses == [422, 180, 200]
        agreed = call.session.timer
        assert (agreed.interval, agreed.we_refresh) == (120, True)
        call.session._start(replace(agreed, started=agreed.started - 60))
        await call.changes.until(lambda: call.session.timer.started > agreed.started)
        await call.hangup()
        await content()
