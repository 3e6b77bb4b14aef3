"""Session descriptions (RFC 8866): parsing, reading and writing them.

All lines stay in their sequence, also those of unknown type. Reading accepts lines that end with LF
only, and a wrong sequence of lines. Writing ends each line with CRLF.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from telephony.errors import ProtocolError, SdpParseError
from telephony.sdp.codecs import STATIC_PAYLOADS, Codec
from telephony.sdp.media import Direction

MAX_BYTES = 65_536
MAX_LINES = 2_000
MAX_MEDIA = 32

_DIRECTIONS = {direction.value: direction for direction in Direction}
_UNSPECIFIED = {"0.0.0.0", "::"}  # noqa: S104  (compared with, never bound)
_PLAIN_PROFILES = {"RTP/AVP", "RTP/AVPF"}
_SECURE_PROFILES = {"RTP/SAVP", "RTP/SAVPF"}
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_RTPMAP = re.compile(r"\s*([^\s/]+)\s*/\s*([0-9]{1,10})\s*(?:/\s*([0-9]{1,10})\s*)?", re.ASCII)
_MAX_CLOCK = 1_000_000
_MAX_CHANNELS = 255
_UNKNOWN = -1


class SdpLine(NamedTuple):
    """One `type=value` line. Its `repr` never shows an encryption key."""

    type: str
    value: str

    def __repr__(self) -> str:
        secret = self.type == "k" or (self.type == "a" and "inline:" in self.value.lower())
        return f"<{self.type}= with a key>" if secret else f"<{self}>"

    def __str__(self) -> str:
        return f"{self.type}={self.value}"


def _number(text: str, limit: int, what: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > limit:
        raise SdpParseError(f"{what} is not a number up to {limit}")
    return int(text)


def _is_internet(words: list[str]) -> bool:
    return words[0].upper() == "IN" and words[1].upper() in {"IP4", "IP6"}


def _is_connection(data: str) -> bool:
    """Return whether `data` is the value of a c= line: network type, address type, address.

    The address of another network than the Internet may have several words.
    """
    words = data.split()
    return len(words) == 3 or (len(words) > 3 and not _is_internet(words))


def _address(data: str | None) -> str | None:
    """Return the address in the value of a c= line; None if it is no Internet address."""
    words = (data or "").split()
    return words[2] if len(words) == 3 and _is_internet(words) else None


class _LineTable(NamedTuple):
    """The lines of a session or of a media section, in a form that is quick to read."""

    attributes: Mapping[str, Sequence[str]]
    """The values of the a= lines by the attribute's name in lower case."""
    direction: Direction | None
    """The direction in the last a= line that has one; None if there is none."""
    connection: str | None
    """The value of the first c= line; None if there is none."""

    @classmethod
    def of(cls, lines: Iterable[SdpLine]) -> "_LineTable":
        attributes: dict[str, list[str]] = {}
        direction = connection = None
        for kind, text in lines:
            if kind == "a":
                key, colon, value = text.partition(":")
                key = key.strip().lower()
                attributes.setdefault(key, []).append(value.strip())
                if not colon:
                    direction = _DIRECTIONS.get(key, direction)
            elif kind == "c" and connection is None:
                connection = text
        return cls(attributes, direction, connection)


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One media section. `lines` are those after the m= line, in their sequence."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    lines: tuple[SdpLine, ...] = ()
    port_count: int = 1
    _codecs: dict[int, Codec] | None = field(default=None, init=False, compare=False, repr=False)
    """The result of `codecs`, stored because it is needed often, like the two fields below."""
    _lines: _LineTable | None = field(default=None, init=False, compare=False, repr=False)
    _is_rtp_audio: bool | None = field(default=None, init=False, compare=False, repr=False)

    @classmethod
    def parse(cls, value: str, lines: Iterable[SdpLine] = ()) -> "MediaDescription":
        """Read a media section from the value of its m= line and its other lines.

        The formats may be missing if we decline the section anyway (port 0, or not audio): some
        peers write `m=video 0 RTP/AVP`. Raises `SdpParseError` if the value does not have the form
        `kind port[/count] protocol format…`.
        """
        words = value.split()
        if len(words) < 3:
            raise SdpParseError("an m= line has fewer than three fields")
        text, slash, count = words[1].partition("/")
        port = _number(text, 65_535, "the port of an m= line")
        if len(words) < 4 and port and words[0].lower() == "audio":
            raise SdpParseError("an m= line of live audio has no format")
        return cls(
            kind=words[0],
            port=port,
            protocol=words[2],
            formats=tuple(words[3:]),
            lines=tuple(lines),
            port_count=_number(count, 65_535, "the port count of an m= line") if slash else 1,
        )

    def __str__(self) -> str:
        port = f"{self.port}/{self.port_count}" if self.port_count != 1 else f"{self.port}"
        head = " ".join([f"m={self.kind}", port, self.protocol, *self.formats])
        return "\r\n".join([head, *map(str, self.lines)])

    def attribute(self, name: str) -> str | None:
        """Return the value of the first a=`name` line; "" without a value, None without a line."""
        return next(iter(self.attributes(name)), None)

    def attributes(self, name: str) -> Sequence[str]:
        """Return the values of all a= lines named `name`. `name` must be in lower case."""
        return self.table.attributes.get(name, ())

    @property
    def table(self) -> _LineTable:
        """The lines of the section (not those of the session) in a form that is quick to read."""
        if self._lines is None:
            object.__setattr__(self, "_lines", _LineTable.of(self.lines))
        return self._lines  # type: ignore[return-value]  # set above

    @property
    def is_rtp_audio(self) -> bool:
        """True for audio over RTP or SRTP with a port other than 0 (live).

        False for audio over DTLS, or with a c= line of another network than the Internet.
        """
        if self._is_rtp_audio is None:
            object.__setattr__(self, "_is_rtp_audio", self._has_rtp_audio())
        return bool(self._is_rtp_audio)

    def _has_rtp_audio(self) -> bool:
        own = self.table.connection
        return (
            self.kind.lower() == "audio"
            and self.port > 0
            and self.protocol.upper() in _PLAIN_PROFILES | _SECURE_PROFILES
            and (own is None or _address(own) is not None)
        )

    @property
    def is_secure(self) -> bool:
        """True if the protocol of the section is an SRTP profile (RTP/SAVP or RTP/SAVPF)."""
        return self.protocol.upper() in _SECURE_PROFILES

    def codecs(self) -> dict[int, Codec]:
        """Return the codecs of the section by payload type, the preferred codec first.

        Formats that are not payload types are left out. A payload type with an unreadable a=rtpmap
        is left out too: some phones offer `a=rtpmap:98 iLBC` without a clock. A static payload type
        may have no a=rtpmap, or one without a clock.
        """
        if self._codecs is None:
            object.__setattr__(self, "_codecs", self._read_codecs())
        return dict(self._codecs or {})

    def _read_codecs(self) -> dict[int, Codec]:
        maps = dict(_split_payload(value) for value in self.attributes("rtpmap"))
        parameters = dict(_split_payload(value) for value in self.attributes("fmtp"))
        table: dict[int, Codec] = {}
        for text in self.formats:
            if not _NUMBER.fullmatch(text) or int(text) > 127:
                continue
            number = int(text)
            static = STATIC_PAYLOADS.get(number)
            codec = _codec(maps[number], static) if number in maps else static
            fmtp = parameters.get(number, "")
            if codec is not None:
                given = (codec.name, codec.clock, codec.channels, fmtp)
                table[number] = Codec(*given) if fmtp else codec
        return table


