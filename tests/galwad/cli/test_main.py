"""The whole command line: documented, quiet on success, one line and a hint on failure.

Covers `galwad/cli/groups.py`, `galwad/cli/support/lazy.py`, `galwad/cli/support/options.py`,
`recording/call_id.py` and `galwad/__main__.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer import Context
from typer.core import TyperGroup

from galwad.cli.main import app
from galwad.cli.support.lazy import LazyGroup


def commands(group, *words):
    """Return every command of a group and of its groups, by the words that name it."""
    for name in group.list_commands(Context(group)):
        command = group.get_command(Context(group), name)
        yield (*words, name), command
        if isinstance(command, TyperGroup):
            yield from commands(command, *words, name)


COMMANDS_AND_GROUPS: dict[tuple[str, ...], Any] = {(): typer.main.get_command(app)}
COMMANDS_AND_GROUPS |= commands(COMMANDS_AND_GROUPS[()])
COMMANDS = {
    words: each for words, each in COMMANDS_AND_GROUPS.items() if not isinstance(each, TyperGroup)
}


def test_each_command_in_a_module_is_listed_in_the_help_of_its_group():
    listed, written = set(), set()
    for words in COMMANDS:
        group = COMMANDS_AND_GROUPS[words[:-1]]
        app = group.app_of(words[-1])
        listed.add((id(app), words[-1]))
        for each in app.registered_commands:
            written.add((id(app), each.name or each.callback.__name__.replace("_", "-")))
    assert listed == written


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_is_documented_with_an_example(run, words):
    done = run(*words, "--help")
    assert done.status == 0
    assert f"Example: galwad {' '.join(words)}" in " ".join(done.out.split())
    assert "--json" in done.out
    undocumented = [p.name for p in COMMANDS[words].params if not getattr(p, "help", "x")]
    assert undocumented == []
    assert COMMANDS[words].help


@pytest.mark.parametrize("words", [(), ("recordings",), ("keys",)])
def test_a_group_without_a_command_shows_its_usage(run, words):
    done = run(*words)
    assert done.status == 2
    assert "Usage: galwad" in done.out + done.err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("nonsense",), "error: no such command 'nonsense'"),
        (("calls", "list", "--nonsense"), "error: no such option: --nonsense"),
        (("recordings", "fetch", "20261125-093000-abcdefgh"), "error: missing option '--purpose'"),
        (("recordings", "show", "../../etc"), 'error: "../../etc" is not a call id'),
    ],
)
def test_wrong_usage_gives_one_error_line_a_hint_and_status_2(run, words, error):
    done = run(*words)
    assert (done.status, done.out) == (2, "")
    lines = done.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(error)
    assert lines[1].startswith("hint: ")


def test_faulty_settings_are_reported_with_their_line_numbers(run, settings_file):
    with settings_file.open("a") as file:
        file.write("lisen = 1\n[nonsense]\n")
    done = run("check", "--config", settings_file)
    assert done.status == 1
    unknown = 'Unknown setting "desk.lisen"; did you mean "desk.listen"?'
    assert f"error: {settings_file}:18: {unknown}" in done.err
    assert f'error: {settings_file}:19: Unknown setting "nonsense"; ' in done.err
    assert done.err.splitlines()[-1].startswith("hint: ")


def test_the_version_option_prints_the_version(run):
    done = run("--version")
    assert done.status == 0
    assert done.out.startswith("galwad ")


@pytest.mark.parametrize(
    ("process", "others"),
    [
        ("galwad.switch.life.daemon", ("numpy", "soundfile", "galwad.finaliser")),
        ("galwad.finaliser.process", ("telephony", "dns", "galwad.switch")),
    ],
)
def test_a_process_imports_no_http_or_sql_library_and_no_module_of_another_process(process, others):
    heavy = ("httpx2", "ldap", "sqlalchemy", "fastapi", "uvicorn", "argon2", "galwad.host", *others)
    modules = f"sys, galwad.cli.serve, {process}"
    script = f"import {modules}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def started(*arguments, out, **more):
    """Run a command in a new process; `out` is its standard output, None closes that."""
    command = [sys.executable, "-m", "galwad", *arguments]
    if out is None:
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    return subprocess.run(
        command, stdout=out, stderr=subprocess.PIPE, text=True, check=False, timeout=60, **more
    )


@pytest.mark.parametrize("arguments", [("--version",), ("keys", "--help"), ("keys", "show")])
def test_output_to_a_full_disk_gives_one_error_line_and_a_hint(arguments, officer):
    with Path("/dev/full").open("w") as full:
        where = [str(officer.parent)] if arguments[-1] == "show" else []
        done = started(*arguments, *where, out=full)
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error == "error: cannot write the output: no space left on device"
    assert hint.startswith("hint: ")


def test_a_closed_standard_output_is_not_an_error(officer):
    done = started("keys", "show", str(officer.parent), out=None)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("server")
def test_an_argument_that_is_not_utf8_is_refused(run):
    done = run("recordings", "list", "--reference", "\udcff")
    assert (done.status, done.err.splitlines()[0]) == (2, "error: an argument is not valid UTF-8")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("token", ["caf\u00e9", "two\nlines", " "])
def test_an_invalid_token_is_refused_without_a_request(run, archive, monkeypatch, token):
    monkeypatch.setenv("GALWAD_TOKEN", token)
    done = run("recordings", "list")
    assert done.status == 1
    assert done.err.startswith("error: the token is not valid\nhint: ")
    assert archive.asked == []


def test_an_endless_input_file_gives_one_error_line_and_a_hint(run, officer, tmp_path):
    out = tmp_path / "out"
    for words in (
        ("keys", "show", "/dev/zero"),
        ("keys", "sign", officer, "--replaces", "/dev/zero", "-o", out),
        ("audit", "verify", "/dev/zero"),
        ("check", "--config", "/dev/zero"),
        ("recordings", "verify", tmp_path, "--identity", "/dev/zero"),
    ):
        done = run(*words)
        assert (done.status, len(done.err.splitlines())) == (1, 2), done.err
        assert done.err.startswith("error: /dev/zero")
    assert not out.exists()


CARD = "4111 1111 1111 1111"


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("--reference", ("recordings", "list", "--reference", f"C {CARD}")),
        ("--number", ("recordings", "list", f"--number={CARD}")),
        (
            "--reason",
            ("recordings", "unflag", "20261125-093000-abcdefgh", "sensitive", "--reason", CARD),
        ),
        ("--by", ("audit", "list", "--by", CARD)),
        ("--when", ("calls", "coverage", "--when", CARD)),
        ("an argument", ("recordings", "show", CARD)),
        ("an argument", ("users", "add", CARD.replace(" ", ""))),
        ("an argument", ("recordings", "list", "--number", *CARD.split())),
        ("--config", ("check", "--config", f"/tmp/{CARD}.toml")),
    ],
)
def test_an_argument_with_a_card_number_is_refused_unsent_and_not_repeated(
    run, archive, name, words
):
    done = run(*words)
    assert (done.status, done.out) == (2, "")
    error, hint = done.err.splitlines()
    assert error == f"error: {name} seems to contain a payment card number"
    assert hint.startswith("hint: remove it; if it is another number, write a word")
    assert "1111" not in done.err
    assert archive.asked == []


LOADED = """
import io, json, os, sys
from galwad.cli.main import run
for line in sys.stdin:
    sys.stdout.flush()
    if os.fork() == 0:
        stdout, sys.stdout = sys.stdout, io.StringIO()
        run(json.loads(line))
        print(json.dumps([sys.stdout.getvalue(), list(sys.modules)]), file=stdout, flush=True)
        os._exit(0)
    os.wait()
