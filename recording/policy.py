"""The recording policy: it decides which media of a call may be stored. It has no I/O and no clock.

The gate is open while four facts are true: the call is answered, the call is in the centre, no
pause holder pauses the recording for a payment, and the disk stores media. The policy also derives
the state that the page shows, and the segments and gaps, which add up to the talk time.

If several causes keep the gate shut, the gap shows the first of: a transfer out of the centre, a
new party on the advisor's side, the oldest payment pause, a storage fault. When this cause changes,
the gap ends and the next gap begins at the same instant.

`StatusNotifier` reports each change of what the page shows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec

FlagName: TypeAlias = Literal["sensitive", "restricted", "third-party"]
"""The flags of recordings.

- sensitive: the call has special categories of personal data, such as health
- restricted: a person has asked to restrict the processing (UK GDPR, article 18)
- third-party: a third person takes part, such as an interpreter or a relay service
"""


class RecordingState(StrEnum):
    """The state of a call's recording, as the page shows it."""

    NOT_STARTED = "not_started"
    RECORDING = "recording"
    PAUSED = "paused"
    CEASED = "ceased"
    FAULT = "fault"
    ENDED = "ended"


class DestinationClass(StrEnum):
    """The class of a call's destination. A call is recorded only while its class is `CENTRE`.

    `UNKNOWN` is treated like `DEPARTMENT`.
    """

    CENTRE = "centre"
    DEPARTMENT = "department"
    EXTERNAL = "external"
    PAYMENT = "payment"
    UNKNOWN = "unknown"


class GapReason(StrEnum):
    """The reason of a gap, which is a stretch of the call that is not recorded."""

    PAYMENT = "payment"
    TRANSFER = "transfer"
    FAULT = "fault"
    ERASED = "erased"
    CAPTURED_CARD = "captured-card"
    """A card number was keyed outside a pause. The finaliser makes this gap, not the policy."""


class Trigger(StrEnum):
    """The event that made a gap begin. All but `OVERFLOW`, `CRASH` and `TONES` shut the gate."""

    PAGE = "page"
    API = "api"
    PHONE = "phone"
    DTMF = "dtmf"
    REFER = "refer"
    PAGE_TRANSFER = "page-transfer"
    """A transfer that the advisor ordered on the page; `PAGE` is a pause on the page."""
    IDENTITY = "identity"
    ROUTE = "route"
    """The line rings a target that is not in the centre, according to the settings."""
    UNNAMED = "unnamed"
    """The PBX has named only a party other than the party that has answered."""
    STORAGE = "storage"
    OVERFLOW = "overflow"
    CRASH = "crash"
    TONES = "tones"
    """The finaliser found DTMF tones in the audio: a card number, or digits near a pause."""


PAUSE_TRIGGERS = frozenset({Trigger.PAGE, Trigger.API, Trigger.PHONE, Trigger.DTMF})
"""The triggers by which a person or a payment system pauses a call."""
CONFIDENTIAL = frozenset({GapReason.PAYMENT, GapReason.TRANSFER, GapReason.ERASED})
"""The reasons of the gaps from which no packet may remain in a spool."""


@dataclass(frozen=True, slots=True)
class Open:
    """Media that arrives at or after `at` may be stored."""

    at: int


@dataclass(frozen=True, slots=True)
class Shut:
    """No media may be stored from `at` until the next `Open`."""

    at: int


