"""SIPp's built-in scenarios against our core on real UDP."""

from __future__ import annotations

import asyncio
import shutil
import socket

import pytest

from telephony.aio.transport import SipTransport
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    Address,
    DialogEnded,
    DialogRequest,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
)
from telephony.sip.headers import NameAddr
from telephony.sip.uri import Uri

pytestmark = pytest.mark.peer

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)
SDP_HEADERS = (("Content-Type", "application/sdp"),)


class Agent:
    """Rings, answers, acknowledges and hangs up."""

    def __init__(self):
        self.transport = SipTransport(Endpoint(), self.take)
        self.ended = 0
        self.failed = 0
        self.changed = asyncio.Event()

    def take(self, event):
        now = self.transport.now
        match event:
            case IncomingInvite(invite=invite):
                invite.respond(180, now=now)
                invite.respond(200, headers=SDP_HEADERS, body=SDP, now=now)
            case DialogRequest(transaction=transaction):
                transaction.respond(200, now=now)
            case InviteAnswered(client=client, dialog=dialog):
                dialog.ack(client, now=now)
                dialog.request("BYE", now=now)
            case InviteFailed():
                self.failed += 1
            case DialogEnded():
                self.ended += 1
            case _:
                pass
        self.changed.set()

    async def until(self, ended):
        async with asyncio.timeout(30):
            while self.ended + self.failed < ended:
                self.changed.clear()
                await self.changed.wait()


async def sipp(folder, *arguments):
    program = shutil.which("sipp")
    assert program, "sipp is missing: apt-get install sip-tester"
    return await asyncio.create_subprocess_exec(
        program,
        *arguments,
        "-i",
        "127.0.0.1",
        "-nostdin",
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


@pytest.fixture
async def agent():
    agent = Agent()
    yield agent
    agent.transport.close()


@pytest.fixture
def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_sipp_as_uac_calls_us_and_every_call_succeeds(agent, tmp_path):
    address = await agent.transport.listen(Address("127.0.0.1", 0))
    calls = ("-sn", "uac", "-m", "20", "-r", "50", "-d", "50", "-timeout", "25")
    process = await sipp(tmp_path, *calls, f"127.0.0.1:{address.port}")
    assert await process.wait() == 0
    await agent.until(20)
    assert agent.ended == 20
    assert agent.transport.faults == agent.transport.send_errors == 0
    assert agent.transport.endpoint.counts().dialogs == 0
    assert not agent.transport.endpoint.dropped


async def test_sipp_as_uas_is_called_by_us_and_every_call_succeeds(agent, tmp_path, free_udp_port):
    await agent.transport.listen(Address("127.0.0.1", 0))
    peer = Address("127.0.0.1", free_udp_port)
    process = await sipp(tmp_path, "-sn", "uas", "-m", "20", "-p", str(peer.port), "-timeout", "25")
    try:
        for _ in range(20):
            agent.transport.endpoint.invite(
                Uri(user="service", host=peer.host, port=peer.port),
                from_=NameAddr.parse("<sip:galwad@127.0.0.1>"),
                to=NameAddr.parse(f"<sip:service@127.0.0.1:{peer.port}>"),
                destination=peer,
                headers=SDP_HEADERS,
                body=SDP,
                now=agent.transport.now,
            )
        agent.transport.flush()
        await agent.until(20)
        assert (agent.ended, agent.failed) == (20, 0)
        # SIPp's scenario lingers four seconds on each call before it counts it.
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert agent.transport.faults == 0
