"""Sip, sips and tel URIs (RFC 3261 section 19.1, RFC 3966). Other URIs are stored as text.

The parts are stored as received, with their %-escapes, so that a request has the URI of the peer's
Contact unchanged. Escapes that the sender left out are added. `number`, `dialled`, `parameter` and
`header` return text without %-escapes, except those of control characters: %0D%0A would become a
line break in a header field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import quote as percent_quote
from urllib.parse import unquote as percent_unquote

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.grammar import Parameters, format_parameters

MAX_URI: Final = 4096
"""The most characters of a parsed URI, both as received and as we would write it."""

SIP_SCHEMES: Final = frozenset({"sip", "sips"})

_MAX_GROWTH: Final = 12
"""The most characters by which escaping replaces one character: four octets, each as %XX."""


_UNRESERVED: Final = r"A-Za-z0-9\-_.!~*'()"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_USER: Final = re.compile(rf"(?:[{_UNRESERVED}&=+$,;?/]|%[0-9A-Fa-f]{{2}})+")
_PASSWORD: Final = re.compile(rf"(?:[{_UNRESERVED}&=+$,]|%[0-9A-Fa-f]{{2}})*")
_PARAMETER: Final = re.compile(rf"(?:[{_UNRESERVED}\[\]/:&+$]|%[0-9A-Fa-f]{{2}})+")
_HEADER: Final = re.compile(rf"(?:[{_UNRESERVED}\[\]/?:+$]|%[0-9A-Fa-f]{{2}})*")
_OPAQUE: Final = re.compile(r"[!#-;=?-~]+")
_HOST: Final = re.compile(r"[A-Za-z0-9._\-]+")
_HOST_AND_PORT: Final = re.compile(r"(?:\[([^\]]*)\]|([A-Za-z0-9._\-]+))(?::([0-9]{0,5}))?")
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL_ESCAPE: Final = re.compile(r"%(?=[01][0-9A-Fa-f]|7[Ff])")
_TEL_NUMBER: Final = re.compile(rf"(?:[{_UNRESERVED}&=+$,/#]|%[0-9A-Fa-f]{{2}})+")
_PHONE_CONTEXT: Final = "phone-context"
_VISUAL_SEPARATORS: Final = str.maketrans("", "", "-.()")
_MUST_MATCH: Final = frozenset({"user", "ttl", "method", "maddr", "transport"})


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI.

    Attributes:
        scheme: The scheme in lower case.
        user: The user part with its escapes. For tel, the number with its visual separators. For
            a scheme other than sip, sips and tel, all text after the colon.
        password: With its escapes. A URI that we make must not contain a password.
        host: A host name or an IP address, without brackets; "" for schemes other than sip and
            sips.
        port: The port; None if the URI has no port.
        parameters: The URI parameters, with their escapes.
        headers: The header fields after the "?" in the URI, with their escapes.
    """

    scheme: str = "sip"
    user: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    parameters: Parameters = ()
    headers: tuple[tuple[str, str], ...] = ()
    _text: str = field(default="", init=False, compare=False, repr=False)
    """The result of `str`, stored because a call's messages and checkpoints repeat the URIs."""

    def __post_init__(self) -> None:
        if self.host.startswith("["):
            object.__setattr__(self, "host", without_brackets(self.host))
        problem = _problem(self)
        if problem is not None:
            raise ProtocolError(problem)

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Parse a URI without angle brackets.

        Raises `SipParseError` if the URI is not valid or too long. The escapes that its sender left
        out are part of its length: a checkpoint must not have a URI that cannot be parsed again.
        """
        text = text.strip(" \t")
        if len(text) > MAX_URI:
            raise SipParseError("a URI is too long", status=414)
        try:
            uri = _parse(text)
        except ProtocolError as error:
            raise SipParseError(str(error)) from None
        if len(text) * _MAX_GROWTH > MAX_URI and len(str(uri)) > MAX_URI:
            raise SipParseError("a URI is too long after escaping", status=414)
        return uri

    def __str__(self) -> str:
        if not self._text:
            object.__setattr__(self, "_text", self._write())
        return self._text

    def _write(self) -> str:
        if self.scheme not in SIP_SCHEMES:
            return f"{self.scheme}:{self.user or ''}{format_parameters(self.parameters)}"
        user = "" if self.user is None else self.user
        if self.password is not None:
            user = f"{user}:{self.password}"
        at = "" if self.user is None else "@"
        headers = ""
        if self.headers:
            headers = "?" + "&".join(f"{name}={value}" for name, value in self.headers)
        address = join_host_port(self.host, self.port)
        return f"{self.scheme}:{user}{at}{address}{format_parameters(self.parameters)}{headers}"

    @property
    def number(self) -> str:
        """The user part without %-escapes, and for tel without visual separators such as "-"."""
        plain = _plain(self.user or "")
        return plain.translate(_VISUAL_SEPARATORS) if self.scheme == "tel" else plain

    @property
    def dialled(self) -> str:
        """The dialled phone number: the user part up to the first semicolon, without %-escapes.

        For tel or `user=phone`, it has no visual separators:
        `sip:%2B44-1632-960123;phone-context=x@host;user=phone` gives +441632960123 (RFC 3261
        section 19.1.6).
        """
        plain = _plain((self.user or "").partition(";")[0])
        is_phone = self.scheme == "tel" or (self.parameter("user") or "").lower() == "phone"
        return plain.translate(_VISUAL_SEPARATORS) if is_phone else plain

    @property
    def service(self) -> str:
        """The service in a URN (RFC 5031): sos.fire for `urn:service:sos.fire`; otherwise ""."""
        if self.scheme != "urn":
            return ""
        kind, _, name = (self.user or "").lower().partition(":")
        return name if kind == "service" else ""

    def parameter(self, name: str) -> str | None:
        """Return a URI parameter without %-escapes; "" without a value, None if it is missing."""
        wanted = name.lower()
        for key, value in self.parameters:
            if _plain(key).lower() == wanted:
                return _plain(value or "")
        return None

    def header(self, name: str) -> str | None:
        """Return a header field in the URI, without %-escapes; None if it is missing.

        For `sip:jo@host?Subject=a%20b` and the name Subject, this is "a b".
        """
        wanted = name.lower()
        for key, value in self.headers:
            if percent_unquote(key).lower() == wanted:
                return _plain(value)
        return None

    def without_headers(self) -> Uri:
        """Return the URI without header fields, for a Request-URI (RFC 3261 section 19.1.1)."""
        return replace(self, headers=()) if self.headers else self

    def equivalent(self, other: Uri) -> bool:
        """Return whether both URIs are equivalent (RFC 3261 section 19.1.4, RFC 3966 section 4)."""
        if self.scheme != other.scheme:
            return False
        if self.scheme == "tel":
            return self.number.lower() == other.number.lower() and _folded_of_tel(
                self.parameters
            ) == _folded_of_tel(other.parameters)
        if self.scheme not in SIP_SCHEMES:
            return self.user == other.user
        return (
            _normal(self.user) == _normal(other.user)
            and _normal(self.password) == _normal(other.password)
            and _same_host(self.host, other.host)
            and self.port == other.port
            and _parameters_agree(_folded(self.parameters), _folded(other.parameters))
            and _header_set(self.headers) == _header_set(other.headers)
        )


def escape_user(text: str) -> str:
    """Return `text` with %-escapes for a URI's user part, or raise ProtocolError."""
    return _escape(text, "-_.!~*'()&=+$,;?/")


