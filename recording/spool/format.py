"""A spool file: its header and records as values and as bytes, and the encryption of its frames.

This module opens no files; `docs/file-formats.md` describes the format in full. After two copies of
the file header come the frames, each with a header, a CRC (which shows damage without a key) and
AES-256-GCM ciphertext. The associated data are the frame header and the file's *identity* (the
SHA-256 of the file header's body). So no frame can be moved, renumbered or copied into another file
unnoticed. A frame's *index* counts from 1. *Offsets* are microseconds since the start of the spool.
"""

import hashlib
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import cast

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recording.errors import SpoolHeaderError

Field = None | bool | int | float | str | bytes | Sequence["Field"] | Mapping[str, "Field"]
"""A value in an event: any value that msgpack can encode."""
Event = tuple[str, Mapping[str, Field], int]
"""An event to write: its kind, its fields and its offset in µs since the spool's start."""


@dataclass(frozen=True, slots=True)
class Clock:
    """One instant, by the wall clock (Unix epoch seconds) and by the monotonic clock (seconds)."""

    wall: float
    mono: float

    def at_us(self, mono: float) -> int:
        """Return the µs from this instant to `mono` (monotonic seconds), rounded."""
        return int((mono - self.mono) * 1_000_000 + 0.5)


@dataclass(frozen=True, slots=True)
class SpoolHeader:
    """The file header of a spool. It is not encrypted, and has no personal data."""

    call_id: str
    life: int
    """The number of this spool among the call's spools, from 1.

    A call gets a new spool after a restart of the switch, and when its old spool is gone or fails.
    """
    spool_id: bytes
    """16 random bytes that identify this spool."""
    started_wall_us: int
    """The start of the spool (offset 0) in Unix epoch microseconds."""
    lookback_us: int
    boot_wrapped: bytes
    """The spool key, encrypted under the boot key (`recording.spool.keys.wrap_spool_key`)."""
    recipients_wrapped: bytes
    """The spool key as an age file for the archive's recipients; empty if the archive has none."""
    key_check: bytes
    """`recording.spool.keys.key_check` of the spool key."""
    started_mono_us: int = 0
    """The start in µs of the monotonic clock; 0 if a version without this field wrote the spool."""

    def us_after(self, first: "SpoolHeader") -> int:
        """Return the µs from the start of the call's spool `first` to the start of this spool.

        The monotonic times are compared, because the wall clock may have been changed. The wall
        clock is used only if a spool has no usable monotonic time. Both spools are from the same
        boot: no call continues after a reboot, because its checkpoint is in a tmpfs.
        """
        if self.started_mono_us >= first.started_mono_us > 0:
            return self.started_mono_us - first.started_mono_us
        return self.started_wall_us - first.started_wall_us

    def continues(self, last: "SpoolHeader") -> bool:
        """Return whether the process that wrote the call's spool `last` wrote this spool too.

        A process begins another spool when the disk fails. It gives all its spools of a call the
        same start.
        """
        same = self.started_mono_us, self.started_wall_us
        return self.started_mono_us > 0 and same == (last.started_mono_us, last.started_wall_us)


class LossReason(StrEnum):
    """The reason why a part of a spool cannot be read."""

    DAMAGED = "damaged"
    """Bytes were changed, or frames are missing, for example because a write failed."""
    TRUNCATED = "truncated"
    """The file ends inside a frame, or in bytes that were never written."""
    UNRELEASED = "unreleased"
    """The frame's key is lost, because the writer ended before the key was in the file."""
    ERASED = "erased"
    """The frame's key was destroyed on purpose."""


