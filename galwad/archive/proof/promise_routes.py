"""The endpoint that checks the promises of the privacy notice for the calls of a period."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from galwad.archive.proof.checker import MAX_FINDINGS
from galwad.archive.proof.promise_bodies import BrokenBy, Promise, PromiseReport
from galwad.archive.proof.promises import PromiseResult, PromiseVerdict
from galwad.archive.routes import span_of
from galwad.people.access import Supervisor, TheDesk
from galwad.periods import Period

router = APIRouter(tags=["promises"])


@router.get("/promises")
async def promises(
    desk: TheDesk,
    session: Supervisor,
    when: Annotated[str, Query(min_length=1, max_length=40)] = "today",
) -> PromiseReport:
    """Check the promises for the calls that were answered in the period `when`.

    `when` is a period in words, such as "yesterday". The request is entered in the audit chain. The
    result has no personal data.

    Raises:
        ApiError: 422, the words of `when` cannot be read as a period.
    """
    span = span_of(when, desk) or Period(0.0, 0.0)
    facts = {"since": int(span.since), "until": int(span.until)}
    await desk.audit.append("promises.checked", facts, {"actor": session.actor})
    results = await desk.promises.check(span.since, span.until, desk.calls_in_progress())
    zone = desk.settings.desk.time_zone
    days = [
        datetime.fromtimestamp(at, zone).date().isoformat()
        for at in (span.since, max(span.since, span.until - 1))
    ]
    return PromiseReport(
        first_day=days[0],
        last_day=days[1],
        checked=time.time(),
        kept=all(each.verdict != PromiseVerdict.BROKEN for each in results),
        promises=[_promise(each) for each in results],
    )


def _promise(result: PromiseResult) -> Promise:
    return Promise.model_validate(
        {
            "name": result.name,
            "verdict": result.verdict.value,
            "evidence": result.evidence,
            "findings": [BrokenBy(**asdict(each)) for each in result.findings[:MAX_FINDINGS]],
            "more_findings": max(0, len(result.findings) - MAX_FINDINGS),
        }
    )
