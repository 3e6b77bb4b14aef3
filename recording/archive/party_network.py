"""The quality of the network for each party of a call: the facts for the index.

They show which holes in the audio the network made. The holes that Galwad made are gaps.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from recording.archive.manifest import TrackFacts


class PartyNetwork(msgspec.Struct, frozen=True):
    """The packets of one party, and the effects of the network on them.

    `channel` is "caller" or "advisor". The jitter is in microseconds (RFC 3550), `jitter_us` is its
    average and `jitter_most_us` its maximum. `loss_bursts` and `longest_loss` describe the bursts
    of lost packets: their number, and the packets in the longest one. `mos` is an estimate from 1
    to 4.5 (ITU-T G.107); None if there is no estimate for the codec.
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
