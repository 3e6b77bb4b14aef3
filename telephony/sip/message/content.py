"""The content of messages: multipart bodies (RFC 2046 5.1, RFC 5621), and DTMF digits in INFO.

A multipart body contains, for example, SDP and recording metadata. No RFC describes the types for
DTMF digits, `application/dtmf-relay` and `application/dtmf`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from telephony.errors import SipParseError
from telephony.sip.message.grammar import find_parameter, parse_parameters
from telephony.sip.message.headers import Headers, unfold
from telephony.sip.message.messages import Request

MAX_PARTS: Final = 16
DTMF_RELAY: Final = "application/dtmf-relay"

_EMPTY_LINE: Final = re.compile(rb"\r?\n\r?\n")
_LINE_END: Final = re.compile(rb"\r?\n")
_SIGNAL: Final = re.compile(rb"(?im)^\s*signal\s*=\s*([0-9*#A-D])\s*$")
_BARE_KEY: Final = re.compile(rb"\s*([0-9*#A-D])\s*")


@dataclass(frozen=True, slots=True)
class BodyPart:
    """One part of a body. `parse_multipart` leaves Content-Type out of `headers`."""

    content_type: str
    body: bytes
    headers: Headers = field(default_factory=Headers)

    @property
    def type(self) -> str:
        """The Content-Type in lower case, without its parameters."""
        return self.content_type.partition(";")[0].strip(" \t").lower()


def parse_multipart(content_type: str, body: bytes) -> list[BodyPart]:
    """Parse the parts of a multipart body. No boundary is needed after the final part.

    Raises `SipParseError` if the Content-Type has no valid boundary, this boundary begins no part
    of the body, a part has malformed header fields, or there are more than `MAX_PARTS` parts.
    """
    _, semicolon, tail = content_type.partition(";")
    boundary = find_parameter(parse_parameters(semicolon + tail), "boundary")
    if not boundary or not boundary.isascii() or len(boundary) > 70:
        raise SipParseError("a multipart body without a boundary")
    marks = re.compile(
        rb"(?:\A|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?=\r?\n|\Z)"
    )
    parts: list[BodyPart] = []
    start: int | None = None
    for mark in marks.finditer(body):
        if start is not None:
            parts.append(_parse_part(body[start : mark.start()]))
        start = None if mark[1] else mark.end()
        if start is None:
            break
        if len(parts) >= MAX_PARTS:
            raise SipParseError("a multipart body with too many parts", status=413)
    if start is not None:
        parts.append(_parse_part(body[start:]))
    if not parts:
        raise SipParseError("a multipart body without a part")
    return parts


def _parse_part(content: bytes) -> BodyPart:
    # `content` starts directly after the boundary text, so it begins with the line end of the
    # boundary line.
    first = _LINE_END.match(content)
    content = content[first.end() :] if first else content
    blank = _LINE_END.match(content)
    if blank is not None:
        return BodyPart("text/plain", content[blank.end() :])
    end = _EMPTY_LINE.search(content)
    if end is None:
        raise SipParseError("no empty line ends a part's headers")
    headers = Headers.parse(unfold(content[: end.start()]))
    content_type = headers.get("Content-Type") or "text/plain"
    for name in ("Content-Type", "Content-Length"):
        headers.remove(name)
    return BodyPart(content_type, content[end.end() :], headers)


def key_of(request: Request) -> str | None:
    """Return the DTMF digit in an INFO (0-9, *, #, or A-D in upper case); None without one."""
    if not request.content_type.lower().startswith("application/dtmf"):
        return None
    match = _SIGNAL.search(request.body) or _BARE_KEY.fullmatch(request.body)
    return match[1].decode().upper() if match is not None else None


def body_of(key: str, milliseconds: int) -> bytes:
    """Return the `DTMF_RELAY` body of an INFO for a DTMF digit."""
    return f"Signal={key}\r\nDuration={milliseconds}\r\n".encode()
