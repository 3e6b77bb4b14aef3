"""The client that the commands use for the HTTP API.

`ask` sends one request, and raises a `CliError` if it fails. For several requests, commands use
`open_client` within `http_errors`, which turns the errors of httpx2 into a `CliError`.
httpx2 and pydantic are loaded for the first request, so that the help of a command does not wait.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galwad.cli.support.console import CliError, use_zone_of_response
from galwad.periods import HEADER
from net.addresses import is_loopback
from net.tls import certificate_fault, client_context

if TYPE_CHECKING:
    import httpx2

API = "/api/v1"
_TOKEN = re.compile(r"[!-~]+")
_TIMEOUT_S = 30.0
_CONNECT_S = 5.0
cached_context = cache(client_context)
"""A command that opens thousands of connections reads the certificates once, which takes 5 ms."""


def base_url(server: str) -> str:
    """Check the server's address, and return it without a final slash.

    Raises `CliError` if the address is missing or not valid, or if it is a plain HTTP address of
    another machine.
    """
    import httpx2  # noqa: PLC0415 - see above

    try:
        url = httpx2.URL(server)
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise CliError(
            f'"{server}" is not the address of a server' if server else "no server is named",
            "give --server https://HOST[:PORT]; or set $GALWAD_SERVER, which wins over the login; "
            "or run `galwad login --server …` once",
            status=2,
        )
    if url.scheme == "http" and not is_loopback(url.host):
        raise CliError(
            "plain http is allowed only to this machine: others could read the token",
            "use the server's https address",
            status=2,
        )
    return str(url).rstrip("/")


def open_client(
    server: str,
    *,
    anonymous: bool = False,
    token: str = "",
    authority: Path | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> httpx2.Client:
    """Return an HTTP client of the API, which sends a token unless `anonymous` is true.

    Address, token and PEM file `authority` are by default those of the settings. The proxy of the
    environment, such as `$HTTPS_PROXY`, is not used if the server is on this machine: without TLS,
    the proxy could read the token. A request fails if the server sends nothing for `timeout_s`
    seconds.

    Raises:
        CliError: The settings cannot be read. Or there is no valid address. Or `anonymous` is false
            and there is no valid token. Or the certificate file cannot be read. Or the environment
            names a proxy that cannot be used.
    """
    import httpx2  # noqa: PLC0415 - see above

    from galwad.cli.support.client_settings import client_file, client_settings  # noqa: PLC0415

    settings = client_settings()
    url = base_url(server or settings.server)
    headers = {"Accept": "application/json"}
    if not anonymous:
        if not token and settings.token is None:
            raise CliError("not signed in", "run `galwad login` first")
        known = token or (settings.token.get_secret_value() if settings.token else "")
        if not _TOKEN.fullmatch(known):
            variable = "$GALWAD_PAUSE_TOKEN" if token else "$GALWAD_TOKEN"
            hint = f"correct {variable}; or unset it, and run `galwad login`"
            raise CliError("the token is not valid", hint)
        headers["Authorization"] = f"Bearer {known}"
    certificate = authority or settings.certificate
    try:
        trust = cached_context(ca=certificate, ciphers=None)
    except OSError:
        raise CliError(
            f"cannot read {certificate} as a certificate",
            f"if $GALWAD_CERTIFICATE is set, correct or unset it; else correct `certificate` in "
            f"{client_file()}, or run `galwad login --tls-ca FILE`",
        ) from None
    try:
        return httpx2.Client(
            base_url=url + API,
            headers=headers,
            verify=trust,
            trust_env=not is_loopback(httpx2.URL(url).host),
            timeout=httpx2.Timeout(timeout_s, connect=_CONNECT_S),
            event_hooks={"response": [_take_time_zone]},
        )
    except (ImportError, ValueError, httpx2.InvalidURL):
        raise CliError(
            "cannot use the proxy that the environment names",
            "set $HTTPS_PROXY, $HTTP_PROXY and $ALL_PROXY to http://HOST:PORT, or unset them",
        ) from None


def _take_time_zone(response: httpx2.Response) -> None:
    """From now on, print times in the centre's time zone, if the response names it."""
    use_zone_of_response(response.headers.get(HEADER, ""))


@contextmanager
def http_errors() -> Iterator[None]:
    """Turn an error of httpx2 in the `with` block into a `CliError`."""
    import httpx2  # noqa: PLC0415 - see above

    try:
        yield
    except httpx2.ConnectError as error:
        if refused := certificate_fault(error).lower().rstrip("."):
            raise CliError(
                f"the server's certificate is not trusted: {refused}",
                "if its authority is not known here, name it: galwad login --tls-ca FILE, or "
                "$GALWAD_CERTIFICATE; else correct the server's certificate",
            ) from None
        raise CliError(
            "cannot reach the server",
            "check that `galwad serve` runs there, and that the address is right",
        ) from None
    except httpx2.TimeoutException:
        raise CliError(
            "the server does not answer", "try again, or see the server's journal"
        ) from None
    except httpx2.ProxyError as error:
        hint = "correct $HTTPS_PROXY; to use no proxy, set $NO_PROXY to the server's name"
        raise CliError(f"the proxy refused the connection: {error}", hint) from None
    except httpx2.HTTPError as error:
        raise CliError(f"the connection broke ({type(error).__name__})", "try again") from None


def refusal(response: httpx2.Response) -> tuple[str, str]:
    """Return the error and the hint in a response. Without an error, name the HTTP status."""
    response.read()
    try:
        body = response.json()
        return str(body["error"]), str(body.get("hint", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        hint = "check that the server's address is that of a Galwad server"
        return f"the server answered {response.status_code}", hint


def check_response(response: httpx2.Response) -> None:
    """Raise a `CliError` with the server's error and hint, unless the response's status is 2xx."""
    if response.is_success:
        return
    message, hint = refusal(response)
    if response.status_code == HTTPStatus.UNAUTHORIZED and (
        not hint or "Authorization" in response.request.headers
    ):
        # The hint in the response is for users of the web page. A user of the command line needs
        # the name of the command instead.
        hint = "run `galwad login`; if $GALWAD_TOKEN is set, correct or unset it first"
    reason = _reason(response)
    if reason == "step_up_needed":
        hint = (
            "run `galwad login --browser` again: when you approve the code, the page asks for the "
            "stronger sign-in"
        )
    wrong_usage = response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    raise CliError(
        message,
        hint,
        status=2 if wrong_usage else 1,
        reason=reason,
        http_status=response.status_code,
    )


def _reason(response: httpx2.Response) -> str:
    try:
        return str(response.json().get("reason", ""))
    except (ValueError, AttributeError):
        return ""


def answer_of(response: httpx2.Response) -> Any:
    """Return the response's JSON document; None for status 204. Raises `CliError` for an error."""
    check_response(response)
    if response.status_code == HTTPStatus.NO_CONTENT:
        return None
    try:
        return response.json()
    except ValueError:
        raise CliError(
            "the answer is not from a Galwad server", "check the server's address"
        ) from None


def ask(
    server: str,
    method: str,
    path: str,
    body: Any = None,
    *,
    anonymous: bool = False,
    token: str = "",
    authority: Path | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> Any:
    """Send one request; return the JSON document in the response, or None if it has no content.

    The request fails if the server sends nothing for `timeout_s` seconds. Raises `CliError` if the
    request cannot be sent (see `open_client`) or fails, or if the server refuses it.
    """
    opened = open_client(
        server, anonymous=anonymous, token=token, authority=authority, timeout_s=timeout_s
    )
    with http_errors(), opened as client:
        return answer_of(client.request(method, path, json=body))
