"""The summary of a recording: the facts that the index stores and that users search.

It is made from the manifest and the personal facts in the spools. The message from the finaliser to
the desk and the row in the index have the fields of `RecordingSummary`. The API shows most of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

import msgspec

from recording.archive.manifest import Gap
from recording.audio.track_counts import ArrivedPackets, NetworkFacts, TrackFacts

MOST_LATER_CALLERS = 100
"""The most later callers of one recording that are stored."""
MOST_LATER_ADVISORS = 100
"""The most later advisors of one recording that are stored."""


@dataclass
class PartyNetwork(NetworkFacts, ArrivedPackets):
    """The packets of one party, and the effects of the network on them.

    They show which holes in the audio the network made. The holes that Galwad made are gaps.
    `channel` is "caller" or "advisor". `jitter_us` is the average jitter, and `jitter_most_us` the
    largest, in microseconds (RFC 3550). `loss_bursts` is the number of bursts of lost packets, and
    `longest_loss` the number of packets in the longest burst. `mos` is an estimate from 1 to 4.5
    (ITU-T G.107); None if there is no estimate for the codec.
    """


def party_networks(tracks: Iterable[TrackFacts]) -> tuple[PartyNetwork, ...]:
    """Return the network facts of each track, for the index. Older manifests have no such facts."""
    return tuple(
        PartyNetwork(
            track.channel,
            track.received,
            track.lost,
            track.late,
            track.duplicate,
            **asdict(track.network),
        )
        for track in tracks
        if track.network is not None
    )


@dataclass(frozen=True, slots=True)
class LaterCaller:
    """A caller whom a trunk has named during the call, because the call was handed over.

    `from_us` is the time of the change, in microseconds since the recording's start. `number` is
    None if the number is unknown or withheld.
    """

    from_us: int
    number: str | None
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class LaterAdvisor:
    """A party that got the call at the advisor's end after the first one.

    `from_us` is the time from which it had the call, in microseconds since the recording's start.
    `advisor` is the user name, "" if the party is not a user. `extension` is the extension, or the
    name that a PBX gave to the party.
    """

    from_us: int
    advisor: str
    extension: str


class PersonalFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The facts about people in a call. The manifest has commitments to them, and a sealed copy.

    `number` has no extension, and is None if it is unknown or withheld. `advisor` and `extension`
    name the party that answered first: in an outgoing call, the called party. A trunk named the
    `later_callers` during the call. The `later_advisors` got the call at the advisor's end. Both
    lists are sorted by time, and not encoded if they are empty.
    """

    number: str | None
    line: str
    advisor: str
    extension: str
    salt: str
    """The salt of the commitments in hexadecimal; "" without commitments or personal facts."""
    later_callers: tuple[LaterCaller, ...] = ()
    later_advisors: tuple[LaterAdvisor, ...] = ()

    @property
    def has_personal_facts(self) -> bool:
        """True if a number, the line, an advisor, an extension or a later party is known."""
        first = self.number or self.line or self.advisor or self.extension
        return bool(first or self.later_callers or self.later_advisors)


NO_PERSONAL_FACTS: Final = PersonalFacts(None, "", "", "", "")


class RecordingSummary(
    PersonalFacts, frozen=True, kw_only=True, forbid_unknown_fields=False, omit_defaults=False
):
    """A recording's summary. `folder` is relative to the archive. `started` is in Unix seconds."""

    call_id: str
    folder: str
    started: float
    talk_us: int
    interrupted: bool
    salt: str = ""
    payload_size: int
    payload_sha256: str
    manifest_sha256: str
    unexplained_us: int = 0
    """The talk time in µs that no segment or gap covers, or that a segment and a gap both cover."""
    raw_size: int = 0
    """The bytes of the file with the packets that could not be decoded; 0 if there is none."""
    gaps: tuple[Gap, ...] = ()
    network: tuple[PartyNetwork, ...] = ()
    """The network's effects on each party; empty if the manifest is of older software."""

    @property
    def personal_facts(self) -> PersonalFacts:
        """The facts about people in this recording, and their salt."""
        return PersonalFacts(
            **{name: getattr(self, name) for name in PersonalFacts.__struct_fields__}
        )
