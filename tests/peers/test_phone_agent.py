"""Our phone as a user agent, with SIPp, baresip and Linphone on the other side."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from galwad.simulate.sound import speech
from helpers.peers.decoding import Capture
from helpers.peers.kamailio import Kamailio
from helpers.peers.linphone import Linphone
from helpers.peers.programs import Baresip, Callee, Caller
from helpers.peers.sound import find, save
from helpers.peers.waiting import PATIENCE_S
from telephony.phone import CallState, VoIPCall, VoIPPhone

pytestmark = pytest.mark.peer


@pytest.fixture
async def beside(ended, ports, tmp_path):
    """Calls a SIPp with a scenario; returns the call and a wait for SIPp's success."""
    phones = []

    async def beside(scenario, *, follow=False, **options):
        sipp = ended(Callee(tmp_path, scenario, "127.0.0.1"))
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


async def test_a_redirected_call_exchanges_dtmf_digits_and_can_be_held_inactive(beside):
    async with asyncio.timeout(PATIENCE_S):
        call, content = await beside("uas_moved", follow=True)
        assert call.statuses == [302, 180, 200]
        assert call.moved_to[0].startswith("sip:moved@")
        assert await call.get_dtmf() == "5"
        await call.send_dtmf("7", by="info")
        await call.hold("inactive")
        assert not call.media.stream.remote.receive
        await call.hangup()
        await content()


async def test_a_session_timer_follows_the_peers_min_se_and_is_refreshed(beside):
    async with asyncio.timeout(PATIENCE_S):
        call, content = await beside("uas_timing", session_expires=90)
        assert call.statuses == [422, 180, 200]
        agreed = call.session.timer
        assert (agreed.interval, agreed.we_refresh) == (120, True)
        call.session._start(replace(agreed, started=agreed.started - 60))
        await call.changes.until(lambda: call.session.timer.started > agreed.started)
        await call.hangup()
        await content()


@pytest.fixture
async def at_kamailio(ended, ports, tmp_path):
    """Kamailio as the server, and a function that makes phones registered there."""
    place = SimpleNamespace(folder=tmp_path, sip=("127.0.0.1", 9), ports={})
    proxy = ended(Kamailio(place, "REGISTRAR", "127.0.0.2"))
    await asyncio.to_thread(proxy.wait_ready)
    async with AsyncExitStack() as stack:

        async def phone(extension, **options):
            made = VoIPPhone(
                *(*proxy.sip, extension, f"secret-{extension}"),
                my_ip="127.0.0.1",
                rtp_ports=ports.pair,
                **options,
            )
            return await stack.enter_async_context(made)

        yield proxy, phone


async def answering(phone, extension):
    """A phone that answers, and the queue of its calls."""
    calls = asyncio.Queue[VoIPCall]()

    async def answer(call):
        await call.answer()
        await calls.put(call)

    async def moved(_, new):
        await calls.put(new)

    await phone(extension, call_callback=answer, transfer_callback=moved)
    return calls


async def test_a_blind_transfer_by_baresip_moves_our_phone_to_the_target(
    ended, at_kamailio, tmp_path
):
    proxy, phone = at_kamailio
    async with asyncio.timeout(PATIENCE_S):
        ours, target = await answering(phone, "601"), await answering(phone, "602")
        said = tmp_path / "said.wav"
        save(said, speech(20, 51))
        peer = ended(Baresip(tmp_path, proxy, said, "600"))
        await asyncio.to_thread(peer.wait_registered)
        await asyncio.to_thread(peer.command, "dial", f"sip:601@{proxy.sip[0]}:{proxy.sip[1]}")
        first = await ours.get()
        await first.read_audio(1600)
        await asyncio.to_thread(peer.command, "transfer", f"sip:602@{proxy.sip[0]}:{proxy.sip[1]}")
        new, reached = await ours.get(), await target.get()
        await first.wait_for(CallState.ENDED)
        assert new.state is reached.state is CallState.ANSWERED
        await new.write_audio(bytes(3200))
        assert await reached.read_audio(800)