"""
"""Runs each command line of its input in a fork of a process that has only the main module."""


def loaded(*commands):
    """Return the modules that the command line loads to print the help of each of these."""
    lines = [json.dumps([*words, "--help"]) for words in commands]
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(commands)
    assert all("Usage: galwad" in printed for printed, _ in answers)
    return {words: set(found) for words, (_, found) in zip(commands, answers, strict=True)}


def test_the_help_of_a_group_loads_no_command():
    packages = ["galwad", "galwad.cli", "galwad.cli.main", "galwad.cli.groups"]
    packages += ["galwad.cli.support", "galwad.cli.support.console", "galwad.cli.support.lazy"]
    packages.append("galwad.periods")
    heavy = {"config", "recording", "telephony", "rich", "asyncio", "pydantic", "msgspec", "numpy"}
    heavy |= {"fastapi", "sqlalchemy", "httpx2", "cryptography", "structlog"}
    for group, found in loaded(*COMMANDS_AND_GROUPS.keys() - COMMANDS.keys()).items():
        ours = sorted(m for m in found if m.split(".")[0] == "galwad")
        assert ours == sorted(packages), group
        assert not heavy & found, group
        assert len(found) < 300, group


def test_the_help_of_check_loads_no_check():
    ((_, found),) = loaded(("check",)).items()
    assert [m for m in found if m.startswith("galwad.cli.checks.")] == []
    assert not {"telephony", "sqlalchemy", "rich"} & found
    assert {m for m in found if m.startswith("recording.")} == {"recording.call_id"}
    assert len(found) < 350


# The imports of one command of each module take four seconds of CPU time.
@pytest.mark.slow
def test_each_command_loads_only_the_libraries_that_it_needs():
    modules = {COMMANDS[words].callback.__module__: words for words in COMMANDS}
    for words, found in loaded(*modules.values()).items():
        heavy = {"sqlalchemy", "alembic", "phonenumbers", "fastapi", "av", "argon2", "httpx2"}
        heavy |= {"numpy", "soundfile", "pydantic_settings", "telephony.phone", "telephony.aio"}
        heavy |= {"galwad.host.app", "galwad.switch.life.daemon"}
        if words[0] != "simulate":
            heavy.add("telephony")
        assert not heavy & found, words
        assert len(found) < 450, words


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_line_of_a_command_in_the_help_of_its_group_is_one_short_sentence(words):
    group = COMMANDS_AND_GROUPS[words[:-1]]
    assert isinstance(group, LazyGroup)
    line = group.summaries[words[-1]]
    assert line[0].isupper()
    assert line.endswith(".")
    assert len(line) <= 80 - 4 - max(map(len, group.summaries))
