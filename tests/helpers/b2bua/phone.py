"""A phone made of a real SIP core: it acts when called, answers as set and keeps all messages."""

from collections import deque
from dataclasses import dataclass

from helpers.b2bua.network import SWITCH, SWITCH6, Node
from telephony.sdp import SessionDescription
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
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri

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


@dataclass
class Reply:
    """How a phone answers an INVITE: provisional statuses, then a final one (None: not yet)."""

    provisional: tuple = (180,)
    final: int | None = 200
    reason: str | None = None
    early: bool = False
    headers: tuple = ()
    body: bytes | None = None
    final_headers: tuple = ()


class Phone(Node):
    """A user agent whose behaviour is set by attributes; it keeps all received messages."""

    def __init__(self, network, host, seed, **options):
        super().__init__(network, Address(host, 5060), seed, **options)
        self.codecs: tuple[str, ...] = ("0 PCMU/8000", "8 PCMA/8000")
        self.reply = Reply()
        self.incoming = deque[bytes]()
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
                reply.reason,
                headers=(*reply.headers, *reply.final_headers, *(SDP if good and body else ())),
                body=body if good else b"",
                now=self.now,
            )
            or self.dialog
        )

    def ask(self, method, headers=(), body=b""):
        assert self.dialog is not None
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
        """Return the last SDP that the switch sent to this phone."""
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
                self.serve(dialog, transaction, request)
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
                self.acknowledge(event.dialog, event.client)
        elif isinstance(event, DialogResponse):
            method, status = event.transaction.request.method, response.status
            if method == "INVITE" and 200 <= status < 300:
                self.acknowledge(event.dialog, event.transaction)
            if (method, status) == ("REFER", 202) and self.bye_at_accept:
                event.dialog.request("BYE", now=self.now)

    def acknowledge(self, dialog, client):
        body = b"" if client.request.body else self.sdp()
        dialog.ack(client, headers=SDP if body else (), body=body, now=self.now)

    def serve(self, dialog, transaction, request):
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
