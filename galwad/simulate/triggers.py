"""The triggers of payment pauses in docs/payments.md, except global keys and transfers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from galwad.simulate.phones import Voice
from galwad.simulate.report import StepError
from galwad.simulate.rows import LiveRow, advisors_phone
from galwad.simulate.site import Need
from telephony.errors import TelephonyError

OnOff: TypeAlias = Literal["on", "off"]
"""The wanted state of the recording: "off" pauses, "on" resumes."""
_METHODS: Final = {"off": "PUT", "on": "DELETE"}
"""The HTTP methods of the API's requests to pause and to resume."""


@dataclass(frozen=True, slots=True)
class SimulatedTrigger(ABC):
    """A way to pause and resume. It is `alone` if it acts on all calls of the phone."""

    name: str
    gap_trigger: str
    needs: frozenset[Need] = frozenset()
    alone: bool = False

    @abstractmethod
    def holder(self, row: LiveRow) -> str:
        """Return the pause holder, as the API shows it."""

    def actor(self, row: LiveRow) -> str:
        """Return the gap's actor in the manifest, by default the holder."""
        return self.holder(row)

    @abstractmethod
    async def turn(self, row: LiveRow, record: OnOff) -> int:
        """Pause ("off"), or release its own pause ("on"); return the status of the reply."""


# --- the advisor's phone ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _PhoneTrigger(SimulatedTrigger):
    """A trigger at the advisor's phone, which is the pause holder."""

    def holder(self, row: LiveRow) -> str:
        return advisors_phone(row)


@dataclass(frozen=True, slots=True)
class _KeyTrigger(_PhoneTrigger):
    """The record key of the phone: an INFO with the header field Record."""

    async def turn(self, row: LiveRow, record: OnOff) -> int:
        return await press_record(row.advisor, row, record)


@dataclass(frozen=True, slots=True)
class _CodeTrigger(_PhoneTrigger):
    """The two codes of the settings. A dialled code has no reply and counts as accepted."""

    by: Literal["rtp", "info"] = "rtp"

    async def turn(self, row: LiveRow, record: OnOff) -> int:
        await dial(row.advisor, row, code(row, record), self.by)
        return 200


def code(row: LiveRow, record: OnOff) -> str:
    """Return the code that pauses ("off") or resumes ("on"); "" if the settings have none."""
    recording = row.site.settings.recording
    return (recording.payment_code_on if record == "off" else recording.payment_code_off) or ""


async def press_record(voice: Voice, row: LiveRow, record: OnOff) -> int:
    """Press the record key; return the status of the reply, or raise StepError without one."""
    pressed = voice.call.send_info(headers=[("Record", record)])
    return await row.within(pressed, "the record key got no reply")


async def dial(voice: Voice, row: LiveRow, digits: str, by: Literal["rtp", "info"] = "rtp") -> None:
    """Dial a code on a leg; raise StepError if it cannot be dialled."""
    try:
        async with asyncio.timeout(row.site.plan.timeout):
            await voice.call.send_dtmf(digits, by=by)
    except (TelephonyError, TimeoutError) as error:
        raise StepError(f"the code cannot be dialled: {error or 'no reply'}") from None


# --- the API ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApiTrigger(SimulatedTrigger):
    """A request by `who`, for one call or for all calls of an extension or an advisor."""

    who: Literal["page", "officer", "machine"] = "machine"
    by: Literal["call", "extension", "advisor"] = "call"

    def actor(self, row: LiveRow) -> str:
        """Return the user or the machine that sends the request."""
        return f"{'token' if self.who == 'machine' else 'user'}:{self._user(row)}"

    def holder(self, row: LiveRow) -> str:
        """Return the user's page, or the machine that sends the request."""
        return f"{'token' if self.who == 'machine' else 'page'}:{self._user(row)}"

    def _user(self, row: LiveRow) -> str:
        return row.site.api.names.get(self.who, "")

    async def turn(self, row: LiveRow, record: OnOff) -> int:
        """Send the request to pause or to resume."""
        if self.by == "call":
            return await self._send(row, record, f"/calls/{row.call_id}/payment", {})
        await _refuse_other_calls(row)
        whose = row.extension if self.by == "extension" else row.advisor_user
        if not whose:
            raise StepError(f"the phone {row.extension} has no user", "see `galwad users list`")
        return await self._send(row, record, "/payments", {self.by: whose})

    async def release(self, row: LiveRow, holder: str) -> int:
        """Send a request to release the pause of another holder; return the status of the reply."""
        return await self._send(row, "on", f"/calls/{row.call_id}/payment", {"holder": holder})

    async def _send(self, row: LiveRow, record: OnOff, path: str, body: dict[str, str]) -> int:
        return (await row.site.api.send(self.who, _METHODS[record], path, body)).status


