"""A batch of OData 4.0 with one request: how it is written, and how its answer is read.

A batch puts the address of a request, which may have a telephone number, into the body of another
one, so that no server or proxy writes it to a log (OData 4.0, part 1, section 11.7). The answer is
not trusted: whatever is not exactly one response is a `SourceError`, which repeats no part of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from callerid.errors import SourceError

if TYPE_CHECKING:
    import httpx2

_BOUNDARY: Final = re.compile(
    r'multipart/mixed\s*;\s*boundary=("?)([A-Za-z0-9_.:+-]{1,70})\1', re.IGNORECASE
)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-5]\d\d)(?: [^\r\n]*)?")
_FIELD: Final = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}):[ \t]*([^\r\n]*?)[ \t]*")
_MOST_FIELDS: Final = 100
_UNREADABLE: Final = "the answer is not a batch with one response"


@dataclass(frozen=True, slots=True)
class BatchResponse:
    """The response to the request in a batch."""

    status: int
    headers: httpx2.Headers
    body: bytes


def batch_type(boundary: str) -> str:
    """Return the type of the content of a batch."""
    return f"multipart/mixed; boundary={boundary}"


def batch_of(
    boundary: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> bytes:
    """Return a batch with one GET request for a path of the same server."""
    options = "&".join(
        f"{name}={quote(value, safe='', errors='replace')}" for name, value in query.items()
    )
    fields = [f"{name}: {value}" for name, value in headers.items()]
    lines = [
        f"--{boundary}",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        f"GET {path}?{options} HTTP/1.1",
        *fields,
        "",
        "",
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def response_in(content_type: str, body: bytes) -> BatchResponse:
    """Return the only response in the answer to a batch; raise SourceError if there is not one."""
    found = _BOUNDARY.fullmatch(content_type.strip())
    if found is None:
        raise SourceError(_UNREADABLE)
    mark = b"\r\n--" + found[2].encode("ascii")
    parts = (b"\r\n" + body).split(mark)
    if len(parts) != 3 or parts[0] or not parts[1].startswith(b"\r\n"):
        raise SourceError(_UNREADABLE)
    if parts[2].rstrip(b"\r\n") != b"--":
        raise SourceError(_UNREADABLE)
    _, fields, response = _headed(parts[1])
    if fields.get("Content-Type", "").partition(";")[0].strip() != "application/http":
        raise SourceError(_UNREADABLE)
    first, headers, content = _headed(response)
    status = _STATUS_LINE.fullmatch(first)
    if status is None:
        raise SourceError(_UNREADABLE)
    return BatchResponse(int(status[1]), headers, content)


def _headed(text: bytes) -> tuple[bytes, httpx2.Headers, bytes]:
    """Return the first line, the header fields below it and the body below these."""
    import httpx2  # noqa: PLC0415 - heavy

    head, end, body = text.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    fields = [_FIELD.fullmatch(line) for line in lines[:_MOST_FIELDS]]
    if not end or len(lines) > _MOST_FIELDS or None in fields:
        raise SourceError(_UNREADABLE)
    return first, httpx2.Headers([(field[1], field[2]) for field in fields if field]), body
