"""The requests of a simulation to the server's API: calls, pauses, payment pages, recordings."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx2
import numpy as np
import soundfile

from galwad.cli.support.archive_client import FetchPurpose, download
from galwad.cli.support.client import ask, http_errors, open_client, refusal
from galwad.cli.support.console import CliError
from galwad.cli.support.identities import opened
from galwad.simulate.plan import Plan
from galwad.simulate.report import StepError
from galwad.simulate.sound import RATE, Samples
from recording.age.file import Identity

_SEALED_WITHIN_S: Final = 30.0
"""The seconds within which a recording must be sealed after its call has ended."""
LATE: Final = f"after {_SEALED_WITHIN_S:.0f} s"
_BEGINS_WITHIN_S: Final = 3.0
"""The seconds within which a recording must begin after its call was answered."""
_RETRY_S: Final = 0.1
_PAUSE_HINT: Final = "correct or unset $GALWAD_PAUSE_TOKEN"


@dataclass(frozen=True, slots=True)
class OpenedRecording:
    """A decrypted recording in memory: the audio of each party, and the manifest."""

    caller: Samples
    advisor: Samples
    manifest: dict[str, Any]

    @property
    def channels(self) -> tuple[Samples, Samples]:
        """The audio of the caller, and that of the advisor."""
        return self.caller, self.advisor


async def attempts(seconds: float) -> AsyncIterator[None]:
    """Yield at once, and then every `_RETRY_S` seconds, until `seconds` have passed."""
    limit = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() > limit:
            return
        await asyncio.sleep(_RETRY_S)


class ApiClient:
    """A client of the server's API, with the login that all `galwad` commands use.

    If `pause_token` is not empty, the client uses it to pause and resume.
    """

    def __init__(
        self, server: str, pause_token: str = "", identities: Sequence[Identity] = ()
    ) -> None:
        self._server = server
        self._pause_token = pause_token
        self._identities = identities

    async def _ask(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        try:
            return await asyncio.to_thread(ask, self._server, method, path, body, token=token)
        except CliError as error:
            hint = _PAUSE_HINT if token and error.http_status == 401 else error.hint
            raise StepError(error.message, hint) from None

    async def calls(self) -> set[str]:
        """Return the ids of the calls in progress; raise StepError if the request fails."""
        return {pop["call_id"] for pop in await self._ask("GET", "/calls")}

    async def new_call(self, known: set[str], plan: Plan) -> str:
        """Wait until the recording of the new call has begun, and return the call's id.

        The call is not in `known`, and has the extension of `plan.answering[0]`. Raises `StepError`
        if the recording does not begin, if there is no new call or more than one, or if the request
        failed.
        """
        ours: list[Any] = []
        async for _ in attempts(_BEGINS_WITHIN_S):
            ours = [
                pop
                for pop in await self._ask("GET", "/calls")
                if pop["call_id"] not in known and pop["extension"] == plan.answering[0].extension
            ]
            if len(ours) == 1 and ours[0]["recording"] == "recording":
                return str(ours[0]["call_id"])
        if len(ours) > 1:
            raise StepError(
                f"several calls began at the phone {plan.answering[0].extension} at once",
                "try again when this phone gets no other calls",
            )
        if not ours:
            raise StepError("the desk does not show the call", "compare with `galwad calls list`")
        raise StepError(
            f"the recording does not begin: {ours[0]['recording']}",
            "only calls from trunks are recorded, unless [recording] include_phones is set",
        )

    async def payment(self, method: str, extension: str, wanted: str) -> None:
        """Pause (PUT) or resume (DELETE) as a payment system does.

        Raises `StepError` if the recording then has another state than `wanted`, if the disk has
        not confirmed the request, or if the request failed.
        """
        outcome = await self._ask(method, "/payments", {"extension": extension}, self._pause_token)
        if outcome["state"] != wanted or not outcome["durable"]:
            durable = "" if outcome["durable"] else "; the disk has not confirmed the request"
            state = f'the recording has the state "{outcome["state"]}" (wanted: "{wanted}")'
            raise StepError(f"{state}{durable}", "see `galwad alarms list`")

    async def sealed(self, call_id: str) -> Any:
        """Wait until a call's recording is sealed, and return what the server's index has of it.

        Raises `StepError` if the recording does not appear, with the last message of the server.
        """
        refused = StepError("")
        async for _ in attempts(_SEALED_WITHIN_S):
            try:
                return await self._ask("GET", f"/recordings/{call_id}")
            except StepError as error:
                refused = error
        raise refused

    def open(self, call_id: str, reference: str, document: str | None) -> OpenedRecording:
        """Fetch and decrypt a sealed recording, whose signed manifest is the JSON `document`.

        `reference` is entered in the audit chain. Raises `CliError` if the recording cannot be
        fetched or decrypted.
        """
        why = FetchPurpose("quality-training", reference)
        with (
            http_errors(),
            open_client(self._server) as client,
            download(call_id, why, client) as (header, payload),
            opened(header, payload, self._identities) as plain,
        ):
            flac = plain.read()
        samples, rate = soundfile.read(io.BytesIO(flac), dtype="int16", always_2d=True)
        if rate != RATE or samples.shape[1] != 2 or not document:
            raise CliError(
                "the recording is not stereo at 8000 Hz, or has no manifest",
                "use the same version of Galwad here and on the server",
            )
        left, right = (np.ascontiguousarray(samples[:, track]) for track in (0, 1))
        return OpenedRecording(left, right, json.loads(document)["manifest"])


# --- the logins of a matrix -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PageLogin:
    """The name and the password with which an advisor signs in to the page."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, its JSON body or None, and the text of its error or ""."""

    status: int
    body: Any
    error: str = ""

    def accepted(self) -> Any:
        """Return the body; raise StepError if the server refused the request."""
        if self.status >= 300:
            raise StepError(f"the server refused a request: {self.status} {self.error}")
        return self.body


