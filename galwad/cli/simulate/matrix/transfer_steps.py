"""The steps of the matrix of transfers: what the advisor's and the other phones do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from galwad.cli.simulate.matrix.live_row import LiveRow
from galwad.cli.simulate.matrix.site import Need, OutsidePhone
from galwad.cli.simulate.matrix.triggers import press_record
from galwad.cli.simulate.matrix.voices import ADVISOR, Fate
from galwad.cli.simulate.phones import Answerer
from galwad.cli.simulate.steps import StepError
from telephony.errors import TelephonyError
from telephony.phone import CallState, VoIPCall


class TransferParty(Enum):
    """A party to which the advisor can transfer the call, and the need of rows that use it."""

    COLLEAGUE = Need.COLLEAGUE
    OUTSIDE = Need.OUTSIDE
    PAYMENT_LINE = Need.PAYMENT_LINE
    AT_PBX = Need.PBX

    def phone(self, row: LiveRow) -> Answerer | OutsidePhone:
        """Return the simulated phone of the party, or raise StepError if this run has none."""
        site = row.site
        found = {
            TransferParty.COLLEAGUE: site.colleague,
            TransferParty.OUTSIDE: site.outside,
            TransferParty.PAYMENT_LINE: site.payment_line,
            TransferParty.AT_PBX: site.pbx.department if site.pbx else None,
        }[self]
        if found is None:
            raise StepError(f"there is no phone for {self.value.value}")
        return found


@dataclass(frozen=True, slots=True)
class Referral:
    """The cause of a transfer's gap: the REFER of the advisor's phone."""

    gap_trigger: str = "refer"

    def actor(self, row: LiveRow) -> str:
        """Return the advisor's phone."""
        return f"phone:{row.extension}"


@dataclass(frozen=True, slots=True)
class PbxName:
    """The cause of a gap: the name that the PBX gives to the party after a transfer."""

    gap_trigger: str = "identity"

    def actor(self, row: LiveRow) -> str:
        """Return the party that had the call before."""
        return f"phone:{row.shown_at}"


_RINGING = "while the other party rings"
_CONSULTATION = "the consultation"


@asynccontextmanager
async def _requested(request: Coroutine[Any, Any, int]) -> AsyncIterator[asyncio.Task[int]]:
    """Send a REFER in a task of its own, which ends with the `with` block."""
    task = asyncio.ensure_future(request)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(TelephonyError, asyncio.CancelledError):
            await task


async def _completed(row: LiveRow, transfer: asyncio.Task[int], wanted: int = 200) -> None:
    status = await row.within(asyncio.shield(transfer), "the transfer has no outcome")
    if status != wanted:
        raise StepError(f"the transfer ended with {status}, not {wanted}")


async def _taken_over(row: LiveRow, rung: VoIPCall, who: str) -> None:
    row.advisor = row.voice(who, ADVISOR, rung)
    await row.settle()


def _while_ringing(row: LiveRow, to: TransferParty, ringing: Fate | None) -> Fate:
    """Return what happens to speech while the target rings, by default as the settings say."""
    if ringing is not None:
        return ringing
    ceases = to is not TransferParty.COLLEAGUE and row.site.ceases_at_request
    return Fate.IN_GAP if ceases else Fate.STORED


@dataclass(frozen=True, slots=True)
class BlindTransfer:
    """The advisor sends the caller to a party, which rings and answers.

    `ringing` says what happens to speech meanwhile; None: what `point_of_transfer` says.
    """

    to: TransferParty
    ringing: Fate | None = None

    async def run(self, row: LiveRow) -> None:
        """Transfer."""
        phone, first = self.to.phone(row), row.advisor.call
        async with _requested(first.transfer(phone.extension)) as transfer:
            async with row.site.ringing:
                rung = await row.next_ringing(phone, row.site.plan.caller)
            await row.settle()
            await row.talk(_RINGING, _while_ringing(row, self.to, self.ringing))
            await row.answer_leg(rung)
            await _completed(row, transfer)
        await _taken_over(row, rung, "the new party")


