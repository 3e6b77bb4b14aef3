"""Writes the two age payloads of a recording: the audio as FLAC, and the packets without a decoder.

libsndfile encodes the audio, and `PayloadWriter` encrypts both payloads. The second payload has the
RTP packets that we cannot decode, unchanged. Its file `ID.raw` is encrypted with the same file key
as `ID.payload`. So `cat ID.header ID.raw` prints a complete age file, and destroying the header
makes both payloads unreadable. Decrypted, `ID.raw` is a pcapng file, which many programs can read
(https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import soundfile

from recording.age.file import new_file_key
from recording.age.stream import CHUNK, PayloadWriter
from recording.audio.codecs import PayloadCodec, Samples
from recording.errors import ArchiveError, PayloadError
from recording.files.atomic import PendingFile, sync_folder

_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_PACKET: Final = 6
_COMMENT: Final = 1
_NAME: Final = 2
_RTP_HEADER: Final = 12
"""The length of an RTP header in bytes, without CSRCs and extension."""
_RAW_IP: Final = 101
"""The pcapng link type LINKTYPE_RAW: packets are IP packets without a link-layer header."""
_ADDRESSES: Final = (b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02")
_DESTINATION: Final = b"\xc0\x00\x02\x09"
"""The destination address of all packets.

Like `_ADDRESSES`, it is for documentation (RFC 5737): the real ones are personal data.
"""
_PORT: Final = 5004
_MOST: Final = 65_507


class FlacPayload:
    """The audio payload of one recording: samples are encoded and encrypted as they are written.

    Only `close` completes the file. Without it, no key can decrypt the file.
    """

    def __init__(self, fd: int, rate: int, call_id: str) -> None:
        """Begin the FLAC file, titled `call_id`, in the empty file `fd`. `rate` is in Hz.

        Raises `ArchiveError` and `OSError`.
        """
        self.file_key = new_file_key()
        self._writer = PayloadWriter(fd, self.file_key)
        self._sink = _Sink(self._writer)
        try:
            self._file = soundfile.SoundFile(
                self._sink,
                "w",
                samplerate=rate,
                channels=2,
                subtype="PCM_16",
                format="FLAC",
                # Level 0 encodes a quarter faster than the default, and files with speech are 1 %
                # larger.
                compression_level=0.0,
            )
            self._file.title = call_id
        except soundfile.SoundFileError as error:
            self._writer.discard()
            raise _refusal(error) from None

    @property
    def held_bytes(self) -> int:
        """The size in bytes of the encoded audio that waits in the `PayloadWriter`."""
        return self._writer.held_bytes

    def write_all(self, blocks: Iterable[Samples]) -> None:
        """Write blocks of shape (n, 2). Raises `ArchiveError` and `OSError`."""
        try:
            for block in blocks:
                self._file.write(block)
                self._sink.check()
        except soundfile.SoundFileError as error:
            raise _refusal(error) from None

    def close(self) -> None:
        """Complete the FLAC file and the payload. Raises `ArchiveError` and `OSError`."""
        try:
            self._file.close()
        except soundfile.SoundFileError as error:
            raise _refusal(error) from None
        self._sink.check()
        self._writer.close()

    def discard(self) -> None:
        """Release the encoder and the payload writer. After `close`, do nothing."""
        try:
            self._file.close()
        except soundfile.SoundFileError:
            # The file is discarded, so the end of the FLAC file does not matter.
            return
        finally:
            self._sink.discard()
            self._writer.discard()


class _Sink:
    """A file object through which libsndfile writes into the age payload.

    libsndfile writes several FLAC frames a second. They are collected, because one long write takes
    less time. A C library cannot pass on a Python exception, so `check` raises the error of a
    failed write later.
    """

    def __init__(self, writer: PayloadWriter) -> None:
        self._writer = writer
        self._collected = bytearray()
        """The bytes before `_position` that are not in the payload yet."""
        self._position = 0
        self._failure: OSError | PayloadError | None = None

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._pass_on()
        self._position = self._writer.seek(offset, whence)
        return self._position

    def write(self, data: bytes) -> int:
        self._collected += data
        self._position += len(data)
        if len(self._collected) >= CHUNK:
            self._pass_on()
        return len(data)

    def read(self, _count: int = -1) -> bytes:
        return b""

    def check(self) -> None:
        """Write what was collected, and raise the error of the first write that failed."""
        self._pass_on()
        if self._failure is not None:
            raise self._failure

    def discard(self) -> None:
        self._collected = bytearray()

    def _pass_on(self) -> None:
        if not self._collected:
            return
        collected, self._collected = self._collected, bytearray()
        try:
            self._writer.write(collected)
        except (OSError, PayloadError) as error:
            self._failure = self._failure or error


def _refusal(error: soundfile.SoundFileError) -> ArchiveError:
    return ArchiveError(f"the audio cannot be encoded: {error}")


@dataclass(frozen=True, slots=True)
class UndecodedPacket:
    """An RTP packet that cannot be decoded. Its bytes are unchanged.

    `at_us` is its arrival. By its RTP timestamp, its sound lasts from `from_us` to `to_us`. All
    three are in microseconds since the recording's start.
    """

    track: int
    at_us: int
    codec: PayloadCodec
    data: bytes
    from_us: int = 0
    to_us: int = 0

    @property
    def arrived_us(self) -> tuple[int, int]:
        """The start and end (µs) of its sound, if the network did not delay the packet."""
        return self.at_us - self.codec.duration_us(self.data[_RTP_HEADER:]), self.at_us + 1


class RawPayload:
    """The file with the undecoded packets of one recording, which the first packet creates."""

    def __init__(self, path: Path) -> None:
        """Prepare to write to `path`, in an existing folder."""
        self.packets = 0
        self._path = path
        self._part: PendingFile | None = None
        self._writer: PayloadWriter | None = None
        self._described: dict[tuple[int, int], PayloadCodec] = {}
        self._file_key = b""
        self._title = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def begin(self, file_key: bytes, call_id: str, channels: tuple[str, ...]) -> None:
        """Prepare a new file under the audio payload's file key. Remove an uncommitted file.

        `channels` has the name of each track.
        """
        self.discard()
        self.packets = 0
        self._described.clear()
        self._file_key = file_key
        self._title = f"{call_id}: RTP that could not be decoded"
        self._channels = channels

    def write_all(self, started_us: int, packets: Iterable[UndecodedPacket]) -> None:
        """Write packets. The recording's start is in µs since 1970. Raises `OSError`."""
        for packet in packets:
            if self._writer is None:
                self._writer = self._open()
            self._writer.write(self._block(started_us, packet))
            self.packets += 1

    def _open(self) -> PayloadWriter:
        self._part = PendingFile(self._path)
        writer = PayloadWriter(self._part.fd, self._file_key)
        head = struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1) + _option(_COMMENT, self._title)
        writer.write(_whole(_SECTION, head + bytes(4)))
        for name in self._channels:
            body = struct.pack(">HHI", _RAW_IP, 0, 0) + _option(_NAME, name)
            writer.write(_whole(_INTERFACE, body + bytes(4)))
        return writer

    def _block(self, started_us: int, packet: UndecodedPacket) -> bytes:
        """Return a packet as a pcapng block, with a comment if its payload type's codec is new."""
        data = _in_ip(packet.track, packet.data[:_MOST])
        high, low = divmod(max(0, started_us + packet.at_us), 1 << 32)
        head = struct.pack(">IIIII", packet.track, high, low, len(data), len(data))
        kind = packet.data[1] & 0x7F
        options = b""
        if self._described.get((packet.track, kind)) != packet.codec:
            self._described[packet.track, kind] = packet.codec
            text = f"a=rtpmap:{kind} {packet.codec}"
            text += f"\na=fmtp:{kind} {packet.codec.fmtp}" if packet.codec.fmtp else ""
            options = _option(_COMMENT, text) + bytes(4)
        return _whole(_PACKET, head + _padded(data) + options)

    def close(self) -> int:
        """Complete the payload and return its descriptor; -1 without packets. Raises `OSError`."""
        if self._part is None or self._writer is None:
            return -1
        self._writer.close()
        return self._part.fd

    def commit(self) -> None:
        """Sync the file and rename it to its final path.

        Without packets, remove the file that an earlier sealing left there.
        """
        if self._part is not None:
            self._part.commit()
        elif self._path.exists():
            self._path.unlink()
            sync_folder(self._path.parent)

    def discard(self) -> None:
        """Remove the file unless it is committed."""
        if self._writer is not None:
            self._writer.discard()
        if self._part is not None:
            self._part.discard()
        self._writer = self._part = None


def _whole(kind: int, body: bytes) -> bytes:
    size = struct.pack(">I", 12 + len(body))
    return struct.pack(">I", kind) + size + body + size


def _option(code: int, text: str) -> bytes:
    data = text.encode("utf-8", "replace")[:4096]
    return struct.pack(">HH", code, len(data)) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _in_ip(track: int, data: bytes) -> bytes:
    """Return an RTP packet with IPv4 and UDP headers (RFC 791, RFC 768), for other programs."""
    size = 28 + len(data)
    source = _ADDRESSES[track]
    head = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0, 64, 17, 0) + source + _DESTINATION
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:]
    return head + struct.pack(">HHHH", _PORT, _PORT, 8 + len(data), 0) + data
