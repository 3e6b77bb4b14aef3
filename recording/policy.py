"""Decides from facts what may be stored. There is no I/O and no clock here.

There are four independent facts. The gate is open when the call is answered, the call is in the
centre, no payment holder pauses it, and the storage works. The rest of this module presents these
facts: as a state for the page, and as segments and gaps that add up to the call's length.

When several causes keep the gate shut, the gap carries the first of them in this order: the call is
outside the centre, the oldest payment pause, the storage. When the first cause changes, one gap
ends and the next begins at the same instant, so gaps never overlap.
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec


class RecordingState(StrEnum):
    """The four facts as people see them."""

    NOT_STARTED = "not_started"
    RECORDING = "recording"
    PAUSED = "paused"
    CEASED = "ceased"
    FAULT = "fault"
    ENDED = "ended"


class DestinationClass(StrEnum):
    """The class of a call's destination.

    Only a call in the `CENTRE` is recorded. `UNKNOWN` has the effect of `DEPARTMENT`.
    """

    CENTRE = "centre"
    DEPARTMENT = "department"
    EXTERNAL = "external"
    PAYMENT = "payment"
    UNKNOWN = "unknown"


class GapReason(StrEnum):
    """The reason why a stretch of the call is silent in its recording."""

    PAYMENT = "payment"
    TRANSFER = "transfer"
    FAULT = "fault"
    ERASED = "erased"


class Trigger(StrEnum):
    """The event that shut the gate."""

    PAGE = "page"
    API = "api"
    PHONE = "phone"
    DTMF = "dtmf"
    REFER = "refer"
    IDENTITY = "identity"
    STORAGE = "storage"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class Open:
    """Media that arrives at or after `at` may be stored."""

    at: int


@dataclass(frozen=True, slots=True)
class Shut:
    """Nothing may be stored from now on."""

    at: int


@dataclass(frozen=True, slots=True)
class EraseBackTo:
    """Media that arrived at or after `at` must become unreadable."""

    at: int


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A stretch of recording begins."""

    at: int


@dataclass(frozen=True, slots=True)
class GapStarted:
    """A gap begins, with its reason, its trigger and who caused it."""

    reason: GapReason
    trigger: Trigger
    actor: str
    at: int


@dataclass(frozen=True, slots=True)
class GapEnded:
    """The gap that was open ends."""

    at: int


Output = Open | Shut | EraseBackTo | NewSegment | GapStarted | GapEnded


@dataclass(frozen=True, slots=True)
class ShutCause:
    """A cause that keeps the gate shut, as the gap will show it."""

    reason: GapReason
    trigger: Trigger
    actor: str


class ShutCauses(msgspec.Struct, frozen=True):
    """The causes, apart from storage, that keep an answered call's gate shut.

    They are saved in the checkpoint, so that they outlast the process. None: there is no such
    cause.
    """

    pauses: tuple[tuple[str, ShutCause], ...] = msgspec.field(default=(), name="holds")
    """Payment holders and their causes, the oldest pause first."""
    referral: ShutCause | None = None
    identity: ShutCause | None = None


_STATE_OF_GAP = {
    GapReason.PAYMENT: RecordingState.PAUSED,
    GapReason.TRANSFER: RecordingState.CEASED,
    GapReason.FAULT: RecordingState.FAULT,
}


