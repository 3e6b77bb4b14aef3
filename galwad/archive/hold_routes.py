"""Endpoints for legal holds: open, show, change and release them, and retain recordings for them.

Only administrators may use these endpoints. A second administrator must agree before a hold, or one
of its recordings, is released. Each change names the version of the hold that the administrator has
seen, so it does not overwrite the change of another person.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, NoReturn

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from galwad.archive.agreement import refuse_dependent
from galwad.archive.files import checked_id
from galwad.archive.retention import CONFIRM
from galwad.archive.routes import RecordingQuery, recording_of, search_in
from galwad.archive.subject import ArchiveDesk, TheDesk
from galwad.host.bodies import (
    Number,
    RequestBody,
    RequiredText,
    ResponseBody,
    ShortText,
    fields_of,
)
from galwad.host.errors import ApiError
from galwad.people.access import SteppedUpAdministrator, is_administrator, owner_named
from galwad.people.sessions import Session
from galwad.settings.retention import period_end
from recording.archive.summary import RecordingSummary
from recording.audit.log import NewEntry
from recording.index import holds
from recording.index.catalogue import Filters
from recording.index.holds import WHOLE, LegalHold, ReleaseRequest

router = APIRouter(prefix="/holds", tags=["holds"])
_BATCH: Final = 500


class WhichRecordings(RequestBody):
    """The recordings for a hold: those with these ids, and all that match `query`.

    `limit` and `after` of the query have no effect.
    """

    call_ids: list[ShortText] = Field(default=[], max_length=_BATCH)
    query: RecordingQuery | None = None


class OpenHold(WhichRecordings):
    """A new legal hold.

    `owner` is the administrator who checks on the day `review` whether it is still needed: the
    signed-in user if it is None. With `future`, each later call of the number in `query` is
    retained, too.
    """

    reference: RequiredText
    reason: RequiredText
    owner: ShortText | None = None
    review: date
    future: bool = False


class ChangeHold(RequestBody):
    """A change of a legal hold. What is None stays as it is."""

    version: Number
    reference: RequiredText | None = None
    reason: RequiredText | None = None
    owner: RequiredText | None = None
    review: date | None = None


class ReleaseHold(RequestBody):
    """A request to release a hold, or with `call_id` one of its recordings."""

    version: Number
    reason: RequiredText
    call_id: ShortText | None = None


class Retained(BaseModel):
    """The recordings that were retained for a hold.

    `retained` is their number. `before` were retained for it already, and `disposed` match the
    query but were disposed of.
    """

    hold_id: int
    retained: int
    before: int
    disposed: int


class Released(BaseModel):
    """`released` is false if a second administrator must release the hold, too."""

    released: bool


@fields_of(
    LegalHold,
    "hold_id",
    "reference",
    "reason",
    "owner",
    "review",
    "number",
    "opened",
    "released",
    "version",
    "recordings",
    "asked_by",
    "asked_for",
)
class HoldRow(ResponseBody):
    """A legal hold. Times are in Unix seconds, and `review` is a date.

    `recordings` is the number of recordings that it retains. `asked_by` is the administrator who
    has asked to release it, and `asked_for` their reason; both are "" if there is no request.
    """


class HoldList(BaseModel):
    """Legal holds. Those with the earliest date of review are the first."""

    rows: list[HoldRow]


@fields_of(ReleaseRequest, "call_id", "asked_by", "reason")
class ReleaseOfRecording(ResponseBody):
    """A request to release one recording, which waits for a second administrator."""


class HoldDetail(BaseModel):
    """A legal hold, and the requests to release single recordings of it."""

    hold: HoldRow
    requests: list[ReleaseOfRecording]


@router.get("")
async def listed(
    desk: TheDesk,
    session: SteppedUpAdministrator,
    released: bool = False,  # noqa: FBT001, FBT002 - FastAPI reads it from the query
) -> HoldList:
    """Return the legal holds; with `released`, those that were released, too."""
    await desk.host.audit.append("holds.listed", {}, {"actor": session.actor})
    found = await desk.archive.holds.all(released=released)
    return HoldList(rows=list(map(HoldRow.model_validate, found)))


@router.post("", status_code=201)
async def open_hold(body: OpenHold, desk: TheDesk, session: SteppedUpAdministrator) -> Retained:
    """Open a legal hold, and retain recordings for it.

    Raises:
        ApiError: 404, no recording has one of the ids. 409, one of them was disposed of. 422, the
            owner is not an administrator, the review is not after today, or the query is empty or
            cannot be read.
    """
    _refuse_early_review(desk, body.review)
    owner = session.user.name if body.owner is None else await owner_named(desk, body.owner)
    await _check(desk, body)
    number = (await search_in(desk, body.query)).number if body.query and body.future else None
    if body.future and not number:
        raise ApiError(422, "`future` needs a number", "look at: body.query.number")
    hold_id = 0

    async def store(connection: AsyncConnection) -> list[NewEntry]:
        nonlocal hold_id
        hold_id = await holds.open_hold(
            connection,
            reference=body.reference,
            reason=body.reason,
            owner=owner,
            review=body.review.isoformat(),
            number=number,
            now=time.time(),
        )
        personal = {"reference": body.reference, "reason": body.reason, "owner": owner}
        personal["review"] = body.review.isoformat()
        return [_entry("opened", hold_id, session, personal, future=number is not None)]

    await desk.host.audit.append_after(store)
    return await _retain(desk, session, hold_id, body)


@router.get("/{hold_id}")
async def show(hold_id: Number, desk: TheDesk, session: SteppedUpAdministrator) -> HoldDetail:
    """Return a legal hold. Search for recordings with `hold` to get those that it retains.

    Raises:
        ApiError: 404, no hold has this number.
    """
    hold = await _hold(desk, hold_id)
    await desk.host.audit.append("hold.shown", {"hold": hold_id}, {"actor": session.actor})
    requests = await desk.archive.holds.requests(hold_id)
    return HoldDetail(
        hold=HoldRow.model_validate(hold),
        requests=[ReleaseOfRecording.model_validate(each) for each in requests if each.call_id],
    )


@router.put("/{hold_id}", status_code=204)
async def change(
    hold_id: Number, body: ChangeHold, desk: TheDesk, session: SteppedUpAdministrator
) -> None:
    """Change a legal hold. Requests to release it or recordings of it are withdrawn.

    Raises:
        ApiError: 404, no hold has this number. 409, it was changed or released meanwhile. 422, the
            owner is not an administrator, the review is not after today, or nothing changes.
    """
    await _hold(desk, hold_id)
    new: dict[str, Any] = body.model_dump(exclude_none=True, exclude={"version"})
    if not new:
        raise ApiError(422, "the request changes nothing", "give a new value")
    if body.owner is not None:
        new["owner"] = await owner_named(desk, body.owner)
    if body.review is not None:
        _refuse_early_review(desk, body.review)
        new["review"] = body.review.isoformat()

    async def store(connection: AsyncConnection) -> list[NewEntry]:
        if not await holds.change_hold(connection, hold_id, body.version, **new):
            _changed_meanwhile()
        await holds.withdraw_releases(connection, hold_id)
        return [_entry("changed", hold_id, session, new)]

    await desk.host.audit.append_after(store)


@router.post("/{hold_id}/recordings")
async def add(
    hold_id: Number, body: WhichRecordings, desk: TheDesk, session: SteppedUpAdministrator
) -> Retained:
    """Retain further recordings. If one is new, requests to release any of them are withdrawn.

    Raises:
        ApiError: 404, no hold has this number, or no recording one of the ids. 409, the hold was
            released, or one of the recordings was disposed of. 422, no recordings are named, or the
            query is empty or cannot be read.
    """
    await _hold(desk, hold_id)
    if not body.call_ids and body.query is None:
        raise ApiError(422, "no recordings are named", "give `call_ids`, or a `query`")
    await _check(desk, body)
    return await _retain(desk, session, hold_id, body)


@router.post("/{hold_id}/release")
async def release(
    hold_id: Number, body: ReleaseHold, desk: TheDesk, session: SteppedUpAdministrator
) -> Released:
    """Ask to release a hold or one of its recordings, or agree to the request of another person.

    After the release, the recordings are kept for the time `hold_grace` of the settings, even if
    their term is over.

    Raises:
        ApiError: 404, no hold has this number. 409, it was changed or released meanwhile, it does
            not retain this recording, the same administrator has asked before, the two
            accounts are linked (`refuse_dependent`), or the clock is in doubt.
    """
    await _hold(desk, hold_id)
    call_id = WHOLE if body.call_id is None else checked_id(body.call_id)
    async with desk.archive.custodian.deciding:
        requests = await desk.archive.holds.requests(hold_id)
        asked = next((each for each in requests if each.call_id == call_id), None)
        if asked is not None and not await is_administrator(desk, asked.asked_by):
            asked = None  # The request of a person who has left does not count.
        if asked is not None and asked.asked_by == session.user.name:
            raise ApiError(
                409, "you have asked for this release already", "ask a second administrator"
            )
        if asked is not None:
            audit, second = desk.host.audit, session.user.name
            await refuse_dependent(audit, asked.asked_by, second, time.time())
        doubt = "" if asked is None else await desk.archive.retention.why_in_doubt()
        if doubt:
            raise ApiError(409, f"this machine's clock is in doubt: {doubt}", CONFIRM)
        if call_id:
            custody = await desk.archive.custodian.one(call_id)
            if all(each.hold_id != hold_id for each in custody.holds):
                raise ApiError(409, "the hold does not retain this recording", "check the call id")
        now, zone = time.time(), desk.host.settings.desk.time_zone
        kept_until = period_end(desk.host.settings.desk.hold_grace, "call", now, zone)
        personal = {"reason": body.reason}
        facts = {"call_id": call_id} if call_id else {}

        async def store(connection: AsyncConnection) -> list[NewEntry]:
            if not await holds.change_hold(connection, hold_id, body.version):
                _changed_meanwhile()
            if asked is None:
                await holds.ask_for_release(
                    connection, hold_id, call_id, session.user.name, body.reason
                )
                return [_entry("release-asked", hold_id, session, personal, **facts)]
            await holds.release(connection, hold_id, call_id, now, kept_until)
            both = {**personal, "asked_by": asked.asked_by, "asked_for": asked.reason}
            return [_entry("released", hold_id, session, both, **facts)]

        await desk.host.audit.append_after(store)
    return Released(released=asked is not None)


async def _retain(
    desk: ArchiveDesk, session: Session, hold_id: Number, body: WhichRecordings
) -> Retained:
    """Retain the recordings of a request for a hold, 500 in each transaction."""
    counts = Retained(hold_id=hold_id, retained=0, before=0, disposed=0)
    if body.call_ids:
        rows = [await recording_of(desk, each) for each in sorted(set(body.call_ids))]
        await _retain_some(desk, session, counts, rows)
    if body.query is None:
        return counts
    filters, after = await search_in(desk, body.query), None
    while True:
        page = await desk.archive.catalogue.search(filters, _BATCH, after)
        await _retain_some(desk, session, counts, page.rows)
        if page.after is None:
            return counts
        after = page.after


async def _retain_some(
    desk: ArchiveDesk, session: Session, counts: Retained, rows: Sequence[RecordingSummary]
) -> None:
    call_ids = [row.call_id for row in rows]
    async with desk.archive.custodian.deciding:
        custody = await desk.archive.custodian.of(call_ids)
        gone = {each for each, known in custody.items() if known.disposed is not None}
        # A disposal that was interrupted has a certificate before the index knows of it.
        gone |= {row.call_id for row in rows if desk.archive.files.content(row, "disposal")}
        kept = [each for each in call_ids if each not in gone]
        new: list[str] = []

        async def store(connection: AsyncConnection) -> list[NewEntry]:
            if not await holds.change_hold(connection, counts.hold_id, None):
                raise ApiError(409, "the hold was released", "open a new one")
            new.extend(await holds.retain(connection, counts.hold_id, kept, time.time()))
            if new:
                await holds.withdraw_releases(connection, counts.hold_id)
            facts = {"hold": counts.hold_id}
            personal = {"actor": session.actor}
            return [NewEntry("recording.held", {"call_id": e, **facts}, personal) for e in new]

        if kept:
            await desk.host.audit.append_after(store)
    counts.retained += len(new)
    counts.before += len(kept) - len(new)
    counts.disposed += len(gone)


async def _check(desk: ArchiveDesk, body: WhichRecordings) -> None:
    """Raise an `ApiError` unless the recordings of a request exist, and its query has a filter."""
    if body.query is not None and await search_in(desk, body.query) == Filters():
        raise ApiError(422, "the query has no filter", "look at: body.query; add a filter")
    for call_id in body.call_ids:
        recording = await recording_of(desk, call_id)
        certified = desk.archive.files.content(recording, "disposal") is not None
        if certified or (await desk.archive.custodian.one(call_id)).disposed is not None:
            raise ApiError(409, f"the recording {call_id} was disposed of", "check the call id")


async def _hold(desk: ArchiveDesk, hold_id: int) -> LegalHold:
    hold = await desk.archive.holds.one(hold_id)
    if hold is None:
        raise ApiError(404, "no legal hold has this number", "`galwad holds list` shows them")
    return hold


def _refuse_early_review(desk: ArchiveDesk, review: date) -> None:
    if review <= datetime.now(desk.host.settings.desk.time_zone).date():
        raise ApiError(422, "the date of review is not after today", "look at: body.review")


def _changed_meanwhile() -> NoReturn:
    raise ApiError(
        409, "the hold was changed or released meanwhile", "read it again, then repeat the change"
    )


def _entry(
    event: str, hold_id: Number, session: Session, personal: dict[str, str], **facts: str | bool
) -> NewEntry:
    values = {"actor": session.actor, **personal}
    return NewEntry(f"hold.{event}", {"hold": hold_id, **facts}, values)
