"""Floods of connections to the desk, beside a call in progress whose advisor must be able to pause.

Each flood is bounded, and its connections end with the test.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import time

import httpx2
import pytest

from galwad.simulate.sound import speech
from helpers.examples import long_after
from helpers.peers.evidence import Recording
from helpers.peers.sound import find

pytestmark = pytest.mark.peer

STRANGERS = [f"127.66.0.{number}" for number in range(1, 5)]
HALF = b"POST /api/v1/login HTTP/1.1\r\nHost: desk\r\nContent-Length: 200\r\n\r\n{"
FILES = 1024


@pytest.fixture
def crowd():
    """Open this number of connections from these addresses; each sends half a request."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    with contextlib.ExitStack() as stack:

        def crowd(service, hosts, count):
            made = []
            for number in range(count):
                each = stack.enter_context(socket.socket())
                each.setblocking(False)
                each.bind((hosts[number % len(hosts)], 0))
                each.connect_ex(("127.0.0.1", service.desk_port))
                made.append(each)
            time.sleep(0.5)
            for each in made:
                with contextlib.suppress(OSError):
                    each.send(HALF)
            time.sleep(0.5)

        yield crowd
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def state_by(page, call, method):
    """Pause or resume over a new connection, and return the state of the recording."""
    path, close = f"/api/v1/calls/{call.call_id}/payment", {"Connection": "close"}
    return page.request(method, path, headers=close).json()["state"]


def test_an_advisor_pauses_with_the_page_while_strangers_hold_thousands_of_connections(
    service, place_call, crowd
):
    """Six thousand connections: 2.5 s of CPU time."""
    call = place_call()
    with service.sign_in() as page, page.stream("GET", "/api/v1/events") as events:
        assert next(events.iter_lines()) == "event: snapshot"
        crowd(service, STRANGERS, 3000)
        assert state_by(page, call, "PUT") == "paused"
        secret = speech(1, 81)
        call.caller.say(secret, call.from_caller)
        call.advisor.wait_heard(call.caller.sent)
        crowd(service, ["127.0.0.1"], 3000)
        assert state_by(page, call, "DELETE") == "recording"
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert [gap["reason"] for gap in recording.gaps()] == ["payment"]
    assert find(recording.caller, secret)[1] < 0.3


def dial_the_code(call):
    call.advisor.dial("*71", call.from_advisor)


def press_the_record_key(call):
    call.callee_sip.poke(call.callee_sip.sip_call_id)


SCENARIOS = {dial_the_code: "uas_plain", press_the_record_key: "uas_record"}


@pytest.mark.parametrize(
    ("pull", "trigger"), long_after(1, [(dial_the_code, "dtmf"), (press_the_record_key, "phone")])
)
def test_the_phone_pauses_by_code_and_key_while_the_desk_has_no_file_left(
    service, place_call, crowd, pull, trigger
):
    call = place_call(SCENARIOS[pull])
    with service.sign_in():
        pid = service.processes["desk"].pid
        taken = subprocess.run(
            ["prlimit", f"--pid={pid}", "--nofile=24:"], check=False, capture_output=True
        )
        assert taken.returncode == 0
        crowd(service, STRANGERS, 200)
        with pytest.raises((httpx2.HTTPError, AssertionError)), service.sign_in(seconds=10):
            pass
    pull(call)
    service.log.wait("payment.pause", call_id=call.call_id, trigger=trigger)
    subprocess.run(["prlimit", f"--pid={pid}", "--nofile=16384:"], check=True)
    secret = speech(1, 82)
    call.caller.say(secret, call.from_caller)
    call.advisor.wait_heard(call.caller.sent)
    call.caller_sip.hang_up()  # the scenario with the key would wait for further keys
    recording = Recording(service, call.call_id)
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["trigger"], gap["actor"]) == ("payment", trigger, "phone:201")
    assert find(recording.caller, secret)[1] < 0.3
