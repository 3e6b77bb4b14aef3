"""The endpoint that explains the gaps of a recording, with the audit entries that belong to them.

The result names the actors in the manifest or, without a valid manifest, in the index. It has the
audit entries without their personal values, because only administrators may see the names and phone
numbers in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec
from fastapi import APIRouter

from galwad.archive.routes import indexed_manifest, recording_of
from galwad.archive.subject import ArchiveDesk, TheDesk
from galwad.host.bodies import ResponseBody, fields_of
from galwad.people.access import Supervisor
from recording.archive.manifest import Gap
from recording.archive.summary import RecordingSummary
from recording.audit.chain import GENESIS, ChainEntry
from recording.audit.gap_entries import (
    CARD_CAPTURED,
    INDEXED,
    PAUSED,
    RESUMED,
    SPACING_US,
    GapEntries,
    WallClock,
    entries_of_gaps,
)
from recording.audit.log import AuditFilter

router = APIRouter()
_US: Final = 1_000_000


@fields_of(Gap, "from_us", "to_us", "reason", "trigger", "actor")
class ExplainedGap(ResponseBody):
    """A gap with the times of its edges and the numbers of the audit entries that belong to it.

    `began` and `ended` are the edges in Unix seconds. `then` says what follows the gap: a recorded
    part, another gap, or the call's end. `proof` says which audit entry proves the gap's cause.
    With "entry", the gap has an entry of its own. With "manifest", it is the entry with the digest
    of the signed manifest, which names the cause. With "missing", the audit lacks this entry.
    `stopped_by` is the number of the entry that proves the cause; None if there is no such entry.
    `resumed_by` is the number of the entry about the resume; None if there is no such entry.
    """

    began: float
    ended: float
    then: Literal["recorded", "gap", "end"]
    proof: Literal["entry", "manifest", "missing"]
    stopped_by: int | None
    resumed_by: int | None


class ChainLink(ResponseBody):
    """An audit entry without its personal values, and the hash of the entry before it.

    `hash` is the SHA-256 of `previous`, a line feed and `body`, in hexadecimal.
    """

    previous: str
    hash: str
    body: str


@fields_of(RecordingSummary, "call_id", "started", "talk_us", "unexplained_us")
class GapExplanation(ResponseBody):
    """The gaps of a recording, each with its audit entries.

    `started` is in Unix seconds. `signed` is false if the manifest is missing or not valid, or is
    not the one that was indexed: the gaps are then those of the index, which has no signature.
    `entries` are the audit entries that belong to the gaps, and those about the indexing, the
    oldest first. Entries that name other calls too are left out.
    """

    signed: bool
    gaps: list[ExplainedGap]
    entries: list[ChainLink]


@router.get("/recordings/{call_id}/gaps")
async def explain(call_id: str, desk: TheDesk, session: Supervisor) -> GapExplanation:
    """Return the gaps of a recording, each with its cause and the numbers of its audit entries.

    The request is entered in the audit chain.

    Raises:
        ApiError: 404, no recording has this id.
    """
    recording = await recording_of(desk, call_id)
    await desk.host.audit.append(
        "recording.explained", {"call_id": call_id}, {"actor": session.actor}
    )
    manifest = indexed_manifest(desk, recording)
    started_us = round(recording.started * _US) if manifest is None else manifest.started_us
    talk_us = recording.talk_us if manifest is None else manifest.talk_us
    gaps = recording.gaps if manifest is None else manifest.gaps
    wall = WallClock(started_us, () if manifest is None else manifest.clock)
    entries = await _entries(desk, call_id, wall, talk_us)
    found = entries_of_gaps(gaps, talk_us, wall, entries, recording.manifest_sha256)
    unexplained_us = recording.unexplained_us if manifest is None else manifest.unexplained_us
    return GapExplanation.model_validate(
        {
            "call_id": call_id,
            "started": started_us / _US,
            "talk_us": talk_us,
            "unexplained_us": unexplained_us,
            "signed": manifest is not None,
            "gaps": [_explained(each) for each in found],
            "entries": await _links(desk, found, entries),
        }
    )


async def _entries(
    desk: ArchiveDesk, call_id: str, wall: WallClock, talk_us: int
) -> list[ChainEntry]:
    """Return the entries that can belong to gaps of this call.

    Entries without a call id are included: a pause or resume for all calls of an advisor has none.
    """
    times = wall.at(0), wall.at(talk_us)
    since, until = (min(times) - SPACING_US) / _US, (max(times) + SPACING_US) / _US
    sought = [
        AuditFilter(INDEXED, call_id),
        AuditFilter(CARD_CAPTURED, call_id),
        AuditFilter(PAUSED, since=since, until=until),
        AuditFilter(RESUMED, since=since, until=until),
    ]
    found = [entry for each in sought async for entry in desk.host.audit.search_all(each)]
    return [entry for entry in found if _concerns(entry, call_id)]


def _concerns(entry: ChainEntry, call_id: str) -> bool:
    """Return True if an entry is about this call, or can be about all calls of its advisor."""
    own, calls = entry.facts.get("call_id"), entry.facts.get("calls")
    if own or not isinstance(calls, str):
        return own in {call_id, ""}
    return call_id in calls.split()


def _explained(each: GapEntries) -> ExplainedGap:
    facts = {
        **msgspec.to_builtins(each.gap),
        "began": each.began_us / _US,
        "ended": each.ended_us / _US,
        "then": each.then,
        "proof": each.proof.value,
        "stopped_by": each.stopped_by,
        "resumed_by": each.resumed_by,
    }
    return ExplainedGap.model_validate(facts)


async def _links(
    desk: ArchiveDesk, gaps: Iterable[GapEntries], entries: Iterable[ChainEntry]
) -> list[ChainLink]:
    numbers = {seq for gap in gaps for seq in (gap.stopped_by, gap.resumed_by)}
    # An entry without a call id is about all calls of an advisor: it names the calls of others.
    own = {
        each.seq
        for each in entries
        if each.facts.get("call_id") and (each.kind == INDEXED or each.seq in numbers)
    }
    links = []
    for seq in sorted(own):
        *before, entry = await desk.host.audit.chain_entries(max(0, seq - 2), min(seq, 2))
        previous = before[0].hash if before else GENESIS
        links.append(ChainLink(previous=previous, hash=entry.hash, body=entry.body))
    return links
