"""The bytes of a spool file: its header, its frames, and their encryption. It opens no files.

`docs/file-formats.md` describes the format in full. In short: the file begins with two copies of
the header; frames follow. Each frame has a CRC, which shows damage without any key, and AES-256-GCM
ciphertext. Its associated data are the frame's header and the digest of the file's header, so that
no frame can be moved, renumbered or copied into another file.
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
"""Magic, version, length of the body, CRC-32 of the fields before it and the body."""
MAX_HEADER = 65_536

FRAME_MAGIC = b"\xc1GwF"
FRAME_HEADER = struct.Struct(">4sB3xIQQI")
"""Magic, kind, index, first and last offset in microseconds, length of the ciphertext."""
CRC = struct.Struct(">I")
FRAME_OVERHEAD = FRAME_HEADER.size + CRC.size
TAG = 16
MAX_CIPHERTEXT = 1 << 20
"""The most bytes of a frame's ciphertext.

A larger length field is damage or an attack, so a reader never reads that much into memory.
"""
MAX_MEDIA = MAX_CIPHERTEXT // 2
"""The bytes of packets after which a media frame is sealed early."""

PACKET = struct.Struct(">IBI")
"""Microseconds since the frame's first, track, length."""
_U32 = 0xFFFFFFFF
_NEVER_US = 253_402_300_800_000_000
"""The start of the year 10,000 in Unix microseconds; Python's dates end before it."""

_EVENT_DECODER = msgspec.msgpack.Decoder(tuple[str, dict[str, object]])
_HEADER_DECODER = msgspec.msgpack.Decoder(SpoolHeader)


class FrameKind(IntEnum):
    """The kind of a frame's contents."""

    MEDIA = 1
    """Packets, sealed under the frame's own key."""
    EVENT = 2
    RELEASE = 3
    """Keys of media frames."""
    TOMBSTONE = 4
    """The list of erased media frames, and of the frames that replace some of them."""
    END = 5


_KINDS = frozenset(FrameKind)


class PublishedKeys(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of a RELEASE frame."""

    keys: list[tuple[int, bytes]]
    """The index and key of each media frame."""


class Tombstone(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of a TOMBSTONE frame."""

    from_us: int
    """The offset from which on all packets of these frames were erased."""
    erased: list[int]
    """The indices of media frames whose keys were destroyed."""
    replaced: list[tuple[int, int]]
    """Pairs (old, new): the index of an erased frame, and of the frame that replaces it.

    The new frame has the old one's packets from before `from_us`.
    """


class End(msgspec.Struct, frozen=True, array_like=True):
    """The plaintext of an END frame."""

    frames: int
    """The number of indices before the END frame, whose own index is one more."""


@dataclass(frozen=True, slots=True)
class SpoolFrame:
    """One frame as it is in the file; its CRC is correct."""

    kind: FrameKind
    index: int
    from_us: int
    to_us: int
    raw_header: bytes
    ciphertext: bytes

    @property
    def size(self) -> int:
        """The frame's length in the file, in bytes."""
        return FRAME_OVERHEAD + len(self.ciphertext)


class FrameCipher:
    """Seals and opens the frames of one file under its spool key."""

    def __init__(self, spool_key: bytes, identity: bytes) -> None:
        self.identity = identity
        self._cipher = AESGCM(spool_key)

    def frame(
        self,
        kind: FrameKind,
        index: int,
        span: tuple[int, int],
        plaintext: bytes | bytearray,
        key: bytearray | None = None,
    ) -> bytes:
        """Return the bytes of one frame, sealed under `key`, or under the spool key without one."""
        cipher = self._cipher if key is None else AESGCM(key)
        raw = FRAME_HEADER.pack(FRAME_MAGIC, kind, index, *span, len(plaintext) + TAG)
        sealed = cipher.encrypt(_nonce(index), plaintext, raw + self.identity)
        return b"".join((raw, CRC.pack(zlib.crc32(sealed, zlib.crc32(raw))), sealed))

    def open(self, frame: SpoolFrame, key: bytes | bytearray | None = None) -> bytes | None:
        """Return a frame's plaintext, or None if it does not authenticate."""
        cipher = self._cipher if key is None else AESGCM(key)
        associated = frame.raw_header + self.identity
        try:
            return cipher.decrypt(_nonce(frame.index), frame.ciphertext, associated)
        except InvalidTag:
            return None


def _nonce(index: int) -> bytes:
    """Return the nonce of a frame.

    It is unique under its key: a file uses each index once, even if its write failed.
    """
    return index.to_bytes(12, "big")


def frame_length(raw: bytes) -> int | None:
    """Return the length of the ciphertext after this frame header; None if it is not valid."""
    magic, kind, index, from_us, to_us, length = FRAME_HEADER.unpack(raw)
    if magic != FRAME_MAGIC or kind not in _KINDS or not index or from_us > to_us:
        return None
    return length if TAG <= length <= MAX_CIPHERTEXT else None


def parse_frame(raw: bytes, crc: bytes, ciphertext: bytes) -> SpoolFrame | None:
    """Return the frame of these three parts, or None if its CRC is wrong."""
    if CRC.pack(zlib.crc32(ciphertext, zlib.crc32(raw))) != crc:
        return None
    _, kind, index, from_us, to_us, _ = FRAME_HEADER.unpack(raw)
    return SpoolFrame(FrameKind(kind), index, from_us, to_us, raw, ciphertext)


def pack_packets(packets: list[tuple[int, int, bytes]]) -> tuple[tuple[int, int], bytes]:
    """Return the span and the plaintext of a media frame.

    Each packet is (at_us, track, data), with at_us >= 0.
    """
    offsets = [packet[0] for packet in packets]
    first, last = min(offsets), max(offsets)
    parts: list[bytes] = []
    pack = PACKET.pack
    for at, track, data in packets:
        parts.extend((pack(min(at - first, _U32), track, len(data)), data))
    return (first, last), b"".join(parts)


def unpack_packets(from_us: int, plaintext: bytes) -> list[PacketRecord] | None:
    """Return the packets of a media frame; None if their lengths do not add up."""
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
    """Return the plaintext of an event frame."""
    return msgspec.msgpack.encode((kind, fields))


def unpack_event(at_us: int, plaintext: bytes) -> EventRecord | None:
    """Return the event of a frame; None if the plaintext cannot be decoded as one."""
    try:
        kind, fields = _EVENT_DECODER.decode(plaintext)
    except msgspec.DecodeError:
        return None
    return EventRecord(at_us, kind, cast("dict[str, Field]", fields))


def pack_header(header: SpoolHeader) -> tuple[bytes, bytes]:
    """Return one copy of the header's bytes, and the file's identity.

    Raises:
        SpoolHeaderError: The header is too long.
    """
    body = msgspec.msgpack.encode(header)
    if len(body) > MAX_HEADER:
        raise SpoolHeaderError(f"header of {len(body)} bytes; {MAX_HEADER} are allowed")
    crc = zlib.crc32(body, zlib.crc32(HEADER_PREFIX.pack(HEADER_MAGIC, VERSION, len(body), 0)[:14]))
    return HEADER_PREFIX.pack(HEADER_MAGIC, VERSION, len(body), crc) + body, identity_of(body)


def identity_of(body: bytes) -> bytes:
    """Return the identity that ties a frame to its file: SHA-256 of the header's body."""
    return hashlib.sha256(body).digest()


def parse_header(data: bytes) -> tuple[SpoolHeader, bytes, int] | None:
    """Return header, identity and length of the copy at the start of `data`; None if it is damaged.

    Raises:
        SpoolHeaderError: The copy is whole, but of a version that this program does not know.
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
