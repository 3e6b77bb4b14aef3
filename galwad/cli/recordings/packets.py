"""The packets of a recording as text: one line for each party, and what is notable about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from galwad.cli.support.console import clock
from galwad.cli.support.timeline import PARTLY, TimelineSpan
from recording.archive.manifest import Manifest, PacketStretch, PartyPackets, read_manifest
from recording.archive.packet_sums import packet_problems, silent_parties
from recording.errors import ManifestError

_US: Final = 1_000_000
_SHORTEST_US: Final = 200_000
"""A shorter stretch in which a voice is missing is not drawn: after each resume, it is a packet."""
_LATE: Final = "the sound may be from the gap before"
_FAULT: Final = "bold red"


def packet_lines(manifest: str | None) -> Iterator[tuple[str, str]]:
    """Yield the lines about a recording's packets, each with its style.

    There is a line for each party with the packets that were received, stored, dropped and lost.
    More lines show what was dropped after a pause, silent parties, and counts that do not add up.

    Args:
        manifest: The text of the manifest's file. If it is None, damaged, or of older software,
            there are no lines.
    """
    try:
        read = read_manifest((manifest or "").encode())
    except ManifestError:
        return
    if read.packets is None:
        return
    for track in read.tracks:
        yield _line(track.channel, _of(read, track.channel)), ""
    if not all(stretch.complete for stretch in read.packets):
        yield "the packet counts are incomplete: the recorder stopped during this call", ""
    for stretch in read.packets:
        for party in stretch.parties:
            if party.dropped.get("late"):
                yield _late(stretch, party), ""
    for silent in silent_parties(read):
        start, end = clock(silent.from_us / _US), clock(silent.to_us / _US)
        yield f"! the {silent.channel} is silent from {start} to {end}: {silent.text}", "bold"
    for problem in packet_problems(read):
        yield f"! {problem}", _FAULT


def partly_recorded(manifest: str | None) -> Iterator[TimelineSpan]:
    """Yield the stretches after a gap in which a voice is missing, because it may be from the gap.

    `manifest` is the text of the manifest's file, as in `packet_lines`.
    """
    try:
        stretches = read_manifest((manifest or "").encode()).packets or ()
    except ManifestError:
        return
    for stretch in stretches:
        missing = {
            party.channel: min(stretch.from_us + party.late_us, stretch.to_us)
            for party in stretch.parties
            if party.dropped.get("late") and party.late_us >= _SHORTEST_US
        }
        at = stretch.from_us
        for end in sorted(set(missing.values())):
            voices = " and ".join(name for name, until in missing.items() if until >= end)
            yield TimelineSpan(PARTLY.name, at, end, f"without the {voices}: {_LATE}")
            at = end


def _of(manifest: Manifest, channel: str) -> list[PartyPackets]:
    stretches = manifest.packets or ()
    return [party for each in stretches for party in each.parties if party.channel == channel]


def _line(channel: str, parties: Iterable[PartyPackets]) -> str:
    """Return one line with the sums of a party's packets in the whole call."""
    sums: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for party in parties:
        sums["received"] += party.received or 0
        sums["stored"] += party.stored or 0
        for name in ("unreadable", "refused", "unwanted", "lost_by_network", "lost_by_kernel"):
            sums[name] += getattr(party, name)
        dropped.update(party.dropped)
    text = f"{channel}: {sums['received']} packets received, {sums['stored']} stored"
    if dropped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
        text += f", {dropped.total()} not stored ({reasons})"
    text += f"; lost: {sums['lost_by_network']} by the network"
    text += f", {sums['lost_by_kernel']} by the kernel"
    for name in ("unreadable", "refused", "unwanted"):
        text += f", {sums[name]} {name}" if sums[name] else ""
    return text


def _late(stretch: PacketStretch, party: PartyPackets) -> str:
    count = party.dropped["late"]
    packets = "1 packet" if count == 1 else f"{count} packets"
    return (
        f"{party.channel}: {packets} not stored in the {party.late_us / 1000:.0f} ms after "
        f"{clock(stretch.from_us / _US)}, because {_LATE}"
    )
