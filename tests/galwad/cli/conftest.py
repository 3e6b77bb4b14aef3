"""The command line, run in this process, and a server that hands out one real recording."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import msgspec
import numpy as np
import pytest
import soundfile
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from galwad.cli import main
from helpers.recording.sealing import seal
from recording.archive import stability as in_motion
from recording.archive.manifest import Manifest, sign_manifest
from recording.audit.anchors import Anchor
from recording.audit.chain import ChainEntry, Head
from recording.keys.keyring import OfficerKeys

CALL = "20261125-093000-abcdefgh"
RATE = 8000
SECONDS = 300
TOKEN = "a-token"
POLL_S = 0.05
"""How soon a server sees that it is to end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str

    def json(self):
        """Its answer, parsed."""
        return json.loads(self.out)


@pytest.fixture
def log_apart():
    """What a server in this process logs is no part of what a command prints."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    yield
    structlog.configure(**before)


@pytest.fixture
def run(log_apart, capsys, tmp_path, monkeypatch):
    """Run `galwad …`; its status, output and errors."""
    del log_apart
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in ("GALWAD_CONFIG", "GALWAD_SERVER", "GALWAD_TOKEN", "GALWAD_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(in_motion, "QUIET_S", 0.0)  # what a test has just damaged is not at work

    def runner(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        status = main.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return runner


@pytest.fixture
def settings_file(tmp_path, ports):
    """A settings file whose folders lie in the test's own."""
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


@pytest.fixture(scope="session")
def speech():
    """Five minutes of two different channels, 16 bits."""
    rng = np.random.default_rng(7)
    return rng.integers(-9000, 9000, (RATE * SECONDS, 2), dtype=np.int16)


class Archive:
    """What the scripted server has, and what it was asked."""

    def __init__(self, header: bytes, payload: bytes) -> None:
        self.header = header
        self.payload = payload
        self.digest = hashlib.sha256(payload).hexdigest()
        self.node = Ed25519PrivateKey.generate()
        self.manifest = self.signed(self.digest)
        self.shown: str | None = self.manifest.decode()
        self.asked: list[tuple[str, str, dict]] = []
        self.listed = 1
        self.coverage: dict = {}
        self.chain: list[ChainEntry] = []
        self.raw = b""
        """Another payload under the same header."""

    def signed(self, digest: str, **changes) -> bytes:
        """A manifest that the node signs."""
        facts = {
            "format": "galwad-manifest-1",
            "call_id": CALL,
            "node": "galwad-1",
            "software": "test",
            "started": "2026-11-25T09:30:00.000000Z",
            "started_us": 1_795_599_000_000_000,
            "talk_us": SECONDS * 1_000_000,
            "rate": RATE,
            "tracks": [],
            "segments": [{"from_us": 0, "to_us": SECONDS * 1_000_000, "destination": "centre"}],
            "gaps": [],
            "unexplained": [],
            "interrupted": False,
            "damaged": False,
            "faults": [],
            "lives": [],
            "clock": [],
            "recipients": [],
            "recipients_serial": 1,
            "payload": {"size": len(self.payload), "sha256": digest},
            "header": {
                "size": len(self.header),
                "sha256": hashlib.sha256(self.header).hexdigest(),
            },
            "sealed": "2026-11-25T09:35:01Z",
        }
        return sign_manifest(msgspec.convert({**facts, **changes}, Manifest), self.node)

    def page(self, limit: int, after: str | None) -> dict:
        """`listed` rows, as many a page as are asked for; a place in them is a count."""
        begin = int(after or 0)
        end = min(begin + limit, self.listed)
        rows = [self.row] * (end - begin)
        return {"rows": rows, "after": str(end) if end < self.listed else None}

    @property
    def row(self) -> dict:
        """The index row."""
        return {
            "call_id": CALL,
            "started": 1_795_599_000.0,
            "talk_s": SECONDS,
            "number": "+441970000001",
            "line": "Council Tax",
            "advisor": "sian",
            "extension": "201",
            "interrupted": False,
            "unexplained_s": 0,
            "raw_size": len(self.raw),
            "payload_size": len(self.payload),
            "payload_sha256": self.digest,
            "manifest_sha256": hashlib.sha256(self.manifest).hexdigest(),
            "gaps": [
                gap("payment", "page", 80, 125),
                gap("transfer", "refer", 280, 300),
            ],
        }


