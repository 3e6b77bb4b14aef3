"""A small PBX on a real UDP socket: phones register, and it transfers calls by itself.

It carries only the signalling; sound passes between the switch and the phones. A test says which
parties it names. It was not compared with Asterisk; `test_asterisk.py` has Asterisk itself.
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field

from telephony.b2bua.referral import refer_to
from telephony.sip.dialog import Dialog
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    Address,
    DialogRequest,
    DialogResponse,
    IncomingInvite,
    InviteAnswered,
    InviteProgress,
    StandaloneRequest,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.ua.uac import InviteClient
from telephony.sip.ua.uas import InviteServer

SDP = ("Content-Type", "application/sdp")


@dataclass(eq=False)
class Bridge:
    """A call from one party to a phone; both sides with their newest SDP."""

    invite: InviteServer
    rings: str
    client: InviteClient
    from_: Dialog | None = None
    to: Dialog | None = None
    from_sdp: bytes = b""
    to_sdp: bytes = b""
    moving: dict = field(default_factory=dict)
    """The name of the department that an INVITE of a transfer rings or takes over, by the INVITE,
    and the consultation from which it is taken; None for a blind transfer."""


class ScriptedPbx:
    """The PBX. A call to `dialled` rings 201; any other number rings the phone of that name.

    `names_answers` names the party that answers, `names_transfers` the party after a transfer.
    """

    def __init__(self, host, port, dialled, *, names_answers=True, names_transfers=True):
        self.names_answers, self.names_transfers = names_answers, names_transfers
        self.address = Address(host, port)
        self._dialled = dialled
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.settimeout(0.02)
        self._endpoint = Endpoint(user_agent="")
        self._endpoint.listen(self.address)
        self._phones, self._bridges = {}, []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self):
        """Stop."""
        self._ends.set()
        self._thread.join()
        self._socket.close()

    def _run(self):
        while not self._ends.is_set():
            try:
                data, source = self._socket.recvfrom(65535)
            except TimeoutError:
                data = b""
            now = time.monotonic()
            if data:
                self._endpoint.receive(data, Address(*source), self.address, now)
            if (self._endpoint.next_timer() or now + 1) <= now:
                self._endpoint.handle_timer(now)
            while (event := self._endpoint.next_event()) is not None:
                self._take(event, now)
            for message in self._endpoint.outgoing():
                self._socket.sendto(message.data, tuple(message.destination[:2]))

    def _take(self, event, now):
        match event:
            case StandaloneRequest(transaction, request, source):
                if request.method == "REGISTER":
                    self._phones[request.to.uri.user] = source
                contact = request.headers.get("Contact") or "*"
                transaction.respond(200, headers=(("Contact", contact),), now=now)
            case IncomingInvite(invite):
                self._ring(invite, now)
            case InviteProgress(client=client):
                self._rings(client, now)
            case InviteAnswered(client=client, dialog=dialog, response=response):
                dialog.ack(client, now=now)
                self._answered(client, dialog, response.body, now)
            case DialogResponse(dialog, client, response):
                if isinstance(client, InviteClient) and response.status == 200:
                    dialog.ack(client, now=now)
                    self._moved(dialog.owner, client, dialog, response.body, now)
            case DialogRequest(dialog, transaction, request):
                self._within(dialog, transaction, request, now)
            case _:
                pass

    def _ring(self, invite, now):
        called = invite.request.uri.user
        rings = "201" if called == self._dialled else called
        client = self._invite(rings, invite.request.from_, invite.request.body, now)
        invite.owner = client.owner = Bridge(invite, rings, client, from_sdp=invite.request.body)
        self._bridges.append(invite.owner)

    def _rings(self, client, now):
        bridge = client.owner
        if client is bridge.client:
            bridge.invite.respond(180, headers=self._answer_name(bridge.rings), now=now)

    def _invite(self, extension, from_, body, now):
        there = self._phones[extension]
        uri = Uri(user=extension, host=there.host, port=there.port)
        return self._endpoint.invite(
            uri,
            from_=NameAddr(from_.display_name, from_.uri),
            to=NameAddr("", uri),
            destination=there,
            headers=(SDP,),
            body=body,
            now=now,
        )

    def _answered(self, client, dialog, body, now):
        bridge = client.owner
        dialog.owner = bridge
        if client is not bridge.client:
            self._moved(bridge, client, dialog, body, now)
            return
        bridge.to, bridge.to_sdp = dialog, body
        headers = (*self._answer_name(bridge.rings), SDP)
        bridge.from_ = bridge.invite.respond(200, headers=headers, body=body, now=now)
        bridge.from_.owner = bridge

    def _within(self, dialog, transaction, request, now):
        bridge = dialog.owner
        match request.method:
            case "BYE":
                transaction.respond(200, now=now)
                other = bridge.from_ if dialog is bridge.to else bridge.to
                if dialog in {bridge.from_, bridge.to}:
                    other.request("BYE", now=now)
            case "INVITE":  # a hold or a return, which the other side does not hear of
                sdp = bridge.to_sdp if dialog is bridge.from_ else bridge.from_sdp
                if b"a=sendonly" in request.body:
                    sdp = sdp.replace(b"a=sendrecv", b"a=recvonly")
                transaction.respond(200, headers=(SDP,), body=sdp, now=now)
            case "REFER":
                transaction.respond(202, now=now)
                self._transfer(bridge, refer_to(request), now)
            case _:
                transaction.respond(200, now=now)

    def _transfer(self, bridge, to, now):
        """Begin to move the caller: ring the department, or take it from the consultation."""
        replaces = to.uri.header("Replaces")
        if replaces is None:
            caller = bridge.invite.request.from_
            client = self._invite(to.uri.user, caller, bridge.from_sdp, now)
            client.owner = bridge
            bridge.moving[client] = (to.uri.user, None)
            return
        call_id = replaces.partition(";")[0]
        asked = next(each for each in self._bridges if each.from_.call_id == call_id)
        client = asked.to.request("INVITE", headers=(SDP,), body=bridge.from_sdp, now=now)
        asked.to.owner = bridge
        bridge.moving[client] = (asked.rings, asked)

    def _moved(self, bridge, client, department, body, now):
        """Connect the caller with the department, if this INVITE to it was part of a transfer."""
        if client not in bridge.moving:
            return
        party, asked = bridge.moving.pop(client)
        if asked is not None:
            asked.to = None
            asked.from_.request("BYE", now=now)
        left, bridge.to, bridge.to_sdp = bridge.to, department, body
        headers = (*self._name(party, self.names_transfers), SDP)
        bridge.from_.request("INVITE", headers=headers, body=body, now=now)
        progress = (("Event", "refer"), ("Subscription-State", "terminated;reason=noresource"))
        kind = ("Content-Type", "message/sipfrag")
        left.request("NOTIFY", headers=(*progress, kind), body=b"SIP/2.0 200 OK\r\n", now=now)

    def _answer_name(self, party):
        return self._name(party, self.names_answers)

    def _name(self, party, is_named):
        return (("P-Asserted-Identity", f"<sip:{party}@pbx.example>"),) if is_named else ()
