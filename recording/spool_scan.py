"""Finds the frames in a spool file: whatever was changed, it goes on at the next that is whole.

Reads in small pieces; a frame is at most `MAX_CIPHERTEXT` long, whatever its length field says.
"""

import os
from collections.abc import Iterator

from recording.errors import SpoolHeaderError
from recording.spool_format import (
    CRC,
    FRAME_HEADER,
    FRAME_MAGIC,
    FRAME_OVERHEAD,
    HEADER_MAGIC,
    HEADER_PREFIX,
    MAX_HEADER,
    Frame,
    frame_length,
    parse_frame,
    parse_header,
)
from recording.spool_records import SpoolHeader

_PIECE = 1 << 16
_NEVER_WRITTEN = bytes(16)
"""As long as a frame's tag: no frame that was written ends like this."""


class Scanner:
    """The frames of one file from `start` to `end`, in order of their place.

    Attributes:
        offset: where the frame just given begins.
        damaged: between frames lay bytes that belong to none.
        rubble: what was read last belongs to no frame.
        torn: that rubble begins as a frame does, and the file ends inside it; or it ends in
            zeros, as a file does whose last bytes had a place on the disk when the power went, but
            had not come there.
    """

    def __init__(self, fd: int, start: int, end: int) -> None:
        self.offset = start
        self.damaged = False
        self.rubble = False
        self.torn = False
        self._fd = fd
        self._end = end
        self._rejected = False

    def __iter__(self) -> Iterator[Frame]:
        """Each frame whose CRC is right."""
        while self.offset < self._end:
            frame = frame_at(self._fd, self.offset, self._end)
            if frame is not None:
                self._rejected = False
                yield frame
            if frame is None or self._rejected:
                self._skip()
                continue
            self.damaged = self.damaged or self.rubble
            self.rubble = self.torn = False
            self.offset += frame.size

    def reject(self) -> None:
        """The frame just given is none of this file's: look for the next inside it."""
        self._rejected = True

    def _skip(self) -> None:
        self.torn = self.torn or self._runs_over_the_end()
        self.rubble = True
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
                self.torn = self.torn or self._ends_unwritten()
                break
            position += len(piece) - overlap
        return self._end


def frame_at(fd: int, position: int, end: int) -> Frame | None:
    """The frame at `position`, or None when no whole one lies there."""
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
    """Header, identity, where the frames start, and whether both copies are whole.

    Raises `SpoolHeaderError`.
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
    raise SpoolHeaderError(f"{name} does not begin as a spool does")
