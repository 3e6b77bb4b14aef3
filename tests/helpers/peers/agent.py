"""Our SIP core on real sockets, in the test's own process: it answers and hangs up by itself."""

from __future__ import annotations

import asyncio
import shutil

from helpers.peers.waiting import PATIENCE_S
from telephony.aio.transport import SipTransport
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    DialogEnded,
    DialogRequest,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri

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
        self.vias = set()
        self.changed = asyncio.Event()

    def take(self, event):
        now = self.transport.now
        match event:
            case IncomingInvite(invite=invite):
                self.vias.add(invite.request.via.transport)
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

    def call(self, peer):
        """Place a call; the agent hangs up when it is answered."""
        self.transport.endpoint.invite(
            Uri(user="service", host=peer.host, port=peer.port),
            from_=NameAddr.parse("<sip:galwad@galwad.example>"),
            to=NameAddr("", Uri(user="service", host=peer.host, port=peer.port)),
            destination=peer,
            headers=SDP_HEADERS,
            body=SDP,
            now=self.transport.now,
        )
        self.transport.flush()

    async def until(self, ended):
        """Wait until this number of calls have ended or failed."""
        async with asyncio.timeout(PATIENCE_S):
            while self.ended + self.failed < ended:
                self.changed.clear()
                await self.changed.wait()


async def sipp(folder, *arguments, host="127.0.0.1"):
    """Start SIPp."""
    program = shutil.which("sipp")
    assert program, "sipp is missing: apt-get install sip-tester"
    return await asyncio.create_subprocess_exec(
        program,
        *arguments,
        "-i",
        host,
        "-nostdin",
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