class MatrixApi(ApiClient):
    """The clients of a run: the user, a payment page, and possibly a machine and an advisor's page.

    `send` also returns refusals, with their status, because some rows expect a refusal.
    """

    def __init__(
        self,
        server: str,
        origin: str,
        machine_token: str = "",
        page: PageLogin | None = None,
        identities: Sequence[Identity] = (),
    ) -> None:
        super().__init__(server, machine_token, identities)
        self.page_login = page
        self.machine_token = machine_token
        self._origin = origin
        self._stack = ExitStack()
        self._clients: dict[str, httpx2.Client] = {}
        self.names: dict[str, str] = {}
        """The user names of the logins "officer", "machine" and "page", if this run has them."""

    def __enter__(self) -> Self:
        """Open the clients and sign the advisor in; raise CliError if a login is not valid."""
        with ExitStack() as stack:

            def client(*, anonymous: bool = False, token: str = "") -> httpx2.Client:
                made = open_client(self._server, anonymous=anonymous, token=token)
                # Seconds pass between two requests. The server could close an idle connection just
                # when the next request is sent.
                made.headers["Connection"] = "close"
                return stack.enter_context(made)

            self._clients["officer"] = client()
            if self.machine_token:
                self._clients["machine"] = client(token=self.machine_token)
            if self.page_login is not None:
                self._clients["page"] = page = client(anonymous=True)
                self._sign_in(page, self.page_login)
                stack.callback(_send, page, "POST", "/logout")
            self.names = {who: _name_of(each) for who, each in self._clients.items()}
            self._clients["payment page"] = client(anonymous=True)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _sign_in(self, client: httpx2.Client, login: PageLogin) -> None:
        client.headers["Origin"] = self._origin
        body = {"user": login.user, "password": login.password, "client": "page"}
        answer = _send(client, "POST", "/login", body)
        if answer.status != httpx2.codes.OK:
            raise CliError(
                f"{login.user} cannot sign in to the page: {answer.error}",
                "give the name with --advisor, and the page's password, not the phone's",
            )

    async def _ask(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        answer = await self.send("officer", method, path, body, token=token)
        if answer.status >= 300:
            raise StepError(answer.error)
        return answer.body

    async def send(
        self, who: str, method: str, path: str, body: Any = None, *, token: str = ""
    ) -> Answer:
        """Send a request as `who`: "officer", "machine", "page", or "payment page" with `token`.

        Raises `StepError` if this run has no such login, or if the request failed.
        """
        if who not in self._clients:
            raise StepError(f'this run has no login for the API as "{who}"')
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            return await asyncio.to_thread(_send, self._clients[who], method, path, body, headers)
        except CliError as error:
            raise StepError(error.message, error.hint) from None


def _name_of(client: httpx2.Client) -> str:
    answer = _send(client, "GET", "/me")
    if answer.status != httpx2.codes.OK:
        raise CliError(
            f"a token is refused: {answer.error}",
            "run `galwad login`; if $GALWAD_TOKEN or $GALWAD_PAUSE_TOKEN is set, correct or unset "
            "it",
        )
    return str(answer.body["user"])


def _send(
    client: httpx2.Client,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    with http_errors():
        response = client.request(method, path, json=body, headers=headers)
    if not response.is_success:
        return Answer(response.status_code, None, refusal(response)[0])
    try:
        return Answer(response.status_code, response.json() if response.content else None)
    except ValueError:
        raise CliError(
            "the answer is not from a Galwad server", "check the server's address"
        ) from None
