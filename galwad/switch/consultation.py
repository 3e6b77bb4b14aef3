"""Pauses that an advisor requests in a call that the advisor's own phone has made.

Such a call is usually a consultation: the advisor holds the citizen's call and rings a colleague.
In this call, the advisor is the caller. A dialled code or the record key then pauses this call and
the calls that the phone holds meanwhile. So a pause that is requested in the consultation is in
force whether the calls are joined, or the advisor returns to the citizen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from galwad.switch.pbx_joins import JoinableCall, JoinState
from galwad.switch.recording import CallRecording
from recording.policy import Trigger
from telephony.b2bua.events import Side


@dataclass(frozen=True, slots=True)
class CallersPhone:
    """The phone that has made a call, as the party that pauses with it."""

    extension: str

    @property
    def actor(self) -> str:
        """The phone, in the form in which the manifest names an actor."""
        return f"phone:{self.extension}"


@dataclass(frozen=True, slots=True)
class HeldCalls:
    """The calls that a phone holds as their advisor while it makes another call."""

    extension: str
    """The extension of the phone; "" if a trunk brought its call."""
    join_state: JoinState
    """The joins of the phone's call."""
    live_calls: Callable[[], Iterable[JoinableCall]]
    """A function that returns all live calls."""

    def recordings(self) -> Iterator[CallRecording]:
        """Yield the recordings of these calls.

        A PBX does not report that its phone holds, so the call of the consulting advisor counts.
        """
        for other in self.live_calls():
            if other.call_id == self.join_state.consults and not self.join_state.kept_by:
                yield other.recording
        for other in self.live_calls():
            advisor = other.advisor_side.advisor
            holds = Side.CALLEE in other.legs.holding
            if advisor is not None and holds and advisor.extension == self.extension != "":
                yield other.recording


class ConsultationRecordings:
    """The recordings that a phone pauses and resumes in a call that it has made.

    They are the recording of this call, and those of the calls that the phone holds at present.
    """

    def __init__(self, own: CallRecording, held: HeldCalls) -> None:
        """`own` is the recording of the phone's call, and `held` are the calls that it holds."""
        self._own = own
        self._held = held

    def _all(self) -> list[CallRecording]:
        return [self._own, *self._held.recordings()]

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

    def triggered(
        self,
        trigger: Trigger,
        actor: str,
        arrived_mono: float | None = None,
        begun_mono: float | None = None,
    ) -> None:
        """Record in all these recordings that a request to pause arrived."""
        for recording in self._all():
            recording.triggered(trigger, actor, arrived_mono, begun_mono)

    async def make_durable(self) -> bool:
        """Return whether the disk has confirmed the pauses of all these recordings in 250 ms."""
        return all(await asyncio.gather(*(each.make_durable() for each in self._all())))

    async def resume(self, holder: str, actor: str) -> bool:
        """Remove `holder` from all these recordings; return whether the disk has confirmed it."""
        done = (each.resume(holder, actor) for each in self._all())
        return all(await asyncio.gather(*done))
