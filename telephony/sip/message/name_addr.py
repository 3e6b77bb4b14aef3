"""The format of From, To, Contact, Route, Refer-To, … (RFC 3261 20.10): name, URI, parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from telephony.errors import SipParseError
from telephony.sip.message.grammar import (
    WHITESPACE,
    Parameters,
    check_parameters,
    drop_parameter,
    find_parameter,
    format_parameters,
    leading_quoted,
    parse_parameters,
    quote,
    refuse_line_breaks,
    replace_parameter,
    split_list,
    unquote,
)
from telephony.sip.message.uri import Uri


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A URI with a display name and header parameters.

    Attributes:
        display_name: Plain text without quotes; "" for no name.
        uri: The address.
        parameters: Those of the header, not of the URI; values as on the wire, quotes included.
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
        """Parse one address, with or without angle brackets; raise SipParseError if it fails."""
        return _parse_short(text) if len(text) <= _SHORT else _parse(text)

    @classmethod
    def parse_list(cls, text: str) -> list[NameAddr]:
        """Parse a comma-separated list of addresses."""
        return [cls.parse(element) for element in split_list(text)]

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{format_parameters(self.parameters)}"

    @property
    def tag(self) -> str | None:
        """The tag; None if the address has no tag."""
        return find_parameter(self.parameters, "tag") or None

    def with_tag(self, tag: str | None) -> NameAddr:
        """Return the address with this tag instead of any other; None removes the tag."""
        if tag is None:
            return replace(self, parameters=drop_parameter(self.parameters, "tag"))
        return self.with_parameter("tag", tag)

    def parameter(self, name: str) -> str | None:
        """Return a header parameter as plain text; "" for a flag, None if it is missing."""
        return find_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str | None) -> NameAddr:
        """Return the address with a header parameter set; `value` as on the wire."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))


def _parse(text: str) -> NameAddr:
    text = text.strip(WHITESPACE)
    if text.startswith('"'):
        name, end = leading_quoted(text)
        rest = text[end:].lstrip(WHITESPACE)
        return _bracketed(name, rest) if rest.startswith("<") else _misquoted(text)
    before, bracket, after = text.partition("<")
    # A quote before the bracket belongs to a parameter such as +sip.instance="<urn:…>".
    if bracket and '"' not in before:
        return _bracketed(before.strip(WHITESPACE), bracket + after)
    if bracket and ";" not in before:
        return _misquoted(text)
    # Without brackets, parameters belong to the header and not to the URI (RFC 3261 20.10).
    address, semicolon, parameters = text.partition(";")
    return NameAddr("", Uri.parse(address), parse_parameters(semicolon + parameters))


_SHORT = 256
"""Longer texts are not cached, so that strangers cannot fill the memory."""

# The messages of a dialog repeat the same From, To and Contact.
_parse_short = lru_cache(maxsize=4096)(_parse)


def _misquoted(text: str) -> NameAddr:
    """Parse an address with quotes inside its name, `"Siân "Jo" Evans" <sip:…>`, as PBXs do."""
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
