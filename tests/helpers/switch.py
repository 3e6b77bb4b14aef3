"""A switch without sockets: real calls, a fake relay, and phones made of real SIP cores."""

import random
import time
from typing import cast

from galwad.messages import CallerFacts
from galwad.settings import Settings
from galwad.switch.call.appended_files import LastingDialogs
from galwad.switch.call.checkpoints import CheckpointStore
from galwad.switch.call.clocks import read_clocks
from galwad.switch.call.context import CallContext
from galwad.switch.call.dispatcher import EventDispatcher
from galwad.switch.call.spools import SpoolFactory
from galwad.switch.call.switch_call import SwitchCall
from galwad.switch.edge.admission import Admission, AdmissionControl
from galwad.switch.edge.callers import caller_of
from galwad.switch.edge.emergency import called_number
from galwad.switch.edge.overload import OverloadControl
from galwad.switch.edge.peers import NamingMonitor
from galwad.switch.edge.routing import Router
from galwad.switch.life.link_server import LinkServer
from galwad.switch.life.revival import revive
from recording.recorder import Recorder
from telephony.aio.relay import Relay
from telephony.errors import NoPortsError
from telephony.sdp import LocalMedia
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    Address,
    DialogRequest,
    DialogResponse,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.ua.uac import InviteClient

SWITCH = Address("192.0.2.9", 5060)
SDP = (("Content-Type", "application/sdp"),)


def sdp(host, direction="sendrecv"):
    return (
        f"v=0\r\no=p 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        f"a={direction}\r\n"
    ).encode()


def asserted(user, host="192.0.2.20"):
    """Return the header field by which a PBX names a party."""
    return "P-Asserted-Identity", f"<sip:{user}@{host}>"


def replaces(dialog, user):
    """Return a Refer-To that names a dialog of the phone that sends it."""
    call_id, ours, theirs = dialog.id
    call_id = call_id.replace("@", "%40")
    tags = f"%3Bto-tag%3D{theirs}%3Bfrom-tag%3D{ours}"
    return "Refer-To", f"<sip:{user}@192.0.2.9?Replaces={call_id}{tags}>"


def record_events(call):
    """Return a list that receives each event that the call's recorder writes from now on."""
    events = []
    outbox = call.recording.recorder.storage.outbox
    put = outbox.put

    def note(kind, fields, at_us):
        events.append((kind, fields, at_us))
        put(kind, fields, at_us)

    outbox.put = note
    return events


class FakeRelay:
    """Ports and taps as dicts."""

    def __init__(self):
        self.open_legs, self.taps, self.joins, self.overdue = {}, {}, {}, {}
        self.full = False

    def open(self, leg_id, *, ipv6, urgent=False):
        if self.full and not urgent:
            raise NoPortsError("full")
        return self.reopen(leg_id, LocalMedia(SWITCH.host, 30000 + 2 * len(self.open_legs)))

    def reopen(self, leg_id, local):
        assert leg_id not in self.open_legs
        self.open_legs[leg_id] = local.port
        return local

    def close(self, leg_id):
        self._separate(leg_id)
        del self.open_legs[leg_id]
        self.taps.pop(leg_id, None)

    def configure(self, leg_id, remote):
        assert leg_id in self.open_legs

    def join(self, a, b, _a_to_b, _b_to_a):
        self._separate(a)
        self._separate(b)
        self.joins[a], self.joins[b] = b, a

    def _separate(self, leg_id):
        other = self.joins.pop(leg_id, None)
        self.joins.pop(other, None)

    def drain(self, *leg_ids):
        """Give each tap the packets of `arrive`."""
        for leg_id in leg_ids:
            for data, arrived in self.overdue.pop(leg_id, ()):
                track, tap = self.taps[leg_id]
                tap(track, data, arrived, False)

    def arrive(self, leg_ids, packets):
        """Let packets arrive at each of these legs; `drain` reads them."""
        now = time.monotonic()
        self.overdue = {leg_id: [(data, now) for data in packets] for leg_id in leg_ids}

    def set_tap(self, leg_id, track, tap, _on_lost=None, _on_report=None):
        if leg_id in self.open_legs:
            self.taps[leg_id] = None if tap is None else (track, tap)

    def has_heard(self, leg_id):
        return False

    def set_source_rule(self, leg_id, rule, signalling_host):
        pass

    def is_own_port(self, host, port):
        return False

    def await_peer(self, leg_id):
        pass

    def confirm_peer(self, leg_id):
        pass

    def watch_events(self, leg_id, watcher):
        pass

    def start_ringback(self, leg_id):
        pass

    def stop_ringback(self, leg_id):
        pass


