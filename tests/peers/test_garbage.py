"""Random octets on ports and sockets of the switch and the desk, while a call continues."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable

import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.sound import Chorus, find

pytestmark = pytest.mark.peer

HOSTILE = (
    b"",
    b"\0" * 1200,
    b"INVITE sip:x SIP/2.0\r\n\r\n",
    b"SIP/2.0 200 OK\r\nVia: \r\nCSeq: 999999999999 INVITE\r\n\r\n",
    b"BYE sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nContent-Length: -1\r\n\r\n",
    b"INVITE sip:\xff\xfe SIP/2.0\r\nFrom: \xc3\x28\r\n\r\n",
    b"\x80\x00" + b"\0" * 4,
    b"\x8f\x00" + b"\xff" * 40,
    b"GET / HTTP/1.1\r\nHost: \0\r\nContent-Length: 99999999999\r\n\r\n",
)


def throw_at_udp(address, dice):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in HOSTILE:
            sender.sendto(data, address)
        for _ in range(300):
            sender.sendto(dice.randbytes(dice.randrange(1, 1400)), address)


def throw_at_stream(family, address, dice):
    for data in (*HOSTILE, *(dice.randbytes(400) for _ in range(20))):
        with socket.socket(family, socket.SOCK_STREAM) as sender:
            sender.connect(address)
            sender.sendall(data)


def test_garbage_on_ports_and_sockets_of_switch_and_desk_does_not_harm_a_call_in_progress(
    service, place_call
):
    call = place_call()
    said = speech(4, 121), speech(4, 122)
    chorus = Chorus()
    chorus.say("caller", call.caller, said[0], call.from_caller)
    chorus.say("advisor", call.advisor, said[1], call.from_advisor)
    dice = random.Random(5)
    targets: list[tuple[Callable, tuple]] = [
        (throw_at_udp, (service.sip, dice)),
        (throw_at_udp, (call.from_caller, dice)),
        (throw_at_udp, ((call.from_advisor[0], call.from_advisor[1] + 1), dice)),
        (throw_at_stream, (socket.AF_INET, ("127.0.0.1", service.desk_port), dice)),
        (throw_at_stream, (socket.AF_UNIX, str(service.runtime / "switch.sock"), dice)),
        (throw_at_stream, (socket.AF_UNIX, str(service.runtime / "desk.sock"), dice)),
    ]
    threads = [threading.Thread(target=throw, args=given) for throw, given in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chorus.wait()
    call.caller.wait_heard(200)
    call.advisor.wait_heard(200)
    call.hang_up()
    assert find(call.advisor.audio(), said[0])[1] > 0.99
    assert find(call.caller.audio(), said[1])[1] > 0.99
    recording = Recording(service, call.call_id)
    assert find(recording.caller, said[0])[1] > 0.95
    assert find(recording.advisor, said[1])[1] > 0.95
    assert recording.gaps() == []
    assert recording.adds_up()
