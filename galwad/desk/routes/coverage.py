"""The endpoint for the coverage check.

The check shows whether each second of each answered call is either recorded or in a gap with a
known reason.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from galwad.desk.coverage.checker import MAX_FINDINGS
from galwad.desk.coverage.orphan_fixes import fix_of
from galwad.desk.models.coverage import CallSpan, Coverage, FaultyCall, OrphanFile
from galwad.desk.routes.access import Supervisor, TheDesk
from galwad.desk.routes.recordings import span_of
from galwad.periods import Period
from recording.index.coverage import CallCoverage

router = APIRouter()


@router.get("/coverage")
async def coverage(
    desk: TheDesk,
    session: Supervisor,
    when: Annotated[str, Query(min_length=1, max_length=40)] = "today",
) -> Coverage:
    """Check the coverage of the calls that were answered in the period `when`.

    `when` is a period in words, such as "today". The result has no personal data.
    """
    span = span_of(when, desk) or Period(0.0, 0.0)
    facts = {"since": int(span.since), "until": int(span.until)}
    await desk.audit.append("coverage.asked", facts, {"actor": session.actor})
    result = await desk.coverage.check(span.since, span.until, desk.calls_in_progress())
    return Coverage(
        calls=result.calls,
        in_progress=result.in_progress,
        talk_us=result.talk_us,
        recorded_us=result.recorded_us,
        gap_us=result.gap_us,
        unexplained_us=result.unexplained_us,
        amiss=[_faulty_call(call) for call in result.faulty_calls],
        orphans=[
            OrphanFile(
                kind=orphan.kind,
                name=orphan.name,
                call_id=orphan.call_id,
                text=orphan.text,
                fix=fix_of(orphan.kind, orphan.why),
            )
            for orphan in result.orphans[:MAX_FINDINGS]
        ],
        more_orphans=max(0, len(result.orphans) - MAX_FINDINGS),
    )


def _faulty_call(call: CallCoverage) -> FaultyCall:
    return FaultyCall(
        call_id=call.call_id,
        started=call.started,
        talk_us=call.talk_us,
        gaps=[CallSpan(from_us=g.from_us, to_us=g.to_us, reason=g.reason) for g in call.gaps],
        unexplained=[CallSpan(from_us=s.from_us, to_us=s.to_us) for s in call.unexplained],
        problems=list(call.problems),
    )
