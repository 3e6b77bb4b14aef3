"""Phones at a relay and SIP cores, on real sockets."""

import asyncio
import socket

from telephony.aio.transport import SipTransport
from telephony.rtp.packet import RtpPacket
from telephony.sdp import Codec, RemoteMedia
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, DialogRequest, IncomingInvite, SipEvent, StandaloneRequest
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.transaction.timers import Timings

TABLE = {0: Codec("PCMU", 8000), 101: Codec("telephone-event", 8000, 1, "0-15")}
LOOPBACK = Address("127.0.0.1", 0)


class Phone:
    """A peer with an RTP and an RTCP socket, and the leg that the relay has for it."""

    def __init__(self, relay, leg_id, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.rtp, self.rtcp = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        for made in (self.rtp, self.rtcp):
            made.bind((host, 0))
            made.setblocking(False)
        self.host, self.leg_id, self.local = host, leg_id, relay.open(leg_id)
        self.relay = relay

    def configure(self, **changes):
        remote = {
            "host": self.host,
            "rtp_port": self.rtp.getsockname()[1],
            "rtcp_port": self.rtcp.getsockname()[1],
            "payloads": TABLE,
            "accepts": TABLE,
        }
        self.relay.configure(self.leg_id, RemoteMedia(**(remote | changes)))

    def send(self, data, made=None):
        (made or self.rtp).sendto(data, (self.local.host, self.local.port))

    def send_control(self, data):
        self.rtcp.sendto(data, (self.local.host, self.local.port + 1))

    async def heard(self, made=None):
        return await asyncio.wait_for(
            asyncio.get_running_loop().sock_recv(made or self.rtp, 9000), 5
        )

    @property
    def counters(self):
        return self.relay.counters(self.leg_id)

    @property
    def forwarded(self):
        """The packets of this leg that were forwarded to the joined leg."""
        found = self.counters
        return found.received - found.withheld - found.unsent

    def close(self):
        self.rtp.close()
        self.rtcp.close()


def packet(number=0, sequence=1, **fields):
    return bytes(RtpPacket(number, sequence, 160 * sequence, 7, bytes(160), **fields))


class Agent:
    """A core on a socket, which keeps its events and wakes who waits for one."""

    def __init__(self, timings=None, **options):
        self.queue = asyncio.Queue[SipEvent]()
        self.transport = SipTransport(Endpoint(timings=timings or Timings()), self.take, **options)
        self.answer = False
        self.address = None

    @property
    def now(self):
        return self.transport.now

    def take(self, event):
        if self.answer and isinstance(event, IncomingInvite):
            event.invite.respond(200, now=self.now)
        if self.answer and isinstance(event, DialogRequest | StandaloneRequest):
            event.transaction.respond(200, now=self.now)
        self.queue.put_nowait(event)

    async def wait(self, kind):
        async with asyncio.timeout(60):
            while not isinstance(event := await self.queue.get(), kind):
                pass
        return event

    def invite(self, destination, **fields):
        return self._send(self.transport.endpoint.invite, destination, **fields)

    def options(self, destination, **fields):
        def send(*args, **kwargs):
            return self.transport.endpoint.request("OPTIONS", *args, **kwargs)

        return self._send(send, destination, **fields)

    def request(self, dialog, method):
        client = dialog.request(method, now=self.now)
        self.transport.flush()
        return client

    def _send(self, send, destination, **fields):
        client = send(
            Uri(user="bob", host=destination.host, port=destination.port),
            from_=NameAddr.parse("<sip:alice@example.com>"),
            to=NameAddr.parse("<sip:bob@example.com>"),
            destination=destination,
            now=self.now,
            **fields,
        )
        self.transport.flush()
        return client
