"""A live call with the switch's real parts, its datagrams carried by hand."""

import time

import pytest

from galwad.messages import CallerFacts, Party
from galwad.switch.admission import Admission
from galwad.switch.call import LiveCall, Switchboard
from galwad.switch.checkpoints import Checkpoints
from galwad.switch.commands import DeskCommands
from galwad.switch.hub import Hub
from galwad.switch.routing import Router
from galwad.switch.spools import SpoolRoom
from telephony.aio.ports import PortPool
from telephony.aio.relay import Relay
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, IncomingInvite
from telephony.sip.message import Response, parse_message, respond

HERE = Address("192.0.2.9", 5060)
CALLER = Address("192.0.2.1", 5060)
PHONE = Address("192.0.2.50", 5066)
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.77\r\ns=-\r\nc=IN IP4 192.0.2.77\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 8\r\n"
)
INVITE = (
    b"INVITE sip:01970000000@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    b"From: <sip:01632960001@t>;tag=1\r\nTo: <sip:01970000000@t>\r\nCall-ID: 1\r\n"
    b"CSeq: 1 INVITE\r\nContact: <sip:192.0.2.1>\r\nContent-Type: application/sdp\r\n\r\n" + SDP
)


class Line:
    """A switch without sockets for SIP, and a call that goes through it."""

    def __init__(self, settings, phones):
        self.sent = []
        self.endpoint = Endpoint()
        self.endpoint.listen(HERE)
        self.relay = Relay(PortPool("127.0.0.1", 47000, 47099))
        spools = SpoolRoom(settings)
        self.board = Switchboard(
            endpoint=self.endpoint,
            relay=self.relay,
            hub=Hub(DeskCommands({}, phones, spools)),
            router=Router(settings, phones),
            spools=spools,
            checkpoints=Checkpoints(settings.node.runtime / "calls"),
            settings=settings,
            flush=lambda: self.sent.extend(self.endpoint.outgoing()),
            forget=lambda _call: None,
        )
        self.call = None

    def receive(self, data, source):
        self.endpoint.receive(bytes(data), source, HERE, time.monotonic())
        while (event := self.endpoint.next_event()) is not None:
            if isinstance(event, IncomingInvite):
                self._begin(event.invite)
            else:
                self.call.on_sip(event)

    def _begin(self, invite):
        called = invite.request.uri.dialled
        facts = CallerFacts("01632960001", "t", trusted=True)
        admission = Admission(
            facts, called, trusted=True, phone=False, recorded=False, source_rule="sdp-host"
        )
        route = self.board.router.route(called)
        self.call = LiveCall(self.board, invite, admission, route)
        self.call.start(self.board.router.targets(route, called, time.monotonic()))

    def answer(self, contact):
        """The phone or PBX that rings takes the call."""
        invite = next(
            message
            for datagram in self.sent
            if not isinstance(message := parse_message(datagram.data), Response)
            and message.method == "INVITE"
        )
        headers = [("Contact", contact), ("Content-Type", "application/sdp")]
        response = respond(invite, 200, to_tag="b", headers=headers)
        response.body = SDP
        self.receive(bytes(response), PHONE)


@pytest.fixture
async def line(settings, phones):
    line = Line(settings, phones)
    yield line
    if line.call is not None:
        line.call.hangup("SIP;cause=200")
    line.relay.shut()


async def test_a_registered_phone_is_its_extension_whatever_its_contact_says(line, register):
    register("202", "sip:aGx7@192.0.2.50:5066", time.monotonic())
    line.receive(INVITE, CALLER)
    line.answer("<sip:aGx7@192.0.2.50:5066>")
    assert line.call.state().advisor == Party("202", "")


async def test_who_answers_behind_a_pbx_is_whom_the_pbx_names(line, register):
    line.receive(INVITE.replace(b"sip:01970000000@", b"sip:01979@"), CALLER)
    line.answer("<sip:201@192.0.2.20>")
    assert line.call.state().advisor == Party("201", "sian")
