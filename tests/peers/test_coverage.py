"""`galwad calls coverage` on real calls: every second is explained, until a manifest is deleted."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3

import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.programs import Callee, Caller, register
from helpers.peers.service import PASSWORD
from helpers.peers.sound import find
from helpers.peers.waiting import wait_until
from helpers.processes import run_galwad

pytestmark = pytest.mark.peer


def coverage(service, *more):
    """Return the exit status and the standard output of the command."""
    with service.sign_in("ceri") as client:
        body = {"user": "ceri", "password": PASSWORD, "client": "cli"}
        token = client.post("/api/v1/login", json=body).json()["token"]
    signed_in = {**os.environ, "GALWAD_SERVER": service.url, "GALWAD_TOKEN": token}
    words = ("calls", "coverage", "--date", "last 2 days")
    done = run_galwad(*words, *more, env=signed_in)
    return done.returncode, done.stdout


def test_coverage_explains_every_second_of_a_call_with_a_pause_and_a_crash(service, place_call):
    call = place_call()
    with service.sign_in() as page:
        path = f"/api/v1/calls/{call.call_id}/payment"
        call.caller.say(speech(1, 31), call.from_caller)
        page.put(path, json={})
        call.caller.say(speech(1, 32), call.from_caller)
        page.request("DELETE", path)
    service.kill("switch")
    service.start("switch")
    service.log.wait("call.resumed", call_id=call.call_id)
    call.caller.say(speech(1, 33), call.from_caller)
    call.hang_up()
    recording = Recording(service, call.call_id)
    status, out = coverage(service, "--json")
    found = json.loads(out)
    assert (status, found["calls"], found["unexplained_us"]) == (0, 1, 0)
    assert found["talk_us"] == recording.manifest["talk_us"]
    assert found["recorded_us"] + found["gap_us"] == found["talk_us"]
    (recording.folder / f"{call.call_id}.manifest").unlink()
    status, out = coverage(service)
    assert status == 1
    assert f"!  its manifest is missing from the archive: restore {call.call_id}.manifest" in out
    assert "s unexplained" in out.splitlines()[-1]


def test_a_lost_fork_of_a_pbx_that_rings_all_leaves_one_call_and_one_recording(
    service, place_call, ended
):
    call = place_call()
    phone = ended(Callee(service.folder, "uas", "127.0.0.1"))
    register(service, "301", phone.port)
    lost = ended(Caller(service, "01970000300", scenario="uac_lost_fork"))
    lost.wait()
    phone.wait()
    call_id = service.log.wait("call.lost_fork")["call_id"]
    assert list(service.state.joinpath("spool").glob(f"{call_id}.*")) == []
    said = speech(1, 34)
    call.caller.say(said, call.from_caller)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert find(recording.caller, said)[1] > 0.95
    with service.sign_in("ceri") as page:
        rows = page.post("/api/v1/recordings/search", json={}).json()["rows"]
        shown = page.get("/api/v1/calls").json()
    assert [row["call_id"] for row in rows] == [call.call_id]
    assert call_id not in {each["call_id"] for each in shown}
    status, out = coverage(service, "--json")
    assert (status, json.loads(out)["calls"]) == (0, 1)


def test_coverage_reports_a_call_whose_spool_was_lost_while_the_desk_was_down(service, place_call):
    """Desk and switch die and the call's spool is lost: only the switch's outbox has its end."""
    service.kill("desk")
    call = place_call()
    call.caller.say(speech(1, 31), call.from_caller)
    service.kill("finaliser")
    call.hang_up()
    outbox = service.state / "switch" / "ended.jsonl"
    wait_until(lambda: outbox.exists() and call.call_id in outbox.read_text())
    service.kill("switch")
    for spool in (service.state / "spool").glob(f"{call.call_id}.*"):
        spool.unlink()
    service.start("switch", "desk", "finaliser")
    wait_until(lambda: outbox.stat().st_size == 0, what="the outbox")
    status, out = coverage(service, "--json")
    found = json.loads(out)
    assert (status, found["calls"], found["in_progress"]) == (0, 0, 1)
    with contextlib.closing(sqlite3.connect(service.state / "desk" / "galwad.db")) as connection:
        # As if an hour had passed: until then its recording may still be indexed.
        shift = "answered = answered - 3600, ended = ended - 3600"
        connection.execute(f"UPDATE answered_calls SET {shift}")
        connection.commit()
    status, out = coverage(service, "--json")
    found = json.loads(out)
    assert (status, found["calls"]) == (1, 1)
    (amiss,) = found["amiss"]
    assert amiss["call_id"] == call.call_id
    assert found["unexplained_us"] == amiss["talk_us"] > 900_000
    assert "neither recording nor spool" in amiss["problems"][0]
