"""`galwad recordings show`: a recording as a timeline, whatever its manifest is.

Covers `galwad/cli/recordings/rows.py`.
"""

from __future__ import annotations

import pytest

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


def test_show_names_each_later_caller_with_the_time_of_the_change(
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
