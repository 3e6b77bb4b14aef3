"""A server that hands out one real recording, and the outcome of a command."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from galwad.periods import HEADER
from recording.archive.commitments import commit
from recording.archive.manifest import Manifest, sign_manifest
from recording.archive.summary import PersonalFacts
from recording.audit.anchors import Anchor
from recording.audit.chain import ChainEntry, Head

CALL = "20261125-093000-abcdefgh"
RATE = 8000
SECONDS = 300
TOKEN = "a-token"
SALT = bytes(range(32))
FACTS = {
    "number": "+441970000001",
    "line": "Council Tax",
    "advisor": "sian",
    "extension": "201",
}
POLL_S = 0.05
"""How soon a server sees that it is to end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit status and the output of a finished command."""

    status: int
    out: str
    err: str

    def json(self):
        """Return the JSON on standard output."""
        return json.loads(self.out)


def index_agrees(done: Outcome) -> bool:
    """Return whether `recordings verify` found no fault in the index, without reading the files."""
    return "NOT WHOLE" not in done.out and "index only" in done.out.splitlines()[-1]


class Archive:
    """The recording that the scripted server has, and the requests that it received."""

    def __init__(self, header: bytes, payload: bytes) -> None:
        self.header = header
        self.payload = payload
        self.digest = hashlib.sha256(payload).hexdigest()
        self.node = Ed25519PrivateKey.generate()
        self.manifest = self.signed(self.digest)
        self.shown: str | None = self.manifest.decode()
        self.asked: list[tuple[str, str, dict]] = []
        self.listed = 1
        self.gaps = [gap("payment", "page", 80, 125), gap("transfer", "refer", 280, 300)]
        self.coverage: dict = {}
        self.explanation: dict = {}
        self.promises: dict = {}
        self.index: dict = {"findings": [], "not_committed": 0, "more_findings": 0}
        self.chain: list[ChainEntry] = []
        self.raw = b""
        self.network: list[dict] = []
        """The network of each party, as the API returns it."""
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
            "index": commit(CALL, msgspec.convert({**FACTS, "salt": SALT.hex()}, PersonalFacts)),
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
            **FACTS,
            "interrupted": False,
            "unexplained_s": 0,
            "raw_size": len(self.raw),
            "network": self.network,
            "payload_size": len(self.payload),
            "payload_sha256": self.digest,
            "manifest_sha256": hashlib.sha256(self.manifest).hexdigest(),
            "gaps": self.gaps,
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
            shown = {"recording": self.archive.row, "manifest": self.archive.shown}
            self.send_json(200, {**shown, "folder": "2026/11/25", "salt": SALT.hex()})
        elif path == f"/recordings/{CALL}/fetch":
            archive = self.archive
            self.send_sealed(archive.raw if body.get("raw") else archive.payload)
        elif path.startswith("/audit"):
            self.send_audit(path)
        elif (report := path.partition("?")[0]) in self.reports:
            self.send_json(200, self.reports[report])
        else:
            self.send_json(404, {"error": "no recording has this id", "hint": "look again"})

    @property
    def reports(self) -> dict[str, object]:
        """The responses that a test has set, by path."""
        archive = self.archive
        return {
            "/index": archive.index,
            "/coverage": archive.coverage,
            "/promises": archive.promises,
            "/calls": [],
            f"/recordings/{CALL}/gaps": archive.explanation,
        }

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
        self.send_header(HEADER, "Europe/London")
        self.end_headers()
        self.wfile.write(body)
