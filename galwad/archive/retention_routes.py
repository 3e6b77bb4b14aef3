"""Endpoints for retention: the rules, the plan of disposals, and the approval of changed rules."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from galwad.archive.custody import StatedReason, require_purge
from galwad.archive.retention import CategoryPreview, DisposalCounts, rules_of
from galwad.archive.routes import cursor_in
from galwad.archive.subject import TheDesk
from galwad.host.bodies import RequestBody
from galwad.people.access import Administrator, SteppedUpAdministrator
from galwad.settings.retention import RetentionRule
from recording.index.terms import CategoryCount, DueCount, RulesVersion

router = APIRouter(prefix="/retention", tags=["retention"])
_DAY_S: Final = 86_400.0


class RulesOfVersion(BaseModel):
    """A version of the rules, as in the settings. Times are in Unix seconds.

    `approved_by` is the first of the two administrators who approve it; "" if none has, or if the
    version needed no approval.
    """

    version: int
    rules: list[RetentionRule]
    stored: float
    in_force: float | None
    approved_by: str


class RetentionPlan(BaseModel):
    """The rules, and what they dispose of in the next days.

    `in_force` is None if the first version waits for approval. Then nothing is disposed of.
    `clock_in_doubt` says why this machine's clock is in doubt, and nothing is disposed of; "" if it
    can be trusted. `until` is the end of the plan (Unix seconds).
    """

    in_force: RulesOfVersion | None
    waiting: RulesOfVersion | None
    clock_in_doubt: str
    until: float
    due: list[DueCount]
    kept: list[CategoryCount]


class RulesPreview(BaseModel):
    """The effect of the version that waits; `version` is None if none waits."""

    version: int | None
    categories: list[CategoryPreview]


class Approval(RequestBody):
    """The approval of a version of the rules."""

    version: int = Field(ge=1)


class Approved(BaseModel):
    """`in_force` is false if a second administrator must approve the version too."""

    in_force: bool


class DisposalRun(RequestBody):
    """A request to dispose of recordings whose term is over, at most `limit`.

    `after` is the value in the result before; without it, the oldest recording is the first.
    """

    limit: int = Field(default=100, ge=1, le=500)
    after: str | None = Field(default=None, max_length=100)


@router.get("")
async def plan(
    desk: TheDesk, session: Administrator, days: Annotated[int, Query(ge=0, le=3660)] = 30
) -> RetentionPlan:
    """Return the rules, and which recordings are due in the next days."""
    await desk.host.audit.append("retention.shown", {"days": days}, {"actor": session.actor})
    retention = desk.archive.retention
    until = retention.clock() + days * _DAY_S
    return RetentionPlan(
        in_force=_version(await retention.terms.in_force()),
        waiting=_version(await retention.terms.waiting()),
        clock_in_doubt=await retention.why_in_doubt(),
        until=until,
        due=await retention.terms.plan(until),
        kept=await retention.terms.by_category(),
    )


@router.get("/preview")
async def preview(desk: TheDesk, _session: Administrator) -> RulesPreview:
    """Return what the version of the rules that waits would change, by category."""
    waiting = await desk.archive.retention.terms.waiting()
    return RulesPreview(
        version=None if waiting is None else waiting.version,
        categories=await desk.archive.retention.preview(),
    )


@router.post("/approve")
async def approve(body: Approval, desk: TheDesk, session: SteppedUpAdministrator) -> Approved:
    """Approve the version of the rules that waits. It is in force after the second approval.

    Raises:
        ApiError: 403, the user does not have the right `purge`. 409, this version does not wait,
            or the same user has approved it before.
    """
    require_purge(session)
    return Approved(in_force=await desk.archive.retention.approve(body.version, session.actor))


@router.post("/clock", status_code=204)
async def confirm_clock(body: StatedReason, desk: TheDesk, session: SteppedUpAdministrator) -> None:
    """Confirm that this machine's clock is right, so that disposals go on.

    Raises:
        ApiError: 403, the user does not have the right `purge`.
    """
    require_purge(session)
    await desk.archive.retention.watch.confirm(body.reason, session.actor)


@router.post("/run")
async def run(body: DisposalRun, desk: TheDesk, session: SteppedUpAdministrator) -> DisposalCounts:
    """Dispose of recordings whose term is over now, and not only at night.

    Raises:
        ApiError: 403, the user does not have the right `purge`. 409, recordings are being disposed
            of already. 422, `after` cannot be read.
    """
    require_purge(session)
    after = cursor_in(body.after)
    await desk.host.audit.append("retention.run-ordered", {}, {"actor": session.actor})
    return await desk.archive.retention.dispose_due(body.limit, after)


def _version(stored: RulesVersion | None) -> RulesOfVersion | None:
    if stored is None:
        return None
    return RulesOfVersion(
        version=stored.version,
        rules=list(rules_of(stored).rules),
        stored=stored.stored,
        in_force=stored.in_force,
        approved_by=stored.approver,
    )
