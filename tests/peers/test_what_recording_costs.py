"""The cost of recording: a short run of `benchmarks/recordings.py`."""

from __future__ import annotations

import pytest

from helpers.loopback import claim
from helpers.peers import programs
from helpers.peers.benchmarks import run

pytestmark = [pytest.mark.peer, pytest.mark.long]

CALLS, SECONDS = 10, 18
WAITS = ("listed", "fetchable")


def test_the_recording_benchmark_loses_no_packet_and_rewraps_each_recording(tmp_path):
    for program, package in (("rtpengine", "rtpengine-daemon"), ("espeak-ng", "espeak-ng")):
        programs.program(program, package)
    ports = claim(1000)
    size = ("--rows", 5000, "--calls", CALLS, "--seconds", SECONDS)
    told = run(tmp_path, "recordings.py", "--quick", *size, "--first-port", ports.first)
    ports.close()
    assert (told["calls"], told["rows"]) == (CALLS, 5000)
    for row in (*told["rounds"].values(), told["rtpengine"]):
        assert row["packets"]["passed_on"] == row["packets"]["sent"] > 0
    for row in told["rounds"].values():
        assert all(row["seconds_from_hang_up"][what]["p50"] > 0 for what in WAITS)
    assert told["rewraps"]["headers"] == CALLS
    assert told["lists"]["slowest_ms"]["http"] > 0
    sizes = told["bytes_per_call_hour"]
    assert sizes["speech"] < sizes["spool"] < sizes["noise"]
