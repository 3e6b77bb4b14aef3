"""The counts of a call's packets: received, stored, and not stored for a reason.

The relay counts what it received, the gate what it dropped, and the spool's writer what it wrote,
independently. The event `packets` has all of them, so a reader of the spool can compare them. A
list of counts has two entries: the caller's and the advisor's track.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from recording.spool.format import Field

CHANNELS = ("caller", "advisor")
"""The parties, in the order of their tracks."""
TRACKS = len(CHANNELS)
UNANSWERED = "unanswered"
"""The reason of packets that are dropped because they are from before the answer."""
ENDED = "ended"
"""The reason of packets that are dropped because they are from after the end of the call."""
LATE = "late"
"""The reason of packets whose audio may be from a payment or transfer that is over."""
FAULT = "fault"
"""The reason of packets that the disk did not accept. It is also a gap's reason."""
ERASED = "erased"
"""The reason of packets that were stored, and later erased by a pause or another trigger."""


def no_packets() -> list[int]:
    """Return the count 0 for each track."""
    return [0] * TRACKS


class Arrivals(NamedTuple):
    """The packets of one party since the relay first gave packets of this party to the recorder.

    `received` are valid RTP packets, `refused` are from a wrong sender or fail SRTP authentication,
    and `unwanted` arrived while the peer was not allowed to send.
    """

    received: int = 0
    refused: int = 0
    unwanted: int = 0

    def __sub__(self, other: Arrivals) -> Arrivals:
        return Arrivals(*(now - then for now, then in zip(self, other, strict=True)))

    def plus(self, other: Arrivals) -> Arrivals:
        """Return the sum of each of the three counts."""
        return Arrivals(*(one + two for one, two in zip(self, other, strict=True)))


@dataclass(slots=True, eq=False)
class DropCounts:
    """The packets that the gate dropped, for each track.

    `shut` packets arrived while the gate was shut. `early` packets arrived before the gate opened,
    and were read after it. `late` packets may have the audio of a payment or transfer that is over.
    `failed` packets could not be given to a spool. `late_us` is the longest time in µs from the end
    of a payment or transfer to the arrival of a `late` packet, since the previous event `packets`.
    """

    shut: list[int] = field(default_factory=no_packets)
    early: list[int] = field(default_factory=no_packets)
    late: list[int] = field(default_factory=no_packets)
    failed: list[int] = field(default_factory=no_packets)
    late_us: list[int] = field(default_factory=no_packets)


@dataclass(slots=True, eq=False)
class WrittenCounts:
    """The packets given to the writers of a call's spools, for each track.

    `written` packets are not erased. `failed` packets are lost: their frame could not be written.
    """

    written: list[int] = field(default_factory=no_packets)
    erased: list[int] = field(default_factory=no_packets)
    failed: list[int] = field(default_factory=no_packets)


def add_to(counts: list[int], more: Iterable[int], sign: int = 1) -> None:
    """Add the counts `more` to `counts`; subtract them if `sign` is -1."""
    for track, count in enumerate(more):
        counts[track] += sign * count


class PacketCounts:
    """Makes the fields of the event `packets`: the counts since the previous such event.

    `arrivals` returns the relay's counts of a track; None if there is no relay. `reason` is the
    reason of the present gap, `UNANSWERED` before the first gap or segment, and otherwise "".
    `is_between` is True while there is neither a gap nor a segment.
    """

    def __init__(self, drops: DropCounts) -> None:
        self.arrivals: Callable[[int], Arrivals] | None = None
        self.reason = UNANSWERED
        self.is_between = True
        self._drops = drops
        self._gap_reason = UNANSWERED
        """The reason of the present or most recent gap."""
        self._arrived = [Arrivals() for _ in range(TRACKS)]
        self._before: list[dict[str, int]] = [{} for _ in range(TRACKS)]

    def enter(self, reason: str) -> None:
        """Note that a gap with this reason begins, or a segment if `reason` is ""."""
        self.reason = reason
        self.is_between = False
        self._gap_reason = reason or self._gap_reason

    def leave(self) -> None:
        """Note that a gap ends. Another gap or a segment begins at once, or the call ends."""
        self.reason = ""
        self.is_between = True

    def take(
        self, written: WrittenCounts, pending: list[int], reason: str
    ) -> list[dict[str, Field]]:
        """Return the counts of each track since the previous `take`.

        `pending` are packets that a writer has not written yet. `reason` is the reason of packets
        that were dropped in a segment, because the gate is shut a moment before the next gap
        begins.
        """
        return [self._track(each, written, pending, reason) for each in range(TRACKS)]

    def _track(
        self, track: int, written: WrittenCounts, pending: list[int], reason: str
    ) -> dict[str, Field]:
        drops = self._drops
        now = {
            "stored": written.written[track] + pending[track],
            "erased": written.erased[track],
            "failed": written.failed[track] + drops.failed[track],
            "shut": drops.shut[track],
            "early": drops.early[track],
            "late": drops.late[track],
        }
        before, self._before[track] = self._before[track], now
        new = {name: count - before.get(name, 0) for name, count in now.items()}
        if new["stored"] < 0:
            # Packets were lost that the previous event counts as stored. They count only there.
            new["failed"] += new["stored"]
            new["stored"] = 0
        dropped: dict[str, int] = {}
        for why, count in (
            (self.reason or reason, new["shut"]),
            (self._gap_reason, new["early"]),
            (LATE, new["late"]),
            (FAULT, new["failed"]),
            (ERASED, new["erased"]),
        ):
            if count:
                dropped[why] = dropped.get(why, 0) + count
        fields: dict[str, Field] = {"stored": new["stored"]}
        fields["dropped"] = dropped
        fields["late_us"], drops.late_us[track] = drops.late_us[track], 0
        if self.arrivals is not None:
            arrived = self.arrivals(track)
            fields |= (arrived - self._arrived[track])._asdict()
            self._arrived[track] = arrived
        return fields
