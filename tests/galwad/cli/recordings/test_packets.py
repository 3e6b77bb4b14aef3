"""The lines about packets that `galwad recordings show` prints."""

import msgspec
import pytest

from galwad.cli.recordings.packets import packet_lines
from helpers.recording.office import Office
from recording.archive.manifest import PacketStretch, PartyPackets, sign_manifest

US = 1_000_000
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
