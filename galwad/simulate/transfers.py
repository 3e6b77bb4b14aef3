"""The rows of the transfer matrix: transfers by phones, and by a PBX."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from galwad.simulate.phones import ADVISOR, Fate
from galwad.simulate.report import StepError
from galwad.simulate.rows import GapRule, LiveRow, Row, RowStep, Talk, advisors_phone
from galwad.simulate.site import Need
from galwad.simulate.triggers import KEY, PERSON, PauseStep, ReleaseStep, press_record
from telephony.errors import TelephonyError
from telephony.phone import CallState, VoIPCall

# --- the steps --------------------------------------------------------------------------------


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


@asynccontextmanager
async def _sent_to(
    row: LiveRow, to: Need, ringing: Fate | None = None
) -> AsyncIterator[tuple[VoIPCall, asyncio.Task[int]]]:
    """Send the caller to a party; yield the ringing leg, and the task of the REFER.

    `ringing` is the fate of speech while the party rings. If None, `point_of_transfer` decides.
    """
    if ringing is None:
        ceases = to is not Need.COLLEAGUE and row.site.ceases_at_request
        ringing = Fate.IN_GAP if ceases else Fate.STORED
    phone = row.site.phones[to]
    async with _requested(row.advisor.call.transfer(phone.extension)) as transfer:
        async with row.site.ringing:
            rung = await row.next_ringing(phone)
        await row.settle()
        await row.talk("while the other party rings", ringing)
        yield rung, transfer


@dataclass(frozen=True, slots=True)
class BlindTransfer:
    """The advisor sends the caller to a party, who rings and answers. `ringing`: see `_sent_to`."""

    to: Need
    ringing: Fate | None = None

    async def __call__(self, row: LiveRow) -> None:
        """Transfer."""
        async with _sent_to(row, self.to, self.ringing) as (rung, transfer):
            await row.answer_leg(rung)
            await _completed(row, transfer)
        await _taken_over(row, rung, "the new party")


async def _transfer_at_pbx(row: LiveRow) -> None:
    """Let the PBX send the caller to the department, which answers."""
    phone, first = row.site.phones[Need.PBX], row.advisor.call
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


async def _named_by_pbx(row: LiveRow) -> None:
    """Check that the recording has ceased because the PBX has named the department.

    If not, add a fault and go on, so that the verdict also says what was recorded.
    """
    try:
        await row.shows("ceased")
    except StepError as error:
        shown = await row.shown("extension")
        seen = (
            "the PBX has named no one after the transfer"
            if shown == row.shown_at
            else f"the PBX has named {shown} after the transfer"
        )
        row.faults.append(f"{seen}, and {error.message} (see docs/operations/pbx.md)")


async def _hang_up_while_it_rings(row: LiveRow) -> None:
    rung = await _leave(row)
    await row.answer_leg(rung)
    await _taken_over(row, rung, "the new party")


async def _busy_transfer(row: LiveRow) -> None:
    async with _sent_to(row, Need.OUTSIDE) as (rung, transfer):
        await rung.deny(486)
        await _completed(row, transfer, 486)
    await row.shows("recording")
    await row.settle()


async def _busy_and_recalled(row: LiveRow) -> None:
    """Send the caller to a busy party outside, and hang up. The advisor is rung again."""
    rung = await _leave(row)
    async with row.site.ringing:
        await rung.deny(486)
        recall = await row.next_ringing(row.phone)
    await row.answer_leg(recall)
    await row.shows("recording")
    await _taken_over(row, recall, "the advisor")


async def _leave(row: LiveRow) -> VoIPCall:
    """Send the caller outside, hang up while it rings there, and return the leg that rings."""
    first = row.advisor.call
    async with _sent_to(row, Need.OUTSIDE) as (rung, _):
        await row.within(first.hangup(), "the advisor cannot hang up")
    await row.shows("ceased")
    await row.settle()
    return rung


@dataclass(frozen=True, slots=True)
class Consult:
    """The advisor holds the caller and consults a party. Then the advisor joins both or returns.

    With `pauses`, the record key in the consultation must pause the caller's recording.
    """

    to: Need
    joins: bool = True
    pauses: bool = False

    async def __call__(self, row: LiveRow) -> None:
        """Consult, then join or return."""
        first = row.advisor.call
        placed, rung = await _consult(row, self.to)
        await row.answer_leg(rung)
        await row.within(placed.wait_for(CallState.ANSWERED), "the consultation is not answered")
        asker = row.voice("the advisor, who consults", ADVISOR, placed)
        asked = row.voice("the consulted party", ADVISOR, rung)
        await row.settle()
        await row.talk("the consultation", Fate.APART, asker, asked)
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


async def _join_while_it_rings(row: LiveRow) -> None:
    """Consult a colleague, and transfer the caller before the colleague answers."""
    first, phone = row.advisor.call, row.site.phones[Need.COLLEAGUE]
    placed, _ = await _consult(row, Need.COLLEAGUE)
    await row.within(placed.wait_for(CallState.RINGING), "the colleague does not ring")
    async with _requested(first.attended_transfer(placed)) as transfer:
        async with row.site.ringing:
            rung = await row.next_ringing(phone)
        await row.answer_leg(rung)
        await _completed(row, transfer)
    await _taken_over(row, rung, "the colleague")


async def _consult(row: LiveRow, party: Need) -> tuple[VoIPCall, VoIPCall]:
    """Hold the caller and call a party; return the advisor's leg and the ringing leg."""
    phone = row.site.phones[party]
    await row.within(row.advisor.call.hold(), "the advisor's phone cannot hold the caller")
    async with row.site.ringing:
        try:
            placed = row.leg(await row.phone.phone.call(phone.extension))
        except TelephonyError as error:
            raise StepError(f"the consultation cannot be placed: {error}") from None
        return placed, await row.next_ringing(phone, row.extension)


