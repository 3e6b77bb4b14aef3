"""Responses to requests that are not parsed (RFC 3261 sections 8.2, 16.3, 21.4.1, 21.5.4).

Such a request is malformed, or its peer sends too many. An ACK, a response, and a message without a
readable top Via get no response. Only a CRLF ends a line here, so a header field with a bare CR or
LF is not copied. A lower Via entry that cannot be parsed is not copied either. A Via with a SIP
version other than 2.0 is copied, so that its sender gets the 505.
"""

from __future__ import annotations

import re
import zlib

from telephony.errors import ParseError, ProtocolError, SipParseError
from telephony.sip.message.grammar import REASONS, split_list
from telephony.sip.message.header_values import Via
from telephony.sip.transport.address import Address
from telephony.sip.transport.outgoing import OutgoingMessage, reply_address, reply_fallback, stamp

RETRY_AFTER_S = 5
"""The seconds after which a peer that sends too many requests may try again."""

_MAX_READ = 16384
"""The most bytes of a message that are read for its response. The rest is ignored."""

_MAX_LINE = 1024
"""The most characters of a header field value that is copied to the response."""

_COPIED = {"from": "From", "f": "From", "to": "To", "t": "To", "call-id": "Call-ID",
           "i": "Call-ID", "cseq": "CSeq"}  # fmt: skip
_REQUEST_LINE = re.compile(rb"([A-Za-z0-9!%*_+`'~.-]+) +\S.* SIP/\d+\.\d+[ \t]*\Z")
_VERSION = re.compile(
    r"\A(SIP[ \t]*/[ \t]*)([0-9]{1,5}\.[0-9]{1,5})(?=[ \t]*/)", re.IGNORECASE | re.ASCII
)
_TAG = re.compile(r";\s*tag\s*=", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00\r\n]")


def answer_malformed(
    data: bytes, error: ParseError, source: Address, local: Address
) -> OutgoingMessage | None:
    """Return the response to a malformed request; None if there must be no response."""
    status = error.status if 400 <= error.status < 700 else 400
    return _answer(data, status, (), source, local)


def answer_busy(data: bytes, source: Address, local: Address) -> OutgoingMessage | None:
    """Return the 503 to a peer that sends too many requests; None if there must be no response."""
    return _answer(data, 503, (f"Retry-After: {RETRY_AFTER_S}",), source, local)


def _answer(
    data: bytes, status: int, more: tuple[str, ...], source: Address, local: Address
) -> OutgoingMessage | None:
    head = re.split(rb"\r?\n\r?\n", data[:_MAX_READ].lstrip(b"\r\n"), maxsplit=1)[0]
    first, *lines = re.split(rb"\r\n(?![ \t])", head)
    request_line = _REQUEST_LINE.match(first)
    if request_line is None or request_line[1].upper() == b"ACK":
        return None
    fields = _fields(lines)
    try:
        top, *others = (
            element for value in fields.pop("Via", []) for element in split_list(value) or [""]
        )
        via, version = _parse_via(top)
        destination = reply_address(via, source)
        first_hop = str(stamp(via, source)).replace("SIP/2.0", version, 1)
        vias = [first_hop, *filter(_is_via, others)]
    except (ParseError, ProtocolError, ValueError):
        return None
    reason = REASONS.get(status, "Bad Request")
    answer = [f"SIP/2.0 {status} {reason}", *(f"Via: {value}" for value in vias)]
    answer += [f"{name}: {values[0]}" for name, values in fields.items()]
    answer = [_with_to_tag(line, data) for line in answer]
    answer += [*more, "Content-Length: 0", "", ""]
    data = "\r\n".join(answer).encode("utf-8", "surrogateescape")
    return OutgoingMessage(data, destination, local, reply_fallback(via, source))


def _parse_via(text: str) -> tuple[Via, str]:
    """Parse a Via entry, with its protocol and version ("SIP/2.0"). Raises `SipParseError`."""
    found = _VERSION.match(text)
    if found is None:
        raise SipParseError("not a Via")
    return Via.parse(f"{found[1]}2.0{text[found.end() :]}"), f"SIP/{found[2]}"


def _is_via(text: str) -> bool:
    try:
        _parse_via(text)
    except SipParseError:
        return False
    return True


def _with_to_tag(line: str, data: bytes) -> str:
    """Return the header field `line`. If `line` is a To without a tag, add a tag.

    The tag is calculated from the request (`data`), so a copy of the request gets the same tag (RFC
    3261 section 8.2.7).
    """
    if not line.startswith("To: ") or _TAG.search(line):
        return line
    return f"{line};tag={zlib.crc32(data):08x}"


def _fields(lines: list[bytes]) -> dict[str, list[str]]:
    """Return the values of the header fields that are copied to the response, by field name.

    Values longer than `_MAX_LINE` or with CR, LF or NUL are left out. A Via with such a value
    becomes "", so that the next Via does not become the top Via.
    """
    found: dict[str, list[str]] = {}
    for line in lines:
        raw_name, colon, raw_value = line.decode("utf-8", "surrogateescape").partition(":")
        name = raw_name.strip().lower()
        known = "Via" if name in {"via", "v"} else _COPIED.get(name)
        value = re.sub(r"\r\n[ \t]+", " ", raw_value).strip(" \t").replace("\\\0", "\ufffd")
        is_safe = len(value) <= _MAX_LINE and not _UNSAFE.search(value)
        if known == "Via":
            found.setdefault(known, []).append(value if is_safe else "")
        elif known and colon and value and is_safe:
            found.setdefault(known, []).append(value)
    return found
