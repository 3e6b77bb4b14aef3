"""Ten thousand spools left by an outage: calls come first, and each spool is sealed."""

from __future__ import annotations

import sys
import time

import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.programs import Callee, Caller
from helpers.peers.service import Service
from helpers.peers.sound import find
from helpers.peers.waiting import wait_until
from recording.keys.keyring import load_boot_key
from recording.spool import Clock, SpoolWriter

pytestmark = [pytest.mark.peer, pytest.mark.long]

LEFT = 10_000


@pytest.fixture
def leftovers(officer, tmp_path):
    """A service that has not started, and the spools that an earlier one left."""
    service = Service(tmp_path, officer)
    service.add_users()
    service.start("switch")  # which creates the folders and the key
    service.processes.pop("switch").end()
    spool, keys = service.state / "spool", service.runtime / "spool-keys"
    boot_key = load_boot_key(service.runtime / "boot.key")
    assert boot_key is not None
    for number in range(LEFT):
        call_id = f"20260301-{number // 3600:02}{number // 60 % 60:02}{number % 60:02}-abcdefgh"
        started = Clock(1_772_323_200.0 + number, 1000.0)
        writer = SpoolWriter.create(spool, keys, call_id, 1, boot_key, None, started)
        writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
        writer.close(1_000_000)
    yield service
    service.stop()
    service.judge()


def sealed(service):
    return len(list(service.state.joinpath("archive").rglob("*.manifest")))


def test_a_new_call_is_answered_and_sealed_before_the_spools_left_by_an_outage(
    leftovers, ended, talker, capsys
):
    service = leftovers
    began = time.monotonic()
    service.start("switch", "desk", "finaliser")
    up = time.monotonic() - began
    wait_until(lambda: sealed(service), what="the first of them")
    advisor, caller = talker("127.0.0.3"), talker("127.0.0.2")
    began = time.monotonic()
    callee_sip = ended(
        Callee(service.folder, "uas", "127.0.0.3", port=service.pbx_port, media=advisor.port)
    )
    caller_sip = ended(Caller(service, "01970000200", media=caller.port))
    call_id = service.log.wait("call.answered")["call_id"]
    answered = time.monotonic() - began
    said = speech(2, 95)
    caller.say(said, caller_sip.media_target)
    caller_sip.hang_up()
    callee_sip.wait()
    waiting = len(list(service.state.joinpath("spool").glob("*.spool")))
    recording = Recording(service, call_id)
    assert find(recording.caller, said)[1] > 0.95
    assert recording.adds_up()
    assert waiting > LEFT / 2
    with capsys.disabled():
        sys.stdout.write(
            f"\n  {LEFT} spools left: all up after {up:.1f} s, a call answered {answered:.2f} s"
            f" after its start and fetchable {recording.took:.1f} s after its end,"
            f" with {waiting} spools still waiting\n"
        )
