"""A real desk on a real server at 127.0.0.1, with a fake switch on the real socket protocol."""

from __future__ import annotations

import pytest

from galwad.messages import Sealed
from helpers.desk import Running
from helpers.desk_fixtures import clock, engine, open_sessions, running

__all__ = ["clock", "engine", "open_sessions", "running"]


@pytest.fixture
def sealed(running: Running) -> Sealed:
    """A recording in the archive, with dummy bytes for its header and payload."""
    folder = running.archive / "2026" / "11" / "25"
    folder.mkdir(parents=True)
    call_id = "20261125-101500-abcdefgh"
    (folder / f"{call_id}.header").write_bytes(b"age-encryption.org/v1\n--- mac\n")
    (folder / f"{call_id}.payload").write_bytes(bytes(range(256)) * 1000)
    (folder / f"{call_id}.manifest").write_text('{"call_id":"x"}')
    return Sealed(
        call_id=call_id,
        folder="2026/11/25",
        started=1_800_000_000.0,
        talk_us=60_000_000,
        interrupted=False,
        number="01632960001",
        line="Council Tax",
        advisor="sian",
        extension="201",
        gaps=(),
        payload_size=256_000,
        payload_sha256="a" * 64,
        manifest_sha256="b" * 64,
    )
