"""The Via header field (RFC 3261 section 20.42, RFC 3581): the hops that the response goes back."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.grammar import (
    Parameters,
    check_parameters,
    find_parameter,
    format_parameters,
    is_token,
    parse_parameters,
    replace_parameter,
)
from telephony.sip.message.uri import is_host, join_host_port, parse_host_port, without_brackets

_VIA: Final = re.compile(
    r"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*([^\s/;,]+)[ \t]+(\[[^\]\s;,]*\]|[^\s;,:\[]+)"
    r"(?:[ \t]*(:)[ \t]*([0-9]*))?",
    re.IGNORECASE | re.ASCII,
)


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
        """Parse one Via entry; raise SipParseError if the text is not a Via entry."""
        return _parse_short(text) if len(text) <= _SHORT else _parse(text)

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

    @property
    def rport(self) -> int | None:
        """The port from which the request came; None without a number of at most 5 digits."""
        value = self.parameter("rport")
        # isdecimal() and int() also accept digits that are not ASCII, such as Arabic digits.
        if not value or not value.isascii() or not value.isdecimal() or len(value) > 5:
            return None
        return int(value)

    def parameter(self, name: str) -> str | None:
        """Return a parameter's value without quotes; "" without a value, None if it is missing."""
        return find_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str | None) -> Via:
        """Return the entry with one parameter set; None means no value. Quotes must be there."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))


def _parse(text: str) -> Via:
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


_SHORT: Final = 256
"""Longer texts, in characters, are not cached, so that their sender cannot fill the memory."""

# The cache saves time, because all responses to a request have its Via.
_parse_short = lru_cache(maxsize=1024)(_parse)
