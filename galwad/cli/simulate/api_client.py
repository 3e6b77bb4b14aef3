"""The requests of a simulation to the server's API: calls, pause, resume, recordings."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import soundfile

from galwad.cli.simulate.plan import Plan
from galwad.cli.simulate.sound import RATE, Samples
from galwad.cli.simulate.steps import StepError
from galwad.cli.support.archive_client import download
from galwad.cli.support.client import ask, http_errors, open_client
from galwad.cli.support.console import CliError
from galwad.cli.support.identities import opened
from recording.age.file import Identity

_SEALED_WITHIN_S: Final = 30.0
"""The seconds within which a recording must be sealed after its call has ended."""
_BEGINS_WITHIN_S: Final = 3.0
"""The seconds within which a recording must begin after its call was answered."""
_RETRY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class OpenedRecording:
    """A decrypted recording in memory: the audio of each party, and the manifest."""

    caller: Samples
    advisor: Samples
    manifest: dict[str, Any]


class ApiClient:
    """A client of the server's API, with the login that `galwad login` stored.

    It pauses and resumes with `pause_token` instead, unless that is empty.
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
            raise StepError(error.message, error.hint) from None

    async def calls(self) -> set[str]:
        """Return the call ids of the calls in progress.

        Raises:
            StepError: The request failed.
        """
        return {pop["call_id"] for pop in await self._ask("GET", "/calls")}

    async def new_call(self, known: set[str], plan: Plan) -> str:
        """Wait until the recording of the new call has begun, and return the call's id.

        The call is not in `known`, and has the extension of `plan.answering[0]`.

        Raises:
            StepError: The recording does not begin, there is no new call or more than one, or the
                request failed.
        """
        extension, limit = plan.answering[0].extension, time.monotonic() + _BEGINS_WITHIN_S
        while True:
            new = [pop for pop in await self._ask("GET", "/calls") if pop["call_id"] not in known]
            ours = [pop for pop in new if pop["extension"] == extension]
            if len(ours) == 1 and ours[0]["recording"] == "recording":
                return str(ours[0]["call_id"])
            if time.monotonic() > limit:
                raise _not_recorded(ours)
            await asyncio.sleep(_RETRY_S)

    async def pause(self, extension: str) -> None:
        """Use the API for payment systems to pause the recording of the call at `extension`.

        Raises:
            StepError: The request failed, or the recording is not paused afterwards.
        """
        await self._payment("PUT", extension, "paused")

    async def resume(self, extension: str) -> None:
        """Use the API for payment systems to resume the recording of the call at `extension`.

        Raises:
            StepError: The request failed, or the recording is still paused afterwards.
        """
        await self._payment("DELETE", extension, "recording")

    async def _payment(self, method: str, extension: str, wanted: str) -> None:
        outcome = await self._ask(method, "/payments", {"extension": extension}, self._pause_token)
        if outcome["state"] != wanted or not outcome["durable"]:
            durable = "" if outcome["durable"] else ", and the disk has not confirmed it"
            raise StepError(f"the recording is {outcome['state']}{durable}", "see its alarms")

    def recording(self, call_id: str, reference: str) -> OpenedRecording:
        """Wait until a call's recording is sealed; then fetch, decrypt and return it.

        `reference` is entered in the audit chain.

        Raises:
            CliError: The recording does not appear, or cannot be fetched or decrypted.
        """
        detail = self._detail(call_id)
        why = ("quality-training", reference)
        with (
            http_errors(),
            open_client(self._server) as client,
            download(call_id, *why, client) as (header, payload),
            opened(header, payload, self._identities) as plain,
        ):
            flac = plain.read()
        samples, rate = soundfile.read(io.BytesIO(flac), dtype="int16", always_2d=True)
        if rate != RATE or samples.shape[1] != 2 or not detail["manifest"]:
            raise CliError(
                "the recording has another format, or no manifest",
                "it may be from an older version",
            )
        manifest = json.loads(detail["manifest"])["manifest"]
        left, right = (np.ascontiguousarray(samples[:, track]) for track in (0, 1))
        return OpenedRecording(left, right, manifest)

    def _detail(self, call_id: str) -> Any:
        limit = time.monotonic() + _SEALED_WITHIN_S
        while True:
            try:
                return ask(self._server, "GET", f"/recordings/{call_id}")
            except CliError as error:
                if time.monotonic() > limit:
                    raise CliError(
                        f"after {_SEALED_WITHIN_S:.0f} s: {error.message}",
                        "check that the call is recorded: see `galwad recordings list`, and "
                        "the journal of galwad-finaliser",
                    ) from None
            time.sleep(_RETRY_S)


def _not_recorded(found: list[Any]) -> StepError:
    if len(found) > 1:
        return StepError("several calls began at that phone at once", "try again when it is quiet")
    if not found:
        return StepError("the desk does not know the call", "see `galwad calls list`")
    state = found[0]["recording"]
    return StepError(
        f"the recording does not begin: {state}",
        "only calls from trunks are recorded, unless [recording] include_phones is set",
    )
