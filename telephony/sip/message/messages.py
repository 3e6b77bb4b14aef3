"""SIP requests and responses (RFC 3261 sections 7 and 8.2.6): parsing, and writing as bytes.

Folded lines, compact names, a missing Content-Length, and a Content-Type that is repeated unchanged
are accepted. Each line up to the body must end with CRLF: programs that disagree about a lone CR or
LF would let a sender hide a header field from one of them. Writing raises ProtocolError for a CR,
LF or NUL in a line. `parse_message` checks Via, From, To, Call-ID, CSeq, Max-Forwards and
Content-Length. Other header fields are parsed when they are read.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.grammar import KNOWN_METHODS, REASONS, WHITESPACE, is_token, split_list
from telephony.sip.message.header_values import MAX_RSEQ, RELIABLE, CSeq, NameAddr, Via
from telephony.sip.message.headers import (
    Headers,
    Latin1Text,
    encode,
    has_bare_line_break,
    unfold,
)
from telephony.sip.message.uri import Uri

MAX_MESSAGE: Final = 65535
"""The most bytes of one message."""

_EMPTY_LINE: Final = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE: Final = re.compile(
    r"([^ \t]+)[ \t]+([^ \t]+)[ \t]+(SIP/[0-9]+\.[0-9]+)", re.IGNORECASE | re.ASCII
)
_STATUS_LINE: Final = re.compile(
    r"(SIP/[0-9]+\.[0-9]+)[ \t]+([1-6][0-9]{2})(?:[ \t](.*))?", re.IGNORECASE | re.ASCII
)
_RSEQ: Final = re.compile(r"[0-9]{1,10}")
_SINGLE: Final = ("from", "to", "call-id", "cseq", "max-forwards", "content-type")

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Message(ABC):
    """The base class of requests and responses. Content-Length comes from `body`, not `headers`."""

    headers: Headers
    body: bytes
    _read: dict[str, tuple[Headers, int, str, object]] = field(
        default_factory=dict, init=False, repr=False
    )
    """The parsed values by header field name, each as (headers, changes, text, value).

    A value is used again while `headers` is the same object with the same number of changes, or
    the field's text is the same object.
    """

    @property
    @abstractmethod
    def start_line(self) -> str:
        """The first line of the message, without its CRLF."""

    @property
    def vias(self) -> list[Via]:
        """The entries of all Via header fields, from top to bottom (the most recent hop first)."""
        return [Via.parse(element) for element in self.headers.get_list("Via")]

    @property
    def via(self) -> Via:
        """The top Via entry, which the most recent hop has added."""
        return self._value("Via", _first_via)

    @property
    def from_(self) -> NameAddr:
        """The value of From: the sender of the request."""
        return self._value("From", NameAddr.parse)

    @property
    def to(self) -> NameAddr:
        """The value of To: the party to which the request was originally addressed."""
        return self._value("To", NameAddr.parse)

    @property
    def call_id(self) -> str:
        """The value of Call-ID."""
        return self._value("Call-ID", str)

    @property
    def cseq(self) -> CSeq:
        """The value of CSeq: a number and a method."""
        return self._value("CSeq", CSeq.parse)

    @property
    def contacts(self) -> list[NameAddr]:
        """The addresses in all Contacts. Raises `SipParseError` for `*` or a bad Contact."""
        return [NameAddr.parse(element) for element in self.headers.get_list("Contact")]

    @property
    def content_type(self) -> str:
        """The body's type in lower case without its parameters; "" if there is no Content-Type."""
        value = self.headers.get("Content-Type") or ""
        return value.partition(";")[0].strip(" \t").lower()

    def replace_top_via(self, via: Via) -> None:
        """Replace the top Via entry by `via`."""
        lines = self.headers.get_all("Via")
        rest = split_list(lines[0])[1:] if lines else []
        self.headers.replace_first("Via", via, *rest)
        self._value("Via", lambda _: via)

    def __bytes__(self) -> bytes:
        first = self.start_line
        rows = [row for row in self.headers.rows if row[0] != "content-length"]
        lines = [f"{name}: {value}" for _, name, value in rows]
        lines.append(f"Content-Length: {len(self.body)}")
        texts = [first, *[value for _, _, value in rows]]
        if Latin1Text in map(type, texts):
            charset = [Latin1Text if type(text) is Latin1Text else str for text in texts]
            parts = zip([*charset, str], [first, *lines], strict=True)
            head = b"\r\n".join(encode(kind(line)) for kind, line in parts)
        else:
            head = encode("\r\n".join([first, *lines]))
        breaks = len(lines)
        if head.count(b"\r") != breaks or head.count(b"\n") != breaks or b"\0" in head:
            raise ProtocolError("a CR, LF or NUL in the message's head")
        return head + b"\r\n\r\n" + self.body

    def _value(self, name: str, parse: Callable[[str], T]) -> T:
        headers, kept = self.headers, self._read.get(name)
        if kept is not None and kept[1] == headers.changes and kept[0] is headers:
            return kept[3]  # type: ignore[return-value]  # set only by this method
        raw = headers.get(name)
        if raw is None:
            raise SipParseError(f"no {name}")
        value: T = kept[3] if kept is not None and kept[2] is raw else parse(raw)  # type: ignore[assignment]
        self._read[name] = headers, headers.changes, raw, value
        return value


