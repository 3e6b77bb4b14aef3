"""Finds the frames in a spool file, even after damaged bytes; reads the file in small pieces."""

import os
from collections.abc import Iterator

from recording.errors import SpoolHeaderError
from recording.spool.format import (
    CRC,
    FRAME_HEADER,
    FRAME_MAGIC,
    FRAME_OVERHEAD,
    HEADER_MAGIC,
    HEADER_PREFIX,
    MAX_HEADER,
    SpoolFrame,
    SpoolHeader,
    frame_length,
    parse_frame,
    parse_header,
)

_PIECE = 1 << 16
_NEVER_WRITTEN = bytes(16)
"""If a file ends with these zero bytes, its final bytes were never written.

A complete frame ends with an authentication tag of 16 bytes, which are not all zero.
"""


class Scanner:
    """Yields the frames of one file between two positions. Damaged bytes belong to no frame.

    `offset` is the position of the frame that was yielded last, or of the end after the loop.
    `has_garbage` means that there are damaged bytes directly before `offset`. `damaged` means that
    there are damaged bytes before an earlier frame. `truncated` means that the file ends inside a
    frame, or with 16 zero bytes: the file system made the file longer, but the power failed before
    the frame was written.
    """

    def __init__(self, fd: int, start: int, end: int) -> None:
        self.offset = start
        self.damaged = False
        self.has_garbage = False
        self.truncated = False
        self._fd = fd
        self._end = end
        self._rejected = False

    def __iter__(self) -> Iterator[SpoolFrame]:
        """Yield each frame whose CRC is correct."""
        while self.offset < self._end:
            frame = frame_at(self._fd, self.offset, self._end)
            if frame is not None:
                self._rejected = False
                yield frame
            if frame is None or self._rejected:
                self._skip()
                continue
            self.damaged = self.damaged or self.has_garbage
            self.has_garbage = self.truncated = False
            self.offset += frame.size

    def reject(self) -> None:
        """Treat the latest frame as damaged bytes that may contain another frame."""
        self._rejected = True

    def _skip(self) -> None:
        self.truncated = self.truncated or self._runs_over_the_end()
        self.has_garbage = True
        self.offset = self._next_magic(self.offset + 1)

    def _runs_over_the_end(self) -> bool:
        raw = os.pread(self._fd, FRAME_OVERHEAD, self.offset)[: self._end - self.offset]
        if len(raw) < FRAME_OVERHEAD:
            return FRAME_MAGIC.startswith(raw[:4])
        length = frame_length(raw[: FRAME_HEADER.size])
        return length is not None and self.offset + FRAME_OVERHEAD + length > self._end

    def _ends_unwritten(self) -> bool:
        last = os.pread(self._fd, len(_NEVER_WRITTEN), self._end - len(_NEVER_WRITTEN))
        return last == _NEVER_WRITTEN

    def _next_magic(self, position: int) -> int:
        overlap = len(FRAME_MAGIC) - 1
        while position < self._end:
            piece = os.pread(self._fd, min(_PIECE, self._end - position), position)
            found = piece.find(FRAME_MAGIC)
            if found >= 0:
                return position + found
            if position + len(piece) >= self._end or len(piece) <= overlap:
                self.truncated = self.truncated or self._ends_unwritten()
                break
            position += len(piece) - overlap
        return self._end


def frame_at(fd: int, position: int, end: int) -> SpoolFrame | None:
    """Return the frame at `position`; None without a correct CRC, or if it ends after `end`."""
    if end - position < FRAME_OVERHEAD:
        return None
    head = os.pread(fd, FRAME_OVERHEAD, position)
    raw, crc = head[: FRAME_HEADER.size], head[FRAME_HEADER.size :]
    if len(crc) != CRC.size:
        return None
    length = frame_length(raw)
    if length is None or position + FRAME_OVERHEAD + length > end:
        return None
    ciphertext = os.pread(fd, length, position + FRAME_OVERHEAD)
    return parse_frame(raw, crc, ciphertext) if len(ciphertext) == length else None


def find_header(fd: int, name: str) -> tuple[SpoolHeader, bytes, int, bool]:
    """Return the first undamaged copy of the file header and three other values.

    These are its identity, the position of the first frame, and True if both copies are undamaged.
    Raises `SpoolHeaderError` if both copies are damaged, or for an unknown version.
    """
    data = os.pread(fd, 2 * (HEADER_PREFIX.size + MAX_HEADER), 0)
    if not data:
        raise SpoolHeaderError(f"{name} is empty")
    first = parse_header(data)
    if first is not None:
        header, identity, length = first
        second = parse_header(data[length:])
        whole = second is not None and second[1] == identity
        return header, identity, length * 2 if whole else length, whole
    position = data.find(HEADER_MAGIC, 1)
    while position > 0:
        spare = parse_header(data[position:])
        if spare is not None:
            header, identity, length = spare
            return header, identity, position + length, False
        position = data.find(HEADER_MAGIC, position + 1)
    raise SpoolHeaderError(f"{name} has no readable spool header")
