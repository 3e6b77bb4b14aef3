"""Pauses that an advisor requests in a call that the advisor's own phone has made.

Such a call is usually a consultation: the advisor holds the citizen's call and rings a colleague.
In this call, the advisor is the caller. A dialled code or the record key then pauses this call and
the calls that the phone holds meanwhile. So a pause that is requested in the consultation is in
force whether the calls are joined, or the advisor returns to the citizen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from galwad.switch.recording import CallRecording
from recording.policy import Trigger


class ConsultationRecordings:
    """The recordings that a phone pauses and resumes in a call that it has made.

    They are the recording of this call, and those of the calls that the phone holds at present.
    """

    def __init__(self, own: CallRecording, held: Callable[[], Iterable[CallRecording]]) -> None:
        """`own` is the recording of the phone's call. `held` returns those of the held calls."""
        self._own = own
        self._held = held

    def _all(self) -> list[CallRecording]:
        return [self._own, *self._held()]

    def shut(
        self,
        holder: str,
        trigger: Trigger,
        actor: str,
        arrived_mono: float | None = None,
        begun_mono: float | None = None,
    ) -> None:
        """Shut the gates of all these recordings for `holder`, without waiting for the disk.

        The parameters are those of `CallRecording.shut`.
        """
        for recording in self._all():
            recording.shut(holder, trigger, actor, arrived_mono, begun_mono)

    async def make_durable(self) -> bool:
        """Return whether the disk has confirmed the pauses of all these recordings in 250 ms."""
        return all(await asyncio.gather(*(each.make_durable() for each in self._all())))

    async def resume(self, holder: str, actor: str) -> bool:
        """Remove `holder` from all these recordings; return whether the disk has confirmed it."""
        done = (each.resume(holder, actor) for each in self._all())
        return all(await asyncio.gather(*done))
