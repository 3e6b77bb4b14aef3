"""Answering a request that cannot be read, as far as its Via can (RFC 3261 8.2, 16.3, 21.4.1).

The answer copies the lines that a response must have, as they stand. Without a readable Via on
top, or for an ACK or a response, there is none; what else stands in the Via list and is no hop is
left out. A Via of another version counts, and is answered as it came: it is owed the 505.
"""

from __future__ import annotations

import re
import zlib

from telephony.errors import ParseError, ProtocolError, SipParseError
from telephony.sip.events import Address, Outgoing
from telephony.sip.grammar import REASONS, split_list
from telephony.sip.headers import Via
from telephony.sip.transport import reply_address, reply_otherwise, stamp

_SIGHT = 16384
"""Of a longer message only so many bytes are looked at."""

_LIMIT = 1024
"""A copied line longer than this is not worth sending back."""

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
) -> Outgoing | None:
    """The response that a malformed request deserves, or None."""
    head = re.split(rb"\r?\n\r?\n", data[:_SIGHT].lstrip(b"\r\n"), maxsplit=1)[0]
    first, *lines = re.split(rb"\r?\n(?![ \t])", head)
    request_line = _REQUEST_LINE.match(first)
    if request_line is None or request_line[1].upper() == b"ACK":
        return None
    fields = _fields(lines)
    try:
        top, *others = (
            element for value in fields.pop("Via", []) for element in split_list(value) or [""]
        )
        via, version = _hop(top)
        destination = reply_address(via, source)
        first_hop = str(stamp(via, source)).replace("SIP/2.0", version, 1)
        vias = [first_hop, *filter(_is_hop, others)]
    except (ParseError, ProtocolError, ValueError):
        return None
    status = error.status if 400 <= error.status < 700 else 400
    reason = REASONS.get(status, "Bad Request")
    answer = [f"SIP/2.0 {status} {reason}", *(f"Via: {value}" for value in vias)]
    answer += [f"{name}: {values[0]}" for name, values in fields.items()]
    answer = [_tagged(line, data) for line in answer]
    answer += ["Content-Length: 0", "", ""]
    data = "\r\n".join(answer).encode("utf-8", "surrogateescape")
    return Outgoing(data, destination, local, reply_otherwise(via, source))


def _hop(text: str) -> tuple[Via, str]:
    """The hop, and the protocol version of which it is."""
    found = _VERSION.match(text)
    if found is None:
        raise SipParseError("not a Via")
    return Via.parse(f"{found[1]}2.0{text[found.end() :]}"), f"SIP/{found[2]}"


def _is_hop(text: str) -> bool:
    try:
        _hop(text)
    except SipParseError:
        return False
    return True


def _tagged(line: str, data: bytes) -> str:
    """A To line with a tag: the same for each copy of the request (RFC 3261 8.2.6.2, 8.2.7)."""
    if not line.startswith("To: ") or _TAG.search(line):
        return line
    return f"{line};tag={zlib.crc32(data):08x}"


def _fields(lines: list[bytes]) -> dict[str, list[str]]:
    """The copied headers' values, unfolded; what could not be sent back safely is left out.

    Of a Via an empty value stays, so that the next hop is not taken for the nearest.
    """
    found: dict[str, list[str]] = {}
    for line in lines:
        raw_name, colon, raw_value = line.decode("utf-8", "surrogateescape").partition(":")
        name = raw_name.strip().lower()
        known = "Via" if name in {"via", "v"} else _COPIED.get(name)
        value = re.sub(r"\r?\n[ \t]+", " ", raw_value).strip(" \t").replace("\\\0", "\ufffd")
        is_safe = len(value) <= _LIMIT and not _UNSAFE.search(value)
        if known == "Via":
            found.setdefault(known, []).append(value if is_safe else "")
        elif known and colon and value and is_safe:
            found.setdefault(known, []).append(value)
    return found