def gap(reason: str, trigger: str, start: int, end: int) -> dict:
    """A gap as the API tells it, in seconds."""
    return {
        "reason": reason,
        "trigger": trigger,
        "actor": "user:sian",
        "from_us": start * 1_000_000,
        "to_us": end * 1_000_000,
    }


class Handler(BaseHTTPRequestHandler):
    """HTTP for an `Archive`."""

    archive: Archive

    def log_message(self, *_) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        """Rows and calls."""
        self.answer({})

    def do_POST(self) -> None:
        """Login, search, fetch."""
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}"))

    def answer(self, body: dict) -> None:
        """One answer."""
        path = self.path.removeprefix("/api/v1")
        self.archive.asked.append((self.command, path, body))
        if path == "/login":
            right = body["password"] == "correct horse battery"
            me = {"user": body["user"], "role": "admin", "language": "en", "token": TOKEN}
            self.send_json(200 if right else 401, me if right else {"error": "no", "hint": "try"})
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.send_json(401, {"error": "not signed in", "hint": "sign in again"})
        elif path == "/recordings/search":
            self.send_json(200, self.archive.page(body["limit"], body.get("after")))
        elif path == f"/recordings/{CALL}":
            self.send_json(200, {"recording": self.archive.row, "manifest": self.archive.shown})
        elif path == f"/recordings/{CALL}/fetch":
            archive = self.archive
            self.send_sealed(archive.raw if body.get("raw") else archive.payload)
        elif path.startswith("/audit"):
            self.send_audit(path)
        elif path.startswith("/coverage?"):
            self.send_json(200, self.archive.coverage)
        elif path == "/calls":
            self.send_json(200, [])
        else:
            self.send_json(404, {"error": "no recording has this id", "hint": "look again"})

    def send_audit(self, path: str) -> None:
        """The chain, or its head and an earlier hash."""
        chain, asked = self.archive.chain, dict(parse_qsl(urlsplit(path).query))
        if path.startswith("/audit/head"):
            hashes = {link.seq: link.hash for link in chain}
            head = Anchor("galwad-1", Head(chain[-1].seq, chain[-1].hash), "2026-11-25T03:00:00Z")
            self.send_json(
                200, {"anchor": str(head), "earlier": hashes.get(int(asked.get("seq", 0)))}
            )
        else:
            links = [link for link in chain if link.seq > int(asked["after"])]
            self.send_json(200, {"lines": [str(link) for link in links], "last": chain[-1].seq})

    def send_sealed(self, payload: bytes) -> None:
        """Header, then payload."""
        archive = self.archive
        usual = payload is archive.payload
        digest = archive.digest if usual else hashlib.sha256(payload).hexdigest()
        self.send_response(200)
        self.send_header("X-Galwad-Header-Length", str(len(archive.header)))
        self.send_header("X-Galwad-Payload-SHA256", digest)
        self.send_header("Content-Length", str(len(archive.header) + len(payload)))
        self.end_headers()
        self.wfile.write(archive.header + payload)

    def send_json(self, status: int, value: object) -> None:
        """JSON."""
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def officer(tmp_path):
    """The officer's key file, as `keys init` makes it."""
    keys = OfficerKeys.generate()
    path = tmp_path / "officer"
    path.mkdir()
    keys.save(path / "identity.txt")
    return path / "identity.txt"


@pytest.fixture
def archive(officer, speech):
    """One sealed recording of known speech."""
    flac = io.BytesIO()
    with soundfile.SoundFile(flac, "w", RATE, 2, "PCM_16", format="FLAC") as file:
        file.title = CALL
        file.write(speech)
    keys = OfficerKeys.load(officer)
    return Archive(*seal(flac.getvalue(), keys.identity.recipient))


@pytest.fixture
def handler(archive):
    """What a server with that recording answers."""
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
