"""Requests of a host that knows a call's Call-ID and tags, and is not a party of the call."""

from __future__ import annotations

import contextlib
import re
import socket
import time

import pytest

from galwad.simulate.sound import speech
from helpers.peers.sound import find
from helpers.peers.waiting import PATIENCE_S, wait_until

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
        self._socket.settimeout(PATIENCE_S)
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


INVITE = (
    "INVITE sip:01970000200@127.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {source}:{source_port};branch=z9hG4bK{branch}\r\n"
    "From: <sip:01632960123@127.0.0.2>;tag=f{branch}\r\nTo: <sip:01970000200@127.0.0.1>\r\n"
    "Call-ID: {branch}@forged\r\nCSeq: 1 INVITE\r\nContact: <sip:x@{source}:{source_port}>\r\n"
    "Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n"
)


@contextlib.contextmanager
def forged_call(service, host, port, source="127.0.0.2"):
    """Send an INVITE from the trunk's address whose SDP names this address; never send an ACK.

    Yield a function that returns the status of the final response.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        sender.settimeout(PATIENCE_S)
        body = SDP.format(host=host, port=port)
        head = INVITE.format(
            source=source,
            source_port=sender.getsockname()[1],
            branch=time.monotonic_ns(),
            length=len(body),
        )
        sender.sendto((head + body).encode(), service.sip)

        def final():
            while True:
                status = int(sender.recv(4096)[8:11])
                if status >= 200:
                    return status

        yield final


def test_an_invite_with_a_victims_address_directs_no_media_to_the_victim(stage, talker):
    service = stage.open("switch")
    victim, advisor = talker("127.0.0.8"), talker("127.0.0.3")
    callee = stage.callee("uas_plain", media=advisor.port)
    with forged_call(service, victim.host, victim.port) as final:
        assert final() == 200
        target = callee.media_target
        advisor.say(speech(1, 51), target)
        assert victim.heard == []
    with forged_call(service, "127.0.0.2", victim.port):
        pass
    callee.end()


@pytest.mark.parametrize(
    "host", ["224.0.0.1", "255.255.255.255", "240.0.0.1", "0.1.2.3", "switch.example"]
)
def test_an_invite_whose_sdp_names_no_usable_address_gets_488(stage, host):
    service = stage.open("switch")
    with forged_call(service, host, 4000) as final:
        assert final() == 488


def test_an_invite_of_an_untrusted_trunk_whose_sdp_names_a_media_port_of_the_switch_gets_488(
    stage, talker
):
    untrusted = '[[trunks]]\nname = "other"\npeers = ["127.0.0.7"]\n'
    service = stage.open("switch", more="\n" + untrusted)
    with forged_call(service, "127.0.0.1", service.first_media_port, "127.0.0.7") as final:
        assert final() == 488
