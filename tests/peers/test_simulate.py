"""`galwad simulate call` against the real service: it passes, and it names each fault."""

from __future__ import annotations

import json
from functools import partial

import pytest

from helpers.peers.client import OfficerClient

pytestmark = pytest.mark.peer


@pytest.fixture
def client(service, tmp_path):
    """The officer, who runs the command from the trunk's address."""
    return OfficerClient(service, tmp_path / "client")


@pytest.fixture
def simulate(client):
    """Runs `galwad simulate call`, and returns its steps by name."""
    return partial(client.simulate, "call")


def fine(steps):
    return {step["verdict"] for step in steps.values()} <= {"ok", "warn"}


def alike(steps, name):
    return steps[name]["figures"]["alike"]


def test_simulate_proves_a_call_with_dtmf_a_pause_and_its_recording(service, simulate):
    steps = simulate(
        *("--answer", "201", "--talk", "1", "--dtmf", "12#", "--pause", "1"),
        *("--identity", service.keys.identity),
        passwords=[service.sip_password],
    )
    assert fine(steps)
    assert steps["answer"]["figures"]["statuses"][-1] == 200
    assert steps["keys"]["figures"] == {"keys": 3}
    assert alike(steps, "talk: caller to 201") > 0.95
    assert alike(steps, "talk: 201 to caller") > 0.95
    assert alike(steps, "recorded: talk, caller") > 0.95
    assert alike(steps, "recorded: after the pause, advisor") > 0.95
    assert alike(steps, "not recorded: paused") < 0.3
    assert steps["payment gap"]["figures"]["seconds"] > 0.9
    assert steps["adds up"]["verdict"] == "ok"


def test_simulate_allows_for_the_half_second_that_a_pause_erases_by_default(start, tmp_path):
    service = start("switch", "desk", "finaliser", users=True, erase_back="")
    steps = OfficerClient(service, tmp_path / "client").simulate(
        *("call", "--answer", "201", "--talk", "4", "--pause", "1"),
        *("--identity", service.keys.identity),
        passwords=[service.sip_password],
    )
    assert fine(steps)
    assert alike(steps, "recorded: talk, caller") > 0.95
    assert 0.4 < steps["erased gap"]["figures"]["seconds"] <= 0.5
    assert steps["payment gap"]["figures"]["seconds"] > 0.9
    assert steps["adds up"]["verdict"] == "ok"


def test_simulate_follows_attended_and_blind_transfers(service, simulate):
    both = ("--answer", "201", "--answer", "301", "--talk", "1")
    passwords = [service.sip_password, "secret-301"]
    identity = ("--identity", service.keys.identity)
    joined = simulate(*both, "--attended", "301", *identity, passwords=passwords)
    assert fine(joined)
    assert alike(joined, "after the transfer: 301 to caller") > 0.95
    assert alike(joined, "recorded: after the transfer, advisor") > 0.95
    blind = simulate(*both, "--transfer", "301", passwords=passwords)
    assert fine(blind)
    assert alike(blind, "after the transfer: caller to 301") > 0.95


def test_simulate_pauses_by_the_api_and_sums_up_many_calls(service, simulate):
    machine = ("users", "add", "pay", "--role", "machine", "--right", "payments", "--json")
    token = json.loads(service.galwad(*machine))["token"]
    answered = {"passwords": [service.sip_password]}
    by_api = ("--answer", "201", "--talk", "1", "--pause", "1", "--pause-by", "api")
    paused = simulate(*by_api, **answered, GALWAD_PAUSE_TOKEN=token)
    assert paused["pause"]["verdict"] == paused["resume"]["verdict"] == "ok"
    load = ("--answer", "201", "--talk", "1", "--calls", "5", "--rate", "10")
    many = simulate(*load, **answered)
    assert many["calls"]["figures"] == {"answered": 5}
    assert alike(many, "sound") > 0.6  # a busy machine sends and hears five calls with gaps


def test_simulate_names_faults_of_registration_ringing_and_recording_with_a_hint(
    service, client, simulate
):
    def named(step, text, *options, passwords=(), **where):
        steps = simulate(*options, passwords=passwords, status=1, where=where)
        assert (steps[step]["verdict"], steps[step]["text"][: len(text)]) == ("fail", text)
        assert steps[step]["hint"]
        error, hint = client.error.splitlines()
        assert error.startswith(f"error: {step}: {text}")
        assert hint.startswith("hint: ")

    answer, phone = ("--answer", "201"), ("--as", "301")
    named("register 201", "401: wrong password for 201", *answer, passwords=["wrong"])
    named("ring", "480: no phone could be rung")
    named("ring", "404: there is no route for 01970999999", number="01970999999")
    named("ring", "401: 127.0.0.7 is not a trunk there", bind="127.0.0.7")
    local = {"bind": "127.0.0.1"}
    named("ring", "401: wrong password for 301", *phone, passwords=["no"], **local)
    passwords = ["secret-301", service.sip_password]
    unrecorded = (*phone, *answer, "--identity", service.keys.identity)
    named("recording", "the recording does not begin", *unrecorded, passwords=passwords, **local)
