"""A fake network, a fake clock, phones made of real SIP cores, and the switch between them."""

import json
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from telephony.b2bua import (
    BackToBackCall,
    CallSettings,
    Target,
    decline,
    find_call,
    give_up_branches,
    replaced_by,
    ring_anew,
)
from telephony.b2bua.events import CallEnded, RecordRequested, TransferRequested
from telephony.errors import NoPortsError
from telephony.sdp import LocalMedia, RemoteMedia, SessionDescription
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    AckMissing,
    AckReceived,
    Address,
    DialogEnded,
    DialogRequest,
    DialogResponse,
    IncomingInvite,
    InviteAnswered,
    StandaloneRequest,
)
from telephony.sip.headers import NameAddr
from telephony.sip.uri import Uri

SWITCH = Address("192.0.2.1", 5060)
SWITCH6 = Address("2001:db8::1", 5060)
SDP = (("Content-Type", "application/sdp"),)


def sdp(host, port=4000, *, codecs=("0 PCMU/8000", "8 PCMA/8000"), direction="sendrecv", version=1):
    rows = [codec.split(" ", 1) for codec in codecs]
    numbers = " ".join(number for number, _ in rows)
    lines = [
        "v=0",
        f"o=phone 77 {version} IN IP{6 if ':' in host else 4} {host}",
        "s=call",
        f"c=IN IP{6 if ':' in host else 4} {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {numbers}",
        *(f"a=rtpmap:{number} {name}" for number, name in rows),
        f"a={direction}",
    ]
    return ("\r\n".join(lines) + "\r\n").encode()


class Clock:
    now = 1000.0


class Network:
    """Delivers datagrams at once, unless a loss function says no."""

    def __init__(self, clock):
        self.clock = clock
        self.nodes = {}
        self.lost: Callable[[bytes], bool] = lambda _data: False
        self.wire = []
        self.down = set()

    def flush(self):
        busy = True
        while busy:
            busy = False
            for node in list(self.nodes.values()):
                for datagram in node.endpoint.outgoing():
                    busy = True
                    self.wire.append((datagram.local, datagram.destination, datagram.data))
                    target = self.nodes.get(datagram.destination)
                    if target is None or self.lost(datagram.data):
                        continue
                    if {datagram.destination, datagram.local} & self.down:
                        continue
                    target.endpoint.receive(
                        datagram.data, datagram.local, datagram.destination, self.clock.now
                    )
                    target.work()

    def run(self, seconds):
        """Let time pass, timer by timer."""
        end = self.clock.now + seconds
        self.flush()
        while True:
            due = [t for n in self.nodes.values() if (t := n.next_timer()) is not None]
            first = min(due, default=end)
            if first > end:
                break
            if not due:
                break
            self.clock.now = max(self.clock.now, first)
            for node in list(self.nodes.values()):
                node.tick()
            self.flush()
        self.clock.now = max(self.clock.now, end)


class FakePlane:
    """Ports as a set, joins as a dict; misuse is an assertion."""

    def __init__(self, room=1000):
        self.room = room
        self.both = False
        """Whether it has IPv6 beside IPv4."""
        self.open_legs = {}
        self.remotes = {}
        self.joins = {}
        self.maps = {}
        self.ringing = set()
        self._port = 30000

    def open(self, leg_id, *, ipv6):
        assert leg_id not in self.open_legs
        if len(self.open_legs) >= self.room:
            raise NoPortsError("full")
        self._port += 2
        self.open_legs[leg_id] = self._port
        return LocalMedia(SWITCH6.host if ipv6 and self.both else SWITCH.host, self._port)

    def reopen(self, leg_id, local):
        assert leg_id not in self.open_legs
        if local.port in self.open_legs.values():
            raise NoPortsError("in use")
        self.open_legs[leg_id] = local.port
        return local

    def configure(self, leg_id, remote: RemoteMedia):
        assert leg_id in self.open_legs
        self.remotes[leg_id] = remote

    def join(self, a, b, a_to_b, b_to_a):
        assert {a, b} <= set(self.open_legs)
        self.part(a)
        self.part(b)
        self.joins[a], self.joins[b] = b, a
        self.maps[a, b], self.maps[b, a] = a_to_b, b_to_a

    def part(self, leg_id):
        other = self.joins.pop(leg_id, None)
        if other is not None:
            self.joins.pop(other, None)

    def close(self, leg_id):
        self.part(leg_id)
        del self.open_legs[leg_id]

    def start_ringback(self, leg_id):
        self.ringing.add(leg_id)

    def stop_ringback(self, leg_id):
        self.ringing.discard(leg_id)