async def _pick_up(row: LiveRow) -> None:
    """Let the colleague's phone take the advisor's place by an INVITE with Replaces."""
    phone, first = row.site.phones[Need.COLLEAGUE], row.advisor.call
    headers = [("Replaces", first.replaces)]
    placed = row.leg(await phone.phone.call(row.site.plan.number, headers=headers))
    await row.within(placed.wait_for(CallState.ANSWERED), "the colleague cannot pick up")
    await row.within(first.wait_for(CallState.ENDED), "the advisor's leg has not ended")
    await _taken_over(row, placed, "the colleague")


async def _send_back(row: LiveRow) -> None:
    """Let the party outside transfer the caller back to the advisor."""
    async with _requested(row.advisor.call.transfer(row.extension)) as transfer:
        async with row.site.ringing:
            rung = await row.next_ringing(row.phone)
        await row.answer_leg(rung)
        await _completed(row, transfer)
    await row.shows("recording")
    await _taken_over(row, rung, "the advisor")


@dataclass(frozen=True, slots=True)
class Shown:
    """The API must show this state of the recording."""

    state: str

    async def __call__(self, row: LiveRow) -> None:
        """Check it."""
        await row.shows(self.state)


def _party_before(row: LiveRow) -> str:
    """Return the actor of a gap that began when the PBX named another party."""
    return f"phone:{row.shown_at}"


# --- the matrix -------------------------------------------------------------------------------

_BEFORE: Final = Talk("before the transfer")
_INSIDE: Final = Talk("after the transfer")
_OUTSIDE: Final = Talk("after the transfer", Fate.IN_GAP)
_RETURNED: Final = Talk("after the return", longer=True)
_PAUSED: Final = Talk("in the pause", Fate.IN_GAP)
_PAUSE: Final = GapRule("payment", KEY.gap_trigger, KEY.actor)
_CEASED: Final = GapRule("transfer", "refer", advisors_phone)
_COLLEAGUE: Final = frozenset({Need.COLLEAGUE})
_AWAY: Final = frozenset({Need.OUTSIDE})
_NAMED: Final = GapRule("transfer", "identity", _party_before)


