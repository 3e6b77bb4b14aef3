"""The lines about packets that `galwad recordings show` prints."""

import msgspec
import pytest

from galwad.cli.recordings.packets import packet_lines, partly_recorded
from galwad.cli.recordings.rows import spans_of_row
from galwad.cli.support.timeline import TimelineSpan
from helpers.recording.office import Office
from recording.archive.manifest import PacketStretch, PartyPackets, sign_manifest

US = 1_000_000
GAP = {"reason": "payment", "trigger": "page", "actor": "user:sian"}
CALLER = PartyPackets(
    "caller", 130, 3, 0, 100, {"late": 12, "payment": 18}, 240_000, 100, 0, 99, 2, 7
)
ADVISOR = PartyPackets("advisor", 100, 0, 0, 100, {}, 0, 100, 0, 100, 0, 0)


@pytest.fixture
def lines(tmp_path):
    """Return a function that prints a manifest with these stretches and as many packets read."""
    office = Office(tmp_path)
    manifest = office.seal(office.simple()).manifest

    def of(*stretches, tracks=None):
        tracks = tracks or [
            msgspec.structs.replace(track, received=100, lost=lost)
            for track, lost in zip(manifest.tracks, (2, 0), strict=True)
        ]
        changed = msgspec.structs.replace(manifest, packets=list(stretches), tracks=tracks)
        return [text for text, _ in packet_lines(sign_manifest(changed, office.node.key).decode())]

    return of


def segment(*parties, complete=True):
    return PacketStretch(60 * US, 64 * US, "", complete, list(parties))


def test_each_party_has_a_line_with_all_its_packets_and_a_quarantine_has_one(lines):
    caller, advisor, quarantine = lines(segment(CALLER, ADVISOR))
    assert caller == (
        "caller: 130 packets received, 100 stored, 30 not stored (12 late, 18 payment); "
        "lost: 2 by the network, 7 by the kernel, 3 refused"
    )
    assert advisor == (
        "advisor: 100 packets received, 100 stored; lost: 0 by the network, 0 by the kernel"
    )
    assert quarantine == (
        "caller: 12 packets not stored in the 240 ms after 1:00, because the sound may be from "
        "the gap before"
    )


def test_a_stretch_after_a_gap_in_which_a_voice_is_missing_is_partly_recorded(tmp_path):
    office = Office(tmp_path)
    manifest = office.seal(office.simple()).manifest
    advisor = msgspec.structs.replace(ADVISOR, dropped={"late": 100}, late_us=2 * US)
    usual = msgspec.structs.replace(CALLER, dropped={"late": 1}, late_us=20_000)
    stretches = [segment(CALLER, advisor), segment(usual, ADVISOR)]
    changed = msgspec.structs.replace(manifest, packets=stretches)
    found = list(partly_recorded(sign_manifest(changed, office.node.key).decode()))
    why = "the sound may be from the gap before"
    assert found == [
        TimelineSpan("partly", 60 * US, 60_240_000, f"without the caller and advisor: {why}"),
        TimelineSpan("partly", 60_240_000, 62 * US, f"without the advisor: {why}"),
    ]
    row = {"talk_s": 64, "gaps": [{**GAP, "from_us": 50 * US, "to_us": 60 * US}]}
    kinds = [(span.kind, span.to_us // US) for span in spans_of_row(row, (), found)]
    assert kinds == [
        ("recorded", 50),
        ("payment", 60),
        ("partly", 60),
        ("partly", 62),
        ("recorded", 64),
    ]


def test_a_silent_party_is_named_with_the_packets_that_are_not_heard(lines):
    silent = msgspec.structs.replace(ADVISOR, heard=0)
    assert lines(segment(CALLER, silent))[-1] == (
        "! the advisor is silent from 1:00 to 1:04: 100 packets received"
    )


def test_counts_that_do_not_add_up_are_named(lines):
    wrong = msgspec.structs.replace(ADVISOR, received=101)
    assert lines(segment(CALLER, wrong))[-1] == (
        "! advisor, segment 60.0 s to 64.0 s: 101 packets received, but 100 stored or dropped: "
        "keep the journal, report it"
    )


def test_incomplete_counts_are_called_incomplete(lines):
    wrong = msgspec.structs.replace(ADVISOR, received=None, stored=None)
    found = lines(segment(CALLER, wrong, complete=False))
    assert "the packet counts are incomplete: the recorder stopped during this call" in found
    assert not any(text.startswith("!") for text in found)


@pytest.mark.parametrize("text", [None, "", "{", '{"manifest": {"packets": 1}}'])
def test_a_missing_or_damaged_manifest_has_no_lines(text):
    assert list(packet_lines(text)) == []


def test_a_manifest_of_older_software_has_no_lines(tmp_path):
    office = Office(tmp_path)
    older = msgspec.structs.replace(office.seal(office.simple()).manifest, packets=None)
    assert list(packet_lines(sign_manifest(older, office.node.key).decode())) == []
