"""Two phones that call each other, an exchange, and tones to tell by."""

import asyncio
import itertools
import math
import struct

from galwad.simulate import sound
from galwad.simulate.sound import to_pcm
from helpers import loopback
from telephony.aio.transport import SipTransport
from telephony.phone import CallState
from telephony.sdp import LocalMedia, Origin, SessionDescription, own_answer
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, DialogRequest, IncomingInvite, StandaloneRequest
from telephony.sip.ua.auth import AuthOutcome, DigestServer, ha1

LOOPBACK = Address("127.0.0.1", 0)
CLAIMED = loopback.claim(800)
PORTS = itertools.cycle(range(CLAIMED.first, CLAIMED.last, 40))


def tone(hz, seconds=0.5):
    return to_pcm(sound.tone(seconds, hz, amplitude=9_000))


def loudness(pcm, hz):
    """The share of the energy that lies at `hz` (Goertzel), 0 to 1."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    if not any(samples):
        return 0.0
    turn = 2 * math.pi * hz / 8000
    real = sum(s * math.cos(turn * n) for n, s in enumerate(samples))
    imaginary = sum(s * math.sin(turn * n) for n, s in enumerate(samples))
    energy = sum(s * s for s in samples) * len(samples) / 2
    return (real * real + imaginary * imaginary) / energy


class Pair:
    """Two phones, each other's server; `came` has the calls that reached the second."""

    def __init__(self, first, second, came):
        self.first, self.second, self.came = first, second, came

    async def connect(self):
        placed = await self.first.call("202")
        taken = await asyncio.wait_for(self.came.get(), 60)
        await taken.answer()
        await asyncio.wait_for(placed.wait_for(CallState.ANSWERED), 60)
        return placed, taken


class Exchange:
    """A SIP server with one account. It challenges every request, and reports REFERs as set."""

    def __init__(self):
        self.transport = SipTransport(Endpoint(supported=()), self._on_event)
        self.digest = DigestServer("test", b"s" * 32, self._find)
        self.expires = 120
        self.requests = []
        self.notifies = ["100 Trying", "200 OK"]
        self.after = asyncio.Event()
        self.address = None

    async def open(self, local=LOOPBACK, tls=None):
        self.address = await self.transport.listen(local, tls=tls)

    def of(self, method):
        return [request for request in self.requests if request.method == method]

    @staticmethod
    def _find(user, realm, algorithm):
        return ha1(user, realm, "secret", algorithm) if user in {"201", "301"} else None

    def _on_event(self, event):
        now = self.transport.now
        match event:
            case StandaloneRequest():
                self.requests.append(event.request)
                self._register(event.transaction, event.request, now)
            case IncomingInvite():
                self.requests.append(event.invite.request)
                self._answer(event.invite, now)
            case DialogRequest():
                self.requests.append(event.request)
                if event.request.method == "REFER":
                    self._refer(event, now)
                else:
                    event.transaction.respond(200, now=now)

    def _challenged(self, transaction, request, now):
        verification = self.digest.verify(request, now)
        if verification.outcome is AuthOutcome.ACCEPTED:
            return False
        headers = self.digest.challenges(now, verification.outcome)
        transaction.respond(401, headers=headers, now=now)
        return True

    def _register(self, transaction, request, now):
        asked = int(request.headers.get("Expires"))
        if self._challenged(transaction, request, now):
            return
        if 0 < asked < 60:
            transaction.respond(423, headers=(("Min-Expires", "60"),), now=now)
            return
        granted = min(asked, self.expires)
        contact = f"{request.headers.get('Contact')};expires={granted}"
        headers = (("Contact", contact),) if granted else ()
        transaction.respond(200, headers=headers, now=now)
        self.after.set()

    def _answer(self, invite, now):
        if self._challenged(invite, invite.request, now):
            return
        offer = SessionDescription.parse(invite.request.body)
        body = own_answer(offer, LocalMedia("127.0.0.1", 9), Origin(1))
        headers = (("Content-Type", "application/sdp"),)
        invite.respond(200, headers=headers, body=bytes(body), now=now)

    def _refer(self, event, now):
        event.transaction.respond(202, now=now)
        for place, line in enumerate(self.notifies):
            last = place == len(self.notifies) - 1
            headers = (
                ("Event", "refer"),
                ("Subscription-State", "terminated" if last else "active"),
                ("Content-Type", "message/sipfrag"),
            )
            body = f"SIP/2.0 {line}\r\n".encode()
            event.dialog.request("NOTIFY", headers=headers, body=body, now=now)
        if not self.notifies:
            event.dialog.request("BYE", now=now)
