"""The parties that flood.py, load.py and recordings.py share: trunks that call, a PBX that answers.

Each end of a call numbers its RTP packets and keeps the numbers that it hears, so that lost packets
can be counted.
"""

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from _common import CALLEE, CALLER, SWITCH

from telephony.aio.transport import SipTransport
from telephony.sip.dialog import Dialog
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    Address,
    DialogEnded,
    DialogRequest,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
    SipEvent,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.ua.uac import InviteClient

FRAME_S = 0.02
SETTLE_S = 1.0
"""The time for packets and messages that are under way to arrive, in seconds."""
DIALLING = 10
"""The number of calls that ring at once while many are placed."""
ATTEMPTS, PAUSE_S = 10, 1.0
"""The most attempts to dial a call that the switch refuses with 503, and the seconds between."""
HEADERS = (("Content-Type", "application/sdp"),)


def numbered(number: int) -> tuple[str, str]:
    """Return a caller's number as it is sent, and as the index stores it."""
    return f"01632960{number:03}", f"+441632960{number:03}"


class Voice:
    """One party's end of a call's media: numbers the packets it sends, and keeps those it hears."""

    def __init__(self, host: str, shared: socket.socket | None = None) -> None:
        """Bind a socket; or use `shared`, on which another object sends and receives."""
        self._own = shared is None
        self.made = shared or _bound(host)
        self.port = self.made.getsockname()[1]
        self.host = host
        self.to: tuple[str, int] | None = None
        self.sent = 0
        self.heard: set[int] = set()

    def describe(self) -> bytes:
        """Return the party's SDP."""
        return (
            f"v=0\r\no=- 1 1 IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {self.host}\r\nt=0 0\r\n"
            f"m=audio {self.port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        ).encode()

    def aim(self, sdp: bytes) -> None:
        """Send to the port in an SDP from now on."""
        port = re.search(rb"m=audio (\d+)", sdp)
        if port is not None:
            self.to = (SWITCH, int(port[1]))

    def speak(self) -> None:
        """Send the next packet."""
        if self.to is not None:
            head = struct.pack("!BBHII", 0x80, 0, self.sent & 0xFFFF, self.sent * 160, self.port)
            with contextlib.suppress(BlockingIOError):
                self.made.sendto(head + bytes(160), self.to)
                self.sent += 1

    def listen(self) -> None:
        """Receive the packets that wait."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.add(struct.unpack_from("!H", self.made.recv(2048), 2)[0])

    def close(self) -> None:
        """Close the socket, unless it is shared."""
        if self._own:
            self.made.close()


def _bound(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    made.bind((host, 0))
    made.setblocking(False)
    return made


@dataclass
class Call:
    """A call that a trunk places: its caller, the called number and the callee's kind of voice."""

    caller: Voice
    called: str = "01970000100"
    voice: Callable[[str], Voice] = Voice
    callee: Voice | None = None
    dialog: Dialog | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: str = ""


def _call_of(client: InviteClient) -> Call:
    """Return the call for which an INVITE was sent."""
    assert isinstance(client.owner, Call)
    return client.owner


class Party:
    """A SIP core at one address: a trunk that calls, or the PBX that answers every call."""

    def __init__(self, calls: dict[str, Call]) -> None:
        self.transport = SipTransport(Endpoint(), self.take)
        self._calls = calls

    def take(self, event: SipEvent) -> None:
        """Handle a SIP event as a correct peer does."""
        now = self.transport.now
        match event:
            case IncomingInvite(invite=invite):
                call = self._calls.get(invite.request.from_.uri.user or "")
                if call is None:
                    invite.respond(486, now=now)
                    return
                call.callee = call.voice(CALLEE)
                call.callee.aim(invite.request.body)
                invite.respond(200, headers=HEADERS, body=call.callee.describe(), now=now)
            case InviteAnswered(client=client, dialog=dialog, response=response):
                dialog.ack(client, now=now)
                call = _call_of(client)
                call.caller.aim(response.body)
                call.dialog = dialog
                call.changed.set()
            case InviteFailed(client=client, status=status):
                call = _call_of(client)
                call.outcome = str(status)
                call.changed.set()
            case DialogRequest(transaction=transaction):
                transaction.respond(200, now=now)
            case DialogEnded(dialog=dialog):
                if isinstance(dialog.owner, Call):
                    dialog.owner.outcome = "ended"
                    dialog.owner.changed.set()
            case _:
                pass


class Stage:
    """Trunks at some addresses, the PBX, and their calls."""

    def __init__(self, switch: Address, hosts: Sequence[str] = (CALLER,)) -> None:
        self.calls: dict[str, Call] = {}
        self.trunks, self.pbx = {host: Party(self.calls) for host in hosts}, Party(self.calls)
        self._switch = switch
        self._count = 0

    async def open(self, pbx_port: int) -> None:
        """Bind all of them."""
        for host, trunk in self.trunks.items():
            await trunk.transport.listen(Address(host, 0))
        await self.pbx.transport.listen(Address(CALLEE, pbx_port))

    async def dial(self, call: Call | None = None, name: str = "", seconds: float = 40.0) -> Call:
        """Place a call from its caller's trunk; its outcome is empty once it is answered."""
        self._count += 1
        call, name = call or Call(Voice(CALLER)), name or f"caller{self._count}"
        self.calls[name] = call
        trunk = self.trunks[call.caller.host].transport
        called = Uri(user=call.called, host=SWITCH, port=self._switch.port)
        trunk.endpoint.invite(
            called,
            from_=NameAddr.parse(f"<sip:{name}@{call.caller.host}>"),
            to=NameAddr("", called),
            destination=self._switch,
            headers=HEADERS,
            body=call.caller.describe(),
            owner=call,
            now=trunk.now,
        )
        trunk.flush()
        await self._change(call, seconds)
        return call

    async def place(self, calls: Mapping[str, Call]) -> None:
        """Dial all calls, given by their callers' names, some at a time; each must be answered."""
        few = asyncio.Semaphore(DIALLING)

        async def one(name: str, call: Call) -> None:
            async with few:
                await self.dial(call, name)
                for _ in range(1, ATTEMPTS):
                    if call.outcome != "503":
                        break
                    await asyncio.sleep(PAUSE_S)
                    call.outcome = ""
                    call.changed.clear()
                    await self.dial(call, name)
                if call.outcome:
                    raise SystemExit(f"a call was not answered: {call.outcome}")

        await asyncio.gather(*(one(*each) for each in calls.items()))

    async def hang_up(self, call: Call) -> None:
        """End a call from the caller's side."""
        if call.dialog is not None:
            trunk = self.trunks[call.caller.host].transport
            call.changed.clear()
            call.dialog.request("BYE", now=trunk.now)
            trunk.flush()
            await self._change(call, 40.0)
        call.caller.close()
        if call.callee is not None:
            call.callee.close()

    @staticmethod
    async def _change(call: Call, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await call.changed.wait()
        except TimeoutError:
            call.outcome = "silence"


async def talk(voices: list[Voice], stop: asyncio.Event) -> None:
    """Let each voice send every 20 ms until `stop` is set, spread over ten moments in that time."""
    begun, step, parts = time.perf_counter(), 0, 10
    while not stop.is_set():
        for voice in voices[step % parts :: parts]:
            voice.speak()
        for voice in voices:
            voice.listen()
        step += 1
        await asyncio.sleep(max(0.0, begun + step * FRAME_S / parts - time.perf_counter()))
    await asyncio.sleep(SETTLE_S)
    for voice in voices:
        voice.listen()
