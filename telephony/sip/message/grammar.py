"""The grammar of all header fields (RFC 3261 section 25.1): tokens, quotes, lists and parameters.

A parameter's value is stored as received, with its quotes and escapes, to be forwarded unchanged.
The time to parse a text grows only linearly with its length. The tables of known methods, compact
names and reason phrases are here too.
"""

from __future__ import annotations

import re
from typing import Final

from telephony.errors import ProtocolError, SipParseError

Parameters = tuple[tuple[str, str | None], ...]
"""Pairs (name, value) as received, quotes included. A parameter without a value has None."""

WHITESPACE: Final = " \t"
TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
PARAMETER_VALUE: Final = re.compile(
    r'[^\x00-\x20\x7f",;<>]+|"[^"\\\r\n\x00]*(?:\\[^\r\n\x00][^"\\\r\n\x00]*)*"'
)
FORBIDDEN: Final = re.compile(r"[\r\n\x00]")

_QUOTED: Final = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_LIST_MARK: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|<[^>]*>|[,"<]', re.DOTALL)
_SEMICOLON_MARK: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[;"]', re.DOTALL)

KNOWN_METHODS: Final = (
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "REGISTER",
    "INFO",
    "UPDATE",
    "PRACK",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "MESSAGE",
    "PUBLISH",
)
"""The methods that RFCs define. If not allowed, a known method gets 405, an unknown one 501."""

COMPACT_NAMES: Final = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

REASONS: Final[dict[int, str]] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    424: "Bad Location Information",
    428: "Use Identity Header",
    429: "Provide Referrer Identity",
    430: "Flow Failed",
    433: "Anonymity Disallowed",
    436: "Bad Identity Info",
    437: "Unsupported Credential",
    438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded",
    469: "Bad Info Package",
    470: "Consent Needed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    555: "Push Notification Service Not Supported",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}


def is_token(text: str) -> bool:
    """Return whether `text` is a token: a valid method, header field name or parameter name."""
    return TOKEN.fullmatch(text) is not None


def refuse_line_breaks(text: str) -> str:
    """Return `text` unchanged. Raises `ProtocolError` if `text` contains CR, LF or NUL."""
    if FORBIDDEN.search(text):
        raise ProtocolError("a CR, LF or NUL in a header value")
    return text


def quote(text: str) -> str:
    """Return plain text as a quoted string. Raises `ProtocolError` for a CR, LF or NUL."""
    refuse_line_breaks(text)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(value: str) -> str:
    """Return the plain text of a quoted string, or a text without quotes unchanged."""
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    inner = value[1:-1]
    return _ESCAPED.sub(r"\1", inner) if "\\" in inner else inner


def leading_quoted(text: str) -> tuple[str, int]:
    """Return the text in a leading quoted string, and its end index. Raises `SipParseError`."""
    found = _QUOTED.match(text)
    if found is None:
        raise SipParseError("a quoted string without an end")
    return unquote(found[0]), found.end()


def split_list(text: str) -> list[str]:
    """Split a list at its commas, but not at commas within quotes or angle brackets.

    Empty elements are removed: RFC 3261 section 7.3.1 forbids them, but some phones send them.
    Raises `SipParseError` if a quote or an angle bracket has no end.
    """
    if '"' not in text and "<" not in text:
        parts = text.split(",")
    else:
        parts = _split(text, _LIST_MARK, ",")
    return [stripped for part in parts if (stripped := part.strip(WHITESPACE))]


def _split(text: str, marks: re.Pattern[str], separator: str) -> list[str]:
    parts: list[str] = []
    start = 0
    for mark in marks.finditer(text):
        found = mark[0]
        if found == separator:
            parts.append(text[start : mark.start()])
            start = mark.end()
        elif len(found) == 1:
            raise SipParseError("a quote or angle bracket without an end")
    parts.append(text[start:])
    return parts


def parse_parameters(text: str) -> Parameters:
    """Parse parameters such as `;name=value;flag`, or "". Raises `SipParseError`."""
    text = text.strip(WHITESPACE)
    if not text:
        return ()
    if text[0] != ";":
        raise SipParseError("something other than parameters after the value")
    parts = _split(text, _SEMICOLON_MARK, ";") if '"' in text else text.split(";")
    return tuple(_parameter(part) for part in parts if part and not part.isspace())


def _parameter(part: str) -> tuple[str, str | None]:
    name, equals, value = part.partition("=")
    name = name.strip(WHITESPACE)
    if TOKEN.fullmatch(name) is None:
        raise SipParseError("a parameter's name is not a token")
    value = value.strip(WHITESPACE)
    if not equals or not value:
        return name, None
    if PARAMETER_VALUE.fullmatch(value) is None:
        raise SipParseError("a parameter's value has characters that it may not have")
    return name, value


def format_parameters(parameters: Parameters) -> str:
    """Return the parameters as text for a message, each with a semicolon before it."""
    return "".join(
        f";{name}" if value is None else f";{name}={value}" for name, value in parameters
    )


def check_parameters(parameters: Parameters) -> None:
    """Raise ProtocolError if a name is not a token, or a value is not a valid parameter value."""
    for name, value in parameters:
        if TOKEN.fullmatch(name) is None:
            raise ProtocolError("a parameter's name is not a token")
        if value is not None and PARAMETER_VALUE.fullmatch(value) is None:
            raise ProtocolError("a parameter's value has characters that it may not have")


def find_parameter(parameters: Parameters, name: str) -> str | None:
    """Return a parameter's value without quotes; "" if it has none, None if it is missing."""
    wanted = name.lower()
    for key, value in parameters:
        if key.lower() == wanted:
            return "" if value is None else unquote(value)
    return None


def replace_parameter(parameters: Parameters, name: str, value: str | None) -> Parameters:
    """Return `parameters` with `name` set, in its old place or at the end. None means no value."""
    wanted = name.lower()
    replaced = tuple(
        (key, value) if key.lower() == wanted else (key, old) for key, old in parameters
    )
    if any(key.lower() == wanted for key, _ in parameters):
        return replaced
    return (*parameters, (name, value))


def drop_parameter(parameters: Parameters, name: str) -> Parameters:
    """Return the parameters without the parameter `name`."""
    wanted = name.lower()
    return tuple(pair for pair in parameters if pair[0].lower() != wanted)
