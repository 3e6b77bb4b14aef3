"""A row of a matrix: name, needs, steps and expected gaps, as data that reads like a table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from galwad.cli.simulate.matrix.live_row import LiveRow
from galwad.cli.simulate.matrix.site import Need, Site
from galwad.cli.simulate.matrix.voices import Fate
from telephony.phone import CallState


class RowStep(Protocol):
    """One step of a row. It fails by raising a `StepError`."""

    async def run(self, row: LiveRow) -> None:
        """Carry out the step in the row's call."""


class Cause(Protocol):
    """The cause of a gap."""

    @property
    def gap_trigger(self) -> str:
        """The gap's trigger in the manifest, such as `page`."""

    def actor(self, row: LiveRow) -> str:
        """Return the gap's actor in the manifest, such as `phone:201`."""


@dataclass(frozen=True, slots=True)
class ExpectedGap:
    """A gap that the recording must have, apart from what the trigger of a pause erased."""

    reason: str
    trigger: str
    actor: str

    def __str__(self) -> str:
        return f"{self.reason} by {self.trigger} ({self.actor})"


@dataclass(frozen=True, slots=True)
class GapRule:
    """A gap's reason and cause; with `at_request`, only if `point_of_transfer` is "request"."""

    reason: str
    cause: Cause
    at_request: bool = False

    def expected(self, row: LiveRow) -> ExpectedGap | None:
        """Return the gap; None if the settings do not lead to it."""
        if self.at_request and not row.site.ceases_at_request:
            return None
        return ExpectedGap(self.reason, self.cause.gap_trigger, self.cause.actor(row))


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of pause or transfer. `before` are the steps while the call rings.

    A row that acts on all calls of the phone is `alone`. If `segments` is None, any number is
    right.
    """

    name: str
    steps: tuple[RowStep, ...]
    gaps: tuple[GapRule, ...] = ()
    needs: frozenset[Need] = frozenset()
    before: tuple[RowStep, ...] = ()
    alone: bool = False
    segments: int | None = None

    @property
    def at_pbx(self) -> bool:
        """True if the advisor's phone is registered at the PBX, not at Galwad."""
        return Need.PBX in self.needs

    def missing(self, site: Site) -> str:
        """Return what must be configured before the row can be run; "" if it can be run."""
        needs = self.needs if self.at_pbx else self.needs | {Need.ADVISOR}
        return "; ".join(filter(None, (site.missing(need) for need in Need if need in needs)))


class HangUpSide(Enum):
    """A side of a call that can hang up."""

    CALLER = "caller"
    ADVISOR = "advisor"


@dataclass(frozen=True, slots=True)
class Talk:
    """Let all parties speak, with nothing else. `phase` names the stretch in a verdict.

    `longer` adds the time after a pause in which audio of streams that began in it is not stored.
    """

    phase: str
    fate: Fate = Fate.STORED
    longer: bool = False

    async def run(self, row: LiveRow) -> None:
        """Speak."""
        if self.longer:
            await row.settle(row.site.settings.recording.quarantine)
        await row.talk(self.phase, self.fate)


@dataclass(frozen=True, slots=True)
class HangUp:
    """One side hangs up, and the other sees it."""

    side: HangUpSide

    async def run(self, row: LiveRow) -> None:
        """Hang up."""
        ends = (row.caller, row.advisor)
        first, second = ends if self.side is HangUpSide.CALLER else ends[::-1]
        await row.within(first.call.hangup(), f"the {self.side.value} cannot hang up")
        await row.within(
            second.call.wait_for(CallState.ENDED), "the other side did not see the hang-up"
        )
