"""The split of a byte stream into SIP messages (RFC 3261 7.5, 18.3; RFC 5626 3.5.1, 4.4.1), no I/O.

The result does not depend on how the stream is cut into reads. The buffer is bounded: one head of
`MAX_HEAD` bytes and one body of `MAX_BODY`. A stream that has lost its framing cannot recover: a
fault is its last frame, and the owner must close the connection.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from telephony.sip.message.messages import MAX_MESSAGE

MAX_HEAD: Final = 16 * 1024
"""The longest start line and headers, in bytes."""
MAX_BODY: Final = MAX_MESSAGE - MAX_HEAD
"""The longest body, in bytes."""

_END: Final = re.compile(rb"\r?\n\r?\n")
_LONGEST_END: Final = 4
_LENGTH: Final = re.compile(
    rb"^(?:content-length|l)[ \t]*:[ \t]*(?:\r?\n[ \t]+)*([^\r\n]*?)[ \t]*\r?$",
    re.IGNORECASE | re.MULTILINE,
)
_FIRST_LINE: Final = re.compile(
    rb"SIP/\d+\.\d+[ \t]+\d|[!%'*+\-.0-9A-Z_`a-z~]+[ \t].*[ \t]SIP/\d+\.\d+[ \t]*\r?$",
    re.IGNORECASE,
)
_FIRST_BYTE: Final = frozenset(
    b"!%'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_`abcdefghijklmnopqrstuvwxyz~"
)


class UnitKind(enum.Enum):
    """The kinds of frame."""

    MESSAGE = "message"
    """One message, head and body."""
    PING = "ping"
    """A double CRLF between messages; it is answered by one CRLF."""
    PONG = "pong"
    """The CRLF that answers our ping."""
    FAULT = "fault"
    """The stream can no longer be split into messages; the last frame of its stream."""


@dataclass(frozen=True, slots=True)
class StreamUnit:
    """One unit of the stream: a message, a ping, a pong or a fault.

    Attributes:
        kind: One of the kinds above.
        data: The message; for a fault, the head if it can still be answered, else empty.
        status: For a fault, the status to answer with.
        why: For a fault, a fixed phrase for the log and the counter.
    """

    kind: UnitKind
    data: bytes = b""
    status: int = 400
    why: str = ""


class Framer:
    """Splits the stream of one direction of one connection into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._breaks = 0
        self._head: int | None = None
        self._length = 0
        self._broken = False
        self._pongs_due = 0

    @property
    def has_partial_message(self) -> bool:
        """True while a message has started but is not complete."""
        return bool(self._buffer)

    @property
    def buffered(self) -> int:
        """The number of buffered bytes of an incomplete message."""
        return len(self._buffer)

    def expect_pong(self) -> None:
        """Expect that the next CRLF between messages answers our ping."""
        self._pongs_due += 1

    def feed(self, data: bytes) -> list[StreamUnit]:
        """Take the bytes of one read; return the frames that they complete. [] after a fault."""
        if self._broken:
            return []
        self._buffer += data
        return list(self._frames())

    def _frames(self) -> Iterator[StreamUnit]:
        while not self._broken:
            if self._head is None:
                yield from self._between()
            frame = self._next()
            if frame is None:
                return
            yield frame

    def _between(self) -> Iterator[StreamUnit]:
        """Consume the CRLFs before a message; yield pings and pongs."""
        buffer, at = self._buffer, 0
        while at < len(buffer) and buffer[at] in b"\r\n":
            if buffer[at] == ord("\n"):
                frame = self._line_break()
                if frame is not None:
                    yield frame
            at += 1
        if at:
            del buffer[:at]
        if buffer:
            self._breaks = 0

    def _line_break(self) -> StreamUnit | None:
        if self._pongs_due:
            self._pongs_due -= 1
            return StreamUnit(UnitKind.PONG)
        self._breaks += 1
        if self._breaks < 2:
            return None
        self._breaks = 0
        return StreamUnit(UnitKind.PING)

    def _next(self) -> StreamUnit | None:
        if self._head is None:
            fault = self._find_head()
            if fault is not None:
                return self._break(fault)
        if self._head is None:
            return None
        end = self._head + self._length
        if len(self._buffer) < end:
            return None
        message = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._head, self._searched = None, 0
        return StreamUnit(UnitKind.MESSAGE, message)

    def _find_head(self) -> StreamUnit | None:
        buffer = self._buffer
        if not buffer:
            return None
        if buffer[0] not in _FIRST_BYTE:
            return StreamUnit(UnitKind.FAULT, why="garbage")
        found = _END.search(buffer, max(0, self._searched - _LONGEST_END + 1))
        self._searched = len(buffer)
        held = found.start() if found else max(0, len(buffer) - _LONGEST_END + 1)
        line_end = buffer.find(b"\n", 0, MAX_HEAD)
        if line_end >= 0 and not _FIRST_LINE.match(buffer[:line_end]):
            return StreamUnit(UnitKind.FAULT, why="garbage")
        if held > MAX_HEAD:
            return StreamUnit(UnitKind.FAULT, why="head too long")
        if found is None:
            return None
        return self._measure(bytes(buffer[: found.end()]))

    def _measure(self, head: bytes) -> StreamUnit | None:
        """Read the Content-Length, which a stream needs to find the message's end (18.3)."""
        lengths = set(_LENGTH.findall(head))
        if not lengths:
            return StreamUnit(UnitKind.FAULT, head, why="no Content-Length on a stream")
        text = lengths.pop()
        if lengths or not text.isdigit() or len(text) > 9:
            return StreamUnit(UnitKind.FAULT, head, why="not a Content-Length")
        if int(text) > MAX_BODY:
            return StreamUnit(UnitKind.FAULT, head, status=413, why="body too long")
        self._head, self._length = len(head), int(text)
        return None

    def _break(self, fault: StreamUnit) -> StreamUnit:
        self._broken = True
        self._buffer.clear()
        return fault
