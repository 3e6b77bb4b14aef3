"""The triggers of a payment pause: each method to pause and resume that docs/payments.md lists.

Methods return the status of the reply; a dialled code has no reply and counts as accepted (200).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from galwad.cli.simulate.matrix.live_row import LiveRow
from galwad.cli.simulate.matrix.requests import Answer
from galwad.cli.simulate.matrix.site import Need
from galwad.cli.simulate.matrix.voices import Voice
from galwad.cli.simulate.steps import StepError
from telephony.errors import TelephonyError


@dataclass(frozen=True, slots=True)
class SimulatedTrigger(ABC):
    """One method to pause and resume; if it is `alone`, it acts on all calls of the phone."""

    name: str
    gap_trigger: str
    needs: frozenset[Need] = frozenset()
    alone: bool = False

    @abstractmethod
    def actor(self, row: LiveRow) -> str:
        """Return the gap's actor in the manifest."""

    @abstractmethod
    def holder(self, row: LiveRow) -> str:
        """Return the pause holder, as the API shows it."""

    @abstractmethod
    async def pause(self, row: LiveRow) -> int:
        """Pause the recording, and return the status of the reply."""

    @abstractmethod
    async def resume(self, row: LiveRow) -> int:
        """Release the own pause, and return the status of the reply."""


# --- the advisor's phone ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PhoneTrigger(SimulatedTrigger):
    """A trigger at the advisor's phone, which is the pause holder."""

    def actor(self, row: LiveRow) -> str:
        """Return the advisor's phone."""
        return self.holder(row)

    def holder(self, row: LiveRow) -> str:
        """Return the advisor's phone."""
        return f"phone:{row.extension}"


@dataclass(frozen=True, slots=True)
class KeyTrigger(PhoneTrigger):
    """The record key of the phone: an INFO with the header field Record."""

    async def pause(self, row: LiveRow) -> int:
        """Press the key."""
        return await press_record(row.advisor, row, "off")

    async def resume(self, row: LiveRow) -> int:
        """Press the key again."""
        return await press_record(row.advisor, row, "on")


@dataclass(frozen=True, slots=True)
class CodeTrigger(PhoneTrigger):
    """The two codes of the settings, dialled as telephone events or as INFO requests."""

    by: Literal["rtp", "info"] = "rtp"

    async def pause(self, row: LiveRow) -> int:
        """Dial the first code."""
        await dial(row.advisor, row, pause_code(row), self.by)
        return 200

    async def resume(self, row: LiveRow) -> int:
        """Dial the second code."""
        await dial(row.advisor, row, resume_code(row), self.by)
        return 200


def pause_code(row: LiveRow) -> str:
    """Return the dialled code that pauses; "" if the settings have none."""
    return row.site.settings.recording.payment_code_on or ""


def resume_code(row: LiveRow) -> str:
    """Return the dialled code that resumes; "" if the settings have none."""
    return row.site.settings.recording.payment_code_off or ""


async def press_record(voice: Voice, row: LiveRow, value: Literal["on", "off"]) -> int:
    """Press the record key; return the status of the reply, or raise StepError without one."""
    pressed = voice.call.send_info(headers=[("Record", value)])
    return await row.within(pressed, "the record key got no reply")


async def dial(voice: Voice, row: LiveRow, code: str, by: Literal["rtp", "info"] = "rtp") -> None:
    """Dial a code on a leg; raise StepError if it cannot be dialled."""
    try:
        async with asyncio.timeout(row.site.plan.timeout):
            await voice.call.send_dtmf(code, by=by)
    except (TelephonyError, TimeoutError) as error:
        raise StepError(f"the code cannot be dialled: {error or 'no reply'}") from None


# --- the API ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApiTrigger(SimulatedTrigger):
    """A request by `who`, for one call or for all calls of an extension or an advisor."""

    who: Literal["page", "officer", "machine"] = "machine"
    by: Literal["call", "extension", "advisor"] = "call"

    def actor(self, row: LiveRow) -> str:
        """Return the user or the machine."""
        return f"{'token' if self.who == 'machine' else 'user'}:{self._user(row)}"

    def holder(self, row: LiveRow) -> str:
        """Return the page of the user, or the machine."""
        return f"{'token' if self.who == 'machine' else 'page'}:{self._user(row)}"

    def _user(self, row: LiveRow) -> str:
        return row.site.api.names.get(self.who, "")

    async def pause(self, row: LiveRow) -> int:
        """Send the request to pause."""
        return (await self._request(row, "PUT")).status

    async def resume(self, row: LiveRow) -> int:
        """Send the request to resume."""
        return (await self._request(row, "DELETE")).status

    async def release(self, row: LiveRow, holder: str) -> int:
        """Send a request to release the pause of another holder; return the status of the reply."""
        return (await self._send(row, "DELETE", {"holder": holder})).status

    async def _request(self, row: LiveRow, method: str) -> Answer:
        if self.by == "call":
            return await self._send(row, method, {})
        await refuse_other_calls(row)
        whose = row.extension if self.by == "extension" else row.advisor_user
        if not whose:
            raise StepError(f"the phone {row.extension} has no user", "see `galwad users list`")
        return await self._ask(row)(method, "/payments", {self.by: whose})

    async def _send(self, row: LiveRow, method: str, body: dict[str, str]) -> Answer:
        return await self._ask(row)(method, f"/calls/{row.call_id}/payment", body)

    def _ask(self, row: LiveRow) -> Callable[[str, str, Any], Awaitable[Answer]]:
        api = row.site.api
        return {"page": api.page, "officer": api.officer, "machine": api.machine}[self.who]


async def refuse_other_calls(row: LiveRow) -> None:
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
class PaymentPageTrigger(SimulatedTrigger):
    """A payment page, for which a payment system requests a token for this call."""

    def actor(self, row: LiveRow) -> str:
        """Return the machine that requested the token."""
        return f"token:{row.site.api.names.get('machine', '')}"

    def holder(self, row: LiveRow) -> str:
        """Return the holder that the API named with the token."""
        return row.payment_holder

    async def pause(self, row: LiveRow) -> int:
        """Pause with the call's token, which is requested before the first pause."""
        if not row.payment_token:
            asked = await row.site.api.machine("POST", "/payment-tokens", {"call_id": row.call_id})
            made = asked.accepted()
            row.payment_token, row.payment_holder = made["token"], made["holder"]
        return (await row.site.api.payment_page("PUT", row.payment_token)).status

    async def resume(self, row: LiveRow) -> int:
        """Resume with the call's token."""
        return (await row.site.api.payment_page("DELETE", row.payment_token)).status


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
TOKEN: Final = PaymentPageTrigger("payment page", "api", _MACHINE)
KEY: Final = KeyTrigger("record key", "phone")
CODE: Final = CodeTrigger("dialled code", "dtmf", _CODES)
CODE_BY_INFO: Final = CodeTrigger("dialled code, by INFO", "dtmf", _CODES, by="info")

TRIGGERS: Final[tuple[SimulatedTrigger, ...]] = (
    *(PAGE, PERSON, SYSTEM, BY_EXTENSION, BY_ADVISOR),
    *(TOKEN, KEY, CODE, CODE_BY_INFO),
)
