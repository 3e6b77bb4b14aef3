"""Commands that ask the server: sign in, list calls and recordings, show a recording.

Covers `galwad/cli/client.py`, `galwad/cli/login.py`, `galwad/cli/calls.py`,
`galwad/cli/recordings.py` and `galwad/cli/timeline.py`.
"""

from __future__ import annotations

import io
import sys

import pytest

CALL = "20261125-093000-abcdefgh"
US = 1_000_000


def test_login_keeps_the_token_for_its_owner_alone(run, server, monkeypatch, tmp_path):
    monkeypatch.delenv("GALWAD_TOKEN")
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery\n"))
    done = run("login", "--server", server, "--user", "officer", "--password-stdin")
    assert done.status == 0, done.err
    file = tmp_path / "xdg" / "galwad" / "client.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "correct horse" not in file.read_text()
    assert run("calls", "list").out == "No calls in progress.\n"


def test_a_wrong_password_is_told_in_the_servers_words(run, server, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.StringIO("wrong\n"))
    done = run("login", "--user", "officer", "--password-stdin")
    assert (done.status, done.err) == (1, "error: no\nhint: try\n")
    assert not (tmp_path / "xdg").exists()


def test_without_a_token_nothing_is_asked(run, server, archive, monkeypatch):
    monkeypatch.delenv("GALWAD_TOKEN")
    done = run("recordings", "list")
    assert done.err == "error: not signed in\nhint: run `galwad login` first\n"
    assert archive.asked == []


def test_a_server_that_is_not_there_is_told(run, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", "x")
    done = run("calls", "list", "--server", "http://127.0.0.1:1")
    assert done.status == 1
    assert done.err.startswith("error: cannot reach the server\nhint: ")


def test_a_token_never_travels_in_the_open(run, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", "x")
    done = run("calls", "list", "--server", "http://galwad.example")
    assert done.status == 2
    assert "plain http" in done.err


def test_a_faulty_client_file_is_named_with_its_line(run, tmp_path):
    file = tmp_path / "xdg" / "galwad" / "client.toml"
    file.parent.mkdir(parents=True)
    file.write_text('server = "https://x"\ntokn = "t"\n')
    done = run("calls", "list")
    assert done.status == 1
    assert f"{file}:2: tokn" in done.err


@pytest.mark.parametrize(
    "made", [lambda file: file.mkdir(), lambda file: file.write_bytes(b"\xff")]
)
def test_a_client_file_that_cannot_be_read_is_told(run, tmp_path, made):
    file = tmp_path / "xdg" / "galwad" / "client.toml"
    file.parent.mkdir(parents=True)
    made(file)
    done = run("calls", "list")
    assert done.status in {1, 2}
    assert "hint: " in done.err


def test_a_list_names_the_gaps(run, server):
    done = run("recordings", "list")
    assert CALL in done.out
    assert "payment, transfer" in done.out


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("option", "text", "asked"),
    [
        ("--number", "01970 000001", {"number": "01970 000001"}),
        ("--advisor", "sian", {"advisor": "sian"}),
        ("--extension", "201", {"extension": "201"}),
        ("--line", "Council Tax", {"line": "Council Tax"}),
        ("--when", "last week", {"when": "last week"}),
        ("--since", "2026-11-24", {"since": "2026-11-24"}),
        ("--until", "yesterday", {"until": "yesterday"}),
        ("--longer", "1:02:03", {"min_length_s": 3723.0}),
        ("--shorter", "0", {"max_length_s": 0.0}),
        ("--gap", "payment", {"gap_reason": "payment"}),
        ("--reference", "C-1024", {"reference": "C-1024"}),
    ],
)
def test_a_filter_travels_in_the_body(run, archive, option, text, asked):
    assert run("recordings", "list", option, text).status == 0
    assert archive.asked == [("POST", "/recordings/search", {**asked, "limit": 50})]


@pytest.mark.parametrize("option", ["--when", "--since", "--until", "--longer", "--shorter"])
def test_what_is_no_time_is_told_before_the_server_hears_of_it(run, server, archive, option):
    done = run("recordings", "list", option, "once")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f'error: cannot read {option} "once"\nhint: write it as ')
    assert archive.asked == []


def test_a_list_says_how_to_go_on(run, server, archive):
    archive.listed = 3
    assert run("recordings", "list", "--limit", "2").out.endswith("more: add --after 2\n")
    done = run("recordings", "list", "--limit", "2", "--after", "2")
    assert (done.out.count(CALL), "--after" in done.out) == (1, False)


def test_a_long_list_is_fetched_page_by_page(run, server, archive):
    archive.listed = 1300
    page = run("recordings", "list", "--limit", "1200", "--json").json()
    assert (len(page["rows"]), page["after"]) == (1200, "1200")
    assert [body["limit"] for _, _, body in archive.asked] == [500, 500, 200]
    rest = run("recordings", "list", "--limit", "1200", "--after", "1200", "--json").json()
    assert (len(rest["rows"]), rest["after"]) == (100, None)


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


def test_a_token_that_has_expired_says_how_to_get_another(run, server, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", "old")
    done = run("recordings", "list")
    assert (done.status, done.err.splitlines()[1:]) == (1, ["hint: run `galwad login`"])


def test_a_token_that_cannot_be_kept_is_told(run, server, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery\n"))
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(occupied))
    done = run("login", "--server", server, "--user", "mair", "--password-stdin")
    assert done.status == 1
    assert "error: cannot write " in done.err


def test_json_gives_what_the_server_said(run, server, archive):
    assert run("recordings", "show", CALL, "--json").json()["recording"] == archive.row


def test_an_unknown_recording_is_told_in_the_servers_words(run, server):
    done = run("recordings", "show", "20261125-093000-zzzzzzzz")
    assert (done.status, done.err) == (1, "error: no recording has this id\nhint: look again\n")