def escape_header(text: str) -> str:
    """Return `text` with %-escapes for a header field in a URI, or raise ProtocolError."""
    return _escape(text, "-_.!~*'()[]/?:+$")


def _escape(text: str, safe: str) -> str:
    try:
        return percent_quote(text, safe=safe)
    except UnicodeEncodeError:
        raise ProtocolError("half a surrogate pair in a URI") from None


def join_host_port(host: str, port: int | None) -> str:
    """Return `host:port`, or only the host if `port` is None. An IPv6 address gets brackets."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def without_brackets(host: str) -> str:
    """Return an IPv6 address without its brackets, and any other host unchanged."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def parse_host_port(text: str) -> tuple[str, int | None]:
    """Parse `host`, `host:port` or `[IPv6]:port` into host and port, or raise SipParseError."""
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None:
        raise SipParseError("not a host and port")
    six, name, digits = found.groups()
    if six is not None and ":::" in six:
        # Some peers write three colons in an IPv6 address with an IPv4 part, as the grammar of RFC
        # 3261 allows (RFC 5118 section 4.10). Two colons are meant.
        six = six.replace(":::", "::", 1)
    host = name if six is None else six
    port = int(digits) if digits else None
    if (six is not None and not _is_ipv6(six)) or (port is not None and port > 65535):
        raise SipParseError("not a host and port")
    return host, port


