"""Writes and reads the payload of an age v1 file (https://c2sp.org/age#payload).

A payload is a nonce of 16 bytes, followed by encrypted chunks of 64 KiB (the STREAM construction).
The writer keeps the first chunk in memory until `close`, because a FLAC encoder changes the first
bytes of its file last. It encrypts each later chunk when the next one begins, so its memory does
not grow.
"""

from __future__ import annotations

import io
import os
from types import TracebackType
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from recording.errors import (
    BadTagError,
    EmptyLastChunkError,
    HeaderTruncatedError,
    PayloadError,
    TrailingDataError,
    TruncatedError,
)

CHUNK: Final = 64 * 1024
TAG: Final = 16
NONCE: Final = 16
_SEALED: Final = CHUNK + TAG


def payload_cipher(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    """Return the cipher for all chunks of the payload with this nonce."""
    key = HKDF(SHA256(), 32, salt=nonce, info=b"payload").derive(file_key)
    return ChaCha20Poly1305(key)


def _chunk_nonce(index: int, *, last: bool) -> bytes:
    return index.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


class PayloadWriter(io.RawIOBase):
    """Encrypts the bytes that are written to it, and stores them in the file `fd`.

    The payload begins at the position `start`, in bytes, and nothing may follow it in the file.
    Only the first chunk can be overwritten. Without `close`, the file cannot be decrypted.
    """

    def __init__(self, fd: int, file_key: bytes, start: int = 0) -> None:
        super().__init__()
        self._fd = fd
        self._start = start
        nonce = os.urandom(NONCE)
        self._cipher = payload_cipher(file_key, nonce)
        self._first = bytearray()
        self._tail = bytearray()
        self._tail_index = 1
        self._position = 0
        self._length = 0
        self._put(nonce, 0)

    @property
    def held_bytes(self) -> int:
        """The size in bytes of the plaintext in memory: at most two chunks."""
        return len(self._first) + len(self._tail)

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True: a `seek` to the first chunk or to the end can precede a `write`."""
        return True

    def tell(self) -> int:
        """Return the position of the next write, in bytes of plaintext."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set and return the position of the next write. `write` checks it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = base + offset
        return self._position

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Write all of `data` at the current position, and return its length.

        Raises `PayloadError` if the position is after the plaintext's end, or if a byte after the
        first chunk would be overwritten. Raises `ValueError` if the writer is closed.
        """
        if self.closed:
            raise ValueError("the payload is closed")
        view = memoryview(data).cast("B")
        if self._position > self._length:
            raise PayloadError("the position is after the end of the payload")
        if self._position < CHUNK:
            head = view[: CHUNK - self._position]
            self._first[self._position : self._position + len(head)] = head
            self._advance(len(head))
            self._append(view[len(head) :])
        else:
            self._append(view)
        return len(view)

    def _append(self, view: memoryview) -> None:
        if view and self._position != self._length:
            raise PayloadError("only the first chunk can be overwritten")
        while view:
            if len(self._tail) == CHUNK:
                self._seal_tail(last=False)
            part = view[: CHUNK - len(self._tail)]
            self._tail += part
            self._advance(len(part))
            view = view[len(part) :]

    def _advance(self, count: int) -> None:
        self._position += count
        self._length = max(self._length, self._position)

    def _seal_tail(self, *, last: bool) -> None:
        self._seal(self._tail, self._tail_index, last=last)
        self._tail.clear()
        self._tail_index += 1

    def _seal(self, plaintext: bytearray, index: int, *, last: bool) -> None:
        nonce = _chunk_nonce(index, last=last)
        self._put(self._cipher.encrypt(nonce, plaintext, None), NONCE + index * _SEALED)

    def _put(self, data: bytes, offset: int) -> None:
        view = memoryview(data)
        offset += self._start
        while view:
            written = os.pwrite(self._fd, view, offset)
            view, offset = view[written:], offset + written

    def close(self) -> None:
        """Write the last chunk, then the first one. `fd` is neither closed nor synced."""
        if not self.closed:
            try:
                if self._tail:
                    self._seal_tail(last=True)
                self._seal(self._first, 0, last=self._length <= CHUNK)
            finally:
                self.discard()

    def discard(self) -> None:
        """Close the writer, and drop the chunks that are still in memory. `fd` is not closed."""
        self._first.clear()
        self._tail.clear()
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the writer; after an exception, discard it, so that no half of a file is valid."""
        if error is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        """Discard an unclosed writer. The base class would `close` it, which completes the file."""
        if not self.closed:
            self.discard()


class PayloadReader(io.RawIOBase):
    """The plaintext of the payload that begins at the position `start` of the seekable `source`."""

    def __init__(self, source: BinaryIO, file_key: bytes, start: int = 0) -> None:
        """Read the payload's nonce.

        Raises `HeaderTruncatedError` if the nonce is incomplete, and `TruncatedError` if too few
        bytes for a chunk follow.
        """
        super().__init__()
        self._source = source
        source.seek(start)
        nonce = source.read(NONCE)
        if len(nonce) < NONCE:
            raise HeaderTruncatedError("the file ends before the payload's nonce")
        self._cipher = payload_cipher(file_key, nonce)
        self._start = start + NONCE
        self._sealed_size = source.seek(0, os.SEEK_END) - self._start
        if self._sealed_size < TAG:
            raise TruncatedError("the payload has no whole chunk")
        self._chunks = -(-self._sealed_size // _SEALED)
        self._position = 0
        self._cached = -1
        self._chunk = b""
        self._size: int | None = None
        self._end: tuple[int, PayloadError] | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True: every position that is not negative is valid."""
        return True

    def tell(self) -> int:
        """Return the position of the next read, in bytes of plaintext."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set and return the position of the next read. `os.SEEK_END` raises as `size` does."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        target = (self.size if base is None else base) + offset
        if target < 0:
            raise ValueError("a position before the start")
        self._position = target
        return target

    @property
    def size(self) -> int:
        """The length of the plaintext in bytes. The last chunk is authenticated first.

        Raises the same errors as `readinto`.
        """
        if self._size is None:
            last = self._load(self._chunks - 1)
            self._check((self._chunks - 1) * CHUNK + len(last))
            self._size = (self._chunks - 1) * CHUNK + len(last)
        return self._size

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Read bytes of one chunk into `buffer`, and return their number; 0 at the plaintext's end.

        Raises `PayloadError` for a chunk that was changed. If the payload was cut after a full
        chunk, or data follows its full last chunk, this chunk is read first. Then the next read
        raises `PayloadError`.
        """
        self._check(self._position)
        index, within = divmod(self._position, CHUNK)
        if index >= self._chunks:
            _ = self.size
            return 0
        part = self._load(index)[within : within + len(memoryview(buffer).cast("B"))]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _check(self, position: int) -> None:
        """Raise the error that `_open_misplaced` stored, if `position` has reached it."""
        if self._end is not None and position >= self._end[0]:
            raise self._end[1]

    def _load(self, index: int) -> bytes:
        if index != self._cached:
            self._chunk = self._open(index)
            self._cached = index
        return self._chunk

    def _open(self, index: int) -> bytes:
        last = index == self._chunks - 1
        length = self._sealed_size - index * _SEALED if last else _SEALED
        if length < TAG:
            raise TruncatedError("the payload stops inside a tag")
        self._source.seek(self._start + index * _SEALED)
        sealed = self._source.read(length)
        plaintext = self._try(index, sealed, last=last)
        if plaintext is None:
            return self._open_misplaced(index, sealed, last=last)
        if last and index and not plaintext:
            raise EmptyLastChunkError("the last chunk is empty")
        return plaintext

    def _open_misplaced(self, index: int, sealed: bytes, *, last: bool) -> bytes:
        """Decrypt a chunk after which the payload was cut, or data was added.

        If the chunk is full, return its plaintext, and store an error for the read that reaches its
        end. Raises `PayloadError` if the chunk was changed, or does not have the full length.
        """
        plaintext = self._try(index, sealed, last=not last)
        if plaintext is None:
            raise BadTagError(f"chunk {index} was changed")
        if last:
            fault: PayloadError = TruncatedError(f"the payload stops after chunk {index}")
        else:
            fault = TrailingDataError(f"data follows the last chunk, {index}")
        if len(plaintext) < CHUNK:
            raise fault
        self._end = ((index + 1) * CHUNK, fault)
        return plaintext

    def _try(self, index: int, sealed: bytes, *, last: bool) -> bytes | None:
        try:
            return self._cipher.decrypt(_chunk_nonce(index, last=last), sealed, None)
        except InvalidTag:
            return None