@dataclass(frozen=True, slots=True)
class TransferAtPbx:
    """The advisor asks the PBX to send the caller to the department, which answers."""

    async def run(self, row: LiveRow) -> None:
        """Transfer."""
        phone, first = TransferParty.AT_PBX.phone(row), row.advisor.call
        async with _requested(first.transfer(phone.extension)) as transfer:
            async with row.site.ringing:
                try:
                    rung = await row.next_ringing(phone, row.site.plan.caller, row.extension)
                except StepError:
                    if transfer.done():
                        await _completed(row, transfer)
                    raise
            await row.answer_leg(rung)
            await row.settle()
        await _taken_over(row, rung, "the department")


@dataclass(frozen=True, slots=True)
class NamedByPbx:
    """The page must show that the PBX has named the department, and that the recording has ceased.

    If it does not, the row goes on, so that its verdict also says what was recorded.
    """

    async def run(self, row: LiveRow) -> None:
        """Check it."""
        try:
            await row.shows("ceased")
        except StepError as error:
            shown = await row.shown_extension()
            seen = (
                "the PBX has named nobody after the transfer"
                if shown == row.shown_at
                else f"the PBX has named {shown} after the transfer"
            )
            row.faults.append(f"{seen}, and {error.text} (see docs/operations/pbx.md)")


@dataclass(frozen=True, slots=True)
class HangUpWhileItRings:
    """The advisor sends the caller outside and hangs up before the party answers."""

    async def run(self, row: LiveRow) -> None:
        """Transfer and hang up."""
        phone = TransferParty.OUTSIDE.phone(row)
        rung = await _leave(row, phone)
        await row.answer_leg(rung)
        await _taken_over(row, rung, "the new party")


@dataclass(frozen=True, slots=True)
class BusyTransfer:
    """The advisor sends the caller to a busy party outside, and still has the call."""

    async def run(self, row: LiveRow) -> None:
        """Transfer, and be refused."""
        phone, first = TransferParty.OUTSIDE.phone(row), row.advisor.call
        async with _requested(first.transfer(phone.extension)) as transfer:
            async with row.site.ringing:
                rung = await row.next_ringing(phone, row.site.plan.caller)
            await row.settle()
            await row.talk(_RINGING, _while_ringing(row, TransferParty.OUTSIDE, None))
            await rung.deny(486)
            await _completed(row, transfer, 486)
        await row.shows("recording")
        await row.settle()


@dataclass(frozen=True, slots=True)
class BusyAndRecalled:
    """The advisor sends the caller to a busy party outside, hangs up, and is rung again."""

    async def run(self, row: LiveRow) -> None:
        """Transfer, hang up, and answer the recall."""
        rung = await _leave(row, TransferParty.OUTSIDE.phone(row))
        async with row.site.ringing:
            await rung.deny(486)
            recall = await row.next_ringing(row.phone, row.site.plan.caller)
        await row.answer_leg(recall)
        await row.shows("recording")
        await _taken_over(row, recall, "the advisor")


async def _leave(row: LiveRow, phone: Answerer | OutsidePhone) -> VoIPCall:
    """Send the caller to `phone`, hang up while it rings, and return the leg that rings."""
    first = row.advisor.call
    async with _requested(first.transfer(phone.extension)):
        async with row.site.ringing:
            rung = await row.next_ringing(phone, row.site.plan.caller)
        await row.settle()
        await row.talk(_RINGING, _while_ringing(row, TransferParty.OUTSIDE, None))
        await row.within(first.hangup(), "the advisor cannot hang up")
    await row.shows("ceased")
    await row.settle()
    return rung


