"""The output of commands: tables and JSON with unsafe characters, and times of the centre.

Covers `galwad/periods.py` too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time

import pytest

from galwad import periods as time_zones
from galwad.cli.support.console import CliError, date_and_time, print_error, print_table
from galwad.periods import machine_zone, name_of, zone_named
from helpers.house import House
from helpers.site import Site

VALUE = {"by": "Si\u00e2n \u20ac \U0001f600", "file": "caf\udce9"}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_output_is_valid_in_any_output_encoding(encoding):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from galwad.cli.support import console; console.print_json({VALUE!a})",
        ],
        env={**os.environ, "PYTHONIOENCODING": f"{encoding}:backslashreplace"},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout.decode(encoding)) == VALUE


@pytest.mark.usefixtures("server")
def test_markup_characters_in_a_name_are_printed_unchanged(run, archive, monkeypatch):
    call_id, line = archive.row["call_id"], "Tax [bold] :warning: [/x]"
    changed = {**archive.row, "line": line}
    monkeypatch.setattr(type(archive), "row", changed)
    for words in (("show", call_id), ("list",)):
        done = run("recordings", *words)
        assert (done.status, line in done.out) == (0, True)


def test_tables_and_errors_print_no_control_characters(capsys):
    mark = "\x1b[2J"
    print_table(("A", "B"), [(f"x{mark}", f"y{mark}")], empty="")
    print_error(CliError(f"one{mark}\ntwo", f"three{mark}"))
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert shown.err == "error: one\ufffd[2J\nerror: two\nhint: three\ufffd[2J\n"


def test_table_cells_are_not_cut_in_a_file(capsys):
    print_table(("A", "B"), [("x", "y" * 5000)], empty="")
    assert "y" * 5000 in capsys.readouterr().out


def test_on_a_narrow_terminal_only_the_widest_column_is_cut(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "50")
    rows = [("17", "2026-11-25 21:54", "f" * 300), ("18", "2026-11-25 21:55", "short")]
    print_table(("ENTRY", "TIME", "FACTS AND FIGURES"), rows, empty="")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert [line.rstrip() for line in lines] == [
        "ENTRY  TIME              FACTS AND FIGURES",
        f"17     2026-11-25 21:54  {'f' * 24}\u2026",
        "18     2026-11-25 21:55  short",
    ]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "manifest",
    ["[" * 100_000, '{"manifest": {"segments": [{"from_us": Infinity}]}}', '{"manifest": 1}'],
)
def test_a_hostile_manifest_does_not_stop_recordings_show(run, archive, manifest):
    archive.shown, archive.raw = manifest, b"x"
    done = run("recordings", "show", archive.row["call_id"])
    assert (done.status, "some packets could not be decoded" in done.out) == (0, True)


CALL = "20260301-090000-abcdefgh"


@pytest.fixture(params=["America/New_York", "Pacific/Honolulu"])
def abroad(request, monkeypatch):
    """A machine on which the call of 1 March at 9:00 is earlier, or even on 28 February."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def house(tmp_path, run, monkeypatch, abroad):
    """A desk of a centre in Wales with one recording; gwen is signed in."""
    del run, abroad
    site = Site(tmp_path / "node")
    site.config.write_text(f'{site.config.read_text()}[desk]\ntime_zone = "Europe/London"\n')
    with House(site) as house:
        house.record(CALL)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin"))
        yield house


def test_commands_print_times_in_the_centres_time_zone_with_its_name(run, house):
    for command in (
        ("recordings", "list"),
        ("recordings", "show", CALL),
        ("recordings", "reindex", CALL, "--reference", "R-1", "--dry-run"),
    ):
        done = run(*command)
        assert "2026-03-01 09:00:00 GMT" in done.out, (command, done)
    explained = run("recordings", "show", CALL, "--explain", "--language", "en").out
    assert "answered on 2026-03-01 at 09:00:00 GMT" in explained
    report = run("promise-check", "--date", "2026-03-01", "--language", "en").out
    assert " GMT" in report or " BST" in report
    listed = run("audit", "list").out
    assert listed.count(" GMT") + listed.count(" BST") == len(listed.splitlines()) - 1
    tokens = run("users", "tokens", "list", "--config", house.site.config).out
    assert "EST" not in tokens


def test_the_days_of_the_option_since_are_in_the_centres_time_zone(run, house):
    found = run("recordings", "verify", "--since", "2026-03-01").out
    assert f"{CALL}  INDEX ONLY" in found
    assert run("recordings", "verify", "--since", "2026-03-02").status == 1
    assert CALL not in run("recordings", "verify", "--since", "2026-03-02").out


def test_without_a_server_or_settings_times_are_those_of_utc(run, abroad):
    del abroad
    run("keys", "--help")
    assert date_and_time(1_772_355_600.0) == "2026-03-01 09:00:00 UTC"


def test_the_time_zone_of_the_machine_is_read_from_its_settings(monkeypatch, tmp_path):
    zones = tmp_path / "usr" / "zoneinfo" / "Europe"
    zones.mkdir(parents=True)
    (zones / "London").touch()
    (tmp_path / "localtime").symlink_to(zones / "London")
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(time_zones, "_LOCALTIME", tmp_path / "localtime")
    assert name_of(None) == "Europe/London"
    monkeypatch.setenv("TZ", "Pacific/Honolulu")
    assert name_of(None) == "Pacific/Honolulu"
    monkeypatch.setenv("TZ", "XYZ4")
    assert machine_zone() is None
    assert name_of(None) == ""
    assert zone_named("../etc/passwd") is None
