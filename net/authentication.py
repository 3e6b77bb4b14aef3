"""Authentication at a server, such as a directory's, with a password or a token.

Secrets are in files, such as systemd's credentials. A file is read each time its secret is needed,
so that a new secret is used at once. No error message contains a secret or a token.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from net.errors import ServerBusyError, ServerError
from net.json_client import (
    ACCEPTED,
    Authentication,
    Json,
    failure,
    http_client,
    parse_json,
    read_limited,
    requested_rest,
)

if TYPE_CHECKING:
    import httpx2

_AHEAD_S: Final = 60.0
"""A token is replaced this many seconds before it expires, but not before half of its lifetime."""
_LIFETIME_S: Final = 300.0
"""The lifetime of a token, in seconds, if the server states no usable one."""
_LONGEST_LIFETIME_S: Final = 86_400.0
_LONGEST_SECRET: Final = 1 << 16
_CODE: Final = re.compile(r"[a-z_]{1,40}")


def read_secret(path: Path) -> str:
    """Return the secret in a file, without white space around it. Raises `ServerError`."""
    try:
        with path.open(encoding="utf-8") as file:
            secret = file.read(_LONGEST_SECRET).strip()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ServerError(f"cannot read {path}: {reason}") from None
    if not secret or "\n" in secret:
        raise ServerError(f"cannot use {path}: the file must have one line with the secret")
    return secret


async def _secret(path: Path) -> str:
    """Return the secret in a file, which is read in a thread: its disk may hang."""
    return await asyncio.to_thread(read_secret, path)


class BasicAuthentication(Authentication):
    """A user name and a password (RFC 7617)."""

    def __init__(self, user: str, password: Path) -> None:
        self._user = user
        self._password = password

    async def header(self) -> str:
        """Return the header field's value."""
        pair = f"{self._user}:{await _secret(self._password)}"
        return f"Basic {b64encode(pair.encode()).decode()}"


class BearerAuthentication(Authentication):
    """A token that the server's administrator has issued (RFC 6750).

    `scheme` is the word before the token, which is not "Bearer" for every server.
    """

    def __init__(self, token: Path, scheme: str = "Bearer") -> None:
        self._token = token
        self._scheme = scheme

    async def header(self) -> str:
        """Return the header field's value."""
        return f"{self._scheme} {await _secret(self._token)}"


class ClientCredentials(Authentication):
    """A token that the server issues for a client id and a secret (OAuth 2, RFC 6749, section 4.4).

    The token is replaced before it expires. Only one request for a token is made at a time. `scope`
    has the rights that are asked for; "" if the server decides. `check` gets the answer with a
    token, and raises a ServerError if the token must not be used. `clock` returns monotonic
    seconds.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        url: str,
        client_id: str,
        secret: Path,
        *,
        scope: str = "",
        check: Callable[[Json], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http_client(tls, 1)
        self._url = url
        self._client_id = client_id
        self._secret = secret
        self._scope = scope
        self._check = check
        self._clock = clock
        self._token = ""
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def header(self) -> str:
        """Return the header field's value. If there is no valid token, request one.

        Raises:
            ServerBusyError: The server that issues tokens asks for a rest.
            ServerError: No token is issued, or the secret cannot be read.
        """
        async with self._lock:
            if not self._token or self._clock() >= self._until:
                self._token = ""
                self._token, lifetime_s = _token_in(await self._request())
                self._until = self._clock() + max(lifetime_s - _AHEAD_S, lifetime_s / 2)
            return f"Bearer {self._token}"

    def rejected(self) -> bool:
        """Forget the token, and return True: a new one may work."""
        self._token = ""
        return True

    async def close(self) -> None:
        """Close the connections to the server that issues tokens."""
        await self._http.aclose()

    async def _request(self) -> Json:
        import httpx2  # noqa: PLC0415 - heavy

        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": await _secret(self._secret),
        }
        if self._scope:
            form["scope"] = self._scope
        try:
            async with self._http.stream(
                "POST", self._url, data=form, headers=ACCEPTED
            ) as response:
                rest_s = requested_rest(response.status_code, response.headers)
                if rest_s is not None:
                    raise ServerBusyError(rest_s)
                if not response.is_success:
                    code = await _error_code(response)
                    raise ServerError(
                        f"no token is issued: the server answers {response.status_code}{code}"
                    )
                document = parse_json(await read_limited(response))
        except httpx2.HTTPError as error:
            raise ServerError(f"no token is issued: {failure(error)}") from None
        if self._check is not None:
            self._check(document)
        return document


async def _error_code(response: httpx2.Response) -> str:
    try:
        code = error_code(await read_limited(response))
    except ServerError:
        code = ""
    return f" ({code})" if code else ""


def error_code(body: bytes) -> str:
    """Return the code of an error, such as "invalid_grant" (RFC 6749, section 5.2); "" if none."""
    try:
        document = parse_json(body)
    except ServerError:
        return ""
    return named_error(document.get("error") if isinstance(document, dict) else None)


def named_error(value: Any) -> str:
    """Return a value if it looks like the code of an error, which can be logged; "" if not."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else ""


def _token_in(document: Json) -> tuple[str, float]:
    """Return the token in an answer, and its lifetime in seconds (RFC 6749, section 5.1)."""
    answer = document if isinstance(document, dict) else {}
    token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise ServerError("no token is issued: the answer has none")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ServerError("no token is issued: the answer has a token of another kind")
    try:
        lifetime_s = float(str(answer.get("expires_in", _LIFETIME_S)))
    except ValueError:
        lifetime_s = _LIFETIME_S
    if not 0 <= lifetime_s <= _LONGEST_LIFETIME_S:  # or not a number
        lifetime_s = _LIFETIME_S
    return token, lifetime_s