@dataclass(frozen=True, slots=True)
class Consult:
    """The advisor holds the caller, consults a party, and then joins both or returns.

    With `pauses`, the record key in the consultation must pause the caller's recording.
    """

    to: TransferParty
    joins: bool = True
    pauses: bool = False

    async def run(self, row: LiveRow) -> None:
        """Consult, then join or return."""
        first = row.advisor.call
        await row.within(first.hold(), "the advisor's phone cannot hold the caller")
        placed, rung = await _consult(row, self.to.phone(row))
        await row.answer_leg(rung)
        await row.within(placed.wait_for(CallState.ANSWERED), "the consultation is not answered")
        asker = row.voice("the advisor, who consults", ADVISOR, placed)
        asked = row.voice("the consulted party", ADVISOR, rung)
        await row.settle()
        await row.talk(_CONSULTATION, Fate.APART, asker, asked)
        if self.pauses:
            status = await press_record(asker, row, "off")
            if status != 200:
                raise StepError(f"the record key cannot pause in a consultation: {status}")
            await row.shows("paused")
        if self.joins:
            async with _requested(first.attended_transfer(placed)) as transfer:
                await _completed(row, transfer)
            row.advisor = asked
        else:
            await row.within(placed.hangup(), "the consultation cannot be ended")
            await row.within(first.resume(), "the advisor's phone cannot end the hold")
        await row.settle()


@dataclass(frozen=True, slots=True)
class JoinWhileItRings:
    """The advisor consults a colleague, and transfers the caller before the colleague answers."""

    async def run(self, row: LiveRow) -> None:
        """Call, then join."""
        first, phone = row.advisor.call, TransferParty.COLLEAGUE.phone(row)
        await row.within(first.hold(), "the advisor's phone cannot hold the caller")
        placed, _ = await _consult(row, phone)
        await row.within(placed.wait_for(CallState.RINGING), "the colleague does not ring")
        async with _requested(first.attended_transfer(placed)) as transfer:
            async with row.site.ringing:
                rung = await row.next_ringing(phone, row.site.plan.caller)
            await row.answer_leg(rung)
            await _completed(row, transfer)
        await _taken_over(row, rung, "the colleague")


async def _consult(row: LiveRow, phone: Answerer | OutsidePhone) -> tuple[VoIPCall, VoIPCall]:
    async with row.site.ringing:
        try:
            placed = row.leg(await row.phone.phone.call(phone.extension))
        except TelephonyError as error:
            raise StepError(f"the consultation cannot be placed: {error}") from None
        return placed, await row.next_ringing(phone, row.extension)


@dataclass(frozen=True, slots=True)
class PickUp:
    """The colleague's phone takes the advisor's place by an INVITE with Replaces."""

    async def run(self, row: LiveRow) -> None:
        """Pick up."""
        phone, first = row.site.colleague, row.advisor.call
        if phone is None:
            raise StepError("there is no colleague's phone")
        headers = [("Replaces", first.replaces)]
        placed = row.leg(await phone.phone.call(row.site.plan.number, headers=headers))
        await row.within(placed.wait_for(CallState.ANSWERED), "the colleague cannot pick up")
        await row.within(first.wait_for(CallState.ENDED), "the advisor's leg has not ended")
        await _taken_over(row, placed, "the colleague")


@dataclass(frozen=True, slots=True)
class SendBack:
    """The party outside transfers the caller back to the advisor."""

    async def run(self, row: LiveRow) -> None:
        """Transfer back."""
        async with _requested(row.advisor.call.transfer(row.extension)) as transfer:
            async with row.site.ringing:
                rung = await row.next_ringing(row.phone, row.site.plan.caller)
            await row.answer_leg(rung)
            await _completed(row, transfer)
        await row.shows("recording")
        await _taken_over(row, rung, "the advisor")


@dataclass(frozen=True, slots=True)
class Shown:
    """The page must show this state of the recording."""

    state: str

    async def run(self, row: LiveRow) -> None:
        """Check it."""
        await row.shows(self.state)
