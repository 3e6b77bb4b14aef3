"""The manifest: a document that describes one recording, its gaps and their reasons.

The node signs each manifest. The module `recording.keys.signed_document` makes and verifies the
signature. A manifest contains neither the name nor the phone number of a caller; it only contains
commitments (`recording.archive.commitments`) to such facts.
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
    """A stretch of the call that is recorded, with the call's destination class in this stretch."""

    destination: str


class Gap(Interval, frozen=True):
    """A stretch of the call that was not recorded, on purpose or because of a fault.

    The audio of the recording is silent in this stretch.

    Attributes:
        reason: payment, transfer, fault, erased or captured-card.
        trigger: The event that shut the gate: page, api, phone, dtmf, refer, page-transfer,
            identity, route, unnamed, storage or crash. Or tones: the finaliser silenced digits
            that it found in the audio, a card number (captured-card) or digits near a pause
            (erased).
        actor: The person or system that caused this event, such as `user:sian`.
    """

    reason: str
    trigger: str
    actor: str


class NetworkFacts(msgspec.Struct, frozen=True):
    """The effects of the network on the packets of one channel.

    Attributes:
        loss_bursts: The number of bursts of lost packets. A burst has one or more lost packets with
            consecutive sequence numbers.
        longest_loss: The number of packets in the longest burst.
        jitter_us: The average interarrival jitter (RFC 3550, appendix A.8), in microseconds.
        jitter_most_us: The largest interarrival jitter, in microseconds.
        mos: The mean opinion score, from 1 to 4.5, that `recording.archive.speech_quality`
            estimates; None if no packet arrived or the codec has no estimate.
    """

    loss_bursts: int
    longest_loss: int
    jitter_us: int
    jitter_most_us: int
    mos: float | None


class TrackFacts(msgspec.Struct, frozen=True):
    """The facts about one channel of a recording: its name and the counts of its RTP packets.

    Attributes:
        channel: "caller" or "advisor".
        codecs: A dict with the number of packets of each codec.
        received: The number of packets that arrived.
        lost: The number of packets that never arrived.
        late: The number of packets that arrived too late to be recorded.
        duplicate: The number of packets that arrived a second time.
        malformed: The number of packets that are not valid RTP.
        undecoded: The number of packets that could not be decoded. The recording is silent in their
            place.
        withheld: The number of packets of which only the RTP header was stored. These are packets
            of DTMF digits, and packets with a payload type that was not negotiated.
        unplaced: The number of `late` packets that are not in `received`, because their sequence
            numbers fit nowhere into the stream.
        network: The jitter and the bursts of lost packets. It is None in manifests of older
            software.
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
    network: NetworkFacts | None = None
    unplaced: int = 0


class PartyPackets(msgspec.Struct, frozen=True):
    """The packets of one party in one stretch of the call.

    The switch has counted `received`, `refused`, `unwanted`, `stored`, `dropped` and `late_us`. The
    finaliser has counted the others when it read the spools.

    Attributes:
        channel: "caller" or "advisor".
        received: The packets that the switch received from the party; None if the count is unknown.
        refused: The packets from a wrong sender or with failed SRTP authentication.
        unwanted: The packets that arrived while the party was not allowed to send.
        stored: The packets that the switch stored; None if the count is unknown.
        dropped: A dict with the number of received packets that were not stored, by reason: that of
            a gap, or unanswered, ended or late.
        late_us: The time in microseconds from the beginning of the segment to the last packet that
            was dropped as late.
        read: The packets that the finaliser read.
        unreadable: The stored packets in the parts of a spool that cannot be read.
        heard: The packets whose audio is on the track.
        lost_by_network: The packets that are missing in the RTP sequence numbers.
        lost_by_kernel: The packets for which the kernel had no space when the switch was late.
        arrived_in_gap: In a gap of a payment or transfer, or in an erased stretch: the packets that
            are in the spools although they arrived in it. It is 0 unless there is a fault.
    """

    channel: str
    received: int | None
    refused: int
    unwanted: int
    stored: int | None
    dropped: dict[str, int]
    late_us: int
    read: int
    unreadable: int
    heard: int
    lost_by_network: int
    lost_by_kernel: int
    arrived_in_gap: int = 0


class PacketStretch(Interval, frozen=True):
    """A segment or a gap of the call, with the packets that the switch handled in it.

    Attributes:
        gap: The reason of the gap; "" for a segment.
        complete: False if the counts of the switch do not cover the whole stretch, because its
            process stopped or a part of a spool is missing.
        parties: The packets of the caller and of the advisor.
    """

    gap: str
    complete: bool
    parties: list[PartyPackets]


class TriggerFacts(msgspec.Struct, frozen=True):
    """A trigger that the switch received, whatever its effect was.

    Attributes:
        at_us: The trigger's arrival in microseconds since the recording's start.
        trigger: As in a gap: page, api, phone, dtmf, refer, page-transfer, identity,
            route or unnamed.
        actor: As in a gap.
        erase_us: The length in microseconds of what the trigger had to erase, at the least.
    """

    at_us: int
    trigger: str
    actor: str
    erase_us: int


class FaultFacts(msgspec.Struct, frozen=True):
    """A fault in a call: its time in µs since the recording's start, and a description."""

    at_us: int
    why: str


