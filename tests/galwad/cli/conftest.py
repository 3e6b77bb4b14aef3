"""The command line, run in this process, and a server that hands out one real recording."""

from __future__ import annotations

import io
import threading
from http.server import ThreadingHTTPServer

import numpy as np
import pytest
import soundfile

from helpers.cli import CALL, POLL_S, RATE, SECONDS, TOKEN, Archive, Handler
from helpers.cli_fixtures import log_apart, run, settings_file
from helpers.recording.sealing import seal
from recording.keys.keyring import OfficerKeys

__all__ = ["log_apart", "run", "settings_file"]


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