class Policy:
    """Decides on the gate of one call. `at` is always in microseconds since the spool's start.

    Each input method returns the outputs that follow from it, in the order in which they must be
    carried out. An `at` before the latest edge between segment and gap counts as that edge: no time
    is accounted for twice. Each input has a method, and all act on the same four facts.
    """

    def __init__(self) -> None:
        self._answered = False
        self._ended = False
        self._pauses: dict[str, ShutCause] = {}
        self._referral: ShutCause | None = None
        self._identity: ShutCause | None = None
        self._storage: ShutCause | None = None
        self._gap: ShutCause | None = None
        self._edge = 0

    @property
    def state(self) -> RecordingState:
        """The state that the page shows."""
        if self._ended:
            return RecordingState.ENDED
        if not self._answered:
            return RecordingState.NOT_STARTED
        cause = self._cause()
        return RecordingState.RECORDING if cause is None else _STATE_OF_GAP[cause.reason]

    @property
    def gate_open(self) -> bool:
        """True if media may be stored: the four facts decide, nothing else."""
        return (
            self._answered
            and not self._ended
            and self._referral is None
            and self._identity is None
            and not self._pauses
            and self._storage is None
        )

    @property
    def pause_holders(self) -> tuple[str, ...]:
        """The holders that keep the gate shut for a payment, the oldest pause first."""
        return tuple(self._pauses)

    @property
    def storage_works(self) -> bool:
        """True if stored media reaches the disk."""
        return self._storage is None

    def answered(self, at: int) -> tuple[Output, ...]:
        """Record the answer: recording starts unless a cause keeps the gate shut."""
        if self._answered or self._ended:
            return ()
        self._answered = True
        self._edge = at
        cause = self._gap = self._cause()
        if cause is None:
            return (NewSegment(at), Open(at))
        return (_started(cause, at),)

    @property
    def shut_causes(self) -> ShutCauses:
        """The causes that `restored` needs after a restart."""
        return ShutCauses(tuple(self._pauses.items()), self._referral, self._identity)

    def restored(self, causes: ShutCauses, at: int) -> tuple[Output, ...]:
        """Do as `answered`, for a call that was answered before the process restarted."""
        if self._answered or self._ended:
            return ()
        self._pauses.update(causes.pauses)
        self._referral, self._identity = causes.referral, causes.identity
        return self.answered(at)

    def pause(
        self,
        holder: str,
        trigger: Trigger,
        actor: str,
        at: int,
        *,
        erase_to: int | None = None,
    ) -> tuple[Output, ...]:
        """Shut the gate for `holder`, since payment details are taken. A repeat changes nothing.

        `erase_to` is the offset from which the recording is to become unreadable, at the earliest
        the start of the present segment; None erases nothing earlier than `at`. What is erased
        becomes a gap with the reason `erased`.
        """
        if self._ended or holder in self._pauses:
            return ()
        self._pauses[holder] = ShutCause(GapReason.PAYMENT, trigger, actor)
        return self._update_gap(at, erase_to=erase_to)

    def resume(self, holder: str, at: int) -> tuple[Output, ...]:
        """End the pause of `holder`. An unknown holder changes nothing."""
        if self._ended or self._pauses.pop(holder, None) is None:
            return ()
        return self._update_gap(at)

    def referred(
        self,
        destination: DestinationClass,
        actor: str,
        at: int,
        *,
        trigger: Trigger = Trigger.REFER,
    ) -> tuple[Output, ...]:
        """Record a transfer by the advisor's side. Within the centre, a new segment begins."""
        if self._ended:
            return ()
        if destination is not DestinationClass.CENTRE:
            self._referral = _transfer_cause(destination, trigger, actor)
            return self._update_gap(at)
        if not self.gate_open:
            return ()
        return self._next_segment(at)

    def transfer_failed(self, at: int) -> tuple[Output, ...]:
        """Record that the transfer failed: the call is back where it was."""
        if self._ended or self._referral is None:
            return ()
        self._referral = None
        return self._update_gap(at)

    def returned(self, at: int) -> tuple[Output, ...]:
        """Record that the call is in the centre again, whatever took it away."""
        if self._ended or (self._referral is None and self._identity is None):
            return ()
        self._referral = self._identity = None
        return self._update_gap(at)

    def identity_changed(self, actor: str, at: int) -> tuple[Output, ...]:
        """Shut the gate until `identity_classed`, since the far end is a new party."""
        if self._ended or self._identity is not None:
            return ()
        self._identity = ShutCause(GapReason.TRANSFER, Trigger.IDENTITY, actor)
        return self._update_gap(at)

    def identity_classed(self, destination: DestinationClass, at: int) -> tuple[Output, ...]:
        """Record the destination class of the new far end.

        The class `CENTRE` ends the gap that `identity_changed` began. It never ends a referral.
        """
        if self._ended or self._identity is None:
            return ()
        if destination is DestinationClass.CENTRE:
            self._identity = None
        else:
            self._identity = _transfer_cause(destination, Trigger.IDENTITY, self._identity.actor)
        return self._update_gap(at)

    def storage_failed(
        self, at: int, *, trigger: Trigger = Trigger.STORAGE, actor: str = "system"
    ) -> tuple[Output, ...]:
        """Record that stored media no longer reaches the disk. `at` is where lost media begins."""
        if self._ended or self._storage is not None:
            return ()
        self._storage = ShutCause(GapReason.FAULT, trigger, actor)
        return self._update_gap(at)

    def storage_recovered(self, at: int) -> tuple[Output, ...]:
        """Record that the disk takes writes again."""
        if self._ended or self._storage is None:
            return ()
        self._storage = None
        return self._update_gap(at)

    def ended(self, at: int) -> tuple[Output, ...]:
        """Record that the call is over."""
        if self._ended:
            return ()
        was_open = self.gate_open
        self._ended = True
        self._pauses.clear()
        at = max(at, self._edge)
        self._edge = at
        if was_open:
            return (Shut(at), EraseBackTo(at))
        return (GapEnded(at),) if self._gap is not None else ()

    def _cause(self) -> ShutCause | None:
        """Return the first of the causes that keep the gate shut; None if the gate may open."""
        if self._referral is not None:
            return self._referral
        if self._identity is not None:
            return self._identity
        return next(iter(self._pauses.values()), self._storage)

    def _update_gap(self, at: int, *, erase_to: int | None = None) -> tuple[Output, ...]:
        """Return the outputs that bring the open gap in line with the facts.

        Once the call is answered, the gap changes only here.
        """
        before, cause = self._gap, self._cause()
        if not self._answered or cause == before:
            return ()
        at = max(at, self._edge)
        edge, self._edge, self._gap = self._edge, at, cause
        if cause is None:
            return (GapEnded(at), NewSegment(at), Open(at))
        if before is not None:
            return (GapEnded(at), _started(cause, at))
        back_to = at if erase_to is None else min(at, max(erase_to, edge))
        if back_to == at:
            return (Shut(at), EraseBackTo(at), _started(cause, at))
        erased = ShutCause(GapReason.ERASED, cause.trigger, cause.actor)
        return (
            Shut(at),
            EraseBackTo(back_to),
            _started(erased, back_to),
            GapEnded(at),
            _started(cause, at),
        )

    def _next_segment(self, at: int) -> tuple[Output, ...]:
        self._edge = max(at, self._edge)
        return (NewSegment(self._edge),)


def _transfer_cause(destination: DestinationClass, trigger: Trigger, actor: str) -> ShutCause:
    paying = destination is DestinationClass.PAYMENT
    return ShutCause(GapReason.PAYMENT if paying else GapReason.TRANSFER, trigger, actor)


def _started(cause: ShutCause, at: int) -> GapStarted:
    return GapStarted(cause.reason, cause.trigger, cause.actor, at)
