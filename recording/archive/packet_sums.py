"""Compares the packet counts of a recording: packets received, stored, dropped, read and lost.

For each party and each stretch (segment or gap), these sums must meet:

- The packets that the switch received are those that it stored and those that it dropped.
- The packets that it stored are those that the finaliser read, and those in the parts of a spool
  that cannot be read.

For each party and the whole call, these sums must meet too:

- The packets that were read are those of the track: received, withheld, duplicate, malformed and
  unplaced.
- The packets that the network lost in all stretches are the lost packets of the track.

A count that the switch could not write, because its process stopped, is not compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from recording.archive.manifest import Manifest, PacketStretch, PartyPackets

FEWEST: Final = 25
"""A party is silent only if at least this many of its packets are not heard in a segment.

They are half a second of audio. Fewer can be of another sender, or of a very short segment.
"""


@dataclass(frozen=True, slots=True, order=True)
class SilentTrack:
    """A party ("caller" or "advisor") that is not heard in a segment, although it sent packets.

    The segment is in µs since the recording's start. The text says what happened to the packets.
    """

    from_us: int
    to_us: int
    channel: str
    text: str


def packet_problems(manifest: Manifest) -> list[str]:
    """Return a text for each sum that does not meet: the party, the stretch and the two numbers."""
    stretches = manifest.packets
    if stretches is None:
        return []
    found = [
        f"{party.channel}, {_name(stretch)}: {problem}: keep the journal, report it"
        for stretch in stretches
        if stretch.complete
        for party in stretch.parties
        for problem in _party_problems(party)
    ]
    for track in manifest.tracks:
        parties = [p for s in stretches for p in s.parties if p.channel == track.channel]
        sums = (
            (
                "read from the spools",
                sum(party.read for party in parties),
                "on the track or counted",
                track.received
                + track.withheld
                + track.duplicate
                + track.malformed
                + track.unplaced,
            ),
            (
                "lost in all segments and gaps",
                sum(party.lost_by_network for party in parties),
                "lost on the track",
                track.lost,
            ),
        )
        found += (
            f"{track.channel}, whole call: {one} packets {what}, but {other} {where}: "
            "keep the journal, report it"
            for what, one, where, other in sums
            if one != other
        )
    return found


def _party_problems(party: PartyPackets) -> Iterator[str]:
    stored = party.stored or 0
    if party.received is not None and party.stored is not None:
        kept = stored + sum(party.dropped.values())
        if party.received != kept:
            yield f"{party.received} packets received, but {kept} stored or dropped"
    if party.stored is not None and stored != party.read + party.unreadable:
        read = party.read + party.unreadable
        yield f"{stored} packets stored, but {read} read from the spools or unreadable"


def silent_parties(manifest: Manifest) -> list[SilentTrack]:
    """Return the parties of which nothing is heard in a segment, although packets were sent.

    The packets were received but not decoded or too late, or they were refused, or they were lost.
    """
    return [
        SilentTrack(stretch.from_us, stretch.to_us, party.channel, _unheard(party))
        for stretch in manifest.packets or ()
        if not stretch.gap
        for party in stretch.parties
        if not party.heard and sum(_parts(party).values()) >= FEWEST
    ]


def _parts(party: PartyPackets) -> dict[str, int]:
    """Return the packets that were sent in a segment but are not heard, by what happened."""
    return {
        "received": party.read if party.received is None else party.received,
        "refused": party.refused,
        "lost by the network": party.lost_by_network,
        "lost by the kernel": party.lost_by_kernel,
    }


def _unheard(party: PartyPackets) -> str:
    return ", ".join(f"{count} packets {what}" for what, count in _parts(party).items() if count)


def _name(stretch: PacketStretch) -> str:
    """Return the name of a stretch, such as "segment 12.0 s to 15.5 s"."""
    kind = f"{stretch.gap} gap" if stretch.gap else "segment"
    return f"{kind} {stretch.from_us / 1e6:.1f} s to {stretch.to_us / 1e6:.1f} s"