@dataclass(frozen=True, slots=True)
class PacketRecord:
    """One RTP packet as it arrived, at `at_us` (µs since the spool's start)."""

    at_us: int
    track: int
    data: bytes


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event of the call, at `at_us` (µs since the spool's start)."""

    at_us: int
    kind: str
    fields: dict[str, Field]


@dataclass(frozen=True, slots=True)
class LostRecord:
    """A loss: the consecutive frames `first_index` to `last_index` cannot be read."""

    first_index: int
    last_index: int
    from_us: int | None
    """The earliest possible arrival of a lost packet, in µs since the start; None if unknown."""
    to_us: int | None
    """The latest possible arrival; None if unknown, as at the end of a truncated file."""
    why: LossReason


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The end of a spool that was closed properly."""

    at_us: int


Record = PacketRecord | EventRecord | LostRecord | EndRecord


HEADER_MAGIC = b"GALSPOOL"
VERSION = 1
HEADER_PREFIX = struct.Struct(">8sHII")
"""Magic bytes, version, length of the body, and a CRC-32 of these three fields and the body."""
MAX_HEADER = 65_536

FRAME_MAGIC = b"\xc1GwF"
FRAME_HEADER = struct.Struct(">4sB3xIQQI")
"""Magic bytes, kind, index, first and last offset of the contents, and bytes of ciphertext."""
CRC = struct.Struct(">I")
FRAME_OVERHEAD = FRAME_HEADER.size + CRC.size
TAG = 16
MAX_CIPHERTEXT = 1 << 20
"""The most bytes of a frame's ciphertext. A header with a greater length is treated as damaged."""
MAX_MEDIA = MAX_CIPHERTEXT // 2
"""The size in bytes above which a media frame takes no more packets."""

PACKET = struct.Struct(">IBI")
"""Before each packet of a media frame: µs since the frame's first offset, track, bytes."""
_NEVER_US = 253_402_300_800_000_000
"""The year 10,000 in Unix µs, which Python's dates cannot have: such a start shows damage."""

_EVENT_DECODER = msgspec.msgpack.Decoder(tuple[str, dict[str, object]])
_HEADER_DECODER = msgspec.msgpack.Decoder(SpoolHeader)


class FrameKind(IntEnum):
    """The kinds of frames, one for each kind of content."""

    MEDIA = 1
    """Packets. Each MEDIA frame has its own key; frames of all other kinds use the spool key."""
    EVENT = 2
    RELEASE = 3
    """The keys of media frames.

    A key in a RELEASE frame is *published*. From then on, every program with the spool key can read
    its media frame, which can no longer be erased.
    """
    TOMBSTONE = 4
    """The list of erased media frames, and of the *replacement* frames.

    A replacement frame has those packets of an erased frame that must stay readable.
    """
    END = 5


_KINDS = frozenset(FrameKind)


class PublishedKeys(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of a RELEASE frame."""

    keys: list[tuple[int, bytes]]
    """Pairs (index of a media frame, key of this media frame)."""


class Tombstone(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of a TOMBSTONE frame."""

    from_us: int
    """The offset in µs from which on the packets of the erased frames are unreadable."""
    erased: list[int]
    """The indices of the media frames whose keys were destroyed."""
    replaced: list[tuple[int, int]]
    """Pairs (erased frame, replacement frame with its packets from before `from_us`)."""


class End(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of an END frame, with which a properly closed spool ends."""

    frames: int
    """The number of frames before the END frame, including those that could not be written."""


@dataclass(frozen=True, slots=True)
class SpoolFrame:
    """One frame as it was read from the file, still encrypted; its CRC is correct.

    `from_us` and `to_us` are the first and the last offset of the frame's contents.
    """

    kind: FrameKind
    index: int
    from_us: int
    to_us: int
    raw_header: bytes
    ciphertext: bytes

    @property
    def size(self) -> int:
        """The length of the whole frame in the file, in bytes."""
        return FRAME_OVERHEAD + len(self.ciphertext)


class FrameCipher:
    """Encrypts and decrypts the frames of one spool file, under the spool key or a frame key."""

    def __init__(self, spool_key: bytes, identity: bytes) -> None:
        self.identity = identity
        self._cipher = AESGCM(spool_key)

    def frame(
        self,
        kind: FrameKind,
        index: int,
        span: tuple[int, int],
        plaintext: bytes | memoryview,
        key: bytearray | None = None,
    ) -> bytes:
        """Return a frame with `plaintext`, encrypted under `key`, or under the spool key if None.

        `span` is the first and the last offset of the contents in µs.
        """
        cipher = self._cipher if key is None else AESGCM(key)
        raw = FRAME_HEADER.pack(FRAME_MAGIC, kind, index, *span, len(plaintext) + TAG)
        sealed = cipher.encrypt(_nonce(index), plaintext, raw + self.identity)
        return b"".join((raw, CRC.pack(zlib.crc32(sealed, zlib.crc32(raw))), sealed))

    def open_into_buffer(self, frame: SpoolFrame, key: bytearray) -> bytearray | None:
        """Decrypt a frame as `open` does, into a buffer that can be overwritten."""
        buffer = bytearray(len(frame.ciphertext) - TAG)
        associated = frame.raw_header + self.identity
        try:
            AESGCM(key).decrypt_into(_nonce(frame.index), frame.ciphertext, associated, buffer)
        except InvalidTag:
            return None
        return buffer

    def open(self, frame: SpoolFrame, key: bytes | bytearray | None = None) -> bytes | None:
        """Decrypt a frame with `key`, or with the spool key if it is None; return the plaintext.

        Return None if the frame was encrypted under another key, was changed, or belongs to another
        file.
        """
        cipher = self._cipher if key is None else AESGCM(key)
        associated = frame.raw_header + self.identity
        try:
            return cipher.decrypt(_nonce(frame.index), frame.ciphertext, associated)
        except InvalidTag:
            return None


def _nonce(index: int) -> bytes:
    """Return a frame's nonce. Each index is in a file only once, so no key gets a nonce twice."""
    return index.to_bytes(12, "big")


def frame_length(raw: bytes) -> int | None:
    """Return the bytes of ciphertext after a frame header; None if the header is not valid."""
    magic, kind, index, from_us, to_us, length = FRAME_HEADER.unpack(raw)
    if magic != FRAME_MAGIC or kind not in _KINDS or not index or from_us > to_us:
        return None
    return length if TAG <= length <= MAX_CIPHERTEXT else None


def parse_frame(raw: bytes, crc: bytes, ciphertext: bytes) -> SpoolFrame | None:
    """Return the frame of a header (`raw`), a CRC and a ciphertext; None if the CRC is wrong."""
    if CRC.pack(zlib.crc32(ciphertext, zlib.crc32(raw))) != crc:
        return None
    _, kind, index, from_us, to_us, _ = FRAME_HEADER.unpack(raw)
    return SpoolFrame(FrameKind(kind), index, from_us, to_us, raw, ciphertext)


def unpack_packets(from_us: int, plaintext: bytes) -> list[PacketRecord] | None:
    """Return the packets in a media frame's plaintext; None if it is malformed.

    `from_us` is the frame's first offset.
    """
    packets: list[PacketRecord] = []
    position, end = 0, len(plaintext)
    while position < end:
        if end - position < PACKET.size:
            return None
        delta, track, length = PACKET.unpack_from(plaintext, position)
        position += PACKET.size
        if length > end - position:
            return None
        data = plaintext[position : position + length]
        packets.append(PacketRecord(from_us + delta, track, data))
        position += length
    return packets


def pack_event(kind: str, fields: Mapping[str, Field]) -> bytes:
    """Return the plaintext of an EVENT frame."""
    return msgspec.msgpack.encode((kind, fields))


def unpack_event(at_us: int, plaintext: bytes) -> EventRecord | None:
    """Return the event in an EVENT frame's plaintext; None if it cannot be decoded."""
    try:
        kind, fields = _EVENT_DECODER.decode(plaintext)
    except msgspec.DecodeError:
        return None
    return EventRecord(at_us, kind, cast("dict[str, Field]", fields))


def pack_header(header: SpoolHeader) -> tuple[bytes, bytes]:
    """Return one copy of the file header, and its identity.

    Raises `SpoolHeaderError` if the body is longer than `MAX_HEADER` bytes.
    """
    body = msgspec.msgpack.encode(header)
    if len(body) > MAX_HEADER:
        raise SpoolHeaderError(
            f"the header has {len(body)} bytes, but at most {MAX_HEADER} are allowed"
        )
    crc = zlib.crc32(body, zlib.crc32(HEADER_PREFIX.pack(HEADER_MAGIC, VERSION, len(body), 0)[:14]))
    return HEADER_PREFIX.pack(HEADER_MAGIC, VERSION, len(body), crc) + body, identity_of(body)


def identity_of(body: bytes) -> bytes:
    """Return the SHA-256 of the file header's body."""
    return hashlib.sha256(body).digest()


def parse_header(data: bytes) -> tuple[SpoolHeader, bytes, int] | None:
    """Return the file header with which `data` begins, its identity, and its length in bytes.

    None if the copy is damaged. Raises `SpoolHeaderError` if this program does not know its
    version.
    """
    if len(data) < HEADER_PREFIX.size:
        return None
    magic, version, length, crc = HEADER_PREFIX.unpack_from(data)
    end = HEADER_PREFIX.size + length
    if magic != HEADER_MAGIC or length > MAX_HEADER or end > len(data):
        return None
    body = data[HEADER_PREFIX.size : end]
    if zlib.crc32(body, zlib.crc32(data[:14])) != crc:
        return None
    if version != VERSION:
        raise SpoolHeaderError(f"the spool has version {version}, but this program reads {VERSION}")
    try:
        header = _HEADER_DECODER.decode(body)
    except msgspec.DecodeError:
        return None
    return (header, identity_of(body), end) if 0 <= header.started_wall_us < _NEVER_US else None