async def test_an_attended_transfer_by_linphone_joins_our_two_phones(ended, at_kamailio):
    proxy, phone = at_kamailio
    async with asyncio.timeout(PATIENCE_S):
        ours, colleague = await answering(phone, "601"), await answering(phone, "602")
        peer = ended(Linphone(proxy, "600"))

        async def do(command):
            return await asyncio.to_thread(peer.do, command)

        await asyncio.to_thread(peer.register)
        await do(f"call sip:601@{peer.server}")
        first = await ours.get()
        await asyncio.to_thread(peer.wait_call, "StreamsRunning")
        await do("call-pause 1")
        await first.changes.until(lambda: first.held_by_peer)
        await do(f"call sip:602@{peer.server}")
        consulted = await colleague.get()
        await asyncio.to_thread(peer.wait_call, "StreamsRunning", 2)
        await do("call-transfer 1 2")
        new, joined = await ours.get(), await colleague.get()
        assert joined.takes_over is consulted
        for call in (first, consulted):
            await call.wait_for(CallState.ENDED)
        assert new.state is joined.state is CallState.ANSWERED


async def test_our_phone_serves_a_caller_with_video_fax_100rel_update_and_late_offer(
    ended, ports, tmp_path
):
    calls, held = asyncio.Queue[VoIPCall](), []

    async def speak_then_answer(call):
        await call.progress()
        await call.answer()
        await call.changes.until(lambda: call.held_by_peer)
        held.append(True)
        await call.changes.until(lambda: not call.held_by_peer)
        held.append(False)
        await calls.put(call)

    phone = VoIPPhone(
        *("127.0.0.1", 9, "201", "secret"),
        rtp_ports=ports.pair,
        register=False,
        call_callback=speak_then_answer,
    )
    async with asyncio.timeout(PATIENCE_S), phone:
        place = SimpleNamespace(folder=tmp_path, sip=(phone.address.host, phone.address.port))
        sipp = ended(Caller(place, "201", scenario="uac_demanding", media=40000))
        call = await calls.get()
        await call.wait_for(CallState.ENDED)
        assert held == [True, False]
        await asyncio.to_thread(sipp.wait)


@pytest.mark.parametrize("kind", ["srtp-mand", "none"])
async def test_baresip_sends_rtcp_reports_of_our_media(ended, at_kamailio, tmp_path, kind):
    proxy, phone = at_kamailio
    calls = asyncio.Queue[VoIPCall]()
    async with asyncio.timeout(60):
        await phone("601", call_callback=calls.put)
        said = speech(20, 51)
        save(tmp_path / "said.wav", said)
        extra = f";mediaenc={kind}" if kind != "none" else ""
        make = partial(Baresip, extra=extra)
        peer = ended(make(tmp_path, proxy, tmp_path / "said.wav", "600"))
        await asyncio.to_thread(peer.wait_registered)
        media = (peer.rtp_ports.first, peer.rtp_ports.last)
        capture = Capture(tmp_path, [proxy.sip[1]], media)
        try:
            await asyncio.to_thread(peer.command, "dial", f"sip:601@{proxy.sip[0]}:{proxy.sip[1]}")
            call = await calls.get()
            await call.answer()
            assert call.protected is (kind != "none")
            heard = np.frombuffer(await call.read_audio(16_000), "<i2")
            assert find(said, heard[8000:])[1] > 0.9
            await call.changes.until(
                lambda: bool(call.report and call.report.round_trip is not None)
            )
            assert call.report is not None
            assert call.report.loss < 0.1
            await call.hangup()
        finally:
            await asyncio.to_thread(capture.end)
        # tshark has no key, so it cannot read protected reports.
        sealed = {"Encrypted RTCP Payload - not dissected"} if call.protected else set()
        assert {fault[-1] for fault in await asyncio.to_thread(capture.faults)} == sealed
        reports = await asyncio.to_thread(capture.rows, "udp.srcport", only="rtcp or srtcp")
        assert len({port for (port,) in reports}) == 2
