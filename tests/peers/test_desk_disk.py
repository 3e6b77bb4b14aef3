"""The disk of the database hangs: pauses still reach the gate, and pages still show calls."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing, contextmanager

import pytest

from galwad.simulate.sound import speech
from helpers.peers.disks import Disk
from helpers.peers.sound import FRAME
from helpers.peers.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.peer


@pytest.fixture
def disk(tmp_path, ended):
    """A separate disk for the database."""
    return ended(Disk.made(tmp_path / "disk.img", tmp_path / "state" / "desk", 32))


@pytest.fixture
def service(disk, start):
    return start("switch", "desk", "finaliser", users=True)


@contextmanager
def page_of(service):
    """Sian, signed in a while ago: her client, and the call events of her page."""
    with service.sign_in() as page, page.stream("GET", "/api/v1/events") as answer:
        with closing(sqlite3.connect(service.state / "desk" / "galwad.db")) as database, database:
            database.execute("UPDATE sessions SET seen = seen - 300")
        yield page, pops(answer.iter_lines())


def pops(lines):
    """Return each pop event; a keep-alive of the desk gives an empty one."""
    for line in lines:
        told = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
        yield from told.get("calls", [told])


def heard(told, call, state):
    """Return whether the page receives this state of the call's recording."""
    wanted, limit = (call.call_id, state), time.monotonic() + PATIENCE_S
    for pop in told:
        if (pop.get("call_id"), pop.get("recording")) == wanted:
            return True
        if time.monotonic() > limit:
            return False
    return False


def talk(call, seed):
    """Let the caller speak for two seconds, and wait until the advisor has heard all of it."""
    said, before = speech(2, seed), len(call.advisor.heard)
    call.caller.say(said, call.from_caller)
    call.advisor.wait_heard(before + len(said) // FRAME)
    return said


def test_a_hung_database_disk_delays_no_pause_and_makes_a_resume_fail_with_503(
    service, disk, place_call, judge
):
    call = place_call()
    path = f"/api/v1/calls/{call.call_id}/payment"
    with page_of(service) as (page, told):
        assert heard(told, call, "recording")
        before = talk(call, 61)
        with disk.frozen():
            reply = page.put(path).json()
            assert (reply["state"], reply["durable"]) == ("paused", True)
            assert heard(told, call, "paused")
            secret = talk(call, 62)
            reply = page.request("DELETE", path)
            assert (reply.status_code, reply.json()["error"]) == (503, "the audit does not answer")
        still = talk(call, 63)
        assert page.request("DELETE", path).json()["state"] == "recording"
        assert heard(told, call, "recording")
        after = talk(call, 64)
    call.hang_up()
    kept, lost = [(0, before), (0, after)], [(0, secret), (0, still)]
    judge(service, call.call_id, kept, lost, ["payment"])
    wanted = ["payment.pause", "payment.resume", "payment.resume"]
    with service.sign_in("ceri") as admin:
        wait_until(lambda: payments_audited(admin, call) == wanted, what="the pause in the audit")


def payments_audited(admin, call):
    """Return the payment events of this call in the audit."""
    found = admin.post("/api/v1/audit/search", json={"call_id": call.call_id}).json()
    kinds = [json.loads(json.loads(line)["body"])["kind"] for line in found["lines"]]
    return sorted(kind for kind in kinds if kind.startswith("payment."))


def test_a_call_that_starts_while_the_database_disk_hangs_is_shown_and_can_be_paused(
    service, disk, place_call
):
    with page_of(service) as (page, told):
        assert page.get("/api/v1/me").status_code == 200
        with disk.frozen():
            call = place_call()
            assert heard(told, call, "recording")
            reply = page.put(f"/api/v1/calls/{call.call_id}/payment").json()
            assert (reply["state"], reply["durable"]) == ("paused", True)
            assert heard(told, call, "paused")
    call.hang_up()
    service.log.wait("recording.indexed", call_id=call.call_id)
