"""SIPp's built-in scenarios against our SIP core on real UDP."""

from __future__ import annotations

import asyncio

import pytest

from helpers.core_counts import counts
from helpers.loopback import free_port
from helpers.peers.agent import Agent, sipp
from helpers.peers.waiting import PATIENCE_S
from telephony.sip.events import Address

pytestmark = pytest.mark.peer


@pytest.fixture
async def agent():
    agent = Agent()
    yield agent
    agent.transport.close()


async def test_every_call_from_the_sipp_uac_to_our_core_succeeds(agent, tmp_path):
    address = await agent.transport.listen(Address("127.0.0.1", 0))
    calls = ("-sn", "uac", "-m", "20", "-r", "50", "-d", "50", "-timeout", "25")
    process = await sipp(tmp_path, *calls, f"127.0.0.1:{address.port}")
    assert await process.wait() == 0
    await agent.until(20)
    assert agent.ended == 20
    assert agent.transport.faults == agent.transport.send_errors == 0
    assert counts(agent.transport.endpoint).dialogs == 0
    assert not agent.transport.endpoint.dropped


async def test_every_call_from_our_core_to_the_sipp_uas_succeeds(agent, tmp_path):
    await agent.transport.listen(Address("127.0.0.1", 0))
    peer = Address("127.0.0.1", free_port())
    process = await sipp(tmp_path, "-sn", "uas", "-m", "20", "-p", str(peer.port), "-timeout", "25")
    try:
        for _ in range(20):
            agent.call(peer)
        await agent.until(20)
        assert (agent.ended, agent.failed) == (20, 0)
        # SIPp's scenario lingers four seconds on each call before it counts it.
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert agent.transport.faults == 0
