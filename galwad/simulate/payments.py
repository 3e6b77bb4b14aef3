"""The rows of the payment matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from galwad.simulate.phones import Fate
from galwad.simulate.report import StepError
from galwad.simulate.rows import (
    GapRule,
    HangUp,
    LiveRow,
    Row,
    RowStep,
    Side,
    Talk,
    advisors_phone,
)
from galwad.simulate.site import Need
from galwad.simulate.transfers import BlindTransfer
from galwad.simulate.triggers import (
    CODE,
    KEY,
    PAGE,
    PERSON,
    SYSTEM,
    TOKEN,
    TRIGGERS,
    ApiTrigger,
    OnOff,
    PauseStep,
    ReleaseStep,
    ResumeStep,
    SimulatedTrigger,
    code,
    dial,
    press_record,
    shown_after,
)

_TEST_CARD: Final = "4111111111111111"
"""A number that card issuers publish for tests."""
_APART_S: Final = 1.5
"""The seconds to wait after keyed digits, because the audio just after them is silenced too."""

# --- the steps --------------------------------------------------------------------------------


async def _use_token_again(row: LiveRow) -> None:
    status = await TOKEN.turn(row, "off")
    if status != 410:
        raise StepError(f"a used token must be refused with 410, but the answer was {status}")
    await shown_after(row, paused=False)


@dataclass(frozen=True, slots=True)
class _CallerPresses:
    """The caller's phone asks to pause or resume, which must change nothing."""

    wanted: OnOff

    async def __call__(self, row: LiveRow) -> None:
        paused = self.wanted == "on"
        await press_record(row.caller, row, self.wanted)
        if digits := code(row, self.wanted):
            await dial(row.caller, row, digits)
        await shown_after(row, paused=paused)


async def _hold_and_return(row: LiveRow) -> None:
    await row.within(row.advisor.call.hold(), "the advisor's phone cannot hold the caller")
    await row.settle()
    await row.within(row.advisor.call.resume(), "the advisor's phone cannot end the hold")
    await row.settle()


@dataclass(frozen=True, slots=True)
class _DigitsKeyed:
    """The caller keys digits as tones outside a pause."""

    digits: str

    async def __call__(self, row: LiveRow) -> None:
        await row.settle(row.caller.key(self.digits) + _APART_S)


def _finaliser(row: LiveRow) -> str:
    """Return the actor of a gap that the finaliser causes when it silences keyed digits."""
    del row
    return "system"


# --- the matrix -------------------------------------------------------------------------------

_BEFORE: Final = Talk("before the pause")
_PAUSED: Final = Talk("in the pause", Fate.IN_GAP)
_STILL: Final = Talk("in the pause, later", Fate.IN_GAP)
_AFTER: Final = Talk("after the pause")


def _gaps(*triggers: SimulatedTrigger) -> tuple[GapRule, ...]:
    return tuple(GapRule("payment", each.gap_trigger, each.actor) for each in triggers)


def _paused(
    name: str, trigger: SimulatedTrigger, *inside: RowStep, needs: frozenset[Need] = frozenset()
) -> Row:
    """Return a row in which `trigger` pauses, then the steps `inside` run, then it resumes."""
    return Row(
        name,
        (_BEFORE, PauseStep(trigger), *inside, ResumeStep(trigger), _AFTER),
        _gaps(trigger),
        trigger.needs | needs,
        alone=trigger.alone,
    )


def _repeated(trigger: SimulatedTrigger) -> Row:
    again = PauseStep(trigger)
    return _paused(f"repeated pause: {trigger.name}", trigger, _PAUSED, again, _STILL)


def _two_holders(first: SimulatedTrigger, second: SimulatedTrigger) -> Row:
    return Row(
        f"two holders: {first.name} and {second.name}",
        (
            *(_BEFORE, PauseStep(first), _PAUSED, PauseStep(second), ResumeStep(first, still=True)),
            *(_STILL, ResumeStep(second), _AFTER),
        ),
        _gaps(first, second),
        first.needs | second.needs,
    )


