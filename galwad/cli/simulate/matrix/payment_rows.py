"""The matrix of payments: each trigger, and each order of requests that matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from galwad.cli.simulate.matrix.live_row import LiveRow
from galwad.cli.simulate.matrix.rows import GapRule, HangUp, HangUpSide, Row, Talk
from galwad.cli.simulate.matrix.site import Need
from galwad.cli.simulate.matrix.transfer_steps import BlindTransfer, Referral, TransferParty
from galwad.cli.simulate.matrix.triggers import (
    CODE,
    KEY,
    PAGE,
    PERSON,
    SYSTEM,
    TOKEN,
    TRIGGERS,
    ApiTrigger,
    SimulatedTrigger,
    dial,
    pause_code,
    press_record,
    resume_code,
)
from galwad.cli.simulate.matrix.voices import Fate
from galwad.cli.simulate.steps import StepError

_TEST_CARD: Final = "4111111111111111"
"""A number that card issuers publish for tests."""
_APART_S: Final = 1.5
"""The seconds between the digits and what is said after them, because their edges are silenced."""

# --- the steps --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PauseStep:
    """A trigger pauses, and the page shows it."""

    trigger: SimulatedTrigger

    async def run(self, row: LiveRow) -> None:
        """Pause."""
        await _accepted(await self.trigger.pause(row), f"the {self.trigger.name} cannot pause")
        await row.shows("paused")


@dataclass(frozen=True, slots=True)
class ResumeStep:
    """A trigger releases its own pause. With `still`, another holder keeps the recording paused."""

    trigger: SimulatedTrigger
    still: bool = False

    async def run(self, row: LiveRow) -> None:
        """Resume."""
        await _accepted(await self.trigger.resume(row), f"the {self.trigger.name} cannot resume")
        await _shown_after(row, paused=self.still)


@dataclass(frozen=True, slots=True)
class ReleaseStep:
    """A user or system of the API releases another holder's pause, or may not (403)."""

    by: ApiTrigger
    of: SimulatedTrigger
    refused: bool = False

    async def run(self, row: LiveRow) -> None:
        """Release, or be refused."""
        status = await self.by.release(row, self.of.holder(row))
        if not self.refused:
            await _accepted(status, f"{self.by.name} cannot release the pause of {self.of.name}")
        elif status != 403:
            raise StepError(
                f"{self.by.name} may not release the pause of {self.of.name}, "
                f"but the server answered {status}, not 403"
            )
        await _shown_after(row, paused=self.refused)


@dataclass(frozen=True, slots=True)
class UsedToken:
    """A payment page tries to pause a second time with its token, which is refused (410)."""

    async def run(self, row: LiveRow) -> None:
        """Be refused."""
        status = await TOKEN.pause(row)
        if status != 410:
            raise StepError(f"a used token must be refused with 410, but the answer was {status}")
        await _shown_after(row, paused=False)


@dataclass(frozen=True, slots=True)
class CallerPresses:
    """The caller's phone sends the record key and the code, which must change nothing."""

    wanted: Literal["on", "off"]

    async def run(self, row: LiveRow) -> None:
        """Press the key and dial the code."""
        paused = self.wanted == "on"
        await press_record(row.caller, row, self.wanted)
        code = resume_code(row) if paused else pause_code(row)
        if code:
            await dial(row.caller, row, code)
        await _shown_after(row, paused=paused)


@dataclass(frozen=True, slots=True)
class HoldAndReturn:
    """The advisor's phone holds the caller (SIP hold) and returns."""

    async def run(self, row: LiveRow) -> None:
        """Hold, then return."""
        await row.within(row.advisor.call.hold(), "the advisor's phone cannot hold the caller")
        await row.settle()
        await row.within(row.advisor.call.resume(), "the advisor's phone cannot end the hold")
        await row.settle()


@dataclass(frozen=True, slots=True)
class DigitsKeyed:
    """The caller keys digits as tones outside a pause."""

    digits: str

    async def run(self, row: LiveRow) -> None:
        """Key the digits, and wait until all of them were sent."""
        await row.settle(row.caller.key(self.digits) + _APART_S)


@dataclass(frozen=True, slots=True)
class ToneHunt:
    """The finaliser, as the cause of a gap: it silences digits that were keyed."""

    gap_trigger: str = "tones"

    def actor(self, row: LiveRow) -> str:
        """Return the system."""
        del row
        return "system"


async def _accepted(status: int, otherwise: str) -> None:
    if status != 200:
        raise StepError(f"{otherwise}: {status}")


async def _shown_after(row: LiveRow, *, paused: bool) -> None:
    if paused:
        await row.settle()  # a wrong resume would take effect meanwhile
    await row.shows("paused" if paused else "recording")
    await row.settle()


# --- the matrix -------------------------------------------------------------------------------

_BEFORE: Final = Talk("before the pause")
_PAUSED: Final = Talk("in the pause", Fate.IN_GAP)
_STILL: Final = Talk("in the pause, later", Fate.IN_GAP)
_AFTER: Final = Talk("after the pause")


def _gaps(*triggers: SimulatedTrigger) -> tuple[GapRule, ...]:
    return tuple(GapRule("payment", trigger) for trigger in triggers)


def _needs(*triggers: SimulatedTrigger) -> frozenset[Need]:
    return frozenset().union(*(trigger.needs for trigger in triggers))


def _pause_and_resume(trigger: SimulatedTrigger) -> Row:
    return Row(
        trigger.name,
        (_BEFORE, PauseStep(trigger), _PAUSED, ResumeStep(trigger), _AFTER),
        _gaps(trigger),
        trigger.needs,
        alone=trigger.alone,
        segments=2,
    )


