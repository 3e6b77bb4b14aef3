"""An object that takes the place of the recorder in a call that has no recorder.

A call has no recorder before its answer, or if the call is not to be recorded. Even such a call can
be paused for a payment. The pause applies as soon as this call is recorded, or is joined with a
recorded call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from galwad.switch.checkpoint import EarlyPause
from recording.policy import DestinationClass, RecordingState, ShutCauses, Trigger
from recording.recorder import RecordingStatus
from recording.spool import Field


class NoStorage:
    """The storage of a call that stores nothing.

    It never has an error, because nothing is written.
    """

    error: Final[Exception | None] = None


class NoRecorder:
    """Has the methods of `Recorder` that a call uses, but stores no audio.

    Pauses are remembered, so that a later recorder of the call can apply them.
    """

    shut_causes: Final = ShutCauses()
    writer: Final = None
    lateness: Final = None
    tap: Final = None
    storage: Final = NoStorage()

    def __init__(self, on_change: Callable[[], None]) -> None:
        """Start without pauses. `on_change` is called each time `pause` is called."""
        self._on_change = on_change
        self._pauses: dict[str, EarlyPause] = {}

    @property
    def state(self) -> RecordingState:
        """The recording state: `PAUSED` while there is a pause, otherwise `NOT_STARTED`."""
        return RecordingState.PAUSED if self._pauses else RecordingState.NOT_STARTED

    @property
    def pause_holders(self) -> tuple[str, ...]:
        """The pause holders, with the holder of the oldest pause first."""
        return tuple(self._pauses)

    @property
    def pauses(self) -> tuple[EarlyPause, ...]:
        """The pauses, with the oldest pause first."""
        return tuple(self._pauses.values())

    def clear(self) -> None:
        """Forget all pauses, because a recorder now has them."""
        self._pauses.clear()

    def status(self) -> RecordingStatus:
        """Return the recording state and the pause holders.

        The time at which the state began is 0 in the result, because this time is not known.
        """
        return RecordingStatus(self.state, 0, self.pause_holders, storage_works=True)

    def pause(
        self,
        holder: str,
        trigger: Trigger,
        actor: str,
        *,
        arrived_mono: float | None = None,
        begun_mono: float | None = None,
    ) -> None:
        """Remember a pause of `holder`. If this holder already has a pause, change nothing.

        The arguments `arrived_mono` and `begun_mono` are not used.
        """
        del arrived_mono, begun_mono
        self._pauses.setdefault(holder, EarlyPause(holder, trigger, actor))
        self._on_change()

    async def make_durable(self) -> bool:
        """Return True, because there is nothing to write to the disk."""
        return True

    async def resume(self, holder: str, actor: str) -> bool:
        """Remove the pause of this holder.

        Return True, which means that nothing remains to be written to the disk.
        """
        del actor
        self._pauses.pop(holder, None)
        return True

    def referred(
        self,
        destination: DestinationClass,
        actor: str,
        to: str = "",
        *,
        trigger: Trigger = Trigger.REFER,
        arrived_mono: float | None = None,
    ) -> None:
        """Do nothing, because a transfer has no effect on a call that stores no audio."""

    def transfer_failed(self, *, arrived_mono: float | None = None) -> None:
        """Do nothing, because a failed transfer has no effect on a call that stores no audio."""

    def returned(self, *, arrived_mono: float | None = None) -> None:
        """Do nothing when the call is back in the centre, because no audio is stored."""

    def identity_changed(
        self,
        actor: str,
        *,
        trigger: Trigger = Trigger.IDENTITY,
        arrived_mono: float | None = None,
    ) -> None:
        """Do nothing when a PBX names a new party, because no audio is stored."""

    def identity_classed(
        self, destination: DestinationClass, *, arrived_mono: float | None = None
    ) -> None:
        """Do nothing when the class of a new party becomes known, because no audio is stored."""

    def event(
        self, kind: str, fields: Mapping[str, Field], *, arrived_mono: float | None = None
    ) -> None:
        """Do nothing with an event, because there is no spool for it."""

    def tick(self) -> None:
        """Do nothing, because no audio waits to be written."""

    def media(self, track: int, payloads: Mapping[int, tuple[str, int, int, str]]) -> None:
        """Do nothing with the codecs of a track, because no audio is stored."""

    def attached(self, track: int, heard_mono: float | None = None) -> None:
        """Do nothing when another leg is recorded on a track, because no audio is stored."""

    def media_lost(self, track: int, count: int, since_mono: float, until_mono: float) -> None:
        """Do nothing when the kernel has dropped packets, because no audio is stored."""

    def media_reported(
        self, track: int, data: bytes | bytearray | memoryview, arrival_mono: float
    ) -> None:
        """Do nothing with RTCP from a party, because no audio is stored."""

    def close(self, cause: str = "", *, arrived_mono: float | None = None) -> None:
        """Forget `on_change`, because the call has ended. There is no spool to close.

        The arguments are not used.
        """
        del cause, arrived_mono
        self._on_change = _ignore

    discard = close


def _ignore() -> None:
    """Do nothing after a change in a call that has ended."""
