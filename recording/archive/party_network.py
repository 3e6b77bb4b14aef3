"""The quality of the network for each party of a call: the facts for the index.

These facts show which holes in the audio the network made. The holes that Galwad made are gaps in
the manifest.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from recording.archive.manifest import TrackFacts


class PartyNetwork(msgspec.Struct, frozen=True):
    """The packets of one party of a call, and the effects of the network on them.

    The fields are those of `TrackFacts` and `NetworkFacts` with the same names.
    """

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
    """Return the facts for the index, from the tracks of a manifest.

    A track in a manifest of older software has no such facts, and is left out.
    """
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
