"""The folders, keys and archive of one test, and the call that is stored there."""

import io
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from helpers.recording.packets import CALL_ID, US, WALL, rtp, tone
from recording.age.file import open_parts
from recording.archive.manifest import SealingNode, folder_of
from recording.archive.store import Archive
from recording.archive.verify import verify_recording
from recording.keys.keyring import OfficerKeys, RecipientSet, public_text
from recording.spool import Clock, SpoolWriter
from recording.spool.recovery import SpoolKeys

NUMBER = "+442079460123"


class Call:
    """A call with a packet every 20 ms, at offsets that the test chooses."""

    def __init__(
        self, office: "Office", life: int = 1, wall: float = WALL, mono: float = 0.0
    ) -> None:
        clock = Clock(wall=wall, mono=mono)
        office.spools.mkdir(exist_ok=True)
        self.writer = SpoolWriter.create(
            office.spools, office.runtime, CALL_ID, life, office.boot_key, None, clock, 5.0
        )

    def event(self, kind: str, at_us: int, **fields) -> None:
        self.writer.event(kind, fields, at_us)

    def answer(self, at_us: int = 0) -> None:
        self.event("call", at_us, number=NUMBER, withheld=False, line="main", called="100")
        for track in (0, 1):
            self.event("media", at_us, track=track, payloads={"8": ["PCMA", 8000, 1, ""]})
        self.event("answered", at_us, advisor="sian", extension="201")
        self.event("segment", at_us, **{"class": "centre", "to": ""})

    def talk(self, from_us: int, to_us: int, *, kind: int = 8) -> None:
        for at_us in range(from_us, to_us, 20_000):
            for track in (0, 1):
                self.writer.packet(track, at_us, rtp(track, at_us // 20_000, kind=kind))
            if at_us % US == 0:
                self.writer.tick(at_us)

    def end(self, at_us: int) -> Path:
        self.event("ended", at_us, cause="bye")
        self.writer.close(at_us)
        return self.writer.path


@dataclass
class Office:
    """Folders, keys and an archive."""

    root: Path
    officer: OfficerKeys = field(default_factory=OfficerKeys.generate)
    boot_key: bytes = field(default_factory=lambda: os.urandom(32))
    node: SealingNode = field(
        default_factory=lambda: SealingNode("galwad-1", "0.1.0", Ed25519PrivateKey.generate())
    )
    near_pause_s: float = 0.0

    @property
    def spools(self) -> Path:
        return self.root / "spool"

    @property
    def runtime(self) -> Path:
        return self.root / "spool-keys"

    @property
    def archive(self) -> Archive:
        return Archive(self.root / "archive", self.node, self.near_pause_s)

    @property
    def public_key(self) -> str:
        return public_text(self.node.key.public_key())

    @property
    def folder(self) -> Path:
        return self.root / "archive" / folder_of(CALL_ID)

    @property
    def keys(self) -> SpoolKeys:
        return SpoolKeys(self.boot_key, self.runtime)

    @property
    def recipients(self) -> RecipientSet:
        return RecipientSet.of([("Officer", self.officer.identity.recipient)], 1)

    tone = staticmethod(tone)

    def call(self, life: int = 1, wall: float = WALL, mono: float = 0.0) -> Call:
        return Call(self, life, wall, mono)

    def simple(self) -> Path:
        """Write a spool with four seconds of talk and a regular end, and return its path."""
        call = self.call()
        call.answer()
        call.talk(0, 4_000_000)
        return call.end(4_000_000)

    def seal(self, *paths: Path, following=None):
        return self.archive.seal(CALL_ID, paths, self.keys, self.recipients, following)

    def follow(self, path: Path):
        return self.archive.begin_live(CALL_ID, path, self.keys)

    def audio(self) -> tuple[np.ndarray, int]:
        header = (self.folder / f"{CALL_ID}.header").read_bytes()
        with (self.folder / f"{CALL_ID}.payload").open("rb") as payload:
            reader = open_parts(header, payload, [self.officer.identity])
            return soundfile.read(io.BytesIO(reader.readall()), dtype="int16")

    def raw(self) -> bytes | None:
        """Return the decrypted raw object of undecoded packets; None if there is none."""
        path = self.folder / f"{CALL_ID}.raw"
        if not path.exists():
            return None
        header = (self.folder / f"{CALL_ID}.header").read_bytes()
        with path.open("rb") as raw:
            return open_parts(header, raw, [self.officer.identity]).readall()

    def verdict(self, **more):
        return verify_recording(self.folder, CALL_ID, node_keys=[self.public_key], **more)