class Node:
    def __init__(self, network, address, seed, **options):
        self.network = network
        self.address = address
        self.endpoint = Endpoint(rng=random.Random(seed), **options)
        self.endpoint.listen(address)
        network.nodes[address] = self

    @property
    def now(self):
        return self.network.clock.now

    def tick(self):
        due = self.endpoint.next_timer()
        if due is not None and due <= self.now:
            self.endpoint.handle_timer(self.now)
        self.work()

    def next_timer(self):
        return self.endpoint.next_timer()

    def work(self):
        raise NotImplementedError


@dataclass
class Reply:
    """How a phone answers an INVITE: provisional statuses, then a final one (None: not yet)."""

    provisional: tuple = (180,)
    final: int | None = 200
    early: bool = False
    headers: tuple = ()
    body: bytes | None = None
    final_headers: tuple = ()


class Phone(Node):
    """A user agent whose ways are set by attributes; it acts, and notes what it sees."""

    def __init__(self, network, host, seed, **options):
        super().__init__(network, Address(host, 5060), seed, **options)
        self.codecs = ("0 PCMU/8000", "8 PCMA/8000")
        self.reply = Reply()
        self.incoming = deque()
        self.invites = []
        self.seen = []
        self.requests = []
        self.responses = []
        self.dialog = None
        self.client = None
        self.direction = "sendrecv"
        self.answer_offers = True
        self.infos = {}
        self.refuse_offer: int | None = None
        self.bye_at_accept = False
        self.ended = 0
        self.version = 1
        self.owed_answer = None

    def sdp(self, **changes):
        facts = {"codecs": self.codecs, "version": self.version, "direction": self.direction}
        return sdp(self.address.host, **(facts | changes))

    def call(self, body=None, headers=(), to="sip:100@192.0.2.1", from_=None, **rest):
        content = self.sdp() if body is None else body
        typed = "Content-Type" in dict(headers)
        self.client = self.endpoint.invite(
            Uri.parse("sip:100@192.0.2.1"),
            from_=from_ or NameAddr("Caller", Uri.parse("sip:01632960001@trunk.example")),
            to=NameAddr("", Uri.parse(to)),
            destination=SWITCH6 if ":" in self.address.host else SWITCH,
            headers=(*headers, *(SDP if content and not typed else ())),
            body=content,
            now=self.now,
            **rest,
        )
        self.network.flush()
        return self.client

    def answer(self, invite=None, reply=None):
        invite = invite or self.invites[-1]
        reply = reply or self.reply
        body = self.sdp() if reply.body is None else reply.body
        for status in reply.provisional:
            early = reply.early
            invite.respond(
                status,
                headers=(*reply.headers, *(SDP if early else ())),
                body=body if early else b"",
                now=self.now,
            )
        if reply.final is None:
            return
        good = reply.final < 300
        self.dialog = (
            invite.respond(
                reply.final,
                headers=(*reply.headers, *reply.final_headers, *(SDP if good and body else ())),
                body=body if good else b"",
                now=self.now,
            )
            or self.dialog
        )

    def ask(self, method, headers=(), body=b""):
        client = self.dialog.request(method, headers=headers, body=body, now=self.now)
        self.network.flush()
        return client

    def reinvite(self, **changes):
        self.version += 1
        return self.ask("INVITE", SDP, self.sdp(**changes))

    def refer(self, to="<sip:dept@192.0.2.1>", headers=()):
        return self.ask("REFER", (("Refer-To", to), *headers))

    def hang_up(self, headers=()):
        return self.ask("BYE", headers)

    @property
    def statuses(self):
        return [response.status for response in self.responses]

    @property
    def methods(self):
        return [request.method for request in self.requests]

    def told(self):
        """The last SDP that the switch sent here."""
        bodies = [m.body for m in (*self.seen,) if m.body.startswith(b"v=0")]
        return SessionDescription.parse(bodies[-1]) if bodies else None

    def work(self):
        while (event := self.endpoint.next_event()) is not None:
            self._take(event)

    def _take(self, event):
        match event:
            case IncomingInvite(invite):
                self.invites.append(invite)
                self.seen.append(invite.request)
                self.answer(invite)
            case DialogRequest(dialog, transaction, request):
                self.requests.append(request)
                self.seen.append(request)
                self._serve(dialog, transaction, request)
            case AckReceived(_, request):
                self.seen.append(request)
            case DialogEnded():
                self.ended += 1
            case AckMissing(dialog):
                dialog.request("BYE", now=self.now)
            case StandaloneRequest(transaction):
                transaction.respond(200, now=self.now)
            case _:
                self._take_response(event)

    def _take_response(self, event):
        response = getattr(event, "response", None)
        if response is None:
            return
        self.responses.append(response)
        self.seen.append(response)
        if isinstance(event, InviteAnswered):
            self.dialog = event.dialog
            if self.answer_offers:
                self._acknowledge(event.dialog, event.client)
        elif isinstance(event, DialogResponse):
            method, status = event.transaction.request.method, response.status
            if method == "INVITE" and 200 <= status < 300:
                self._acknowledge(event.dialog, event.transaction)
            if (method, status) == ("REFER", 202) and self.bye_at_accept:
                event.dialog.request("BYE", now=self.now)

    def _acknowledge(self, dialog, client):
        body = b"" if client.request.body else self.sdp()
        dialog.ack(client, headers=SDP if body else (), body=body, now=self.now)

    def _serve(self, dialog, transaction, request):
        method = request.method
        if method in {"INVITE", "UPDATE"} and (request.body or method == "INVITE"):
            if self.refuse_offer is not None:
                transaction.respond(self.refuse_offer, now=self.now)
                return
            mirrored = {"sendonly": "recvonly", "inactive": "inactive", "recvonly": "sendonly"}
            direction = self.direction
            for word, other in mirrored.items():
                if f"a={word}".encode() in request.body:
                    direction = other
            transaction.respond(200, headers=SDP, body=self.sdp(direction=direction), now=self.now)
        elif method in self.infos:
            if self.infos[method] is not None:
                transaction.respond(self.infos[method], now=self.now)
        else:
            transaction.respond(200, now=self.now)


