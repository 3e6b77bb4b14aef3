"""Fixtures that run `galwad …` in this process, with a settings file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import structlog

from galwad.cli import main
from helpers.cli import Outcome
from recording.archive import verify as in_motion
from recording.keys.keyring import OfficerKeys

__all__ = ["log_apart", "run", "settings_file"]


@pytest.fixture
def log_apart():
    """Send the log of a server in this process to the real stderr, not to a command's output."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    yield
    structlog.configure(**before)


@pytest.fixture
def run(log_apart, capsys, tmp_path, monkeypatch):
    """Run `galwad …`; return its status, output and errors."""
    del log_apart
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in ("GALWAD_CONFIG", "GALWAD_SERVER", "GALWAD_TOKEN", "GALWAD_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    # A process cannot raise its priority again, and this one has other tests to run.
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(in_motion, "QUIET_S", 0.0)  # no wait for files that a test has just damaged

    def runner(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        status = main.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return runner


@pytest.fixture
def settings_file(tmp_path, ports):
    """A settings file whose folders are inside the test's folder."""
    state, runtime = tmp_path / "state", tmp_path / "run"
    for folder in (state, runtime):
        folder.mkdir(mode=0o750)
    officer = OfficerKeys.generate()
    path = tmp_path / "galwad.toml"
    path.write_text(f"""\
[node]
name = "test"
state = "{state}"
runtime = "{runtime}"
[sip]
listen = ["udp:127.0.0.1:0"]
max_calls = 10
[media]
listen = "127.0.0.1"
ports = "{ports}"
[recording]
officer_key = "{officer.public_key}"
[desk]
listen = "127.0.0.1:0"
""")
    return path