def is_user(text: str) -> bool:
    """Return whether `text` is valid, with its escapes, as the user part of a sip URI."""
    return _USER.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Return whether `text` is a host name or an IP address. IPv6 in brackets gives False."""
    return _HOST.fullmatch(text) is not None or _is_ipv6(text)


@lru_cache(maxsize=256)
def _is_ipv6(text: str) -> bool:
    if ":" not in text or "%" in text:
        return False
    try:
        IPv6Address(text)
    except (AddressValueError, ValueError):
        return False
    return True


def _parse(text: str) -> Uri:
    scheme, colon, rest = text.partition(":")
    if not colon or _SCHEME.fullmatch(scheme) is None or not rest:
        raise SipParseError("not a URI")
    scheme = scheme.lower()
    if scheme == "tel":
        number, _, tail = rest.partition(";")
        if "?" in number:
            raise SipParseError("a tel URI cannot have headers")
        return Uri("tel", _lenient(number, _TEL_NUMBER), parameters=_split_parameters(tail))
    if scheme not in SIP_SCHEMES:
        return Uri(scheme, rest)
    # A user part may contain ";" and "?", but no "@". So the first "@" ends the user part.
    userinfo, at, tail = rest.partition("@")
    user: str | None = None
    password: str | None = None
    if not at:
        tail = rest
    else:
        user, password = _split_user(userinfo)
    tail, _, header_text = tail.partition("?")
    address, _, parameter_text = tail.partition(";")
    host, port = parse_host_port(address.strip(" \t"))
    parameters = _split_parameters(parameter_text) if parameter_text else ()
    headers = _split_headers(header_text) if header_text else ()
    return Uri(scheme, user, password, host, port, parameters, headers)


def _split_user(userinfo: str) -> tuple[str | None, str | None]:
    user, colon, password = userinfo.partition(":")
    if not user:
        return None, None
    return _lenient(user, _USER), _lenient(password, _PASSWORD) if colon else None


def _split_parameters(text: str) -> Parameters:
    parameters: list[tuple[str, str | None]] = []
    for part in text.split(";"):
        name, _, value = part.strip(" \t").partition("=")
        if name:
            parameters.append(
                (_lenient(name, _PARAMETER), _lenient(value, _PARAMETER) if value else None)
            )
    return tuple(parameters)


def _split_headers(text: str) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if name:
            headers.append((_lenient(name, _HEADER), _lenient(value, _HEADER)))
    return tuple(headers)


def _lenient(text: str, allowed: re.Pattern[str]) -> str:
    """Return the text with missing escapes added ("#", space, "â"); refuse CR, LF and NUL."""
    if allowed.fullmatch(text) is not None:
        return text
    if "\r" in text or "\n" in text or "\0" in text:
        raise SipParseError("a CR, LF or NUL in a URI")
    return _escape(_STRAY_PERCENT.sub("%25", text), "-_.!~*'()%")


def _problem(uri: Uri) -> str | None:
    if _SCHEME.fullmatch(uri.scheme) is None or uri.scheme != uri.scheme.lower():
        return "a URI's scheme is wrong"
    if uri.scheme in SIP_SCHEMES:
        return _problem_of_sip(uri)
    if uri.host or uri.port is not None or uri.password is not None or uri.headers:
        return "only sip and sips URIs have a host, a port, a password or headers"
    return _problem_of_tel(uri) if uri.scheme == "tel" else _problem_of_other(uri)


def _problem_of_sip(uri: Uri) -> str | None:
    if not is_host(uri.host) or (uri.port is not None and not 0 <= uri.port <= 65535):
        return "a URI's host or port is wrong"
    sound = (
        (uri.user is None or _USER.fullmatch(uri.user) is not None)
        and (
            uri.password is None
            or (uri.user is not None and _PASSWORD.fullmatch(uri.password) is not None)
        )
        and _parameters_are_sound(uri.parameters)
        and all(
            name and _HEADER.fullmatch(name) and _HEADER.fullmatch(value)
            for name, value in uri.headers
        )
    )
    return None if sound else "a URI has characters that must be escaped"


def _problem_of_tel(uri: Uri) -> str | None:
    number = uri.user or ""
    if _TEL_NUMBER.fullmatch(number) is None:
        return "a tel URI's number is wrong"
    if not _parameters_are_sound(uri.parameters):
        return "a URI's parameter has characters that must be escaped"
    return None


def _problem_of_other(uri: Uri) -> str | None:
    if uri.parameters or _OPAQUE.fullmatch(uri.user or "") is None:
        return "a URI has characters that must be escaped"
    return None


def _parameters_are_sound(parameters: Parameters) -> bool:
    return all(
        _PARAMETER.fullmatch(name) is not None
        and (value is None or _PARAMETER.fullmatch(value) is not None)
        for name, value in parameters
    )


def _normal(text: str | None) -> str | None:
    # RFC 3261 section 19.1.4: a reserved character is not equal to its escape. Any other character
    # is equal to its escape.
    if text is None or "%" not in text:
        return text
    return re.sub(r"%([0-9A-Fa-f]{2})", _normal_escape, text)


def _normal_escape(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if re.fullmatch(rf"[{_UNRESERVED}]", character) else found[0].upper()


def _same_host(one: str, other: str) -> bool:
    if ":" in one and ":" in other:
        return IPv6Address(one) == IPv6Address(other)
    return one.lower() == other.lower()


def _folded(parameters: Parameters) -> dict[str, str | None]:
    # RFC 3261 section 19.1.1 forbids that a parameter occurs twice. If one does, its first value is
    # used, as in the method `parameter`. In a dict the last value remains, so the list is reversed.
    return {
        (_normal(name) or "").lower(): None if value is None else (_normal(value) or "").lower()
        for name, value in reversed(parameters)
    }


def _folded_of_tel(parameters: Parameters) -> dict[str, str | None]:
    # RFC 3966 section 4: visual separators such as "-" make no difference in `ext`, and in a
    # `phone-context` that is a phone number.
    folded = _folded(parameters)
    for name in ("ext", _PHONE_CONTEXT):
        value = folded.get(name)
        if value is not None and (name == "ext" or value.startswith("+")):
            folded[name] = value.translate(_VISUAL_SEPARATORS)
    return folded


def _plain(text: str) -> str:
    if "%" not in text:
        return text
    return percent_unquote(_CONTROL_ESCAPE.sub("%25", text))


def _parameters_agree(one: dict[str, str | None], other: dict[str, str | None]) -> bool:
    if any(one[name] != other[name] for name in one.keys() & other.keys()):
        return False
    return not (one.keys() ^ other.keys()) & _MUST_MATCH


def _header_set(headers: tuple[tuple[str, str], ...]) -> frozenset[tuple[str, str | None]]:
    return frozenset((percent_unquote(name).lower(), _normal(value)) for name, value in headers)
