"""The manifest: a signed document that describes one recording, its gaps and their reasons.

It contains no name and no phone number of a caller in clear, only commitments to such facts and an
encrypted copy (`recording.archive.commitments`). `recording.keys.signed_document` makes and
verifies the signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.audio.track_counts import TrackFacts
from recording.errors import ArchiveError, ManifestError
from recording.keys.signed_document import Document, DocumentType

FORMAT: Final = "galwad-manifest-1"


_CALL_ID = re.compile(r"(\d{4})(\d{2})(\d{2})-\d{6}-[a-z2-7]{8}")


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A stretch of time: `from_us` ≤ t < `to_us`, in microseconds since the recording's start."""

    from_us: int
    to_us: int

    @property
    def length_us(self) -> int:
        """The length of the interval in microseconds; never negative."""
        return max(0, self.to_us - self.from_us)


@dataclass(frozen=True, slots=True, order=True)
class Segment(Interval):
    """A stretch of the call that is recorded, with the call's destination class in this stretch."""

    destination: str


@dataclass(frozen=True, slots=True, order=True)
class Gap(Interval):
    """A stretch that was not recorded, on purpose or because of a fault. Its audio is silent.

    `from_us` and `to_us` are in microseconds since the recording's start. The reason is a
    `GapReason`, and the trigger a `Trigger`, the event that made the gap begin. `actor` caused this
    event, such as `user:sian`.
    """

    reason: str
    trigger: str
    actor: str


class PartyPackets(msgspec.Struct):
    """The packets of one party ("caller" or "advisor") in one stretch of the call.

    The counts from `received` to `late_us`, and `lost_by_kernel`, are the switch's. The others are
    the finaliser's, from reading the spools.
    """

    channel: str
    received: int | None
    """None if the count is unknown."""
    refused: int
    """From a wrong sender, or with failed SRTP authentication."""
    unwanted: int
    """Arrived while the party was not allowed to send."""
    stored: int | None
    """None if the count is unknown."""
    dropped: dict[str, int]
    """Received but not stored, by reason: that of a gap, or unanswered, ended or late."""
    late_us: int
    """The µs from the start of the segment to the last packet that was dropped as late."""
    read: int
    unreadable: int
    """The stored packets in parts of a spool that cannot be read."""
    heard: int
    """Their audio is on the track."""
    lost_by_network: int
    """Missing in the RTP sequence numbers."""
    lost_by_kernel: int
    """The kernel had no space for them when the switch was late."""
    arrived_in_gap: int = 0
    """In the spools, but they arrived in a gap where nothing may be stored: a fault."""


@dataclass(frozen=True, slots=True)
class PacketStretch(Interval):
    """A segment or a gap of the call, with the packets that the switch handled in it.

    `gap` is the gap's reason; "" for a segment. `complete` is False if the counts of the switch do
    not cover the whole stretch, because its process stopped or a part of a spool is missing.
    """

    gap: str
    complete: bool
    parties: list[PartyPackets]


@dataclass(frozen=True, slots=True)
class TriggerFacts:
    """A trigger that the switch received, with or without an effect.

    `at_us` is its arrival in µs since the recording's start. Trigger and actor are as in a gap.
    The last `erase_us` µs before the trigger, or more, had to be erased.
    """

    at_us: int
    trigger: str
    actor: str
    erase_us: int


class FaultFacts(msgspec.Struct, frozen=True):
    """A fault in a call, at `at_us` (µs since the recording's start)."""

    at_us: int
    why: str


class SpoolFacts(msgspec.Struct, frozen=True):
    """The state of one spool from which the recording was made. `life` is its number in the call.

    An `interrupted` spool has no END frame, and a `truncated` one ends inside a frame.
    """

    life: int
    interrupted: bool
    truncated: bool
    damaged: bool


class ClockCheck(msgspec.Struct, frozen=True):
    """A comparison of the clocks, `at_us` µs after the recording's start.

    Since this start, the wall clock has advanced `offset_us` µs more than the monotonic clock.
    """

    at_us: int
    offset_us: int