class FakeLinks:
    def __init__(self):
        self.alarms, self.ended, self.closed = [], [], []
        self.shown, self.lasted, self.for_ledger = {}, {}, {}
        self.unanswered, self.lost_forks = {}, []

    def alarm(self, kind, call_id=None, detail=""):
        self.alarms.append(kind)

    def call_changed(self, call):
        self.shown[call.call_id] = call

    def call_ended(self, ended):
        self.ended.append(ended.call_id)
        self.lasted[ended.call_id] = ended.talk_us
        self.unanswered[ended.call_id] = ended.unanswered
        self.lost_forks += [ended.call_id] if ended.lost_fork else []
        if ended.for_ledger:
            self.for_ledger[ended.call_id] = ended

    def spool_closed(self, call_id):
        self.closed.append(call_id)


class FakeAdmissionControl:
    """Lets everybody in; whoever has an extension is a phone of ours."""

    def __init__(self, phones, settings):
        self.phones, self.settings = phones, settings

    def invite(self, invite, _now):
        request = invite.request
        user = request.from_.uri.user or ""
        trunk = self.settings.find_trunk(*invite.source[:3])
        phone = trunk is None and self.phones.known(user)
        called = called_number(self.settings, request.uri)
        return Admission(
            caller=CallerFacts(
                user,
                invite.source.host,
                asserted=caller_of(request, trusted=True).asserted,
                trusted=True,
            ),
            called=called,
            trusted=True,
            phone=phone,
            recorded=not phone,
            source_rule="sdp-host",
            srtp="off",
            trunk="" if trunk is None else trunk.name,
            emergency=phone and called in self.settings.sip.emergency_numbers,
        )


class Phone:
    """Answers every INVITE at once unless told otherwise, and every other request with 200."""

    def __init__(self, centre, host, user):
        self.centre, self.user = centre, user
        self.address = Address(host, 5060)
        self.endpoint = Endpoint(rng=random.Random(host))
        self.endpoint.listen(self.address)
        self.final = 200
        self.contact = ""
        """The user part of the Contact in its responses; "" for the usual one."""
        self.names: dict[int, str] = {}
        """The names in the P-Asserted-Identity of its responses to an INVITE, by status."""
        self.forks: dict[str, str | None] = {}
        """The names in further 180s, by their To tags: other forks of a proxy."""
        self.fork = ""
        """The To tag of its 200; "" for that of its first 180."""
        self.final_headers: tuple[tuple[str, str], ...] = ()
        """Further header fields of its final response to an INVITE."""
        self.allow_events = ""
        """The Allow-Events in its 180; a phone with "talk" answers at a NOTIFY of this event."""
        self.notify_status: int | None = 200
        """The status of its response to a NOTIFY while it rings; None for no response."""
        self.leaves = False
        """It hangs up at the 202 to its REFER, and answers no NOTIFY."""
        self.dialogs, self.invites, self.requests, self.statuses = [], [], [], []
        self.failed = []
        """The failure statuses of its INVITEs for new calls."""
        self.client = None
        """The INVITE that it has sent most recently for a new call."""
        centre.nodes[self.address] = self

    def answer(self):
        """Answer what rings."""
        for invite in self.invites:
            if not invite.answered:
                self._answer(invite, 200)
        self.centre.run()

    def _answer(self, invite, status):
        made = invite.respond(
            status,
            headers=(*SDP, *self._name(status), *self._contact(), *self.final_headers),
            body=sdp(self.address.host),
            to_tag=self.fork or None,
            now=time.monotonic(),
        )
        self.dialogs += [made] if made else []

    def _contact(self):
        return (("Contact", f"<sip:{self.contact}@{self.address.host}>"),) if self.contact else ()

    def _name(self, status):
        name = self.names.get(status)
        return () if name is None else (asserted(name, self.address.host),)

    def call(self, to, *headers):
        self.client = self.endpoint.invite(
            Uri.parse(f"sip:{to}@{SWITCH.host}"),
            from_=NameAddr("", Uri.parse(f"sip:{self.user}@{SWITCH.host}")),
            to=NameAddr("", Uri.parse(f"sip:{to}@{SWITCH.host}")),
            destination=SWITCH,
            headers=(*headers, *SDP),
            body=sdp(self.address.host),
            now=time.monotonic(),
        )
        self.centre.run()
        return self.dialogs[-1] if self.dialogs else None

    def ask(self, method, *headers, dialog=None, direction="sendonly", body=b""):
        """Send a request; an INVITE offers this direction."""
        dialog = dialog or self.dialogs[-1]
        offer = method == "INVITE"
        dialog.request(
            method,
            headers=(*headers, *(SDP if offer else ())),
            body=sdp(self.address.host, direction) if offer else body,
            now=time.monotonic(),
        )
        self.centre.run()

    @property
    def methods(self):
        return [request.method for request in self.requests]

    def _notified(self, transaction, request):
        """Handle a NOTIFY; return whether it needs no further response."""
        if request.headers.get("Event") != "talk":
            return self.leaves
        if self.notify_status is not None:
            transaction.respond(self.notify_status, now=time.monotonic())
        if self.notify_status == 200:
            self.answer()
        return True

    def work(self):
        now = time.monotonic()
        while (event := self.endpoint.next_event()) is not None:
            match event:
                case IncomingInvite(invite):
                    self.invites.append(invite)
                    events = (("Allow-Events", self.allow_events),) if self.allow_events else ()
                    invite.respond(180, headers=(*events, *self._name(180)), now=now)
                    for tag, name in self.forks.items():
                        named = () if name is None else (asserted(name),)
                        invite.respond(180, headers=named, to_tag=tag, now=now)
                    if self.final:
                        self._answer(invite, self.final)
                case DialogRequest(_, transaction, request):
                    self.requests.append(request)
                    if request.method == "NOTIFY" and self._notified(transaction, request):
                        continue
                    offered = request.method == "INVITE"
                    transaction.respond(
                        200,
                        headers=SDP if offered else (),
                        body=sdp(self.address.host) if offered else b"",
                        now=now,
                    )
                case _:
                    self._responded(event, now)

    def _responded(self, event, now):
        match event:
            case InviteAnswered(client, dialog, response):
                self.statuses.append(response.status)
                self.dialogs.append(dialog)
                dialog.ack(client, now=now)
            case DialogResponse(dialog, client, response):
                self.statuses.append(response.status)
                if isinstance(client, InviteClient) and 200 <= response.status < 300:
                    dialog.ack(client, now=now)
                if response.status == 202 and self.leaves:
                    dialog.request("BYE", now=now)
            case InviteFailed(_, _, status, _):
                self.failed.append(status)


