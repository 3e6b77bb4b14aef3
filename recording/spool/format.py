"""The bytes of a spool file: the file header, the frames, and the encryption of the frames.

This module opens no files. `docs/file-formats.md` describes the format in full. A spool file begins
with two copies of the file header; the frames follow. Each frame has its own frame header, a CRC
and AES-256-GCM ciphertext. With the CRC, damage can be found without a key. The associated data of
the encryption are the frame header and the file's *identity*, which is the SHA-256 of the file
header's body. So no frame can be moved, renumbered or copied into another file unnoticed.

Frames are numbered from 1; this number is the frame's *index*. *Offsets* are microseconds since the
start of the spool.
"""

import hashlib
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import cast

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recording.errors import SpoolHeaderError
from recording.spool.records import EventRecord, Field, PacketRecord, SpoolHeader

HEADER_MAGIC = b"GALSPOOL"
VERSION = 1
HEADER_PREFIX = struct.Struct(">8sHII")
"""The fields before the body of the file header.

They are the magic bytes, the version, the length of the body, and a CRC-32 of these three fields
and the body.
"""
MAX_HEADER = 65_536

FRAME_MAGIC = b"\xc1GwF"
FRAME_HEADER = struct.Struct(">4sB3xIQQI")
"""The fields of a frame header.

They are the magic bytes, the frame's kind and index, the first and the last offset of its contents
in microseconds, and the length of its ciphertext in bytes.
"""
CRC = struct.Struct(">I")
FRAME_OVERHEAD = FRAME_HEADER.size + CRC.size
TAG = 16
MAX_CIPHERTEXT = 1 << 20
"""The maximum number of bytes of a frame's ciphertext.

A frame header with a greater length is damaged or forged. Such a frame is treated as damaged, so
that no more than this number of bytes is read into memory for one frame.
"""
MAX_MEDIA = MAX_CIPHERTEXT // 2
"""The number of bytes of packets above which a media frame is full.

A full frame is written when the next packet arrives. The next packet then begins a new frame. Other
frames are written at regular intervals.
"""

PACKET = struct.Struct(">IBI")
"""The fields before each packet in the plaintext of a media frame.

They are the microseconds since the frame's first offset, the track, and the packet's length in
bytes.
"""
_U32 = 0xFFFFFFFF
_NEVER_US = 253_402_300_800_000_000
"""The start of the year 10,000 in Unix microseconds.

A file header whose spool started in the year 10,000 or later is treated as damaged, because
Python's dates end with the year 9999.
"""

_EVENT_DECODER = msgspec.msgpack.Decoder(tuple[str, dict[str, object]])
_HEADER_DECODER = msgspec.msgpack.Decoder(SpoolHeader)


class FrameKind(IntEnum):
    """The kinds of frames. Each kind of content has its own kind of frame."""

    MEDIA = 1
    """Packets. Each MEDIA frame has its own key; frames of all other kinds use the spool key."""
    EVENT = 2
    RELEASE = 3
    """The keys of media frames.

    A key in a RELEASE frame is *published*. From then on, every program with the spool key can
    read the media frame of the published key, and this media frame can no longer be erased.
    """
    TOMBSTONE = 4
    """The list of erased media frames, and of the *replacement* frames.

    A replacement frame is a new media frame. It contains those packets of an erased frame that
    must stay readable.
    """
    END = 5


_KINDS = frozenset(FrameKind)