def _may_not(name: str, of: SimulatedTrigger, by: ApiTrigger) -> Row:
    return _paused(name, of, ReleaseStep(by, of, refused=True), _PAUSED, needs=by.needs)


def _may(name: str, of: SimulatedTrigger, by: ApiTrigger) -> Row:
    steps = (_BEFORE, PauseStep(of), _PAUSED, ReleaseStep(by, of), _AFTER)
    return Row(name, steps, _gaps(of), of.needs | by.needs)


def _hang_up(trigger: SimulatedTrigger, side: Side) -> Row:
    return Row(
        f"{side} hangs up in a pause: {trigger.name}",
        (_BEFORE, PauseStep(trigger), _PAUSED, HangUp(side)),
        _gaps(trigger),
        trigger.needs,
        segments=1,
    )


PAYMENTS: Final[tuple[Row, ...]] = (
    *(_paused(trigger.name, trigger, _PAUSED) for trigger in TRIGGERS),
    Row(
        "transfer to a payment line",
        (
            _BEFORE,
            BlindTransfer(Need.PAYMENT_LINE, ringing=Fate.IN_GAP),
            Talk("on the payment line", Fate.IN_GAP),
        ),
        (GapRule("payment", "refer", advisors_phone),),
        frozenset({Need.PAYMENT_LINE}),
        segments=1,
    ),
    Row(
        "card number keyed outside a pause",
        (_BEFORE, _DigitsKeyed(_TEST_CARD), Talk("after the card number")),
        (GapRule("captured-card", "tones", _finaliser),),
        frozenset({Need.CARD}),
    ),
    Row(
        "digits keyed before a pause",
        (
            *(_BEFORE, _DigitsKeyed(_TEST_CARD[:8]), PauseStep(KEY), _PAUSED),
            *(ResumeStep(KEY), _AFTER),
        ),
        (GapRule("erased", "tones", _finaliser), *_gaps(KEY)),
        frozenset({Need.NEAR_PAUSE}),
        segments=None,
    ),
    *map(_repeated, (PAGE, SYSTEM, KEY, CODE)),
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
    _paused(
        "record key may not release a payment system",
        SYSTEM,
        *(ResumeStep(KEY, still=True), _PAUSED),
    ),
    _may_not("payment system may not release a phone", KEY, SYSTEM),
    _may_not("page may not release a payment system", SYSTEM, PAGE),
    _may_not("page may not release a payment page", TOKEN, PAGE),
    _may("page releases the advisor's phone", KEY, PAGE),
    _may("supervisor releases a payment system", SYSTEM, PERSON),
    _may("supervisor releases a payment page", TOKEN, PERSON),
    Row(
        "used token may not pause again",
        (_BEFORE, PauseStep(TOKEN), _PAUSED, ResumeStep(TOKEN), _use_token_again, _AFTER),
        _gaps(TOKEN),
        TOKEN.needs,
    ),
    Row(
        "caller's phone may not pause",
        (_BEFORE, _CallerPresses("off"), Talk("after the caller's keys")),
        segments=1,
    ),
    _paused("caller's phone may not resume", KEY, _CallerPresses("on"), _PAUSED),
    _hang_up(KEY, "caller"),
    _hang_up(KEY, "advisor"),
    _hang_up(SYSTEM, "caller"),
    _hang_up(SYSTEM, "advisor"),
    Row(
        "pause before the answer",
        (_PAUSED, ResumeStep(SYSTEM), Talk("after the pause", longer=True)),
        _gaps(SYSTEM),
        SYSTEM.needs,
        before=(PauseStep(SYSTEM),),
        segments=1,
    ),
    _paused("hold in a pause", KEY, _PAUSED, _hold_and_return, _STILL),
)
