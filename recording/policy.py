"""What may be stored, decided from facts alone: no I/O, no clock.

Four independent facts: the gate is open when the call is answered, in the centre, no payment
holder stands and the storage is good. Everything else here is how these facts are shown: a state
for the page, and the call's length divided without remainder into segments and gaps.
"""

from dataclasses import dataclass
from enum import StrEnum


class RecordingState(StrEnum):
    """How the four facts are shown to people."""

    NOT_STARTED = "not_started"
    RECORDING = "recording"
    PAUSED = "paused"
    CEASED = "ceased"
    FAULT = "fault"
    ENDED = "ended"


class DestinationClass(StrEnum):
    """Where a call is sent. Only `CENTRE` keeps recording; `UNKNOWN` counts as `DEPARTMENT`."""

    CENTRE = "centre"
    DEPARTMENT = "department"
    EXTERNAL = "external"
    PAYMENT = "payment"
    UNKNOWN = "unknown"


class GapReason(StrEnum):
    """Why a stretch of the call is silent in its recording."""

    PAYMENT = "payment"
    TRANSFER = "transfer"
    FAULT = "fault"
    ERASED = "erased"


class Trigger(StrEnum):
    """What shut the gate."""

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
    """A stretch of silence begins, with who caused it and how."""

    reason: GapReason
    trigger: Trigger
    actor: str
    at: int


@dataclass(frozen=True, slots=True)
class GapEnded:
    """The gap that was open ends."""

    at: int


Output = Open | Shut | EraseBackTo | NewSegment | GapStarted | GapEnded


class Policy:
    """The gate of one call. `at` is microseconds since the spool's start, everywhere.

    Each input returns what follows from it, in the order in which it must be done.
    """

    @property
    def state(self) -> RecordingState:
        raise NotImplementedError

    @property
    def gate_open(self) -> bool:
        raise NotImplementedError

    @property
    def holders(self) -> tuple[str, ...]:
        raise NotImplementedError

    def answered(self, at: int) -> tuple[Output, ...]:
        raise NotImplementedError

    def hold(
        self, holder: str, trigger: Trigger, actor: str, at: int, *, erase_to: int | None = None
    ) -> tuple[Output, ...]:
        raise NotImplementedError

    def release(self, holder: str, at: int) -> tuple[Output, ...]:
        raise NotImplementedError

    def referred(
        self,
        destination: DestinationClass,
        actor: str,
        at: int,
        *,
        trigger: Trigger = Trigger.REFER,
    ) -> tuple[Output, ...]:
        raise NotImplementedError

    def transfer_failed(self, at: int) -> tuple[Output, ...]:
        raise NotImplementedError

    def returned(self, at: int) -> tuple[Output, ...]:
        raise NotImplementedError

    def identity_changed(self, actor: str, at: int) -> tuple[Output, ...]:
        raise NotImplementedError

    def identity_classed(self, destination: DestinationClass, at: int) -> tuple[Output, ...]:
        raise NotImplementedError

    def storage_fault(self, at: int, *, trigger: Trigger = Trigger.STORAGE) -> tuple[Output, ...]:
        raise NotImplementedError

    def storage_ok(self, at: int) -> tuple[Output, ...]:
        raise NotImplementedError

    def ended(self, at: int) -> tuple[Output, ...]:
        raise NotImplementedError
