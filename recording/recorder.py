"""One call's recorder: the policy, the gate it moves, and the spool behind the gate."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from recording.policy import DestinationClass, RecordingState, Trigger
from recording.spool_records import Clock, Field
from recording.spool_sync import SpoolSync
from recording.spool_writer import SpoolWriter

Tap = Callable[[int, bytes, float, bool], None]
"""`tap(track, data, arrival_mono, is_event)`: what the relay calls for each packet."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the page is told."""

    state: RecordingState
    since_us: int
    """When this state began."""
    holders: tuple[str, ...]
    storage_good: bool


@dataclass(slots=True)
class Counters:
    """Packets since the call's start, both tracks."""

    kept: int = 0
    dropped: int = 0


class Recorder:
    """Stores what the policy allows of one call. All methods belong to the loop's thread."""

    def __init__(
        self,
        open_spool: Callable[[], SpoolWriter],
        started: Clock,
        *,
        clock: Callable[[], float] = time.monotonic,
        erase_back_s: float = 0.0,
        on_change: Callable[[Snapshot], None] | None = None,
        sync: SpoolSync | None = None,
    ) -> None:
        """Open the spool. If the disk refuses, the recorder starts in fault and tries again."""

    counters: Counters
    state: RecordingState
    gate_open: bool
    holders: tuple[str, ...]

    def snapshot(self) -> Snapshot:
        """What `on_change` was told last."""
        raise NotImplementedError

    def tap(self, track: int) -> Tap:
        """The relay's callable for one leg. Gate shut: nothing is kept."""
        raise NotImplementedError

    def start(self) -> None:
        """Tick on the running loop until `close`, at a random phase."""

    def tick(self) -> None:
        """Hand the last second to the kernel; after a fault, try the disk again."""

    def event(self, kind: str, fields: Mapping[str, Field]) -> None:
        """Append an event of the caller's own. Kept in memory while the disk refuses."""

    def answered(self, advisor: str, extension: str) -> None:
        """Recording starts."""

    def hold(
        self, holder: str, trigger: Trigger, actor: str, *, arrived_mono: float | None = None
    ) -> None:
        """Shut the gate, now. `arrived_mono`: when the trigger arrived, if that was earlier."""

    async def make_durable(self, timeout_s: float = 0.25) -> bool:
        """Bring the spool to the disk; False when that failed or took longer (gate shut all the same)."""
        raise NotImplementedError

    async def release(self, holder: str, actor: str) -> bool:
        """Let go of one hold: durable first, then the gate opens if no other fact shuts it.

        Returns whether it is durable. A hold that `holder` repeats meanwhile stands.
        """
        raise NotImplementedError

    def referred(
        self,
        destination: DestinationClass,
        actor: str,
        to: str = "",
        *,
        trigger: Trigger = Trigger.REFER,
        arrived_mono: float | None = None,
    ) -> None:
        """The advisor's side sent the call on: it ceases unless `destination` is the centre."""

    def transfer_failed(self) -> None:
        """The transfer came to nothing; the call is back."""

    def returned(self) -> None:
        """The call came back to the centre."""

    def identity_changed(self, actor: str) -> None:
        """The far end became someone else: shut until `identity_classed`."""

    def identity_classed(self, destination: DestinationClass, to: str = "") -> None:
        """Who the far end now is."""

    def storage_fault(self, why: str) -> None:
        """The disk failed; the gate shuts, the call goes on."""

    def ended(self, cause: str) -> None:
        """The call is over: the open gap ends, nothing is stored any more."""

    def close(self) -> None:
        """End the call if need be and close the spool; its path can be given to the finaliser."""