@dataclass(slots=True, eq=False, init=False, repr=False)
class Request(Message):
    """A SIP request. `method` is as received (methods are case-sensitive)."""

    method: str
    uri: Uri

    def __init__(
        self, method: str, uri: Uri, headers: Headers | None = None, body: bytes = b""
    ) -> None:
        if not is_token(method):
            raise ProtocolError("a method is not a token")
        self.method = method
        self.uri = uri
        self.headers = Headers() if headers is None else headers
        self.body = body
        self._read = {}

    @property
    def start_line(self) -> str:
        """The request line: method, Request-URI and version."""
        return f"{self.method} {self.uri} SIP/2.0"

    def __repr__(self) -> str:
        return f"<Request {self.method}, {len(self.body)} bytes of body>"


@dataclass(slots=True, eq=False, init=False, repr=False)
class Response(Message):
    """A SIP response. `reason` is empty if it has no reason phrase."""

    status: int
    reason: str

    def __init__(
        self,
        status: int,
        reason: str | None = None,
        headers: Headers | None = None,
        body: bytes = b"",
    ) -> None:
        if not 100 <= status <= 699:
            raise ProtocolError("a status is out of range")
        self.status = status
        self.reason = REASONS.get(status, "") if reason is None else reason
        self.headers = Headers() if headers is None else headers
        self.body = body
        self._read = {}

    @property
    def start_line(self) -> str:
        """The status line: version, status code and reason phrase."""
        line = f"SIP/2.0 {self.status} {self.reason}"
        return Latin1Text(line) if isinstance(self.reason, Latin1Text) else line

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes of body>"


def parse_message(data: bytes) -> Request | Response:
    """Parse one message; ignore the bytes after its body, as in a datagram.

    Raises `SipParseError` with the status for our response.
    """
    if len(data) > MAX_MESSAGE:
        raise SipParseError("a message is too long", status=513)
    data = data.lstrip(b"\r\n")
    end = _EMPTY_LINE.search(data)
    if end is None:
        raise SipParseError("no empty line ends the headers")
    if has_bare_line_break(data[: end.end()]):
        raise SipParseError("a bare CR or LF in the headers")
    first, *lines = unfold(data[: end.start()])
    message = _start(first, Headers.parse(lines))
    _merge_content_types(message.headers)
    _check_headers(message)
    message.body = _body(message.headers, data[end.end() :])
    message.headers.remove("Content-Length")
    return message


def respond(
    request: Request,
    status: int,
    reason: str | None = None,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, object]] = (),
) -> Response:
    """Make the response to a request (RFC 3261 section 8.2.6.2).

    `reason` None means the usual phrase. `to_tag` is added only if the request's To has no tag.
    `headers` follow the fields that are copied from the request.
    """
    rows = [("via", "Via", value) for value in request.headers.get_all("Via")]
    if 100 < status < 300:
        routes = request.headers.get_all("Record-Route")
        rows += [("record-route", "Record-Route", value) for value in routes]
    rows.append(("from", "From", request.headers.get("From") or ""))
    kept = Headers.from_rows(rows)
    to = request.headers.get("To") or ""
    if to_tag is not None and request.to.tag is None:
        tagged = f"{to.rstrip(';' + WHITESPACE)};tag={to_tag}"
        to = Latin1Text(tagged) if isinstance(to, Latin1Text) else tagged
    kept.add("To", to)
    kept.add("Call-ID", request.call_id)
    kept.add("CSeq", request.headers.get("CSeq") or "")
    timestamp = request.headers.get("Timestamp")
    if status == 100 and timestamp is not None:
        kept.add("Timestamp", timestamp)
    for name, more in headers:
        kept.add(name, more)
    return Response(status, reason, kept)


