"""The API requests of a matrix; they return the status of a refusal, which some rows expect."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx2

from galwad.cli.simulate.steps import StepError
from galwad.cli.support.client import http_errors, open_client, refusal
from galwad.cli.support.console import CliError


@dataclass(frozen=True, slots=True)
class PageLogin:
    """The name and the password with which an advisor signs in to the page."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """The status of a response, its JSON body (None if it has none), and the error, if any."""

    status: int
    body: Any
    error: str = ""

    def accepted(self) -> Any:
        """Return the body.

        Raises:
            StepError: The server refused the request.
        """
        if self.status >= 300:
            raise StepError(f"the server refused a request: {self.status} {self.error}")
        return self.body


class MatrixApi:
    """The clients of one run: the signed-in user and, if given, a payment system and a page."""

    def __init__(
        self, server: str, origin: str, machine_token: str = "", page: PageLogin | None = None
    ) -> None:
        self.page_login = page
        self.machine_token = machine_token
        self._server = server
        self._origin = origin
        self._stack = ExitStack()
        self._officer: httpx2.Client
        self._anonymous: httpx2.Client
        self._machine: httpx2.Client | None = None
        self._page: httpx2.Client | None = None
        self.names: dict[str, str] = {}
        """The user names of the signed-in user ("officer"), the payment system and the page."""

    def __enter__(self) -> Self:
        """Open the clients and sign the advisor in; raise CliError if a login is not valid."""
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _open(self) -> None:
        self._officer = self._client()
        self._anonymous = self._client(anonymous=True)
        if self.machine_token:
            self._machine = self._client(token=self.machine_token)
        if self.page_login is not None:
            self._page = self._client(anonymous=True)
            self._sign_in(self._page, self.page_login)
        clients = {"officer": self._officer, "machine": self._machine, "page": self._page}
        for who, client in clients.items():
            if client is not None:
                self.names[who] = _name_of(client)

    def _client(self, *, anonymous: bool = False, token: str = "") -> httpx2.Client:
        client = open_client(self._server, anonymous=anonymous, token=token)
        # Seconds pass between two requests. The server could close a connection that is kept open
        # just when the next request is sent.
        client.headers["Connection"] = "close"
        return self._stack.enter_context(client)

    def __exit__(self, *_: object) -> None:
        if self._page is not None:
            self._stack.callback(_send, self._page, "POST", "/logout", None, {})
        self._stack.close()

    def _sign_in(self, client: httpx2.Client, login: PageLogin) -> None:
        client.headers["Origin"] = self._origin
        body = {"user": login.user, "password": login.password, "client": "page"}
        answer = _send(client, "POST", "/login", body, {})
        if answer.status != httpx2.codes.OK:
            raise CliError(
                f"{login.user} cannot sign in to the page: {answer.error}",
                "give the name with --advisor, and the page's password, not the phone's",
            )

    async def officer(self, method: str, path: str, body: Any = None) -> Answer:
        """Send a request as the user who is signed in with `galwad login`."""
        return await _sent(self._officer, method, path, body)

    async def machine(self, method: str, path: str, body: Any = None) -> Answer:
        """Send a request as a payment system."""
        return await _sent(self._machine, method, path, body)

    async def page(self, method: str, path: str, body: Any = None) -> Answer:
        """Send a request as the advisor's page does."""
        return await _sent(self._page, method, path, body)

    async def payment_page(self, method: str, token: str) -> Answer:
        """Send a request as a payment page that has this token."""
        headers = {"Authorization": f"Bearer {token}"}
        return await _sent(self._anonymous, method, "/payment-page", None, headers)


def _name_of(client: httpx2.Client) -> str:
    answer = _send(client, "GET", "/me", None, {})
    if answer.status != httpx2.codes.OK:
        raise CliError(
            f"a token is refused: {answer.error}",
            "run `galwad login`, or correct $GALWAD_PAUSE_TOKEN",
        )
    return str(answer.body["user"])


_NO_CLIENT: Final = "this row has no login for the API"


async def _sent(
    client: httpx2.Client | None,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str] | None = None,
) -> Answer:
    if client is None:
        raise StepError(_NO_CLIENT)
    try:
        return await asyncio.to_thread(_send, client, method, path, body, headers or {})
    except CliError as error:
        raise StepError(error.message, error.hint) from None


def _send(
    client: httpx2.Client, method: str, path: str, body: Any, headers: dict[str, str]
) -> Answer:
    with http_errors():
        response = client.request(method, path, json=body, headers=headers)
    if not response.is_success:
        return Answer(response.status_code, None, refusal(response)[0])
    try:
        return Answer(response.status_code, response.json() if response.content else None)
    except ValueError:
        raise CliError("the answer is not from a Galwad server", "check the address") from None
