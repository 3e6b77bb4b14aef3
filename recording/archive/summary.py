"""The summary of a recording: the facts that the index stores and that users search.

It is made from the manifest and the personal facts in the spools. The message from the finaliser to
the desk, the row in the index and the API's response have the fields of `RecordingSummary`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from recording.archive.manifest import Gap, TrackFacts

MOST_LATER_CALLERS = 100
"""Callers after these are not stored."""
MOST_LATER_ADVISORS = 100
"""Advisors after these are not stored."""


class PartyNetwork(msgspec.Struct, frozen=True):
    """The fields of `TrackFacts` and `NetworkFacts` that the index has."""

    channel: str
    received: int
    lost: int
    late: int
    duplicate: int
    loss_bursts: int
    longest_loss: int
    jitter_us: int
    jitter_most_us: int
    mos: float | None


def party_networks(tracks: Iterable[TrackFacts]) -> tuple[PartyNetwork, ...]:
    """Return the facts for the index; those of older software's manifests are left out."""
    return tuple(
        PartyNetwork(
            track.channel,
            track.received,
            track.lost,
            track.late,
            track.duplicate,
            **msgspec.structs.asdict(track.network),
        )
        for track in tracks
        if track.network is not None
    )


class LaterCaller(msgspec.Struct, frozen=True):
    """A caller who took over at `from_us` (since the recording's start).

    `number` is None if it is unknown or withheld.
    """

    from_us: int
    number: str | None
    withheld: bool = False


class LaterAdvisor(msgspec.Struct, frozen=True):
    """A party that got the call at the advisor's end, at `from_us` (since the recording's start).

    `advisor` is "" if the party is not a user. `extension` may be the name that a PBX gave; "" if
    none.
    """

    from_us: int
    advisor: str
    extension: str


class RecordingSummary(msgspec.Struct, frozen=True):
    """The summary of one recording. The start is in Unix seconds, the folder within the archive."""

    call_id: str
    folder: str
    started: float
    talk_us: int
    interrupted: bool
    number: str | None
    line: str
    advisor: str
    extension: str
    payload_size: int
    payload_sha256: str
    manifest_sha256: str
    unexplained_us: int = 0
    """The talk time in µs that no segment or gap covers, or that a segment and a gap both cover."""
    raw_size: int = 0
    """The bytes of the file with the packets that could not be decoded; 0 if there is none."""
    gaps: tuple[Gap, ...] = ()
    salt: str = ""
    """The salt of the commitments in hexadecimal; "" without commitments or personal facts."""
    later_callers: tuple[LaterCaller, ...] = ()
    """The callers after the first caller, whose number is `number`; the earliest first."""
    later_advisors: tuple[LaterAdvisor, ...] = ()
    """The parties at the advisor's end after the first one, `advisor` at `extension`."""
    network: tuple[PartyNetwork, ...] = ()
    """The network's effects on each party; empty if the manifest is of older software."""

    @property
    def has_personal_facts(self) -> bool:
        """True if a number, the line, an advisor or an extension is known."""
        first = self.number or self.line or self.advisor or self.extension
        return bool(first or self.later_callers or self.later_advisors)