def _inside(name: str, step: RowStep) -> Row:
    """Return a row whose step brings the caller to a colleague: the recording goes on."""
    return Row(name, (_BEFORE, step, Shown("recording"), _INSIDE), needs=_COLLEAGUE)


def _outside(name: str, *steps: RowStep) -> Row:
    """Return a row whose steps bring the caller out of the centre: the recording ceases."""
    return Row(name, (_BEFORE, *steps, _OUTSIDE), (_CEASED,), _AWAY, segments=1)


def _by_pbx(name: str, step: RowStep) -> Row:
    steps = (_BEFORE, step, _named_by_pbx, _OUTSIDE)
    return Row(name, steps, (_NAMED,), frozenset({Need.PBX}), segments=1)


TRANSFERS: Final[tuple[Row, ...]] = (
    _inside("blind, to a colleague", BlindTransfer(Need.COLLEAGUE)),
    _outside("blind, outside", BlindTransfer(Need.OUTSIDE), Shown("ceased")),
    _outside("blind, outside, the advisor hangs up while it rings", _hang_up_while_it_rings),
    _inside("attended, to a colleague", Consult(Need.COLLEAGUE)),
    _outside("attended, outside", Consult(Need.OUTSIDE), Shown("ceased")),
    _inside("attended, while the colleague still rings", _join_while_it_rings),
    Row(
        "consultation, then back to the caller",
        (_BEFORE, Consult(Need.COLLEAGUE, joins=False), Talk("after the consultation")),
        needs=_COLLEAGUE,
        segments=1,
    ),
    _inside("pick-up by a colleague, with Replaces", _pick_up),
    Row(
        "failed, the advisor still there",
        (_BEFORE, _busy_transfer, Talk("after the failure")),
        (GapRule("transfer", "refer", advisors_phone, at_request=True),),
        _AWAY,
        segments=None,
    ),
    Row(
        "failed, the advisor rung again",
        (_BEFORE, _busy_and_recalled, _RETURNED),
        (_CEASED,),
        _AWAY,
    ),
    Row(
        "return from outside",
        (_BEFORE, Consult(Need.OUTSIDE), _OUTSIDE, _send_back, _RETURNED),
        (_CEASED,),
        _AWAY,
    ),
    Row(
        "to a colleague, in a pause",
        (
            *(_BEFORE, PauseStep(KEY), _PAUSED),
            BlindTransfer(Need.COLLEAGUE, ringing=Fate.IN_GAP),
            Shown("paused"),
            Talk("with the colleague, in the pause", Fate.IN_GAP),
            ReleaseStep(PERSON, KEY),
            Talk("after the pause", longer=True),
        ),
        (_PAUSE,),
        _COLLEAGUE,
    ),
    Row(
        "attended, with a pause in the consultation",
        (
            *(_BEFORE, Consult(Need.COLLEAGUE, pauses=True), Shown("paused")),
            Talk("with the colleague, in the pause", Fate.IN_GAP),
            *(ReleaseStep(PERSON, KEY), Talk("after the pause", longer=True)),
        ),
        (_PAUSE,),
        _COLLEAGUE,
    ),
    Row(
        "outside, in a pause",
        (
            *(_BEFORE, PauseStep(KEY), _PAUSED),
            BlindTransfer(Need.OUTSIDE, ringing=Fate.IN_GAP),
            *(Shown("ceased"), _OUTSIDE),
        ),
        (_PAUSE, _CEASED),
        _AWAY,
        segments=1,
    ),
    _by_pbx("blind, by the PBX, to a department", _transfer_at_pbx),
    _by_pbx("attended, by the PBX, to a department", Consult(Need.PBX)),
)