class Centre:
    """One switch, life after life."""

    def __init__(self, settings: Settings, phones):
        self.settings, self.phones = settings, phones
        self.nodes: dict[Address, Phone | Centre] = {}
        self.begin()

    def begin(self):
        """Begin a life of the process; the one before it is as if killed."""
        settings = self.settings
        self.links, self.relay = FakeLinks(), FakeRelay()
        self.calls: dict[str, SwitchCall] = {}
        self.endpoint = Endpoint(rng=random.Random(len(self.nodes)))
        self.endpoint.listen(SWITCH)
        self.lasting = LastingDialogs(settings.node.state / "switch" / "dialogs.jsonl")
        self.context = CallContext(
            endpoint=self.endpoint,
            relay=cast("Relay", self.relay),
            links=cast("LinkServer", self.links),
            naming=NamingMonitor(settings, self.links.alarm),
            router=Router(settings, self.phones),
            spools=SpoolFactory(settings),
            checkpoints=CheckpointStore(settings.node.runtime / "calls", self.lasting),
            settings=settings,
            flush=self.flush,
            find=self.calls.get,
            live_calls=self.calls.values,
            forget=self._forget,
        )
        self.load = OverloadControl(settings.sip, lambda: 100)
        admission_control = cast("AdmissionControl", FakeAdmissionControl(self.phones, settings))
        self.dispatcher = EventDispatcher(
            self.context, admission_control, self.calls, self.load, lambda: False
        )
        self.nodes[SWITCH] = self
        self._busy = False

    def _forget(self, call_id):
        self.calls.pop(call_id, None)

    def revive(self):
        """Die, and begin anew with what was left."""
        for call in self.calls.values():
            if call._timer is not None:
                call._timer.cancel()
            recorder = call.recording.recorder
            if isinstance(recorder, Recorder):
                if recorder._timer is not None:
                    recorder._timer.cancel()
                assert recorder._sync is not None
                recorder._sync.detach(recorder)
                recorder.storage.outbox.close(recorder._now())
        self.begin()
        revived = revive(self.context, self.dispatcher, self.calls)
        self.run()
        return revived

    def flush(self):
        if self._busy:
            return
        self._busy = True
        try:
            while (event := self.endpoint.next_event()) is not None:
                self.dispatcher.on_event(event, read_clocks())
        finally:
            self._busy = False

    work = flush

    def run(self):
        """Until nobody has anything to say any more."""
        busy = True
        while busy:
            busy = False
            for node in list(self.nodes.values()):
                node.work()
                for datagram in node.endpoint.outgoing():
                    busy = True
                    there = self.nodes.get(datagram.destination)
                    if there is not None:
                        there.endpoint.receive(
                            datagram.data, datagram.local, datagram.destination, time.monotonic()
                        )
                        there.work()

    def phone(self, host, user, register=None):
        phone = Phone(self, host, user)
        if register is not None:
            register(user, f"sip:{user}@{host}", time.monotonic(), source=phone.address)
        return phone

    def end(self):
        """Hang up whatever is left."""
        for call in list(self.calls.values()):
            call.hangup("SIP;cause=200", read_clocks())
        self.run()
