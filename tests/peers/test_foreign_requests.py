"""Requests of a host that knows a call's Call-ID and tags, and is not a party of the call."""

from __future__ import annotations

import re
import socket
import time

import pytest

from helpers.peers.sound import find, speech
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

SDP = (
    "v=0\r\no=x 9 9 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


class Foreigner:
    """A host that has read the callee's messages, and sends requests in the callee's dialog."""

    def __init__(self, service, call, host="127.0.0.9"):
        self.host = host
        self._service = service
        self._number = 900
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(3)
        seen = call.callee_sip.messages()
        answer = seen[seen.index("SIP/2.0 200 OK") :]
        self._call_id, self._switch, self._callee = (
            re.findall(rf"(?mi)^{name}: *(.*?)\r?$", answer)[0]
            for name in ("Call-ID", "From", "To")
        )

    def ask(self, method, *headers, body=""):
        """Send a request; return the status of the response."""
        self._number += 1
        host, port = self._socket.getsockname()
        lines = [
            f"{method} sip:galwad@{self._service.sip[0]}:{self._service.sip[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{time.monotonic_ns()}",
            f"From: {self._callee}",
            f"To: {self._switch}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {self._number} {method}",
            f"Contact: <sip:x@{host}:{port}>",
            "Max-Forwards: 70",
            *headers,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._socket.sendto(("\r\n".join([*lines, "", ""]) + body).encode(), self._service.sip)
        while True:
            reply = self._socket.recv(4096)
            if reply.startswith(b"SIP/2.0 1") or f"CSeq: {self._number}".encode() not in reply:
                continue
            return int(reply[8:11])

    def close(self):
        self._socket.close()


def test_a_host_that_knows_the_ids_of_a_call_cannot_move_end_transfer_or_resume_it(
    service, place_call, talker, ended
):
    call, thief = place_call("uas_plain"), talker("127.0.0.9")
    foreigner = ended(Foreigner(service, call))
    call.advisor.say(speech(1, 51), call.from_advisor)
    call.advisor.dial("*71", call.from_advisor)
    with service.sign_in() as page:

        def state():
            return [pop["recording"] for pop in page.get("/api/v1/calls").json()]

        wait_until(lambda: state() == ["paused"], what="the pause")
        offer = SDP.format(host=thief.host, port=thief.port)
        statuses = [
            foreigner.ask("INFO", "Record: on"),
            foreigner.ask("INVITE", body=offer),
            foreigner.ask("UPDATE", body=offer),
            foreigner.ask("REFER", "Refer-To: <sip:500@127.0.0.4>"),
            foreigner.ask("BYE"),
        ]
        secret = speech(1, 52)
        call.caller.say(secret, call.from_caller)
        call.advisor.wait_heard(call.caller.sent)
        assert state() == ["paused"]
    assert statuses == [403] * 5
    assert thief.heard == []
    assert find(call.advisor.audio(), secret)[1] > 0.95
    service.log.wait("alarm", kind="dialog.foreign_request")
    call.hang_up()