class ObjectFacts(msgspec.Struct, frozen=True):
    """The size in bytes, and the SHA-256 in hexadecimal, of a file in the archive."""

    size: int
    sha256: str


class RawFacts(ObjectFacts, frozen=True):
    """The file with the packets that could not be decoded, and their number."""

    packets: int


class RecordingDocument(Document, frozen=True):
    """A signed document about one recording: its manifest, a rewrap or its disposal."""

    call_id: str


class Manifest(RecordingDocument, frozen=True):
    """The description of one recording. The description is not encrypted."""

    node: str
    software: str
    started: str
    """The time of the call's answer, in ISO 8601, UTC, to the microsecond."""
    started_us: int
    """The time of the call's answer, in microseconds since 1970."""
    talk_us: int
    rate: int
    """Samples per second. The FLAC audio has 16 bits, the caller left, the other party right."""
    tracks: list[TrackFacts]
    segments: list[Segment]
    gaps: list[Gap]
    unexplained: list[Interval]
    """The talk time that segments and gaps do not cover exactly once, which is a fault."""
    interrupted: bool
    damaged: bool
    faults: list[FaultFacts]
    lives: list[SpoolFacts]
    clock: list[ClockCheck]
    recipients: list[str]
    """The fingerprints of the recipients of the recording's first header."""
    recipients_serial: int
    payload: ObjectFacts
    sealed: str
    header: ObjectFacts | None = None
    """The recording's first header; None in manifests of older software, which did not sign it."""
    raw: RawFacts | None = None
    """None if all packets could be decoded."""
    index: dict[str, str] | None = None
    """The commitments to the facts about people, by the facts' names.

    Each is an HMAC-SHA-256 in hexadecimal, with the recording's salt as its key
    (`recording.archive.commitments`). None in manifests of older software.
    """

    sealed_facts: str | None = None
    """The personal facts and the salt, encrypted with the recording's file key, in base64.

    The header followed by these bytes is an age file, which only the recipients can read, as long
    as the header exists. None in manifests of older software.
    """

    packets: list[PacketStretch] | None = None
    """None in manifests of older software."""
    triggers: list[TriggerFacts] = msgspec.field(default_factory=list)
    """The events at which the switch had to stop storing media."""

    @property
    def unexplained_us(self) -> int:
        """The total length of `unexplained`, in microseconds."""
        return sum(each.length_us for each in self.unexplained)


MANIFEST: Final = DocumentType("manifest", FORMAT, Manifest, "node")


@dataclass(frozen=True, slots=True)
class SealingNode:
    """The node that seals recordings, with its software's name and version."""

    name: str
    software: str
    key: Ed25519PrivateKey


def folder_of(call_id: str) -> str:
    """Return the folder `YYYY/MM/DD` of a call in the archive.

    Raises `ArchiveError` if the text is not a call id.
    """
    match = _CALL_ID.fullmatch(call_id)
    if match is None:
        raise ArchiveError("this is not a call id")
    return "/".join(match.groups())


def day_folder(call_id: str) -> str:
    """Return the folder `YYYY/MM/DD` that a recording with this call id has in the archive."""
    return f"{call_id[:4]}/{call_id[4:6]}/{call_id[6:8]}"


def sign_manifest(manifest: Manifest, key: Ed25519PrivateKey) -> bytes:
    """Return the content of the manifest's file, signed with the node's key."""
    return MANIFEST.sign(manifest, key)


def read_manifest(data: bytes, public_key: str | None = None) -> Manifest:
    """Verify the signature in a manifest's file. Return the manifest. Raises `ManifestError`.

    `public_key` is a trusted node's (base64). If None, the key in the file is used; the signature
    then does not prove who made the file.
    """
    return MANIFEST.read(data, None if public_key is None else (public_key,))


def verify_manifest(path: Path, public_key: str | None = None) -> Manifest:
    """Read a manifest's file as `read_manifest` does. Raises `ManifestError`."""
    try:
        return read_manifest(path.read_bytes(), public_key)
    except OSError as error:
        raise ManifestError(f"{path.name}: {(error.strerror or '').lower()}") from None