class PublishedKeys(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of a RELEASE frame, which contains keys of media frames."""

    keys: list[tuple[int, bytes]]
    """Pairs (index of a media frame, key of this media frame)."""


class Tombstone(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of a TOMBSTONE frame, which lists erased media frames."""

    from_us: int
    """The start of the erasure, as an offset in µs.

    The packets of the erased frames that arrived at this offset or later are unreadable. The
    earlier packets of these frames were written again in new frames (see `replaced`).
    """
    erased: list[int]
    """The indices of the media frames whose keys were destroyed."""
    replaced: list[tuple[int, int]]
    """Pairs (old, new): the index of an erased frame, and the index of its replacement frame.

    The replacement frame has those packets of the erased frame that arrived before `from_us`.
    """


class End(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of an END frame, with which a properly closed spool ends."""

    frames: int
    """The number of frames before the END frame; the END frame itself has the index `frames` + 1.

    Frames that could not be written are also counted, because their indices are not used again.
    """


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
        """Return the bytes of one frame, with `plaintext` encrypted under `key`.

        `span` is the first and the last offset (µs) of the contents. If `key` is None, the spool
        key is used.
        """
        cipher = self._cipher if key is None else AESGCM(key)
        raw = FRAME_HEADER.pack(FRAME_MAGIC, kind, index, *span, len(plaintext) + TAG)
        sealed = cipher.encrypt(_nonce(index), plaintext, raw + self.identity)
        return b"".join((raw, CRC.pack(zlib.crc32(sealed, zlib.crc32(raw))), sealed))

    def open_into_buffer(self, frame: SpoolFrame, key: bytearray) -> bytearray | None:
        """Decrypt a frame with `key`, as `open` does, into a buffer that can be overwritten."""
        buffer = bytearray(len(frame.ciphertext) - TAG)
        associated = frame.raw_header + self.identity
        try:
            AESGCM(key).decrypt_into(_nonce(frame.index), frame.ciphertext, associated, buffer)
        except InvalidTag:
            return None
        return buffer

    def open(self, frame: SpoolFrame, key: bytes | bytearray | None = None) -> bytes | None:
        """Decrypt a frame with `key`, or with the spool key if `key` is None.

        Return the plaintext. Return None if the frame was encrypted under another key, was changed,
        or belongs to another file.
        """
        cipher = self._cipher if key is None else AESGCM(key)
        associated = frame.raw_header + self.identity
        try:
            return cipher.decrypt(_nonce(frame.index), frame.ciphertext, associated)
        except InvalidTag:
            return None


def _nonce(index: int) -> bytes:
    """Return the nonce of the frame with this index.

    A nonce is never used twice with the same key, because each index of a file is used only once.
    The index of a frame that could not be written is not used again.
    """
    return index.to_bytes(12, "big")


def frame_length(raw: bytes) -> int | None:
    """Return the length in bytes of the ciphertext that follows the frame header `raw`.

    Return None if the frame header is not valid.
    """
    magic, kind, index, from_us, to_us, length = FRAME_HEADER.unpack(raw)
    if magic != FRAME_MAGIC or kind not in _KINDS or not index or from_us > to_us:
        return None
    return length if TAG <= length <= MAX_CIPHERTEXT else None


def parse_frame(raw: bytes, crc: bytes, ciphertext: bytes) -> SpoolFrame | None:
    """Return the frame made of a frame header (`raw`), a CRC and a ciphertext.

    Return None if `crc` is not the CRC of the frame header and the ciphertext.
    """
    if CRC.pack(zlib.crc32(ciphertext, zlib.crc32(raw))) != crc:
        return None
    _, kind, index, from_us, to_us, _ = FRAME_HEADER.unpack(raw)
    return SpoolFrame(FrameKind(kind), index, from_us, to_us, raw, ciphertext)


def pack_packets(packets: list[tuple[int, int, bytes]]) -> tuple[tuple[int, int], bytes]:
    """Return the span and the plaintext of a media frame with these packets.

    Each packet is a tuple (at_us, track, data), with at_us >= 0. The span is the earliest and the
    latest `at_us`.
    """
    offsets = [packet[0] for packet in packets]
    first, last = min(offsets), max(offsets)
    parts: list[bytes] = []
    pack = PACKET.pack
    for at, track, data in packets:
        parts.extend((pack(min(at - first, _U32), track, len(data)), data))
    return (first, last), b"".join(parts)


def unpack_packets(from_us: int, plaintext: bytes) -> list[PacketRecord] | None:
    """Return the packets in the plaintext of a media frame.

    `from_us` is the time, in µs since the spool's start, at which the frame begins.

    Return None if the lengths of the packets do not add up to the length of the plaintext.
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
    """Return the plaintext of an EVENT frame for an event of this kind with these fields."""
    return msgspec.msgpack.encode((kind, fields))


def unpack_event(at_us: int, plaintext: bytes) -> EventRecord | None:
    """Return the event in the plaintext of an EVENT frame; None if it cannot be decoded.

    `at_us` is the time of the event, in µs since the spool's start.
    """
    try:
        kind, fields = _EVENT_DECODER.decode(plaintext)
    except msgspec.DecodeError:
        return None
    return EventRecord(at_us, kind, cast("dict[str, Field]", fields))


def pack_header(header: SpoolHeader) -> tuple[bytes, bytes]:
    """Return the bytes of one copy of the file header, and the SHA-256 of the header's body.

    Raises:
        SpoolHeaderError: The body of the header is longer than `MAX_HEADER` bytes.
    """
    body = msgspec.msgpack.encode(header)
    if len(body) > MAX_HEADER:
        raise SpoolHeaderError(f"header of {len(body)} bytes; {MAX_HEADER} are allowed")
    crc = zlib.crc32(body, zlib.crc32(HEADER_PREFIX.pack(HEADER_MAGIC, VERSION, len(body), 0)[:14]))
    return HEADER_PREFIX.pack(HEADER_MAGIC, VERSION, len(body), crc) + body, identity_of(body)


def identity_of(body: bytes) -> bytes:
    """Return the file's identity, which is the SHA-256 of the file header's body.

    The identity is part of the associated data of each frame's encryption, so a frame cannot be
    decrypted in another file.
    """
    return hashlib.sha256(body).digest()


def parse_header(data: bytes) -> tuple[SpoolHeader, bytes, int] | None:
    """Read the copy of the file header with which `data` begins.

    Return the header, the SHA-256 of its body, and the length of the copy in bytes. Return None if
    the copy is damaged.

    Raises:
        SpoolHeaderError: The copy is not damaged, but this program does not know its version.
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
        raise SpoolHeaderError(f"spool of version {version}; this program reads {VERSION}")
    try:
        header = _HEADER_DECODER.decode(body)
    except msgspec.DecodeError:
        return None
    return (header, identity_of(body), end) if 0 <= header.started_wall_us < _NEVER_US else None
