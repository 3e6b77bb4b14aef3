"""The values of From, To, Contact, Route and similar header fields (RFC 3261 section 20.10)."""

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
    """A URI with a display name and header field parameters.

    Attributes:
        display_name: The name as plain text without quotes; "" if there is no name.
        uri: The URI.
        parameters: Those of the header field, not of the URI; quotes as in the message.
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
        """Parse one address, with or without angle brackets.

        Raises:
            SipParseError: The text is not an address.
        """
        return _parse_short(text) if len(text) <= _SHORT else _parse(text)

    @classmethod
    def parse_list(cls, text: str) -> list[NameAddr]:
        """Parse a comma-separated list of addresses.

        Raises:
            SipParseError: An element of the list is not an address.
        """
        return [cls.parse(element) for element in split_list(text)]

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{format_parameters(self.parameters)}"

    @property
    def tag(self) -> str | None:
        """The value of the parameter `tag`; None if the parameter is missing or empty."""
        return find_parameter(self.parameters, "tag") or None

    def with_tag(self, tag: str | None) -> NameAddr:
        """Return the address with this tag instead of its present tag; None removes the tag."""
        if tag is None:
            return replace(self, parameters=drop_parameter(self.parameters, "tag"))
        return self.with_parameter("tag", tag)

    def parameter(self, name: str) -> str | None:
        """Return a parameter's value without quotes; "" without a value, None if it is missing."""
        return find_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str | None) -> NameAddr:
        """Return the address with one parameter set; None means no value. Quotes must be there."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))


def _parse(text: str) -> NameAddr:
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


_SHORT = 256
"""Longer texts, in characters, are not cached, so that their sender cannot fill the memory."""

# The cache saves time, because all messages of a dialog have the same From, To and Contact.
_parse_short = lru_cache(maxsize=4096)(_parse)


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
