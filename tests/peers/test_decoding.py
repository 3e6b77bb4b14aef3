"""The helper that has tshark judge a capture: sound captures pass, faults are named."""

from __future__ import annotations

import socket

import pytest

from helpers.loopback import free_port
from helpers.peers.decoding import Capture

pytestmark = pytest.mark.peer

OPTIONS = (
    "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\n"
    "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
)
SOUND = OPTIONS + "Content-Length: 0\r\n\r\n"
NO_LENGTH = SOUND.replace("Content-Length: 0", "Content-Length: none")
NO_SDP = OPTIONS + "Content-Type: application/sdp\r\nContent-Length: 8\r\n\r\nnonsense"


@pytest.fixture
def overheard(tmp_path, ended):
    """Sends messages and returns the capture with them."""

    def overheard(*messages):
        port, media = (free_port("127.0.0.1") for _ in range(2))
        capture = ended(Capture(tmp_path, [port], (media, media)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for message in messages:
                sender.sendto(message.encode(), ("127.0.0.1", port))
        return capture

    return overheard


def test_a_capture_without_a_fault_passes(overheard):
    assert "sip" in overheard(SOUND).judge()


@pytest.mark.parametrize("message", [NO_LENGTH, NO_SDP])
def test_a_malformed_message_in_a_capture_is_reported(overheard, message):
    (fault,) = overheard(SOUND, message).faults()
    assert "sip" in fault[3]
