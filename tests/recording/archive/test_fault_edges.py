"""A gap by a fault is silent from edge to edge, in packets of 20 and of 60 ms.

The sound of a packet that arrived at an edge of the gap would otherwise reach into it.

Covers `recording/archive/sealing.py`.
"""

from __future__ import annotations

import shutil
import struct

import pytest

from helpers.recording.office import Call, Office
from helpers.recording.packets import US, WALL, tone

NUMBER = "+442079460123"


def talk(call: Call, from_us: int, to_us: int, ms: int) -> None:
    """Let both parties send packets of `ms` milliseconds, with a tick now and then."""
    frames = ms // 20
    for count, at_us in enumerate(range(from_us, to_us, ms * 1000)):
        index = at_us // (ms * 1000)
        for track in (0, 1):
            head = struct.pack("!BBHII", 0x80, 8, index, index * 160 * frames, track + 1)
            sound = b"".join(tone(track, index * frames + each) for each in range(frames))
            call.writer.packet(track, at_us, head + sound)
        if count % 10 == 9:
            call.writer.tick(at_us)


def check_the_gap(office: Office, manifest) -> None:
    """Check that the only gap is a fault and silent, and that there is sound on both its sides."""
    (gap,) = manifest.gaps
    assert gap.reason == "fault"
    samples, rate = office.audio()
    begin, end = (at_us * rate // US for at_us in (gap.from_us, gap.to_us))
    assert not samples[begin:end].any()
    assert samples[begin - 80 : begin].any()
    assert samples[end : end + rate // 10].any()


@pytest.mark.parametrize("ms", [20, 60])
def test_the_gap_of_a_crash_is_silent_from_edge_to_edge(tmp_path, ms):
    first = Office(tmp_path / "first")
    first.root.mkdir()
    call = first.call()
    call.answer()
    talk(call, 0, 3 * US, ms)
    call.writer.tick(3 * US)
    office = Office(tmp_path / "second", first.officer, first.boot_key, first.node)
    shutil.copytree(first.root, office.root)
    call = office.call(2, WALL + 5, 5.0)
    call.event("call", 0, number=NUMBER, line="main")
    for track in (0, 1):
        call.event("media", 0, track=track, payloads={"8": ["PCMA", 8000, 1, ""]})
    call.event("answered", 0, advisor="sian", extension="201", since_us=5 * US)
    call.event("segment", 0, **{"class": "centre", "to": ""})
    talk(call, 2000, 2 * US, ms)
    call.end(2 * US)
    check_the_gap(office, office.seal(*sorted(office.spools.glob("*.spool"))).manifest)


@pytest.mark.parametrize("ms", [20, 60])
def test_the_gap_of_a_damaged_frame_is_silent_from_edge_to_edge(office, ms):
    call = office.call()
    call.answer()
    talk(call, 0, 5 * US, ms)
    path = call.end(5 * US)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(bytes(data))
    check_the_gap(office, office.seal(path).manifest)