class SpoolFacts(msgspec.Struct, frozen=True):
    """The state of one spool from which the recording was made.

    Attributes:
        life: The spool's number among the spools of the call.
        interrupted: True if the spool was not closed properly: it has no END frame.
        truncated: True if the file ends inside a frame.
        damaged: True if the file was changed.
    """

    life: int
    interrupted: bool
    truncated: bool
    damaged: bool


class ClockCheck(msgspec.Struct, frozen=True):
    """The difference between the wall clock and the call's monotonic clock at one time.

    Attributes:
        at_us: The time in microseconds since the recording's start, by the monotonic clock.
        offset_us: The difference in microseconds. It is positive if the wall clock advanced more
            than the monotonic clock since the recording's start.
    """

    at_us: int
    offset_us: int


class ObjectFacts(msgspec.Struct, frozen=True):
    """The size in bytes, and the SHA-256 in hexadecimal, of a file in the archive."""

    size: int
    sha256: str


class RawFacts(ObjectFacts, frozen=True):
    """The facts about the file with the packets that could not be decoded.

    Attributes:
        packets: The number of packets in the file.
    """

    packets: int


class Commitments(msgspec.Struct, frozen=True, omit_defaults=True):
    """The commitments to the facts about people in the call, which only the index has.

    Each commitment is an HMAC-SHA-256 in hexadecimal. Its key is the salt in the recording's row in
    the index, so the manifest does not disclose the fact. `recording.archive.commitments` makes and
    compares them.

    Attributes:
        number: The commitment to the caller's number, or to its absence if it was withheld.
        line: The commitment to the name of the line.
        advisor: The commitment to the advisor who answered first.
        extension: The commitment to the extension of this advisor's phone.
        later_callers: The commitment to the callers whom a trunk named during the call. It is None,
            and not in the manifest, if there were none.
        later_advisors: The same for the parties that got the call at the advisor's end later.
    """

    number: str
    line: str
    advisor: str
    extension: str
    later_callers: str | None = None
    later_advisors: str | None = None


class Manifest(msgspec.Struct, frozen=True):
    """The description of one recording. The description is not encrypted."""

    format: str
    call_id: str
    node: str
    software: str
    started: str
    """The time of the call's answer, in ISO 8601, UTC, to the microsecond."""
    started_us: int
    """The time of the call's answer, in microseconds since 1970."""
    talk_us: int
    rate: int
    """The number of samples per second.

    The audio is FLAC of 16 bits with two channels: the caller left, the advisor right.
    """
    tracks: list[TrackFacts]
    segments: list[Segment]
    gaps: list[Gap]
    unexplained: list[Interval]
    """The talk time that no segment or gap covers, or that a segment and a gap both cover.

    Such time is a fault.
    """
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
    """The size and digest of the recording's first header.

    None in manifests of older software, which did not sign the header.
    """
    raw: RawFacts | None = None
    """The facts about the file with the packets that could not be decoded.

    None if all packets could be decoded.
    """
    index: Commitments | None = None
    """The commitments to the personal facts in the index.

    None in manifests of older software.
    """
    sealed_facts: str | None = None
    """The personal facts and the salt, encrypted with the recording's file key, in base64.

    The recording's header and these bytes together are an age file. So only the recipients can read
    the facts, and no person can read them after the header was destroyed. None in manifests of
    older software.
    """

    packets: list[PacketStretch] | None = None
    """The packets of each party in each segment and gap. None in manifests of older software."""
    triggers: list[TriggerFacts] = []
    """The triggers that the switch received after which nothing may be stored."""

    @property
    def unexplained_us(self) -> int:
        """The total length of the intervals in `unexplained`, in microseconds."""
        return sum(each.length_us for each in self.unexplained)


MANIFEST: Final = DocumentType("manifest", FORMAT, Manifest, "node")


def sign_manifest(manifest: Manifest, key: Ed25519PrivateKey) -> bytes:
    """Sign a manifest with the node's `key`, and return the bytes of the manifest's file.

    The file contains the manifest, the node's public key and the signature.
    """
    return MANIFEST.sign(manifest, key)


def read_manifest(data: bytes, public_key: str | None = None) -> Manifest:
    """Verify the signature of a manifest, and return the manifest.

    Args:
        data: The bytes of the manifest's file.
        public_key: The node's public key (base64), from a trusted source. If None, the public key
            in the file is used. The signature then proves only that the file was signed with that
            key; it does not prove who made the file.

    Raises:
        ManifestError: The manifest is malformed, changed, or signed by another key.
    """
    return MANIFEST.read(data, None if public_key is None else (public_key,))


def verify_manifest(path: Path, public_key: str | None = None) -> Manifest:
    """Read a manifest's file, verify its signature, and return the manifest.

    `public_key` has the same meaning as in `read_manifest`.

    Raises `ManifestError` if the file cannot be read or the manifest is not valid.
    """
    try:
        return read_manifest(path.read_bytes(), public_key)
    except OSError as error:
        raise ManifestError(f"{path.name}: {(error.strerror or '').lower()}") from None
