"""The output of commands: tables and JSON, on terminals and in files, with unsafe characters."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from galwad.cli.support.console import CliError, print_error, print_table

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


def test_control_characters_are_never_printed(capsys):
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
def test_a_hostile_manifest_does_not_stop_show(run, archive, manifest):
    archive.shown, archive.raw = manifest, b"x"
    done = run("recordings", "show", archive.row["call_id"])
    assert (done.status, "some packets could not be decoded" in done.out) == (0, True)
