"""The division of a byte stream into SIP messages (RFC 3261 sections 7.5 and 18.3), without I/O.

The stream may also contain pings and pongs (RFC 5626 sections 3.5.1 and 4.4.1). The size of each
read does not matter.

The rest of a stream cannot be divided if a head is longer than `MAX_HEAD`, a body is longer than
`MAX_BODY`, the start or end of a message cannot be found, or a head has a CR or LF outside a CRLF.
Then the last unit is a fault, and the owner must close the connection.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from telephony.sip.message.headers import has_bare_line_break
from telephony.sip.message.messages import MAX_MESSAGE

MAX_HEAD: Final = 16 * 1024
"""The most bytes of a start line and its header fields together."""
MAX_BODY: Final = MAX_MESSAGE - MAX_HEAD
"""The most bytes of a body that arrives over a stream."""

_END: Final = re.compile(rb"\r?\n\r?\n")
_LONGEST_END: Final = 4
_LENGTH: Final = re.compile(
    rb"^(?:content-length|l)[ \t]*:[ \t]*(?:\r\n[ \t]+)*([^\r\n]*?)[ \t]*\r$",
    re.IGNORECASE | re.MULTILINE,
)
_FIRST_LINE: Final = re.compile(
    rb"SIP/\d+\.\d+[ \t]+\d|[!%'*+\-.0-9A-Z_`a-z~]+[ \t].*[ \t]SIP/\d+\.\d+[ \t]*\r?$",
    re.IGNORECASE,
)
_FIRST_BYTE: Final = frozenset(
    b"!%'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_`abcdefghijklmnopqrstuvwxyz~"
)

Octets = bytes | bytearray | memoryview


class UnitKind(enum.Enum):
    """The kinds of unit into which a stream is divided."""

    MESSAGE = "message"
    """One complete message: start line, header fields and body."""
    PING = "ping"
    """A double CRLF between messages. We respond with one CRLF (RFC 5626 section 4.4.1)."""
    PONG = "pong"
    """A single CRLF, if we have sent a ping: it is the peer's response."""
    FAULT = "fault"
    """The rest of the stream cannot be divided into messages; always the final unit."""


@dataclass(frozen=True, slots=True)
class StreamUnit:
    """One unit of the stream: a message, a ping, a pong or a fault.

    Attributes:
        data: A message, or for a fault the head of the refused message. Empty for a ping or pong,
            and for a fault to which no response is possible.
        status: For a fault, the status of the response.
        why: For a fault, the reason as a fixed phrase for the log and the counter.
    """

    kind: UnitKind
    data: bytes = b""
    status: int = 400
    why: str = ""


class Framer:
    """Divides the bytes received on one connection into units."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._breaks = 0
        self._head: int | None = None
        self._length = 0
        self._broken = False
        self._pongs_due = 0

    @property
    def buffered(self) -> int:
        """The number of bytes of an incomplete message, after `next_unit` has returned None."""
        return len(self._buffer)

    def expect_pong(self) -> None:
        """Remember our ping: the next CRLF between messages is a pong."""
        self._pongs_due += 1

    def add(self, data: Octets) -> None:
        """Add the bytes of one read. After a fault, they are ignored."""
        if not self._broken:
            self._buffer += data

    def next_unit(self) -> StreamUnit | None:
        """Remove and return the next unit that is complete; None if no unit is complete."""
        if self._broken:
            return None
        unit = self._between() if self._head is None else None
        return unit or self._next()

    def _between(self) -> StreamUnit | None:
        """Remove the line breaks before the next message. Stop at a ping or pong, and return it."""
        buffer, at, unit = self._buffer, 0, None
        while unit is None and at < len(buffer) and buffer[at] in b"\r\n":
            if buffer[at] == ord("\n"):
                unit = self._line_break()
            at += 1
        if at:
            del buffer[:at]
        if unit is None and buffer:
            self._breaks = 0
        return unit

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
        """Store the lengths of the message's head and body. Return a fault or None.

        A fault is a bare CR or LF, or a Content-Length (mandatory in a stream, RFC 3261 section
        18.3) that is missing, not a number, ambiguous, or more than `MAX_BODY`.
        """
        if has_bare_line_break(head):
            return StreamUnit(UnitKind.FAULT, head, why="a bare CR or LF")
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
