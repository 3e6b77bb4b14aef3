"""`galwad recordings show`: a recording as a line, whatever its manifest is.

Covers `galwad/cli/recordings/rows.py`.
"""

from __future__ import annotations

import pytest

CALL = "20261125-093000-abcdefgh"
US = 1_000_000


def test_a_recording_is_drawn_as_a_line(run, server):
    done = run("recordings", "show", CALL)
    assert done.status == 0, done.err
    assert "━" * 20 in done.out
    assert "▒" * 5 in done.out
    assert "→" * 3 in done.out
    assert "1:20 - 2:05" in done.out
    assert "by page, user:sian" in done.out
    assert "3:55 recorded of 5:00 talk" in done.out


def test_a_new_segment_is_marked_in_what_was_recorded(run, server, archive):
    begins = [0, 30, 125, 200]
    segments = [
        {"destination": "centre", "from_us": begin * US, "to_us": end * US}
        for begin, end in zip(begins, [30, 80, 200, 280], strict=True)
    ]
    archive.shown = archive.signed(archive.digest, segments=segments).decode()
    done = run("recordings", "show", CALL)
    assert done.out.count("┿") == 2
    assert "0:30 - 1:20     recorded     a new segment" in done.out
    assert "3:55 recorded of 5:00 talk" in done.out


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"manifest": {"segments": [1]}}'])
def test_a_recording_is_drawn_whatever_became_of_its_manifest(run, server, archive, manifest):
    archive.shown = manifest
    done = run("recordings", "show", CALL)
    assert done.status == 0, done.err
    assert "1:20 - 2:05" in done.out


def test_json_gives_what_the_server_said(run, server, archive):
    assert run("recordings", "show", CALL, "--json").json()["recording"] == archive.row


def test_an_unknown_recording_is_told_in_the_servers_words(run, server):
    done = run("recordings", "show", "20261125-093000-zzzzzzzz")
    assert (done.status, done.err) == (1, "error: no recording has this id\nhint: look again\n")
