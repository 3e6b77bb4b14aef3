"""A SIP peer on a real UDP socket: it writes any header field, and keeps each octet it receives."""

from __future__ import annotations

import socket
import threading
import time

from helpers.peers.waiting import wait_until
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    Address,
    DialogRequest,
    DialogResponse,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
    StandaloneResponse,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import parse_message
from telephony.sip.message.uri import Uri
from telephony.sip.ua.auth import DigestClient

SDP = (("Content-Type", "application/sdp"),)


class WirePeer:
    """A trunk, PBX or phone. It answers calls with `answer_headers`, and every request with 200."""

    def __init__(self, service, host="127.0.0.2", extension="", *, port=0):
        self.switch = Address(*service.sip)
        self.extension = extension
        self.received = []
        """Each datagram from the switch, as text."""
        self.answer_headers = ()
        self.dialog = None
        self.statuses = []
        """The status of each final response to our requests."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.settimeout(0.02)
        self.address = Address(*self._socket.getsockname())
        self._endpoint = Endpoint(user_agent="")
        self._endpoint.listen(self.address)
        digest = DigestClient(extension, f"secret-{extension}")
        self._endpoint.authenticate(
            lambda request, response, _: digest.answer(request, response, "c")
        )
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def register(self):
        """Register as the phone of our extension."""
        uri = Uri(host=self.switch.host, port=self.switch.port)
        own = NameAddr("", Uri(user=self.extension, host="galwad"))
        contact = f"<sip:{self.extension}@{self.address.host}:{self.address.port}>"
        with self._lock:
            self._endpoint.request(
                "REGISTER",
                uri,
                from_=own,
                to=own,
                destination=self.switch,
                headers=(("Contact", contact), ("Expires", "300")),
                now=time.monotonic(),
            )
            self._flush()
        self._wait_status(200)

    def call(self, number, from_, headers=(), to=""):
        """Place a call, and wait until it is answered or has failed; return the status."""
        before = len(self.statuses)
        uri = Uri(user=number, host=self.switch.host, port=self.switch.port)
        with self._lock:
            self._endpoint.invite(
                uri,
                from_=NameAddr.parse(from_),
                to=NameAddr.parse(to) if to else NameAddr("", uri),
                destination=self.switch,
                headers=(*headers, *SDP),
                body=self._sdp(),
                now=time.monotonic(),
            )
            self._flush()
        return self._next_status(before)

    def ask(self, method, headers=(), body=b""):
        """Send a request within the call, and return the status of its response."""
        before = len(self.statuses)
        assert self.dialog is not None
        with self._lock:
            self.dialog.request(method, headers=headers, body=body, now=time.monotonic())
            self._flush()
        return self._next_status(before)

    def throw(self, data):
        """Send octets to the switch as they are."""
        self._socket.sendto(data, tuple(self.switch[:2]))

    def got(self, method):
        """Return the requests of this method that have come from the switch."""
        texts = [text for text in self.received if text.startswith(f"{method} ")]
        return [parse_message(text.encode("latin-1")) for text in texts]

    def responses(self, status):
        """Return the responses of this status that have come from the switch."""
        texts = [text for text in self.received if text.startswith(f"SIP/2.0 {status} ")]
        return [parse_message(text.encode("latin-1")) for text in texts]

    def close(self):
        """Stop."""
        self._ends.set()
        self._thread.join()
        self._socket.close()

    def _next_status(self, before):
        wait_until(lambda: len(self.statuses) > before, what="a final response")
        return self.statuses[before]

    def _wait_status(self, status):
        wait_until(lambda: status in self.statuses, what=str(status))

    def _sdp(self):
        return (
            f"v=0\r\no=- 1 1 IN IP4 {self.address.host}\r\ns=-\r\nc=IN IP4 {self.address.host}\r\n"
            "t=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        ).encode()

    def _run(self):
        while not self._ends.is_set():
            try:
                data, (host, port) = self._socket.recvfrom(65535)
            except TimeoutError:
                data = b""
            with self._lock:
                now = time.monotonic()
                if data:
                    self.received.append(data.decode("latin-1"))
                    self._endpoint.receive(data, Address(host, port), self.address, now)
                if (self._endpoint.next_timer() or now + 1) <= now:
                    self._endpoint.handle_timer(now)
                while (event := self._endpoint.next_event()) is not None:
                    self._take(event, now)
                self._flush()

    def _take(self, event, now):
        match event:
            case IncomingInvite(invite):
                invite.respond(180, headers=self.answer_headers, now=now)
                more = (*self.answer_headers, *SDP)
                self.dialog = invite.respond(200, headers=more, body=self._sdp(), now=now)
            case DialogRequest(_, transaction, request):
                body = self._sdp() if request.method == "INVITE" else b""
                headers = SDP if body else ()
                transaction.respond(200, headers=headers, body=body, now=now)
            case InviteAnswered(client=client, dialog=dialog, response=response):
                dialog.ack(client, now=now)
                self.dialog = dialog
                self.statuses.append(response.status)
            case InviteFailed(status=status):
                self.statuses.append(status)
            case StandaloneResponse(response=response) | DialogResponse(response=response):
                if response is not None and response.status >= 200:
                    self.statuses.append(response.status)
            case _:
                pass

    def _flush(self):
        for message in self._endpoint.outgoing():
            self._socket.sendto(message.data, tuple(message.destination[:2]))
