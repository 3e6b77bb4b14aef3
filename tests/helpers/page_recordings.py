"""Recordings of a scripted desk for the tests of the page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from galwad.archive.routes import row_of
from recording.archive.manifest import Gap, Interval
from recording.archive.summary import RecordingSummary

STARTED = 1_764_593_400.0
"""1 December 2025, 12:50 in Greenwich."""


def a_recording(
    place: int,
    /,
    gaps: tuple[Gap, ...] = (),
    unexplained: Sequence[Interval] = (),
    **facts: Any,
) -> dict[str, Any]:
    """Return the row of a recording, as the API sends it. `place` makes its id and its start."""
    summary = RecordingSummary(
        call_id=f"20251201-1250{place:02}-abcdefgh",
        folder="2025/12/01",
        started=STARTED + place,
        payload_size=1000,
        payload_sha256="0" * 64,
        manifest_sha256="0" * 64,
        gaps=gaps,
        unexplained_us=sum(part.length_us for part in unexplained),
        **{
            "number": "+441970000123",
            "line": "Council Tax",
            "advisor": "sian",
            "extension": "201",
            "talk_us": 600_000_000,
            "interrupted": False,
            **facts,
        },
    )
    row = row_of(summary).model_dump(mode="json")
    return {**row, "unexplained": [asdict(part) for part in unexplained]}


def a_pause(from_s: float, to_s: float, **facts: Any) -> Gap:
    """Return the gap of a pause that sian began on the page."""
    cause = {"reason": "payment", "trigger": "page", "actor": "user:sian", **facts}
    return Gap(from_us=round(from_s * 1e6), to_us=round(to_s * 1e6), **cause)


class FakeRecordings:
    """The recordings of a desk: all match each search."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.page = 50
        self.holds: list[dict[str, Any]] = []
        self.flags: list[dict[str, Any]] = []
        self.purposes = ["quality-training", "complaint"]
        self.disposal: str | None = None
        self.term: dict[str, Any] | None = None
        self.refusal: tuple[int, dict[str, str]] | None = None
        self.explanation: dict[str, Any] | None = None
        """The answer about the gaps of each recording; None: each is explained by its pause."""
        self.files: dict[str, bytes] = {}
        """The header, payload and manifest of each recording, by these names."""
        self.parts = 1_000_000
        """How many parts of payloads are sent before the desk fails."""

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any] | bytes]:
        """Answer a search, or a request about one recording."""
        if self.refusal is not None:
            return self.refusal
        if path == "/recordings/search":
            begin = int(body.get("after", 0))
            end = begin + self.page
            after = str(end) if end < len(self.rows) else None
            return 200, {"rows": self.rows[begin:end], "after": after}
        row = next(each for each in self.rows if each["call_id"] == path.split("/")[2])
        if "/flags/" in path:
            return 200, {}
        if path.endswith("/payload?entry=41"):
            self.parts -= 1
            return (206, self.files["payload"]) if self.parts >= 0 else (503, {"error": "no"})
        return 200, self._facts(path, row)

    def _facts(self, path: str, row: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/listen"):
            return {
                "entry": 41,
                "header": b64encode(self.files["header"]).decode(),
                "payload_size": len(self.files["payload"]),
                "payload_sha256": row["payload_sha256"],
                "manifest": self.files.get("manifest", b"").decode() or None,
            }
        if not path.endswith("/gaps"):
            state: dict[str, Any] = {
                "manifest": None,
                "holds": self.holds,
                "disposal": self.disposal,
            }
            state |= {"flags": self.flags, "purposes": self.purposes, "term": self.term}
            return {"recording": row, **state}
        if self.explanation is not None:
            return self.explanation
        gaps = [
            {
                **gap,
                "began": row["started"] + gap["from_us"] / 1e6,
                "ended": row["started"] + gap["to_us"] / 1e6,
                "then": "recorded",
                "proof": "entry",
                "stopped_by": 41,
                "resumed_by": 42,
            }
            for gap in row["gaps"]
        ]
        return {"signed": True, "gaps": gaps, "unexplained_us": 0}