def rseq_of(response: Response) -> int | None:
    """Return the RSeq of a reliable provisional response.

    Return None for any other response, and if the RSeq is missing or not valid.
    """
    if not 100 < response.status < 200 or not _names_100rel(response, "Require"):
        return None
    text = (response.headers.get("RSeq") or "").strip(" \t")
    number = int(text) if _RSEQ.fullmatch(text) else 0
    return number if 1 <= number <= MAX_RSEQ else None


def requires_reliable(request: Request) -> bool:
    """Return whether the Require of `request` demands that all 1xx except 100 are reliable."""
    return _names_100rel(request, "Require")


def takes_reliable(request: Request) -> bool:
    """Return whether the sender supports reliable responses (100rel in Supported or Require)."""
    return _names_100rel(request, "Supported") or _names_100rel(request, "Require")


def _names_100rel(message: Request | Response, header: str) -> bool:
    return any(tag.strip().lower() == RELIABLE for tag in message.headers.get_list(header))


def _first_via(value: str) -> Via:
    if "," not in value:
        return Via.parse(value)
    elements = split_list(value)
    if not elements:
        raise SipParseError("no Via")
    return Via.parse(elements[0])


def _start(line: str, headers: Headers) -> Request | Response:
    found = _STATUS_LINE.fullmatch(line)
    if found is not None:
        version, status, reason = found.groups()
        _require_version(version)
        reason = (reason or "").rstrip(WHITESPACE)
        reason = Latin1Text(reason) if isinstance(line, Latin1Text) else reason
        return Response(int(status), reason, headers)
    found = _REQUEST_LINE.fullmatch(line.rstrip(WHITESPACE))
    if found is None:
        raise SipParseError("neither a request line nor a status line")
    method, uri, version = found.groups()
    _require_version(version)
    if not is_token(method):
        raise SipParseError("a method is not a token")
    # RFC 3261 section 19.1.1 forbids header fields in a Request-URI, so they are removed here.
    return Request(method, Uri.parse(uri).without_headers(), headers)


def _require_version(version: str) -> None:
    if version[4:] != "2.0":
        raise SipParseError("a SIP version other than 2.0", status=505)


def _merge_content_types(headers: Headers) -> None:
    """Remove the copies of a Content-Type that is repeated unchanged, as some peers do."""
    values = headers.get_all("Content-Type")
    if len(values) > 1 and len(set(values)) == 1:
        headers.set("Content-Type", values[0])


def _check_headers(message: Request | Response) -> None:
    keys = [row[0] for row in message.headers.rows]
    for name in _SINGLE:
        if keys.count(name) > 1:
            raise SipParseError("a header field that may occur once occurs twice")
    _ = message.via, message.from_, message.to
    if not message.call_id:
        raise SipParseError("an empty Call-ID")
    cseq = message.cseq
    if isinstance(message, Response):
        return
    if keys.count("via") > 1 or "," in (message.headers.get("Via") or ""):
        # The response is sent back through the hops in all Via entries. So all entries are parsed
        # here, which raises SipParseError if one is not valid.
        _ = message.vias
    if cseq.method != message.method and message.method in KNOWN_METHODS:
        # This error causes a 400, so it is raised only for methods that RFCs define. A request with
        # any other method must get a 501, which the module incoming.py sends.
        raise SipParseError("the CSeq names another method than the request line")
    hops = message.headers.get("Max-Forwards")
    if hops is not None and not (hops.isascii() and hops.isdecimal()):
        raise SipParseError("not a Max-Forwards")


def _body(headers: Headers, body: bytes) -> bytes:
    lengths = set(headers.get_all("Content-Length"))
    if not lengths:
        return body
    length = lengths.pop()
    if lengths or not length.isascii() or not length.isdecimal() or len(length) > 9:
        raise SipParseError("not a Content-Length")
    if int(length) > len(body):
        raise SipParseError("the body is shorter than its Content-Length")
    return body[: int(length)]
