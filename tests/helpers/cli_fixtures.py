"""Fixtures that run `galwad …` in this process, and a server with one real recording."""

from __future__ import annotations

import io
import os
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
import structlog

from galwad.cli import main
from helpers.cli import CALL, POLL_S, RATE, SECONDS, TOKEN, Archive, Handler, Outcome
from helpers.recording.sealing import seal
from recording.archive import verify as in_motion
from recording.keys.keyring import OfficerKeys

__all__ = [
    "archive",
    "flac",
    "handler",
    "log_apart",
    "officer",
    "run",
    "server",
    "settings_file",
    "speech",
]


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
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "{officer.public_key}"
[desk]
listen = "127.0.0.1:0"
""")
    return path


@pytest.fixture(scope="session")
def speech():
    """Five minutes of noise in two different channels, as 16-bit samples."""
    rng = np.random.default_rng(7)
    return rng.integers(-9000, 9000, (RATE * SECONDS, 2), dtype=np.int16)


@pytest.fixture
def officer(tmp_path):
    """The officer's key file, as `keys init` makes it."""
    keys = OfficerKeys.generate()
    path = tmp_path / "officer"
    path.mkdir()
    keys.save(path / "identity.txt")
    return path / "identity.txt"


@pytest.fixture(scope="session")
def flac(speech):
    """The speech as a FLAC file with the title of a call."""
    flac = io.BytesIO()
    with soundfile.SoundFile(flac, "w", RATE, 2, "PCM_16", format="FLAC") as file:
        file.title = CALL
        file.write(speech)
    return flac.getvalue()


@pytest.fixture
def archive(officer, flac):
    """One sealed recording of known speech."""
    keys = OfficerKeys.load(officer)
    return Archive(*seal(flac, keys.identity.recipient))


@pytest.fixture
def handler(archive):
    """The request handler of a server with that recording."""
    return type("Bound", (Handler,), {"archive": archive})


@pytest.fixture
def server(handler, monkeypatch, run):
    """A server with that recording, to which the command line is signed in."""
    del run  # it clears the environment first
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, args=(POLL_S,), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{http.server_port}"
    monkeypatch.setenv("GALWAD_SERVER", address)
    monkeypatch.setenv("GALWAD_TOKEN", TOKEN)
    yield address
    http.shutdown()
    http.server_close()
    thread.join()
