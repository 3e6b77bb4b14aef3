"""`galwad calls coverage` on real calls: every second explained, until somebody takes one away."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

pytestmark = pytest.mark.peer


def coverage(harness, service, *more):
    """Status and standard output, as the officer sees them."""
    with service.sign_in("ceri") as client:
        body = {"user": "ceri", "password": harness.service.PASSWORD, "client": "cli"}
        token = client.post("/api/v1/login", json=body).json()["token"]
    done = subprocess.run(
        [*harness.service.GALWAD, "calls", "coverage", "--date", "last 2 days", *more],
        env={**os.environ, "GALWAD_SERVER": service.url, "GALWAD_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


def test_calls_with_a_pause_and_a_crash_are_explained_to_the_last_second(
    harness, service, place_call
):
    call = place_call()
    with service.sign_in() as page:
        path = f"/api/v1/calls/{call.call_id}/payment"
        call.caller.say(harness.sound.speech(1, 31), call.from_caller)
        page.put(path, json={})
        call.caller.say(harness.sound.speech(1, 32), call.from_caller)
        page.request("DELETE", path)
    service.kill("switch")
    service.start("switch")
    service.log.wait("call.resumed", call_id=call.call_id)
    call.caller.say(harness.sound.speech(1, 33), call.from_caller)
    call.hang_up()
    recording = harness.evidence.Recording(service, call.call_id)
    status, out = coverage(harness, service, "--json")
    found = json.loads(out)
    assert (status, found["calls"], found["unexplained_us"]) == (0, 1, 0)
    assert found["talk_us"] == recording.manifest["talk_us"]
    assert found["recorded_us"] + found["gap_us"] == found["talk_us"]
    (recording.folder / f"{call.call_id}.manifest").unlink()
    status, out = coverage(harness, service)
    assert status == 1
    assert f"!  its manifest is missing from the archive: restore {call.call_id}.manifest" in out
    assert "s unexplained" in out.splitlines()[-1]