@dataclass
class Plan:
    """What the switch does with calls and transfers."""

    targets: list = field(default_factory=list)
    transfer_targets: list = field(default_factory=list)
    transfer_refusal: int | None = None
    ring_again: list = field(default_factory=list)
    record_status: int | None = 200


class Switch(Node):
    def __init__(self, network, seed, **settings):
        super().__init__(network, SWITCH, seed)
        self.plane = FakePlane()
        self.settings = CallSettings(**settings)
        self.plan = Plan()
        self.calls = []
        self.events = []
        self.joins_with = []
        self.on_event = lambda _call, _event: None

    def work(self):
        while (event := self.endpoint.next_event()) is not None:
            if isinstance(event, IncomingInvite):
                found = replaced_by(self.endpoint, event.invite)
                if found is not None:
                    self.take_over(found, event.invite)
                    continue
                call = BackToBackCall.incoming(
                    self.endpoint,
                    self.plane,
                    event.invite,
                    self.settings,
                    call_id=f"call{len(self.calls)}",
                    now=self.now,
                )
                self.calls.append(call)
                call.dial(self.plan.targets, self.now)
            else:
                call = find_call(event)
                if call is None and isinstance(event, InviteAnswered):
                    decline(event, self.now)
                if call is not None:
                    call.handle(event, self.now)
            for every in self.calls:
                self.drain(every)

    def drain(self, call):
        while (event := call.next_event()) is not None:
            self.events.append(event)
            self.on_event(call, event)
            if isinstance(event, RecordRequested) and self.plan.record_status is not None:
                call.answer_record(event.request_id, self.plan.record_status, self.now)
            if isinstance(event, TransferRequested):
                joint = call.joint(event.request_id)
                if joint is not None:
                    call.join(event.request_id, joint, self.joins_with[0], self.now)
                    for other in self.calls:
                        if other is not call:
                            self.drain(other)
                elif self.plan.transfer_refusal is not None:
                    call.refuse_transfer(event.request_id, self.plan.transfer_refusal, self.now)
                elif self.plan.transfer_targets:
                    call.accept_transfer(event.request_id, self.plan.transfer_targets, self.now)

    def take_over(self, found, invite):
        if isinstance(found, int):
            invite.respond(found, now=self.now)
        else:
            found.call.take_over(found, invite, self.joins_with[0], self.now)
            self.drain(found.call)

    def take_up(self, checkpoint):
        give_up_branches(self.endpoint, checkpoint, self.now)
        if checkpoint["invite"] is not None:
            ring_anew(self.endpoint, checkpoint, self.now)
            return
        call = BackToBackCall.restored(
            self.endpoint, self.plane, checkpoint, self.settings, now=self.now
        )
        self.calls.append(call)
        self.drain(call)

    def next_timer(self):
        due = [self.endpoint.next_timer(), *(call.next_timer() for call in self.calls)]
        return min((at for at in due if at is not None), default=None)

    def tick(self):
        for call in self.calls:
            at = call.next_timer()
            if at is not None and at <= self.now:
                call.handle_timer(self.now)
            self.drain(call)
        super().tick()

    def act(self, what):
        what(self.calls[-1])
        self.drain(self.calls[-1])
        self.network.flush()

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def kinds(self):
        return [type(event).__name__ for event in self.events]


