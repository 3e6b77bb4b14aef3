"""Coverage: the check that every second of every answered call is recorded or explained."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from galwad.desk.coverage.checker import MOST_FINDINGS
from galwad.desk.models.coverage import CallAmiss, Coverage, OrphanFile, Stretch
from galwad.desk.orphan_fixes import fix_of
from galwad.desk.routes.access import Supervisor, TheDesk
from galwad.desk.routes.recordings import span_of
from galwad.when import Period
from recording.index.coverage import CallCoverage

router = APIRouter()


@router.get("/coverage")
async def coverage(
    desk: TheDesk,
    session: Supervisor,
    when: Annotated[str, Query(min_length=1, max_length=40)] = "today",
) -> Coverage:
    """Balance the calls that were answered in this time; the answer has no personal data."""
    span = span_of(when, desk) or Period(0.0, 0.0)
    facts = {"since": int(span.since), "until": int(span.until)}
    await desk.audit.append("coverage.asked", facts, {"actor": session.actor})
    books = await desk.books.balance(span.since, span.until, desk.going_on())
    return Coverage(
        calls=books.calls,
        in_progress=books.in_progress,
        talk_us=books.talk_us,
        recorded_us=books.recorded_us,
        gap_us=books.gap_us,
        unexplained_us=books.unexplained_us,
        amiss=[_amiss(call) for call in books.amiss],
        orphans=[
            OrphanFile(
                kind=orphan.kind,
                name=orphan.name,
                call_id=orphan.call_id,
                text=orphan.text,
                fix=fix_of(orphan.kind, orphan.why),
            )
            for orphan in books.orphans[:MOST_FINDINGS]
        ],
        more_orphans=max(0, len(books.orphans) - MOST_FINDINGS),
    )


def _amiss(call: CallCoverage) -> CallAmiss:
    return CallAmiss(
        call_id=call.call_id,
        started=call.started,
        talk_us=call.talk_us,
        gaps=[Stretch(from_us=g.from_us, to_us=g.to_us, reason=g.reason) for g in call.gaps],
        unexplained=[Stretch(from_us=s.from_us, to_us=s.to_us) for s in call.unexplained],
        problems=list(call.problems),
    )
