"""The manifest: what a recording is, what is missing from it and why, signed by the node.

It names no caller and no number. `recording.signed` has the signature.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.errors import ManifestError
from recording.signed import Kind

FORMAT: Final = "galwad-manifest-1"


class Interval(msgspec.Struct, frozen=True):
    """A half-open stretch, in microseconds since the recording's start."""

    from_us: int
    to_us: int


class Segment(Interval, frozen=True):
    """A stretch that is recorded, and the class of where the call was."""

    destination: str


class Gap(Interval, frozen=True):
    """A stretch that is silent on purpose or by a fault.

    `reason`: payment, transfer, fault or erased; `trigger`: what shut the gate (page, api,
    phone, dtmf, refer, identity, storage, crash); `actor`: who, such as `user:sian`.
    """

    reason: str
    trigger: str
    actor: str


class TrackFacts(msgspec.Struct, frozen=True):
    """One channel. `codecs` counts packets; those of `undecoded` ones are silence.

    `lost` were lost on the wire. Of `withheld` ones only the place in the stream was kept: key
    presses, and payload types that nobody had agreed on.
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


class Fault(msgspec.Struct, frozen=True):
    """Something that went wrong while the call was recorded."""

    at_us: int
    why: str


class Life(msgspec.Struct, frozen=True):
    """One spool that the recording was made of."""

    life: int
    interrupted: bool
    truncated: bool
    damaged: bool


class ClockCheck(msgspec.Struct, frozen=True):
    """How far the wall clock had moved against the call's own, in microseconds."""

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
    """Everything that is known of one recording without opening it."""

    format: str
    call_id: str
    node: str
    software: str
    started: str
    """ISO 8601 in UTC, to the microsecond."""
    started_us: int
    """The same instant, microseconds since 1970."""
    talk_us: int
    rate: int
    """Samples a second, of FLAC, 16 bits, two channels: caller left, advisor right."""
    tracks: list[TrackFacts]
    segments: list[Segment]
    gaps: list[Gap]
    unexplained: list[Interval]
    """Talk time that neither segments nor gaps cover, or both: a fault."""
    interrupted: bool
    damaged: bool
    faults: list[Fault]
    lives: list[Life]
    clock: list[ClockCheck]
    recipients: list[str]
    """Fingerprints of those to whom it was sealed first."""
    recipients_serial: int
    payload: ObjectFacts
    sealed: str
    header: ObjectFacts | None = None
    """As it was written first; None in manifests from before it was signed, too."""
    raw: RawFacts | None = None
    """What could not be decoded, as it came; None where there is no such thing."""

    @property
    def unexplained_us(self) -> int:
        """Their sum."""
        return sum(each.to_us - each.from_us for each in self.unexplained)


MANIFEST: Final = Kind("manifest", FORMAT, Manifest, "node")


def sign_manifest(manifest: Manifest, key: Ed25519PrivateKey) -> bytes:
    """The content of the manifest's file: the manifest, the node's public key, the signature."""
    return MANIFEST.sign(manifest, key)


def read_manifest(data: bytes, public_key: str | None = None) -> Manifest:
    """A manifest whose signature is right.

    Args:
        data: the file's content.
        public_key: the node's, known from elsewhere; without it the key in the file is taken,
            which shows only that the manifest is of one piece.

    Raises:
        ManifestError: it is malformed, changed, or signed by another key.
    """
    return MANIFEST.read(data, None if public_key is None else (public_key,))


def verify_manifest(path: Path, public_key: str | None = None) -> Manifest:
    """`read_manifest` of a file."""
    try:
        return read_manifest(path.read_bytes(), public_key)
    except OSError as error:
        raise ManifestError(f"{path.name}: {(error.strerror or '').lower()}") from None
