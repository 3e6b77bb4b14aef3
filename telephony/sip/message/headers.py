"""The header fields of a message, in their original sequence and spelling (RFC 3261 section 7.3).

SIP text is UTF-8. A line that is not valid UTF-8 is read as Latin-1, which some phones send, and
written with its original bytes if it is forwarded unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.grammar import COMPACT_NAMES, is_token, refuse_line_breaks, split_list

MAX_HEADERS: Final = 256
MAX_LINE: Final = 16384
"""The most characters of one received header field, continuation lines included."""

_MAX_KNOWN: Final = 1024
_MAX_KNOWN_LENGTH: Final = 64
_FOLD: Final = re.compile(rb"\n[ \t]+")
_QUOTED: Final = re.compile(rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*("?)')
_PAIR: Final = re.compile(rb"\\(.)")
_keys: dict[str, str] = {}


class Latin1Text(str):
    """Text read as Latin-1, because its bytes are not UTF-8. `encode` returns these bytes again."""

    __slots__ = ()


def encode(text: str) -> bytes:
    """Return `text` as bytes: `Latin1Text` as Latin-1, else UTF-8. Raises `ProtocolError`."""
    try:
        return text.encode("latin-1" if isinstance(text, Latin1Text) else "utf-8")
    except UnicodeEncodeError:
        raise ProtocolError("text that cannot be written in its charset") from None


def header_key(name: str) -> str:
    """Return a header field's lookup name: its long form in lower case. Raises `ProtocolError`."""
    key = _keys.get(name)
    if key is None:
        if not is_token(name):
            raise ProtocolError("a header's name is not a token")
        lower = name.lower()
        key = COMPACT_NAMES.get(lower, lower)
        if len(_keys) < _MAX_KNOWN and len(name) <= _MAX_KNOWN_LENGTH:
            _keys[name] = key
    return key


def _parsed_key(name: str) -> str:
    try:
        return header_key(name)
    except ProtocolError as error:
        raise SipParseError(str(error)) from None


def has_bare_line_break(head: bytes) -> bool:
    """Return whether `head` has a CR or an LF that is not part of a CRLF (RFC 3261 section 7)."""
    breaks = head.count(b"\r\n")
    return head.count(b"\n") != breaks or head.count(b"\r") != breaks


def unfold(head: bytes) -> list[str]:
    """Split the header fields of a message or body part into lines, joining continuations.

    Lines may end with LF only, as in some body parts. An escaped NUL, legal in a quoted string (RFC
    3261 section 25.1), is replaced by U+FFFD: programs written in C would end the text there. For
    continuations, see RFC 3261 section 7.3.1. Raises `SipParseError` if `head` contains a CR
    without LF, or a NUL that is not escaped in a quoted string.
    """
    head = head.replace(b"\r\n", b"\n")
    if b"\n " in head or b"\n\t" in head:
        head = _FOLD.sub(b" ", head)
    if b"\\\0" in head:
        head = _QUOTED.sub(_without_nul, head)
    if b"\r" in head or b"\0" in head:
        raise SipParseError("a bare CR or a NUL in the headers")
    try:
        return head.decode().split("\n")
    except UnicodeDecodeError:
        return [_decode(line) for line in head.split(b"\n")]


def _without_nul(quoted: re.Match[bytes]) -> bytes:
    if not quoted[1]:  # The closing quote is missing, so this is not a quoted string.
        return quoted[0]
    return _PAIR.sub(lambda pair: "\ufffd".encode() if pair[1] == b"\0" else pair[0], quoted[0])


def _decode(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return Latin1Text(line, "latin-1")


class Headers:
    """The header fields of a message, in their original sequence.

    Several fields may have the same name. Methods find a name in any case, and in its compact form.

    Attributes:
        changes: The number of changes so far. While it is the same, values read before are valid.
    """

    __slots__ = ("_rows", "changes")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._rows: list[tuple[str, str, str]] = []
        self.changes = 0
        for name, value in pairs:
            self.add(name, value)

    @classmethod
    def from_rows(cls, rows: list[tuple[str, str, str]]) -> Headers:
        """Make header fields from valid rows (lookup name, name, value), which are not copied."""
        headers = cls()
        headers._rows = rows
        return headers

    @classmethod
    def parse(cls, lines: list[str]) -> Headers:
        """Parse header fields from the lines that `unfold` returns. Raises `SipParseError`."""
        if len(lines) > MAX_HEADERS:
            raise SipParseError("too many headers", status=513)
        rows: list[tuple[str, str, str]] = []
        known = _keys.get
        for line in lines:
            if len(line) > MAX_LINE:
                raise SipParseError("a header is too long", status=513)
            name, colon, value = line.partition(":")
            if not colon:
                raise SipParseError("a header without a colon")
            key = known(name)
            if key is None:
                name = name.rstrip(" \t")
                key = _parsed_key(name)
            value = value.strip(" \t")
            rows.append((key, name, Latin1Text(value) if type(line) is Latin1Text else value))
        return cls.from_rows(rows)

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """All header fields as rows (lookup name, name, value). Do not change this list."""
        return self._rows

    def get(self, name: str) -> str | None:
        """Return the value of the first header field `name`; None if there is none."""
        key = _keys.get(name) or header_key(name)
        for row in self._rows:
            if row[0] == key:
                return row[2]
        return None

    def get_all(self, name: str) -> list[str]:
        """Return the values of all header fields `name` as received, lists not split."""
        key = _keys.get(name) or header_key(name)
        return [row[2] for row in self._rows if row[0] == key]

    def get_list(self, name: str) -> list[str]:
        """Return the elements of all header fields `name`, or raise SipParseError."""
        return [element for value in self.get_all(name) for element in split_list(value)]

    def add(self, name: str, value: object) -> None:
        """Add a header field after all others. Raises `ProtocolError` if it is not valid."""
        self._rows.append(_row(name, value))
        self.changes += 1

    def set(self, name: str, value: object) -> None:
        """Replace all header fields `name` by one, in the place of the first or at the end."""
        row = _row(name, value)
        self.changes += 1
        place = next((i for i, old in enumerate(self._rows) if old[0] == row[0]), None)
        if place is None:
            self._rows.append(row)
            return
        self._rows[place] = row
        self._rows[place + 1 :] = [old for old in self._rows[place + 1 :] if old[0] != row[0]]

    def replace_first(self, name: str, *values: object) -> None:
        """Replace the first field `name` by new fields, one for each of `values`.

        Without such a field, the new fields are added at the end.
        """
        key = header_key(name)
        place = next((i for i, row in enumerate(self._rows) if row[0] == key), len(self._rows))
        self._rows[place : place + 1] = [_row(name, value) for value in values]
        self.changes += 1

    def remove(self, name: str) -> None:
        """Remove all header fields `name`."""
        key = header_key(name)
        self._rows = [row for row in self._rows if row[0] != key]
        self.changes += 1

    def items(self) -> list[tuple[str, str]]:
        """Return all names and values, in their original sequence and spelling."""
        return [(name, value) for _, name, value in self._rows]

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._rows == other._rows

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # Values are personal data, so a traceback may show only the names.
        return f"Headers({', '.join(name for _, name, _ in self._rows)})"


def _row(name: str, value: object) -> tuple[str, str, str]:
    text = refuse_line_breaks(str(value).strip(" \t"))
    return header_key(name), name, Latin1Text(text) if isinstance(value, Latin1Text) else text
