"""The first words of the party that answers, if the switch is late.

Many phones drop media that arrives before the answer. So the switch must send the answer first,
although both wait for it at the same time.
"""

from __future__ import annotations

import re
import signal
import time

import pytest

from helpers.aio import packet
from helpers.peers.waiting import wait_until
from helpers.peers.wire_peer import SDP, WirePeer
from telephony.sip.events import IncomingInvite

pytestmark = pytest.mark.peer

LINE = "01970000300"
WORDS = 25
"""The number of packets that the party sends with its answer: 0.5 s of sound."""


class OneSocketPeer(WirePeer):
    """A peer with one socket for SIP and media, so that it knows the order of both."""

    def _sdp(self):
        return re.sub(rb"m=audio \d+", b"m=audio %d" % self.address.port, super()._sdp())

    def media(self):
        """Return the place of each media packet in `received`."""
        return [n for n, text in enumerate(self.received) if text.startswith("\x80")]

    def answered(self):
        """Return the place of the answer in `received`."""
        return next(n for n, text in enumerate(self.received) if text.startswith("SIP/2.0 200 "))


class EagerAdvisor(OneSocketPeer):
    """A phone that answers and speaks at once, while the switch stands still."""

    def __init__(self, service):
        super().__init__(service, "127.0.0.1", "301")
        self._switch_process = service.processes["switch"].process

    def _take(self, event, now):
        if not isinstance(event, IncomingInvite):
            super()._take(event, now)
            return
        (port,) = re.findall(rb"m=audio (\d+)", event.invite.request.body)
        self._switch_process.send_signal(signal.SIGSTOP)
        try:
            event.invite.respond(200, headers=SDP, body=self._sdp(), now=now)
            self._flush()
            for number in range(WORDS):
                self._socket.sendto(packet(sequence=number), (self.switch.host, int(port)))
            time.sleep(0.2)
        finally:
            self._switch_process.send_signal(signal.SIGCONT)


@pytest.fixture
def service(start):
    """All three processes."""
    return start("switch", "desk", "finaliser", users=True)


def test_the_caller_gets_the_answer_first_and_then_every_word(service):
    caller, advisor = OneSocketPeer(service), EagerAdvisor(service)
    try:
        advisor.register()
        assert caller.call(LINE, "<sip:01970123456@carrier.example>") == 200
        wait_until(lambda: len(caller.media()) == WORDS, what="the last word")
        assert caller.answered() < caller.media()[0]
    finally:
        caller.close()
        advisor.close()