def _repeated(trigger: SimulatedTrigger) -> Row:
    return Row(
        f"repeated pause: {trigger.name}",
        (
            _BEFORE,
            PauseStep(trigger),
            _PAUSED,
            PauseStep(trigger),
            _STILL,
            ResumeStep(trigger),
            _AFTER,
        ),
        _gaps(trigger),
        trigger.needs,
        segments=2,
    )


def _two_holders(first: SimulatedTrigger, second: SimulatedTrigger) -> Row:
    return Row(
        f"two holders: {first.name} and {second.name}",
        (
            *(_BEFORE, PauseStep(first), _PAUSED, PauseStep(second), ResumeStep(first, still=True)),
            *(_STILL, ResumeStep(second), _AFTER),
        ),
        _gaps(first, second),
        _needs(first, second),
        segments=2,
    )


def _may_not(
    name: str, of: SimulatedTrigger, by: SimulatedTrigger, attempt: ResumeStep | ReleaseStep
) -> Row:
    return Row(
        name,
        (_BEFORE, PauseStep(of), attempt, _PAUSED, ResumeStep(of), _AFTER),
        _gaps(of),
        _needs(of, by),
        segments=2,
    )


def _may(name: str, of: SimulatedTrigger, by: ApiTrigger) -> Row:
    return Row(
        name,
        (_BEFORE, PauseStep(of), _PAUSED, ReleaseStep(by, of), _AFTER),
        _gaps(of),
        _needs(of, by),
        segments=2,
    )


def _hang_up(trigger: SimulatedTrigger, side: HangUpSide) -> Row:
    return Row(
        f"{side.value} hangs up in a pause: {trigger.name}",
        (_BEFORE, PauseStep(trigger), _PAUSED, HangUp(side)),
        _gaps(trigger),
        trigger.needs,
        segments=1,
    )


PAYMENTS: Final[tuple[Row, ...]] = (
    *map(_pause_and_resume, TRIGGERS),
    Row(
        "transfer to a payment line",
        (
            _BEFORE,
            BlindTransfer(TransferParty.PAYMENT_LINE, ringing=Fate.IN_GAP),
            Talk("on the payment line", Fate.IN_GAP),
        ),
        (GapRule("payment", Referral()),),
        frozenset({Need.PAYMENT_LINE}),
        segments=1,
    ),
    Row(
        "card number keyed outside a pause",
        (_BEFORE, DigitsKeyed(_TEST_CARD), Talk("after the card number")),
        (GapRule("captured-card", ToneHunt()),),
        frozenset({Need.CARD}),
        segments=2,
    ),
    Row(
        "digits keyed before a pause",
        (
            *(_BEFORE, DigitsKeyed(_TEST_CARD[:8]), PauseStep(KEY), _PAUSED),
            *(ResumeStep(KEY), _AFTER),
        ),
        (GapRule("erased", ToneHunt()), *_gaps(KEY)),
        frozenset({Need.NEAR_PAUSE}),
    ),
    _repeated(PAGE),
    _repeated(SYSTEM),
    _repeated(KEY),
    _repeated(CODE),
    Row(
        "two pauses in one call",
        (
            *(_BEFORE, PauseStep(KEY), _PAUSED, ResumeStep(KEY), Talk("between the pauses")),
            *(PauseStep(KEY), _STILL, ResumeStep(KEY), _AFTER),
        ),
        _gaps(KEY, KEY),
        segments=3,
    ),
    _two_holders(PAGE, KEY),
    _two_holders(SYSTEM, KEY),
    _two_holders(KEY, SYSTEM),
    _may_not(
        "record key may not release a payment system", SYSTEM, KEY, ResumeStep(KEY, still=True)
    ),
    _may_not(
        "payment system may not release a phone",
        KEY,
        SYSTEM,
        ReleaseStep(SYSTEM, KEY, refused=True),
    ),
    _may_not(
        "page may not release a payment system",
        SYSTEM,
        PAGE,
        ReleaseStep(PAGE, SYSTEM, refused=True),
    ),
    _may_not(
        "page may not release a payment page", TOKEN, PAGE, ReleaseStep(PAGE, TOKEN, refused=True)
    ),
    _may("page releases the advisor's phone", KEY, PAGE),
    _may("supervisor releases a payment system", SYSTEM, PERSON),
    _may("supervisor releases a payment page", TOKEN, PERSON),
    Row(
        "used token may not pause again",
        (_BEFORE, PauseStep(TOKEN), _PAUSED, ResumeStep(TOKEN), UsedToken(), _AFTER),
        _gaps(TOKEN),
        TOKEN.needs,
        segments=2,
    ),
    Row(
        "caller's phone may not pause",
        (_BEFORE, CallerPresses("off"), Talk("after the caller's keys")),
        segments=1,
    ),
    Row(
        "caller's phone may not resume",
        (_BEFORE, PauseStep(KEY), CallerPresses("on"), _PAUSED, ResumeStep(KEY), _AFTER),
        _gaps(KEY),
        segments=2,
    ),
    _hang_up(KEY, HangUpSide.CALLER),
    _hang_up(KEY, HangUpSide.ADVISOR),
    _hang_up(SYSTEM, HangUpSide.CALLER),
    _hang_up(SYSTEM, HangUpSide.ADVISOR),
    Row(
        "pause before the answer",
        (_PAUSED, ResumeStep(SYSTEM), Talk("after the pause", longer=True)),
        _gaps(SYSTEM),
        SYSTEM.needs,
        before=(PauseStep(SYSTEM),),
        segments=1,
    ),
    Row(
        "hold in a pause",
        (_BEFORE, PauseStep(KEY), _PAUSED, HoldAndReturn(), _STILL, ResumeStep(KEY), _AFTER),
        _gaps(KEY),
        segments=2,
    ),
)
