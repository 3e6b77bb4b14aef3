"""The stand-in for the recorder of a call that has none.

A call has no recorder before its answer, nor if it is not to be recorded. It can be paused all the
same: such a pause is in force as soon as the call, or the call that it joins, is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from galwad.switch.checkpoint import EarlyPause
from recording.policy import DestinationClass, RecordingState, ShutCauses, Trigger
from recording.recorder import RecordingStatus
from recording.spool import Field


class NoStorage:
    """The storage of a call that stores nothing, and so cannot fail."""

    error: Final[Exception | None] = None


class NoRecorder:
    """Has the methods of `Recorder` that a call uses; it keeps the pauses and stores nothing."""

    shut_causes: Final = ShutCauses()
    writer: Final = None
    tap: Final = None
    storage: Final = NoStorage()

    def __init__(self, on_change: Callable[[], None]) -> None:
        """Start without pauses; `on_change` is called at each pause."""
        self._on_change = on_change
        self._pauses: dict[str, EarlyPause] = {}

    @property
    def state(self) -> RecordingState:
        """Paused while there is a pause, otherwise not started."""
        return RecordingState.PAUSED if self._pauses else RecordingState.NOT_STARTED

    @property
    def pause_holders(self) -> tuple[str, ...]:
        """The pause holders, the oldest first."""
        return tuple(self._pauses)

    @property
    def pauses(self) -> tuple[EarlyPause, ...]:
        """The pauses, the oldest first."""
        return tuple(self._pauses.values())

    def clear(self) -> None:
        """Forget the pauses, because a recorder has them now."""
        self._pauses.clear()

    def status(self) -> RecordingStatus:
        """Return the state; it began at no known time."""
        return RecordingStatus(self.state, 0, self.pause_holders, storage_works=True)

    def pause(
        self, holder: str, trigger: Trigger, actor: str, *, arrived_mono: float | None = None
    ) -> None:
        """Keep a pause; a repeat changes nothing. When it arrived does not matter here."""
        del arrived_mono
        self._pauses.setdefault(holder, EarlyPause(holder, trigger, actor))
        self._on_change()

    async def make_durable(self) -> bool:
        """Return True: there is nothing to write."""
        return True

    async def resume(self, holder: str, actor: str) -> bool:
        """Forget the pause of this holder; return True, as there is nothing to write."""
        del actor
        self._pauses.pop(holder, None)
        return True

    def referred(self, destination: DestinationClass, actor: str, to: str = "") -> None:
        """Ignore a transfer."""

    def transfer_failed(self) -> None:
        """Ignore the failure of a transfer."""

    def returned(self) -> None:
        """Ignore the return of the call to the centre."""

    def identity_changed(self, actor: str) -> None:
        """Ignore a new party."""

    def identity_classed(self, destination: DestinationClass) -> None:
        """Ignore the class of a new party."""

    def event(self, kind: str, fields: Mapping[str, Field]) -> None:
        """Ignore an event."""

    def tick(self) -> None:
        """Do nothing: no audio has gathered."""

    def ended(self, cause: str) -> None:
        """Ignore the end of the call."""

    def close(self) -> None:
        """Do nothing: no spool is open."""
