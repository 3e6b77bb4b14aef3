"""The quality of the network for each party of a call: the facts for the index.

They show which holes in the audio the network made. The holes that Galwad made are gaps.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from recording.archive.manifest import TrackFacts


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
