"""Requests to a server that answers in JSON, such as a CRM, within limits.

The server is not trusted. An answer has a largest size, a redirect is never followed, and a
document with duplicate names or of great depth is refused. Every failure is a `ServerError`, whose
message has no personal data.

httpx2 is imported when a client is made, because processes without a client import this module too.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from net.errors import ServerBusyError, ServerError, StatusError
from net.tls import certificate_fault

if TYPE_CHECKING:
    import httpx2

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
LARGEST: Final = 1 << 20
"""The largest answer that is read, in bytes."""
_CONNECT_S: Final = 5.0
_STEP_S: Final = 10.0
"""The longest time of one step of a request, such as reading a part of the answer."""
REFUSED: Final = frozenset({400, 406, 409, 410, 411, 412, 413, 414, 415, 422})
"""The statuses that refuse a request's content, so another attempt would have the same result."""
_REST_S: Final = 10.0
"""The rest, in seconds, after a 429 without Retry-After, or if Retry-After cannot be read."""
ACCEPTED: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""Header fields of a request. A compressed answer is refused: its content could be huge."""


class Authentication:
    """The authentication of requests to a server. This base class has none."""

    async def header(self) -> str | None:
        """Return the value of the header field Authorization, or None. Raises `ServerError`."""
        return None

    def rejected(self) -> bool:
        """Report that the server has refused the value; return whether another one may work."""
        return False

    async def close(self) -> None:
        """Close the connections to a server that issues tokens."""


@dataclass(frozen=True, slots=True)
class JsonRequest:
    """One request to a server."""

    method: str
    url: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Json = None
    """The JSON document to send; None if there is none."""
    content: bytes | None = None
    """The body to send if it is not JSON. `headers` must have its Content-Type."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer of the server."""

    status: int
    content_type: str
    body: bytes


class JsonClient:
    """Sends requests to one server, with at most `connections` at a time.

    `empty_statuses` are the status codes that mean that nothing was found, such as 404.
    """

    def __init__(
        self,
        authentication: Authentication,
        tls: ssl.SSLContext,
        *,
        connections: int,
        empty_statuses: Collection[int] = (),
    ) -> None:
        self._authentication = authentication
        self._empty_statuses = frozenset(empty_statuses)
        self._http = http_client(tls, connections)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        await self._authentication.close()

    async def send(self, request: JsonRequest) -> Json:
        """Send a request; return the document of the answer, or None if nothing was found.

        If the server refuses a token of OAuth 2, another attempt is made with a new one.

        Raises:
            ServerBusyError: The server asks for a rest.
            ServerError: The server cannot be reached, refuses the request, or its answer cannot be
                read.
        """
        answer = await self.exchange(request, self._empty_statuses)
        empty = answer.status == HTTPStatus.NO_CONTENT or answer.status in self._empty_statuses
        return None if empty else parse_json(answer.body)

    async def exchange(self, request: JsonRequest, accepted: Collection[int] = ()) -> HttpAnswer:
        """Send a request; return the answer if its status says success, or is one of `accepted`.

        If the status means that nothing was found, `body` is empty.

        Raises:
            ServerBusyError: The server asks for a rest.
            ServerError: The server cannot be reached, its answer has another status or cannot be
                read, or there are no valid credentials.
        """
        answer = await self._attempt(request, accepted)
        if answer.status == HTTPStatus.UNAUTHORIZED and self._authentication.rejected():
            answer = await self._attempt(request, accepted)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise ServerError("the server refuses the credentials (401)")
        return answer

    async def _attempt(self, request: JsonRequest, accepted: Collection[int]) -> HttpAnswer:
        import httpx2  # noqa: PLC0415 - heavy

        authorization = await self._authentication.header()
        headers = {**ACCEPTED, **request.headers}
        if authorization is not None:
            headers["Authorization"] = authorization
        body: dict[str, Any] = {"content": request.content}
        if request.body is not None:
            body = {"json": request.body}
        try:
            async with self._http.stream(
                request.method,
                request.url,
                params=list(request.query) or None,
                headers=headers,
                **body,
            ) as response:
                has_body = self._has_body(response, accepted)
                return HttpAnswer(
                    response.status_code,
                    response.headers.get("Content-Type", ""),
                    await read_limited(response) if has_body else b"",
                )
        except httpx2.InvalidURL:
            raise ServerError("the address of the request cannot be read") from None
        except httpx2.HTTPError as error:
            raise ServerError(failure(error)) from None

    def _has_body(self, response: httpx2.Response, accepted: Collection[int]) -> bool:
        """Return whether to read an answer's body. Raises `ServerBusyError` or `ServerError`."""
        status = response.status_code
        if status in self._empty_statuses or status in {204, HTTPStatus.UNAUTHORIZED}:
            return False
        rest_s = requested_rest(status, response.headers)
        if rest_s is not None:
            raise ServerBusyError(rest_s)
        if response.has_redirect_location:
            raise ServerError(f"the server redirects ({status}), which is not followed")
        if not response.is_success and status not in accepted:
            raise StatusError(status)
        return True


def http_client(tls: ssl.SSLContext, connections: int) -> httpx2.AsyncClient:
    """Return a client that follows no redirects and uses no proxy of the environment."""
    import httpx2  # noqa: PLC0415 - heavy

    return httpx2.AsyncClient(
        verify=tls,
        trust_env=False,
        timeout=httpx2.Timeout(_STEP_S, connect=_CONNECT_S),
        limits=httpx2.Limits(max_connections=connections, keepalive_expiry=30.0),
    )


def requested_rest(status: int, headers: Mapping[str, str]) -> float | None:
    """Return the seconds for which a server asks us to send no requests; None if it does not.

    It asks by 429 (RFC 6585, section 4), or by 503 with Retry-After (RFC 9110, section 10.2.3).
    """
    asked = headers.get("Retry-After", "").strip()
    if status == HTTPStatus.SERVICE_UNAVAILABLE and not asked:
        return None
    if status not in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        return None
    if asked.isascii() and asked.isdecimal():
        return float(asked[:9])
    try:
        return max(parsedate_to_datetime(asked).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return _REST_S


async def read_limited(response: httpx2.Response) -> bytes:
    """Return the body of an answer; raise ServerError if it is compressed or above `LARGEST`."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ServerError("the answer is compressed, although that was not asked for")
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > LARGEST:
            raise ServerError(f"the answer is larger than {LARGEST >> 20} MB")
    return bytes(body)


def parse_json(text: bytes) -> Json:
    """Return a JSON document. Raise ServerError if it is invalid, too deep or repeats a name."""
    try:
        document: Json = json.loads(
            text, object_pairs_hook=_object, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        raise ServerError("the answer is not JSON that can be read") from None
    return document


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a name twice")
    return found


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are no JSON")


def failure(error: httpx2.HTTPError) -> str:
    """Return why a request failed, without the parts of the error that may have personal data."""
    import httpx2  # noqa: PLC0415 - heavy

    if fault := certificate_fault(error):
        return f"the server's certificate is not accepted: {fault}"
    if isinstance(error, httpx2.TimeoutException):
        return "the server does not answer in time"
    if isinstance(error, httpx2.ConnectError):
        return "cannot connect to the server"
    return f"the request failed: {type(error).__name__}"