class World:
    """Everything, ready for a call from `a`."""

    def __init__(self, seed=1, **settings):
        self.clock = Clock()
        self.net = Network(self.clock)
        self.switch = Switch(self.net, seed, **settings)
        self.a = Phone(self.net, "192.0.2.10", seed + 1)
        self.b = Phone(self.net, "192.0.2.20", seed + 2)
        self.c = Phone(self.net, "192.0.2.30", seed + 3)
        self.switch.plan.targets = [self.target(self.b)]
        self.switch.plan.transfer_targets = [self.target(self.c)]

    def target(self, phone, **facts):
        host = phone.address.host
        uri = Uri(user=host.replace(":", ".").rpartition(".")[2], host=host)
        return Target(uri, phone.address, name=uri.user or "", **facts)

    @property
    def call(self):
        return self.switch.calls[-1]

    def both_families(self):
        """The switch speaks IPv6 too, and a fourth phone, `d`, nothing else."""
        self.switch.endpoint.listen(SWITCH6)
        self.net.nodes[SWITCH6] = self.switch
        self.switch.plane.both = True
        self.d = Phone(self.net, "2001:db8::40", 9)

    def talk(self, **rest):
        self.a.call(**rest)
        self.net.run(1)
        assert self.call.joined is not None
        return self.call

    def crash(self):
        """The switch dies and begins anew: what it knows is its last checkpoints, as JSON."""
        before = self.switch
        kept = [json.dumps(call.checkpoint()) for call in before.calls if not call.ended]
        self.switch = Switch(self.net, 77)
        self.switch.settings, self.switch.plan = before.settings, before.plan
        for text in kept:
            self.switch.take_up(json.loads(text))
        self.net.run(0.1)
        return before

    def assert_clean(self):
        """After every timer has run out: no port, no dialog, no transaction, one last event."""
        self.net.run(300)
        assert self.switch.plane.open_legs == {}
        assert all(call.ended for call in self.switch.calls)
        assert all(event.cause != "fault" for event in self.switch.of(CallEnded))
        ends = Counter(type(event) for event in self.switch.events)[CallEnded]
        assert ends == len(self.switch.calls)
        for node in self.net.nodes.values():
            counts = node.endpoint.counts()
            assert counts.dialogs == 0, (node.address, counts)
            assert counts.client_transactions == 0, (node.address, counts)
            assert counts.unacknowledged == 0, (node.address, counts)


@pytest.fixture
def make_world():
    return World


@pytest.fixture
def world():
    return World()


@pytest.fixture
def reply():
    return Reply


@pytest.fixture
def make_sdp():
    return sdp
