"""The system that receives the events: one HTTP request for each event.

If the settings name a key, each request is signed as in the Standard Webhooks specification 1.0.0.
The key is 24 to 64 octets in base64, as `openssl rand -base64 32` makes, with or without "whsec_"
before it.

The receiver is not trusted. A redirect is never followed, an answer is read only to a limit, and
its content is ignored. The reason for a failure has no part of the request or of that content.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

import httpx2

from galwad.events.call_events import WebhookEvent
from galwad.events.formats import known_kinds, request_body
from galwad.settings.desk import WebhookSection
from net.authentication import read_secret
from net.errors import ServerError
from net.json_client import REFUSED, failure, http_client, requested_rest

CONNECTIONS: Final = 4
"""The most requests at a time."""
_MOST_READ: Final = 1 << 14
"""The most octets of an answer that are read. The connection is closed if there are more."""
_KEY_PREFIX: Final = "whsec_"
_KEY_LENGTHS: Final = range(24, 65)


@dataclass(frozen=True, slots=True)
class SendResult:
    """The result of an attempt. `rest_s` is the rest in seconds that the receiver asked for."""

    outcome: Literal["delivered", "refused", "failed"]
    reason: str = ""
    rest_s: float = 0.0


class WebhookReceiver:
    """Sends events to the receiver that the settings name.

    Secrets are read for each request, so that a new secret works at once. Certificates are read
    once, before the first request.
    """

    def __init__(self, section: WebhookSection) -> None:
        self._section = section
        self._http: httpx2.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def send(self, event: WebhookEvent) -> SendResult:
        """Send an event once; return the result."""
        if event.kind not in known_kinds(self._section.format):
            return SendResult("refused", "the `format` of [webhook] has no events of this kind")
        body = request_body(event, self._section.format)
        status, rest_s = 0, None
        try:
            url, headers = await asyncio.to_thread(self._signed, event.event_id, body.content)
            headers["Content-Type"] = body.content_type
            http = await self._client()
            async with (
                asyncio.timeout(self._section.timeout),
                http.stream("POST", url, content=body.content, headers=headers) as response,
            ):
                rest_s = requested_rest(response.status_code, response.headers)
                status = response.status_code
                await _discard(response)
        except ServerError as error:
            return SendResult("failed", str(error))
        except (TimeoutError, httpx2.HTTPError) as error:
            if not status:
                return SendResult("failed", _reason(error))
        # Even if the rest of the answer has failed, its status counts.
        return _result(status, rest_s)

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.aclose()

    def _signed(self, event_id: str, body: bytes) -> tuple[str, dict[str, str]]:
        """Return the address and header fields, or raise ServerError if a secret cannot be read."""
        headers = {"Idempotency-Key": event_id, "Accept-Encoding": "identity"}
        key = _key(self._section)
        if key is not None:
            headers |= signature_headers(key, event_id, int(time.time()), body)
        return _address(self._section), headers

    async def _client(self) -> httpx2.AsyncClient:
        """Make the HTTP client once; raise ServerError if a certificate cannot be read."""
        async with self._opening:
            if self._http is None:
                context = await asyncio.to_thread(self._section.tls.context)
                self._http = http_client(context, CONNECTIONS)
            return self._http


def check_files(section: WebhookSection) -> None:
    """Read each file that these settings name, or raise ServerError."""
    _key(section)
    _address(section)
    section.tls.context()


def _key(section: WebhookSection) -> bytes | None:
    return signing_key(read_secret(section.secret_file)) if section.secret_file else None


def _address(section: WebhookSection) -> str:
    if section.token_file is None:
        return section.url
    return f"{section.url.rstrip('/')}/{quote(read_secret(section.token_file), safe='')}"


def _reason(error: TimeoutError | httpx2.HTTPError) -> str:
    if isinstance(error, TimeoutError):
        return "the server does not answer in time"
    return failure(error)


def _result(status: int, rest_s: float | None) -> SendResult:
    if httpx2.codes.is_success(status):
        return SendResult("delivered")
    # Other statuses can have a cause that an administrator corrects, such as a wrong key (401). So
    # the event is sent again.
    if status in REFUSED:
        return SendResult("refused", f"the receiver answers {status}")
    return SendResult("failed", f"the receiver answers {status}", rest_s or 0.0)


async def _discard(response: httpx2.Response) -> None:
    """Read a short answer to its end, so that the connection can be used again."""
    size = 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > _MOST_READ:
            return


def signing_key(text: str) -> bytes:
    """Return the octets of a key; raise ServerError, without the text, if it is not a key."""
    try:
        key = base64.b64decode(text.removeprefix(_KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _KEY_LENGTHS:
        raise ServerError(
            "the signing key must be 24 to 64 octets in base64: "
            "`openssl rand -base64 32` prints a new one"
        )
    return key


def signature_headers(key: bytes, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the header fields that identify and sign a request at `timestamp` (Unix seconds)."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