def _split_payload(value: str) -> tuple[int, str]:
    number, _, rest = value.partition(" ")
    return (int(number) if _NUMBER.fullmatch(number) else -1), rest.strip()


def _codec(text: str, static: Codec | None) -> Codec | None:
    """Return the codec in an a=rtpmap, or None; `static` is the payload type's static codec."""
    if static is not None and text.strip().lower() == static.name.lower():
        return static
    found = _RTPMAP.fullmatch(text)
    if found is None:
        return None
    clock, channels = int(found[2]), int(found[3] or 1)
    fits = 0 < clock <= _MAX_CLOCK and 0 < channels <= _MAX_CHANNELS
    return Codec(found[1], clock, channels) if fits else None


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole session description: the session-level lines, then the media sections."""

    lines: tuple[SdpLine, ...]
    media: tuple[MediaDescription, ...] = ()
    _text: str = field(default="", init=False, compare=False, repr=False)
    """The result of `str`, stored because each checkpoint writes the descriptions again."""
    _lines: _LineTable | None = field(default=None, init=False, compare=False, repr=False)
    _audio_index: int | None = field(default=_UNKNOWN, init=False, compare=False, repr=False)
    """The result of `audio_index`; `_UNKNOWN` before its first use."""

    @classmethod
    def parse(cls, data: str | bytes) -> "SessionDescription":
        """Read a session description. Bad data raises only SdpParseError."""
        lines = list(_lines(data))
        if not lines or lines[0] != SdpLine("v", "0"):
            raise SdpParseError("a session description does not begin with v=0")
        starts = [index for index, line in enumerate(lines) if line.type == "m"]
        if len(starts) > MAX_MEDIA:
            raise SdpParseError(f"more than {MAX_MEDIA} m= lines")
        ends = [*starts[1:], len(lines)]
        session = cls(
            lines=tuple(lines[: starts[0] if starts else len(lines)]),
            media=tuple(
                MediaDescription.parse(lines[start].value, lines[start + 1 : end])
                for start, end in zip(starts, ends, strict=bool(starts))
            ),
        )
        session.check()
        return session

    def check(self) -> None:
        """Raise SdpParseError if there is not exactly one valid o= line, or a c= line is malformed.

        c= lines are checked only for audio sections, because we decline all others.
        """
        origins = [line for line in self.lines if line.type == "o"]
        if len(origins) != 1 or len(origins[0].value.split()) != 6:
            raise SdpParseError("there is not exactly one o= line with six fields")
        for index, media in enumerate(self.media):
            data = self._connection_data(index)
            if media.kind.lower() == "audio" and data is not None and not _is_connection(data):
                raise SdpParseError("connection data is not 'nettype addrtype address'")

    def __str__(self) -> str:
        if not self._text:
            object.__setattr__(self, "_text", self._write())
        return self._text

    def _write(self) -> str:
        text = "\r\n".join([*map(str, self.lines), *map(str, self.media), ""])
        every = [*self.lines, *(line for media in self.media for line in media.lines)]
        if (
            "\0" in text
            or text.count("\r") != text.count("\n")
            or text.count("\n") != (len(every) + len(self.media))
        ):
            raise ProtocolError("a line of a session description contains CR, LF or NUL")
        return text

    def __bytes__(self) -> bytes:
        return str(self).encode("utf-8", "surrogateescape")

    @property
    def _table(self) -> _LineTable:
        if self._lines is None:
            object.__setattr__(self, "_lines", _LineTable.of(self.lines))
        return self._lines  # type: ignore[return-value]  # set above

    @property
    def origin(self) -> str:
        """The value of the o= line; empty if there is no o= line."""
        return next((line.value for line in self.lines if line.type == "o"), "")

    def host(self, index: int) -> str | None:
        """Return the Internet address for section `index`, or None.

        The address is in the section's c= line or, without one, in the session's c= line.
        """
        return _address(self._connection_data(index))

    def _connection_data(self, index: int) -> str | None:
        own = self.media[index].table.connection
        return own if own is not None else self._table.connection

    def direction(self, index: int) -> Direction:
        """Return the direction of section `index`, as seen by the side that wrote the description.

        If the section's address is 0.0.0.0 or ::, this side does not receive. This is an old way to
        put a call on hold.
        """
        own, all_media = self.media[index].table.direction, self._table.direction
        said = own or all_media or Direction.SENDRECV
        if self.host(index) in _UNSPECIFIED:
            return Direction.of(sends=said.sends, receives=False)
        return said

    def audio_index(self) -> int | None:
        """Return the index of the first section with `is_rtp_audio` true; None if there is none."""
        if self._audio_index == _UNKNOWN:
            audio = (index for index, media in enumerate(self.media) if media.is_rtp_audio)
            object.__setattr__(self, "_audio_index", next(audio, None))
        return self._audio_index

    def find(self, wanted: Callable[[MediaDescription], bool]) -> int | None:
        """Return the index of the first section that `wanted` accepts; None if there is none."""
        return next((i for i, media in enumerate(self.media) if wanted(media)), None)


def _lines(data: str | bytes) -> Iterator[SdpLine]:
    if len(data) > MAX_BYTES:
        raise SdpParseError("a session description is too long")
    text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
    if "\0" in text:
        raise SdpParseError("a session description contains NUL")
    rows = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(rows) > MAX_LINES:
        raise SdpParseError(f"more than {MAX_LINES} lines")
    for row in rows:
        if len(row) < 2 or row[1] != "=" or "\r" in row or not row[0].isalpha():
            raise SdpParseError("a line is not 'type=value'")
        yield SdpLine(row[0], row[2:])
