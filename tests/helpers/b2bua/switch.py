"""The switch between the phones: calls made by the library, with a fake relay."""

from dataclasses import dataclass, field

from helpers.b2bua.network import SWITCH, SWITCH6, Node
from telephony.b2bua import (
    BackToBackCall,
    CallSettings,
    LaterTargets,
    cancel_branches,
    decline,
    find_call,
    leg_to_replace,
    replay_invite,
)
from telephony.b2bua.events import RecordRequested, TransferRequested
from telephony.errors import NoPortsError
from telephony.sdp import LocalMedia, RemoteMedia
from telephony.sip.events import IncomingInvite, InviteAnswered


class FakePlane:
    """A relay of dicts without sockets; misuse fails an assertion."""

    def __init__(self, room=1000):
        self.room = room
        self.both = False
        """True if it has IPv6 beside IPv4."""
        self.open_legs = {}
        self.remotes = {}
        self.joins = {}
        self.maps = {}
        self.ringing = set()
        self._port = 30000

    def open(self, leg_id, *, ipv6, urgent=False):
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
        self._separate(a)
        self._separate(b)
        self.joins[a], self.joins[b] = b, a
        self.maps[a, b], self.maps[b, a] = a_to_b, b_to_a

    def _separate(self, leg_id):
        other = self.joins.pop(leg_id, None)
        if other is not None:
            self.joins.pop(other, None)

    def is_own_port(self, host, port):
        return host == SWITCH.host and port in self.open_legs.values()

    def close(self, leg_id):
        self._separate(leg_id)
        del self.open_legs[leg_id]

    def start_ringback(self, leg_id):
        self.ringing.add(leg_id)

    def stop_ringback(self, leg_id):
        self.ringing.discard(leg_id)


@dataclass
class Plan:
    """What the switch does with calls and transfers."""

    targets: list = field(default_factory=list)
    later: LaterTargets | None = None
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
                found = leg_to_replace(self.endpoint, event.invite)
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
                call.dial(self.plan.targets, self.now, self.plan.later)
            else:
                owner = find_call(event)
                if owner is None and isinstance(event, InviteAnswered):
                    decline(event, self.now)
                if owner is not None:
                    owner.handle(event, self.now)
            for every in self.calls:
                self.drain(every)

    def drain(self, call):
        while (event := call.next_event()) is not None:
            self.events.append(event)
            self.on_event(call, event)
            if isinstance(event, RecordRequested) and self.plan.record_status is not None:
                call.answer_record(event.request_id, self.plan.record_status, self.now)
            if isinstance(event, TransferRequested):
                plan = call.join_plan(event.request_id)
                if plan is not None:
                    call.join(event.request_id, plan, self.joins_with[0], self.now)
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
            found.call.replace_callee(found, invite, self.joins_with[0], self.now)
            self.drain(found.call)

    def take_up(self, checkpoint):
        cancel_branches(self.endpoint, checkpoint, self.now)
        if checkpoint["invite"] is not None:
            replay_invite(self.endpoint, checkpoint, self.now)
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