@dataclass(frozen=True, slots=True)
class EraseBackTo:
    """Media that arrived at or after `at` must become unreadable."""

    at: int


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A new segment of the recording begins at `at`."""

    at: int


@dataclass(frozen=True, slots=True)
class GapStarted:
    """A gap begins at `at`, caused by the person or system `actor`."""

    reason: GapReason
    trigger: Trigger
    actor: str
    at: int


@dataclass(frozen=True, slots=True)
class GapEnded:
    """The gap that began most recently ends at `at`."""

    at: int


Output = Open | Shut | EraseBackTo | NewSegment | GapStarted | GapEnded


@dataclass(frozen=True, slots=True)
class ShutCause:
    """A cause that keeps the gate shut, as the gap will show it."""

    reason: GapReason
    trigger: Trigger
    actor: str


class ShutCauses(msgspec.Struct, frozen=True):
    """The causes, except a storage fault, that keep the gate shut.

    The checkpoint of an answered call saves them for the next process. `referral` is a transfer out
    of the centre, and `identity` a new party on the advisor's side.
    """

    pauses: tuple[tuple[str, ShutCause], ...] = msgspec.field(default=(), name="holds")
    """Each pause holder with the cause of its pause; the oldest pause first."""
    referral: ShutCause | None = None
    identity: ShutCause | None = None


_STATE_OF_GAP = {
    GapReason.PAYMENT: RecordingState.PAUSED,
    GapReason.TRANSFER: RecordingState.CEASED,
    GapReason.FAULT: RecordingState.FAULT,
}


class Policy:
    """Decides whether the gate of one call is open.

    Each event has a method, whose outputs the caller must carry out in order. `at` is the time of
    the event in microseconds since the spool's start. If it is before the start of the present
    segment or gap, this start is used instead, so that segments and gaps never overlap.
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
        """True from the answer to the end of the call, while no cause keeps the gate shut."""
        return (
            self._answered
            and not self._ended
            and self._referral is None
            and self._identity is None
            and not self._pauses
            and self._storage is None
        )

    @property
    def is_confidential(self) -> bool:
        """True while a pause, a transfer or a new party on the advisor's side shuts the gate.

        Media that is sent during this time must never be stored, even if it arrives later.
        """
        return bool(self._pauses) or self._referral is not None or self._identity is not None

    @property
    def pause_holders(self) -> tuple[str, ...]:
        """The holders that keep the gate shut for a payment, the oldest pause first."""
        return tuple(self._pauses)

    @property
    def storage_works(self) -> bool:
        """False from `storage_failed` until `storage_recovered`."""
        return self._storage is None

    def answered(self, at: int) -> tuple[Output, ...]:
        """Start recording, unless a cause keeps the gate shut."""
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
        """The causes that `restored` receives after a restart."""
        return ShutCauses(tuple(self._pauses.items()), self._referral, self._identity)

    def restored(self, causes: ShutCauses, at: int) -> tuple[Output, ...]:
        """Continue the recording of a call that was answered before the process restarted."""
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
        """Shut the gate for `holder`, because the caller gives payment details.

        If the gate was open, the stored media since `erase_to` (in µs, like `at`) is erased too,
        but none from before the present segment. The erased time becomes a gap with the reason
        `erased`.
        """
        if self._ended or holder in self._pauses:
            return ()
        self._pauses[holder] = ShutCause(GapReason.PAYMENT, trigger, actor)
        return self._update_gap(at, erase_to=erase_to)

    def resume(self, holder: str, at: int) -> tuple[Output, ...]:
        """End the pause of `holder`. The gate opens unless another cause keeps it shut."""
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
        """Handle a transfer by the advisor's side to a party of the class `destination`.

        With `CENTRE`, a new segment begins if the gate is open. Any other class shuts the gate.
        """
        if self._ended:
            return ()
        if destination is not DestinationClass.CENTRE:
            self._referral = _transfer_cause(destination, trigger, actor)
            return self._update_gap(at)
        if not self.gate_open:
            return ()
        return self._next_segment(at)

    def transfer_failed(self, at: int) -> tuple[Output, ...]:
        """Handle a failed transfer: it no longer keeps the gate shut."""
        if self._ended or self._referral is None:
            return ()
        self._referral = None
        return self._update_gap(at)

    def returned(self, at: int) -> tuple[Output, ...]:
        """Handle the return to the centre: no transfer or new party keeps the gate shut."""
        if self._ended or (self._referral is None and self._identity is None):
            return ()
        self._referral = self._identity = None
        return self._update_gap(at)

    def identity_changed(
        self, actor: str, at: int, *, trigger: Trigger = Trigger.IDENTITY
    ) -> tuple[Output, ...]:
        """Shut the gate, because there is a new party on the advisor's side of the call.

        The gate stays shut at least until `identity_classed` or `returned`, even if the call is
        answered in the meantime.
        """
        if self._ended or self._identity is not None:
            return ()
        self._identity = ShutCause(GapReason.TRANSFER, trigger, actor)
        return self._update_gap(at)

    def identity_classed(self, destination: DestinationClass, at: int) -> tuple[Output, ...]:
        """Handle the class of the new party; with `CENTRE`, it no longer keeps the gate shut."""
        if self._ended or self._identity is None:
            return ()
        if destination is DestinationClass.CENTRE:
            self._identity = None
        else:
            before = self._identity
            self._identity = _transfer_cause(destination, before.trigger, before.actor)
        return self._update_gap(at)

    def storage_failed(
        self, at: int, *, trigger: Trigger = Trigger.STORAGE, actor: str = "system"
    ) -> tuple[Output, ...]:
        """Shut the gate, because media that arrives at or after `at` cannot be stored."""
        if self._ended or self._storage is not None:
            return ()
        self._storage = ShutCause(GapReason.FAULT, trigger, actor)
        return self._update_gap(at)

    def media_lost(self, since: int, until: int) -> tuple[Output, ...]:
        """If the gate is open, make a gap of a time whose media was lost. The gate stays open."""
        since = max(since, self._edge)
        if not self.gate_open or since >= until:
            return ()
        self._edge = until
        fault = ShutCause(GapReason.FAULT, Trigger.OVERFLOW, "system")
        return (_started(fault, since), GapEnded(until), NewSegment(until))

    def storage_recovered(self, at: int) -> tuple[Output, ...]:
        """End the storage fault. The gate opens if no other cause keeps it shut."""
        if self._ended or self._storage is None:
            return ()
        self._storage = None
        return self._update_gap(at)

    def ended(self, at: int) -> tuple[Output, ...]:
        """Shut the gate for ever, and end a gap that has not ended."""
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
        """Return the cause that the gap shows; None if no cause keeps the gate shut."""
        if self._referral is not None:
            return self._referral
        if self._identity is not None:
            return self._identity
        return next(iter(self._pauses.values()), self._storage)

    def _update_gap(self, at: int, *, erase_to: int | None = None) -> tuple[Output, ...]:
        """Begin or end a gap if the answered call's cause has changed. Arguments as for `pause`."""
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


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """The status of a call's recording, as the page shows it."""

    state: RecordingState
    since_us: int
    """When `state` began, in microseconds since the spool's start."""
    pause_holders: tuple[str, ...]
    storage_works: bool


class StatusNotifier:
    """Calls `on_change` each time a recording's status changes; `last` is the present status."""

    def __init__(self, policy: Policy, on_change: Callable[[RecordingStatus], None] | None) -> None:
        self.last = RecordingStatus(RecordingState.NOT_STARTED, 0, (), storage_works=True)
        self._policy = policy
        self._on_change = on_change

    def notify(self, now: Callable[[], int]) -> None:
        """Call `on_change` if the status has changed; `now` gives µs since the spool's start."""
        policy = self._policy
        since = self.last.since_us if policy.state is self.last.state else now()
        status = RecordingStatus(policy.state, since, policy.pause_holders, policy.storage_works)
        if status != self.last:
            self.last = status
            if self._on_change is not None:
                self._on_change(status)

    def close(self) -> None:
        """Call `on_change` no more."""
        self._on_change = None
