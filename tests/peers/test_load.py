"""Many calls at once beside a busy desk: a short run of `benchmarks/load.py`."""

from __future__ import annotations

import pytest

from helpers.loopback import claim
from helpers.peers import benchmarks
from helpers.peers.programs import program
from helpers.units import memory_max_mb

pytestmark = [pytest.mark.peer, pytest.mark.long]

CALLS, SECONDS = 50, 8
PACKETS = CALLS * SECONDS * 50
"""Least that the callers send; as many come from the callees, SIPp's echoes among them."""


MARGIN = 3
"""How many times the memory that a process uses here its unit must allow."""


def test_a_busy_desk_costs_the_calls_no_packet_and_no_recording(tmp_path):
    program("sipp", "sip-tester")
    ports = claim(1000)
    size = ("--rows", 20_000, "--calls", CALLS, "--seconds", SECONDS)
    told = benchmarks.run(tmp_path, "load.py", *size, "--first-port", ports.first)
    ports.close()
    for run in (told["control"], told):
        assert (run["lost"], run["dropped"]) == (0, 0)
    assert told["sent"] >= 2 * PACKETS
    assert told["astray"] >= 2 * PACKETS / 5
    assert told["of_keys"] > PACKETS / 10
    assert (told["switch_dropped"], told["manifests"], told["faulty"]) == (0, CALLS, {})
    beside = told["beside"]
    assert {kind: work["times"] > 0 for kind, work in beside.items()} == dict.fromkeys(
        ("sign-ins", "pages", "fetches", "exports"), True
    )
    for process in ("switch", "desk", "finaliser"):
        assert 20 < told["peak_mb"][process] < memory_max_mb(process) / MARGIN, told["peak_mb"]
