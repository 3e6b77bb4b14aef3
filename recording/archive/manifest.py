"""The manifest: what a recording is, what is missing from it and why, signed by the node.

It names no caller and no number. `recording.keys.signed_document` makes and checks the signature.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.archive.accounting import Interval
from recording.errors import ManifestError
from recording.keys.signed_document import DocumentType

FORMAT: Final = "galwad-manifest-1"


class Segment(Interval, frozen=True):
    """A stretch that is recorded, and the destination class of the call during it."""

    destination: str


class Gap(Interval, frozen=True):
    """A stretch that is silent on purpose or by a fault.

    `reason`: payment, transfer, fault or erased. `trigger`: the event that shut the gate (page,
    api, phone, dtmf, refer, identity, storage, crash). `actor`: who caused it, such as `user:sian`.
    """

    reason: str
    trigger: str
    actor: str


class TrackFacts(msgspec.Struct, frozen=True):
    """One channel of a recording, with counts of its packets.

    `codecs` counts packets by codec; those that are `undecoded` are silence. `lost` packets never
    arrived. Of `withheld` packets only the place in the stream was stored: key presses, and payload
    types that were not negotiated.
    """

    channel: str
    codecs: dict[str, int]
    received: int
    lost: int
    late: int
    duplicate: int
    malformed: int
    undecoded: int
    withheld: int = 0


class FaultFacts(msgspec.Struct, frozen=True):
    """Something that went wrong while the call was recorded."""

    at_us: int
    why: str


class SpoolFacts(msgspec.Struct, frozen=True):
    """One spool from which the recording was made."""

    life: int
    interrupted: bool
    truncated: bool
    damaged: bool


class ClockCheck(msgspec.Struct, frozen=True):
    """The drift of the wall clock against the call's own clock, in microseconds."""

    at_us: int
    offset_us: int


class ObjectFacts(msgspec.Struct, frozen=True):
    """An object of the archive: its length in bytes and the digest of its bytes."""

    size: int
    sha256: str


class RawFacts(ObjectFacts, frozen=True):
    """The object with the packets that could not be decoded, and their number."""

    packets: int


class Manifest(msgspec.Struct, frozen=True):
    """The facts of one recording that are known without opening it."""

    format: str
    call_id: str
    node: str
    software: str
    started: str
    """ISO 8601 in UTC, to the microsecond."""
    started_us: int
    """The same instant in microseconds since 1970."""
    talk_us: int
    rate: int
    """Samples per second. The audio is FLAC of 16 bits with two channels: caller left, advisor
    right."""
    tracks: list[TrackFacts]
    segments: list[Segment]
    gaps: list[Gap]
    unexplained: list[Interval]
    """Talk time that neither segments nor gaps cover, or that both cover: a fault."""
    interrupted: bool
    damaged: bool
    faults: list[FaultFacts]
    lives: list[SpoolFacts]
    clock: list[ClockCheck]
    recipients: list[str]
    """Fingerprints of the recipients to whom it was sealed first."""
    recipients_serial: int
    payload: ObjectFacts
    sealed: str
    header: ObjectFacts | None = None
    """The header as it was written first; None in manifests of older software, which did not sign
    it."""
    raw: RawFacts | None = None
    """The packets that could not be decoded, as they arrived; None if there were none."""

    @property
    def unexplained_us(self) -> int:
        """The sum of the unexplained intervals, in microseconds."""
        return sum(each.length_us for each in self.unexplained)


MANIFEST: Final = DocumentType("manifest", FORMAT, Manifest, "node")


def sign_manifest(manifest: Manifest, key: Ed25519PrivateKey) -> bytes:
    """Return the manifest's file content: the manifest, the node's public key, the signature."""
    return MANIFEST.sign(manifest, key)


def read_manifest(data: bytes, public_key: str | None = None) -> Manifest:
    """Return a manifest after verifying its signature.

    Args:
        data: The file's content.
        public_key: The node's key, known from elsewhere. If None, the key in the file is used,
            which shows only that the manifest is consistent with itself.

    Raises:
        ManifestError: The manifest is malformed, changed, or signed by another key.
    """
    return MANIFEST.read(data, None if public_key is None else (public_key,))


def verify_manifest(path: Path, public_key: str | None = None) -> Manifest:
    """Do as `read_manifest`, for a file. Raises `ManifestError`."""
    try:
        return read_manifest(path.read_bytes(), public_key)
    except OSError as error:
        raise ManifestError(f"{path.name}: {(error.strerror or '').lower()}") from None
