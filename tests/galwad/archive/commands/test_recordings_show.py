"""`galwad recordings show`: the timeline of a recording, and its packets."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from galwad.archive.commands.recordings_show import packet_lines, partly_recorded
from galwad.cli.support.timeline import TimelineSpan, spans_of_row
from helpers.recording.office import Office
from recording.archive.manifest import PacketStretch, PartyPackets, sign_manifest

CALL = "20261125-093000-abcdefgh"


US = 1_000_000


def test_show_draws_a_recording_as_a_timeline(run, server):
    done = run("recordings", "show", CALL)
    assert done.status == 0, done.err
    assert "━" * 20 in done.out
    assert "▒" * 5 in done.out
    assert "→" * 3 in done.out
    assert "1:20 - 2:05" in done.out
    assert "by page, user:sian" in done.out
    assert "3:55 recorded of 5:00 talk" in done.out


def test_show_marks_a_new_segment_on_the_timeline(run, server, archive):
    begins = [0, 30, 125, 200]
    segments = [
        {"destination": "centre", "from_us": begin * US, "to_us": end * US}
        for begin, end in zip(begins, [30, 80, 200, 280], strict=True)
    ]
    archive.shown = archive.signed(archive.digest, segments=segments).decode()
    done = run("recordings", "show", CALL)
    assert done.out.count("┿") == 2
    assert "0:30 - 1:20     recorded       a new segment" in done.out
    assert "3:55 recorded of 5:00 talk" in done.out


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"manifest": {"segments": [1]}}'])
def test_show_draws_a_recording_with_a_missing_or_malformed_manifest(
    run, server, archive, manifest
):
    archive.shown = manifest
    done = run("recordings", "show", CALL)
    assert done.status == 0, done.err
    assert "1:20 - 2:05" in done.out


def test_show_prints_the_network_of_each_party(run, server, archive):
    counts = {"late": 3, "duplicate": 0, "loss_bursts": 60, "longest_loss": 7}
    caller = {"channel": "caller", "received": 2900, "lost": 100, "mos": 3.87, **counts}
    jitter = {"jitter_us": 4200, "jitter_most_us": 31_000}
    advisor = {**caller, "channel": "advisor", "received": 0, "lost": 0, "late": 0, "mos": None}
    archive.network = [{**caller, **jitter}, {**advisor, **jitter}]
    lines = " ".join(run("recordings", "show", CALL).out.split())
    assert (
        "caller: MOS 3.9 (estimate), 100 of 3000 packets lost by the network (3.3 %, at most 7 "
        "together), jitter 4.2 ms, at most 31.0 ms, 3 late" in lines
    )
    assert "advisor: no estimate, 0 of 0 packets lost by the network (0 %), jitter" in lines


def test_show_as_json_prints_the_row_from_the_server(run, server, archive):
    assert run("recordings", "show", CALL, "--json").json()["recording"] == archive.row


def test_an_unknown_recording_shows_the_servers_error_and_hint(run, server):
    done = run("recordings", "show", "20261125-093000-zzzzzzzz")
    assert (done.status, done.err) == (1, "error: no recording has this id\nhint: look again\n")


def test_show_prints_each_later_caller_and_the_time_of_the_change(
    run, server, archive, monkeypatch
):
    callers = [
        {"from_us": 65 * US, "number": "+441632960002", "withheld": False},
        {"from_us": 125 * US, "number": None, "withheld": True},
        {"from_us": 185 * US, "number": None, "withheld": False},
    ]
    row = {**archive.row, "later_callers": callers}
    monkeypatch.setattr(type(archive), "row", row)
    done = run("recordings", "show", CALL)
    assert "from 1:05 on   caller +441632960002\n" in done.out
    assert "from 2:05 on   caller withheld\n" in done.out
    assert "from 3:05 on   caller no number\n" in done.out


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
            replace(track, received=100, lost=lost)
            for track, lost in zip(manifest.tracks, (2, 0), strict=True)
        ]
        changed = msgspec.structs.replace(manifest, packets=list(stretches), tracks=tracks)
        return [text for text, _ in packet_lines(sign_manifest(changed, office.node.key).decode())]

    return of


def segment(*parties, complete=True):
    return PacketStretch(60 * US, 64 * US, "", complete, list(parties))


def test_each_party_has_a_line_with_all_its_packets_and_each_quarantine_has_a_line(lines):
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


def test_a_stretch_without_one_of_the_voices_after_a_gap_is_shown_as_partly_recorded(tmp_path):
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


def test_a_silent_party_is_listed_with_the_number_of_its_packets(lines):
    silent = msgspec.structs.replace(ADVISOR, heard=0)
    assert lines(segment(CALLER, silent))[-1] == (
        "! the advisor is silent from 1:00 to 1:04: 100 packets received"
    )


def test_counts_that_do_not_add_up_are_reported(lines):
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
def test_a_missing_or_damaged_manifest_gives_no_lines_about_packets(text):
    assert list(packet_lines(text)) == []


def test_a_manifest_of_older_software_gives_no_lines_about_packets(tmp_path):
    office = Office(tmp_path)
    older = msgspec.structs.replace(office.seal(office.simple()).manifest, packets=None)
    assert list(packet_lines(sign_manifest(older, office.node.key).decode())) == []
