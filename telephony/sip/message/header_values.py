"""The values of header fields: CSeq, RAck, From, To, Contact, Route, Via and Replaces.

See RFC 3261 sections 20.10 (Contact), 20.16 (CSeq), 20.20 (From), 20.34 (Route), 20.39 (To) and
20.42 (Via), RFC 3581 (rport), RFC 3262 section 7 (RAck, RSeq) and RFC 3891 (Replaces).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.grammar import (
    WHITESPACE,
    Parameters,
    check_parameters,
    drop_parameter,
    find_parameter,
    format_parameters,
    is_token,
    leading_quoted,
    parse_parameters,
    quote,
    refuse_line_breaks,
    replace_parameter,
    split_list,
    unquote,
)
from telephony.sip.message.uri import (
    Uri,
    is_host,
    join_host_port,
    parse_host_port,
    without_brackets,
)

MAX_NUMBER: Final = 2**31 - 1
"""The largest CSeq number: RFC 3261 section 8.1.1.5 requires a number less than 2**31."""
RELIABLE: Final = "100rel"
"""The option tag of reliable provisional responses (RFC 3262)."""
MAX_FIRST: Final = 2**31 - 1
"""The largest RSeq of the first reliable response. Later responses may reach `MAX_RSEQ`."""
MAX_RSEQ: Final = 2**32 - 1

_SHORT: Final = 256
"""The most characters of a text that is cached, so that a sender cannot fill the memory."""
_CSEQ: Final = re.compile(r"([0-9]{1,12})[ \t]+([A-Za-z0-9\-.!%*_+`'~]+)")
_RACK: Final = re.compile(r"([0-9]{1,10})[ \t]+([^ \t].*)")
_VIA: Final = re.compile(
    r"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*([^\s/;,]+)[ \t]+(\[[^\]\s;,]*\]|[^\s;,:\[]+)"
    r"(?:[ \t]*(:)[ \t]*([0-9]*))?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True, order=True)
class CSeq:
    """The CSeq value of a message. `method` is as received (methods are case-sensitive)."""

    number: int
    method: str

    def __post_init__(self) -> None:
        if not 0 <= self.number <= MAX_NUMBER or not is_token(self.method):
            raise ProtocolError("a CSeq is out of range, or its method is not a token")

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Parse a number and a method. Raises `SipParseError` if the text is not a CSeq value."""
        found = _CSEQ.fullmatch(text.strip(" \t"))
        if found is None:
            raise SipParseError("not a CSeq")
        number = int(found[1])
        if number > MAX_NUMBER:
            raise SipParseError("a CSeq number is too large")
        return cls(number, found[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@dataclass(frozen=True, slots=True)
class RAck:
    """The RAck of a PRACK: RSeq (1 to 2**32 - 1) and CSeq of the response it acknowledges."""

    rseq: int
    cseq: CSeq

    def __post_init__(self) -> None:
        if not 1 <= self.rseq <= MAX_RSEQ:
            raise ProtocolError("an RSeq is out of range")

    @classmethod
    def parse(cls, text: str) -> RAck:
        """Parse an RAck: an RSeq, a CSeq number and a method. Raises `SipParseError`."""
        found = _RACK.fullmatch(text.strip(" \t"))
        if found is None or not 1 <= int(found[1]) <= MAX_RSEQ:
            raise SipParseError("not an RAck")
        return cls(int(found[1]), CSeq.parse(found[2]))

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq}"


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A URI with a display name and header field parameters.

    Attributes:
        display_name: The name as plain text without quotes; "" if there is no name.
        parameters: The header field's parameters, not the URI's, with quotes as in the message.
    """

    display_name: str
    uri: Uri
    parameters: Parameters = ()

    def __post_init__(self) -> None:
        refuse_line_breaks(self.display_name)
        if self.parameters:
            check_parameters(self.parameters)

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Parse one address, with or without angle brackets. Raises `SipParseError`."""
        return _short_address(text) if len(text) <= _SHORT else _address(text)

    @classmethod
    def parse_list(cls, text: str) -> list[NameAddr]:
        """Parse a comma-separated list of addresses. Raises `SipParseError`."""
        return [cls.parse(element) for element in split_list(text)]

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{format_parameters(self.parameters)}"

    @property
    def tag(self) -> str | None:
        """The value of the parameter `tag`; None if the parameter is missing or empty."""
        return find_parameter(self.parameters, "tag") or None

    @property
    def q(self) -> float:
        """The preference of a Contact, from 0 to 1 (RFC 3261 20.10); 1 if missing or malformed."""
        try:
            return min(1.0, max(0.0, float(self.parameter("q") or "1")))
        except ValueError:
            return 1.0

    def with_tag(self, tag: str | None) -> NameAddr:
        """Return the address with this tag instead of its present tag; None removes the tag."""
        if tag is None:
            return replace(self, parameters=drop_parameter(self.parameters, "tag"))
        return self.with_parameter("tag", tag)

    def parameter(self, name: str) -> str | None:
        """Return a parameter's value without quotes; "" without a value, None if it is missing."""
        return find_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str | None) -> NameAddr:
        """Return a copy with this parameter. `value` includes any quotes, None means no value."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))


def _address(text: str) -> NameAddr:
    text = text.strip(WHITESPACE)
    if text.startswith('"'):
        name, end = leading_quoted(text)
        rest = text[end:].lstrip(WHITESPACE)
        return _bracketed(name, rest) if rest.startswith("<") else _misquoted(text)
    before, bracket, after = text.partition("<")
    # If a quote and a semicolon are before the bracket, the bracket belongs to a parameter, such as
    # +sip.instance="<urn:…>". If only a quote is before it, the display name contains quotes.
    if bracket and '"' not in before:
        return _bracketed(before.strip(WHITESPACE), bracket + after)
    if bracket and ";" not in before:
        return _misquoted(text)
    # Without brackets, the parameters belong to the header field, not to the URI (RFC 3261 section
    # 20.10).
    address, semicolon, parameters = text.partition(";")
    return NameAddr("", Uri.parse(address), parse_parameters(semicolon + parameters))


def _misquoted(text: str) -> NameAddr:
    """Parse an address with quotes in its display name, as some PBXes send: `"Siân "Jo" Evans"`."""
    before, bracket, after = text.partition("<")
    name = before.strip(WHITESPACE)
    if not bracket or "<" in after or before.count('"') % 2:
        raise SipParseError("a display name without an address in angle brackets")
    return _bracketed(unquote(name), bracket + after)


def _bracketed(name: str, text: str) -> NameAddr:
    uri, bracket, parameters = text[1:].partition(">")
    if not bracket:
        raise SipParseError("an angle bracket without an end")
    if "\r" in name or "\n" in name or "\0" in name:
        raise SipParseError("a CR, LF or NUL in a display name")
    return NameAddr(name, Uri.parse(uri), parse_parameters(parameters))


# The cache saves time, because the messages of a dialog repeat the same From, To and Contact.
_short_address = lru_cache(maxsize=4096)(_address)


@dataclass(frozen=True, slots=True)
class Via:
    """One hop of a request, as described by one entry in a Via header field.

    `transport` is in upper case. `host` is as the sender wrote it, but IPv6 without brackets.
    """

    transport: str
    host: str
    port: int | None = None
    parameters: Parameters = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", without_brackets(self.host))
        if not is_token(self.transport) or self.transport != self.transport.upper():
            raise ProtocolError("a Via's transport is wrong")
        if not is_host(self.host) or (self.port is not None and not 0 <= self.port <= 65535):
            raise ProtocolError("a Via's host or port is wrong")
        check_parameters(self.parameters)

    @classmethod
    def parse(cls, text: str) -> Via:
        """Parse one Via entry. Raises `SipParseError` if the text is not a Via entry."""
        return _short_via(text) if len(text) <= _SHORT else _via(text)

    def __str__(self) -> str:
        sent_by = join_host_port(self.host, self.port)
        return f"SIP/2.0/{self.transport} {sent_by}{format_parameters(self.parameters)}"

    @property
    def branch(self) -> str | None:
        """The branch, which identifies the transaction; None if it is missing or empty."""
        return self.parameter("branch") or None

    @property
    def received(self) -> str | None:
        """The IP address, without brackets, from which the request came; None if missing."""
        value = self.parameter("received")
        return value.strip("[]") if value else None

    def parameter(self, name: str) -> str | None:
        """Return a parameter's value without quotes; "" without a value, None if it is missing."""
        return find_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str | None) -> Via:
        """Return a copy with this parameter. `value` includes any quotes, None means no value."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))


def _via(text: str) -> Via:
    text = text.strip(" \t")
    found = _VIA.match(text)
    if found is None:
        raise SipParseError("not a Via")
    transport, sent_by, colon, digits = found.groups()
    host, port = parse_host_port(f"{sent_by}:{digits}" if colon else sent_by)
    parameters = parse_parameters(text[found.end() :])
    try:
        return Via(transport.upper(), host, port, parameters)
    except ProtocolError as error:
        raise SipParseError(str(error)) from None


# The cache saves time, because all responses to a request have its Via.
_short_via = lru_cache(maxsize=1024)(_via)


@dataclass(frozen=True, slots=True)
class Replaces:
    """The value of a Replaces header field: the Call-ID and tags of the dialog to replace."""

    call_id: str
    to_tag: str
    """The local tag, as seen by the UA that receives the Replaces; `0` for none (RFC 2543)."""
    from_tag: str
    """The remote tag, as seen by the UA that receives the Replaces."""
    early_only: bool = False
    """True if the dialog must not be replaced after it was confirmed."""

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """Parse the value of a Replaces header field, or raise SipParseError."""
        call_id, *parameters = (part.strip() for part in text.split(";"))
        found: dict[str, str] = {}
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if (key := name.strip().lower()) in found:
                raise SipParseError("a Replaces parameter occurs twice")
            found[key] = value.strip()
        tags = found.get("to-tag", ""), found.get("from-tag", "")
        if not call_id or any(c.isspace() for c in call_id) or not all(map(is_token, tags)):
            raise SipParseError("Replaces has no valid Call-ID, to-tag or from-tag")
        return cls(call_id, *tags, early_only="early-only" in found)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"