async def _refuse_other_calls(row: LiveRow) -> None:
    """Raise StepError if the advisor has another call, on which the request would act too."""
    others = [
        pop
        for pop in await row.calls()
        if pop["call_id"] != row.call_id
        and pop["state"] not in {"wrapup", "ended"}
        and (pop["extension"] == row.extension or pop["advisor"] == row.advisor_user)
    ]
    if others:
        raise StepError(
            f"{row.extension} has another call, which this row would pause too",
            "try again when the phone has no other call",
        )


@dataclass(frozen=True, slots=True)
class _PaymentPageTrigger(SimulatedTrigger):
    """A payment page, for which a payment system requests a token for this call."""

    def actor(self, row: LiveRow) -> str:
        return f"token:{row.site.api.names.get('machine', '')}"

    def holder(self, row: LiveRow) -> str:
        return row.payment_holder

    async def turn(self, row: LiveRow, record: OnOff) -> int:
        """Use the call's token, which is requested before the first pause."""
        api = row.site.api
        if not row.payment_token:
            asked = await api.send("machine", "POST", "/payment-tokens", {"call_id": row.call_id})
            made = asked.accepted()
            row.payment_token, row.payment_holder = made["token"], made["holder"]
        method, token = _METHODS[record], row.payment_token
        return (await api.send("payment page", method, "/payment-page", token=token)).status


_MACHINE: Final = frozenset({Need.MACHINE})
_CODES: Final = frozenset({Need.CODES})

PAGE: Final = ApiTrigger("page", "page", frozenset({Need.PAGE}), who="page")
PERSON: Final = ApiTrigger("API, as a person", "api", who="officer")
SYSTEM: Final = ApiTrigger("payment system, by call", "api", _MACHINE)
BY_EXTENSION: Final = ApiTrigger(
    "payment system, by extension", "api", _MACHINE, alone=True, by="extension"
)
BY_ADVISOR: Final = ApiTrigger(
    "payment system, by advisor", "api", _MACHINE, alone=True, by="advisor"
)
TOKEN: Final = _PaymentPageTrigger("payment page", "api", _MACHINE)
KEY: Final = _KeyTrigger("record key", "phone")
CODE: Final = _CodeTrigger("dialled code", "dtmf", _CODES)
CODE_BY_INFO: Final = _CodeTrigger("dialled code, by INFO", "dtmf", _CODES, by="info")

TRIGGERS: Final[tuple[SimulatedTrigger, ...]] = (
    *(PAGE, PERSON, SYSTEM, BY_EXTENSION, BY_ADVISOR),
    *(TOKEN, KEY, CODE, CODE_BY_INFO),
)

# --- the steps of a row -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PauseStep:
    """A trigger pauses, and the API must show the pause."""

    trigger: SimulatedTrigger

    async def __call__(self, row: LiveRow) -> None:
        """Pause."""
        _accept(
            await self.trigger.turn(row, "off"), f'the trigger "{self.trigger.name}" cannot pause'
        )
        await row.shows("paused")


@dataclass(frozen=True, slots=True)
class ResumeStep:
    """A trigger releases its own pause. With `still`, another holder keeps the recording paused."""

    trigger: SimulatedTrigger
    still: bool = False

    async def __call__(self, row: LiveRow) -> None:
        """Resume."""
        _accept(
            await self.trigger.turn(row, "on"), f'the trigger "{self.trigger.name}" cannot resume'
        )
        await shown_after(row, paused=self.still)


@dataclass(frozen=True, slots=True)
class ReleaseStep:
    """`by` releases the pause of the holder `of`. If `refused`, the answer must be 403."""

    by: ApiTrigger
    of: SimulatedTrigger
    refused: bool = False

    async def __call__(self, row: LiveRow) -> None:
        """Release, or be refused."""
        status = await self.by.release(row, self.of.holder(row))
        if not self.refused:
            _accept(status, f'"{self.by.name}" cannot release the pause of "{self.of.name}"')
        elif status != 403:
            raise StepError(
                f'"{self.by.name}" must get 403 for a release of the pause of "{self.of.name}", '
                f"but got {status}"
            )
        await shown_after(row, paused=self.refused)


def _accept(status: int, otherwise: str) -> None:
    if status != 200:
        raise StepError(f"{otherwise}: {status}")


async def shown_after(row: LiveRow, *, paused: bool) -> None:
    """Wait until the API shows the state "paused", or "recording" if `paused` is false."""
    if paused:
        await row.settle()  # a wrong resume would take effect meanwhile
    await row.shows("paused" if paused else "recording")
    await row.settle()
