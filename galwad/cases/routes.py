"""Endpoints for the register of requests by people about their data, and of complaints.

Only administrators may use these endpoints. A change of what was entered names the version of the
case that the administrator has seen, so it does not overwrite the change of another person.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Final, Literal, NoReturn, get_args

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from callerid.note import NOTE_FIELDS, Note
from galwad.archive.custody import Purge, purge, require_purge
from galwad.archive.evidence import Digest, PackEntry, Size
from galwad.archive.files import checked_id
from galwad.archive.routes import cursor_in
from galwad.archive.rules import FETCHED, PACK_MADE
from galwad.calls.bodies import OpenedCase
from galwad.cases import store
from galwad.cases.deadlines import CaseStepError, DatedStep, Deadlines, check_step
from galwad.cases.figures import CaseFigures, figures_of
from galwad.cases.rules import NEED_REASON, CaseKind, Channel, Outcome, StepKind
from galwad.cases.scope import LINKED_CALL, Found
from galwad.cases.store import (
    Case,
    CaseCall,
    CaseOnDay,
    CaseSearch,
    StoredStep,
    valid,
)
from galwad.cases.subject import CasesDesk, TheDesk
from galwad.host.bodies import (
    Language,
    LongText,
    Number,
    RequestBody,
    RequiredText,
    ResponseBody,
    ShortText,
    fields_of,
)
from galwad.host.errors import ApiError
from galwad.host.host import span_of
from galwad.people.access import Administrator, SteppedUpAdministrator, owner_named
from galwad.people.sessions import Session
from galwad.periods import Period
from recording.audit.index_comparison import FACTS_ERASED
from recording.audit.log import AuditFilter, Facts, NewEntry
from recording.index.custody import NOT_RETAINED
from recording.index.search import Cursor
from recording.policy import FlagName

router = APIRouter(prefix="/cases", tags=["cases"])
_US: Final = 1_000_000
_FIRST_DAY: Final = date(2018, 5, 25)
"""The first day of the present rights."""
_SEALED_S: Final = 2 * 86_400.0
"""The time in seconds after which the recording of a call is indexed, if it has one."""
_MOST_CALLS: Final = 1_000_000
_ACCESSES: Final = (FETCHED, PACK_MADE, "recording.shown")
"""The kinds of the audit entries about uses of a recording."""


class CallCase(RequestBody):
    """A case that a person has asked for: its kind, the person, who asks, and in their words what.

    `name` is the person whose data it is. If another person asks for them, they are the
    `representative`, and `authority` is their right to ask.
    """

    kind: CaseKind
    name: RequiredText
    representative: ShortText = ""
    authority: ShortText = ""
    details: LongText = ""
    language: Language


class OpenCase(CallCase):
    """A new case.

    It needs `call_id`, or both `received` and `channel`. Without `received`, it is received on the
    day of the call. `owner` is the administrator who is responsible for it: the signed-in user if
    it is None.
    """

    reference: RequiredText
    channel: Channel | None = None
    call_id: ShortText | None = None
    received: date | None = None
    owner: ShortText | None = None


class ChangeCase(RequestBody):
    """A change of a case. What is None, or missing, stays as it is."""

    version: Number
    kind: CaseKind | None = None
    reference: RequiredText | None = None
    name: RequiredText | None = None
    representative: ShortText | None = None
    authority: ShortText | None = None
    details: LongText | None = None
    language: Language | None = None
    received: date | None = None
    owner: RequiredText | None = None


class NewStep(RequestBody):
    """A step of a case. `day` is today if it is None, and `version` need not be given.

    Only a step "closed" has an outcome, which it needs. A refusal, an extension and a step "noted"
    need a note.
    """

    version: Number | None = None
    kind: StepKind
    day: date | None = None
    note: LongText = ""
    outcome: Outcome | None = None


class WithdrawStep(RequestBody):
    """A request to withdraw a step of a case, by its position, which was entered by mistake."""

    position: Number
    reason: RequiredText


class NewSearch(RequestBody):
    """A search for the calls of a person: by a number, or by a text such as their name.

    `person` is the id of one of the people whom an earlier search for the text has found. Without
    it, only these people, and contact notes with the text, are searched for.
    """

    number: Annotated[RequiredText, StringConstraints(max_length=40)] | None = None
    text: Annotated[RequiredText, StringConstraints(min_length=2, max_length=100)] | None = None
    person: ShortText = ""


class ExcludeCalls(RequestBody):
    """Calls that are not part of the answer, and the reason; with an empty reason, they are."""

    call_ids: list[ShortText] = Field(min_length=1, max_length=500)
    reason: ShortText


@fields_of(Case, *Case.__dataclass_fields__)
@fields_of(Deadlines, *Deadlines.__dataclass_fields__)
class CaseRow(ResponseBody):
    """A case, with its state and its deadlines today. `opened` is in Unix seconds.

    `answer_by` and `acknowledge_by` are the last days to answer and to acknowledge it, and
    `extend_by` is the last day to inform the person that the answer takes longer. They are None if
    there is no such deadline. While the case waits for a clarification, `answer_by` is the day if
    the person answered today. `waits_since` is the day since which the case waits, or None.
    """


class CaseList(BaseModel):
    """Cases. Those with the earliest deadline are the first."""

    rows: list[CaseRow]


@fields_of(StoredStep, *StoredStep.__dataclass_fields__)
class CaseStep(ResponseBody):
    """A step of a case, with who entered it, and when (Unix seconds)."""


@fields_of(CaseSearch, *CaseSearch.__dataclass_fields__)
class SearchRow(ResponseBody):
    """A search that was made for a case: its places, spellings and results."""


class CaseDetail(BaseModel):
    """A case with its steps and searches. `calls` were found, of which `excluded` do not count.

    `possible` are the kinds of the steps that can be taken today.
    """

    case: CaseRow
    possible: list[StepKind]
    steps: list[CaseStep]
    searches: list[SearchRow]
    calls: int
    excluded: int


class FoundPerson(BaseModel):
    """A person whom the directories have found."""

    person: str
    name: str
    kind: str
    reference: str
    numbers: list[str]


class SearchDone(BaseModel):
    """The result of a search. `new` calls were not found by an earlier search of the case."""

    search: SearchRow
    people: list[FoundPerson]
    new: int


@fields_of(Note, *NOTE_FIELDS)
class NoteOfCall(ResponseBody):
    """The contact note of a call."""


@fields_of(CaseCall, *CaseCall.__dataclass_fields__)
class FoundCall(ResponseBody):
    """A call that was found for a case. `started` is in Unix seconds.

    `recording` says whether there is a recording of it. `person` is the id of the person whom the
    advisor has confirmed in the call, or "". `note` is None if no note was saved.
    """

    line: str
    advisor: str
    talk_s: float
    recording: Literal["", "recorded", "disposed"]
    flags: list[FlagName]
    person: str
    note: NoteOfCall | None


class FoundCalls(BaseModel):
    """A page of the calls of a case, the newest first. `after` is None on the last page."""

    rows: list[FoundCall]
    after: str | None


class CasePack(RequestBody):
    """A pack with copies of calls that was made for a case, as it was in this version.

    `sha256` and `size` (in bytes) are those of the encrypted file, and `recipient` is the person
    whom it is for. `calls` copies are in it, with `silenced` silent stretches.
    """

    version: Number
    recipient: RequiredText
    sha256: Digest
    size: Size
    calls: Annotated[int, Field(ge=0, le=1_000_000)]
    silenced: Annotated[int, Field(ge=0, le=1_000_000)]


class EraseCalls(RequestBody):
    """Calls of a request for erasure that are erased now."""

    call_ids: list[ShortText] = Field(min_length=1, max_length=50)


class ErasedCall(BaseModel):
    """A call that was erased, or the reason `why_not`."""

    call_id: str
    why_not: str


class ErasedCalls(BaseModel):
    """The calls of a request, each with the reason why it was not erased, or ""."""

    rows: list[ErasedCall]


class CaseAccess(BaseModel):
    """An audit entry about a use of a recording that was found for a case.

    `at` is in Unix seconds. `act` is the kind of the entry. `call_id` is "" if all calls of a case
    were copied. Texts that the act does not have are "".
    """

    entry: int
    call_id: str
    at: float
    act: str
    actor: str
    purpose: str
    reference: str
    recipient: str


class CaseAccesses(BaseModel):
    """The uses of the recordings of a case, the newest first."""

    rows: list[CaseAccess]


@router.get("")
async def listed(
    desk: TheDesk,
    session: SteppedUpAdministrator,
    closed: bool = False,  # noqa: FBT001, FBT002 - FastAPI reads it from the query
) -> CaseList:
    """Return the cases; with `closed`, those that are closed, too."""
    await desk.host.audit.append("cases.listed", {}, {"actor": session.actor})
    found = await desk.cases.store.all(desk.cases.today(), closed=closed)
    return CaseList(rows=list(map(_row, found)))


@router.post("", status_code=201)
async def open_case(body: OpenCase, desk: TheDesk, session: SteppedUpAdministrator) -> CaseDetail:
    """Open a case. The clock starts on the day of receipt.

    Raises:
        ApiError: 404, there is no call with this id. 409, an open case of this kind for this person
            began in the call already. 422, the day of receipt is in the future, or
            the owner is not an administrator, or fields are missing that belong together.
    """
    if body.call_id is None and (body.received is None or body.channel is None):
        raise ApiError(
            422, "the receipt is not known", "give `call_id`, or `received` and `channel`"
        )
    owner = session.user.name if body.owner is None else await owner_named(desk, body.owner)
    started = None if body.call_id is None else await _start_of(desk, checked_id(body.call_id))
    received = body.received or desk.cases.day_of(started or 0.0)
    _check_receipt(desk, received)
    case = Case(
        case_id=0,
        **body.model_dump(include=set(CallCase.model_fields)),
        reference=body.reference,
        channel=body.channel or "telephone",
        call_id=body.call_id or "",
        received=received,
        owner=owner,
        opened=time.time(),
        version=1,
    )
    return await _detail(desk, await add_case(desk, session, case, started))


async def add_case(desk: CasesDesk, session: Session, case: Case, started: float | None) -> int:
    """Store a new case, and return its number. `started` is the start of its call, if it has one.

    Raises:
        ApiError: 409, an open case of this kind for this person began in the call already. 422,
            `representative` is given without `authority`, or the other way round.
    """
    _check_representative(case.representative, case.authority)
    case_id = 0

    async def write(connection: AsyncConnection) -> list[NewEntry]:
        nonlocal case_id
        other = await store.same_case(connection, case)
        if other is not None:
            raise ApiError(409, f"the call has this request already: {other}", "use that case")
        case_id = await store.add_case(connection, case)
        facts = {"kind": case.kind, "received": case.received.isoformat()}
        if started is not None:
            found = Found()
            found.add(LINKED_CALL, case.call_id, {case.call_id: started})
            await _store_search(connection, session, case_id, found, case.call_id)
            facts["call_id"] = case.call_id
        return [_entry("opened", case_id, session, {"reference": case.reference}, **facts)]

    await desk.host.audit.append_after(write)
    desk.calls.live.case_opened(case.call_id, OpenedCase(case_id, case.kind))
    return case_id


@router.get("/figures")
async def figures(
    desk: TheDesk, _: Administrator, when: Annotated[str, Query(min_length=1, max_length=40)]
) -> list[CaseFigures]:
    """Return figures of the cases that were received in a period, such as "last month".

    Raises:
        ApiError: 422, the words of `when` cannot be read as a period.
    """
    span = span_of(when, desk) or Period(0.0, 0.0)
    first, last = desk.cases.day_of(span.since), desk.cases.day_of(span.until - 1)
    today = desk.cases.today()
    found = await desk.cases.store.all(today, closed=True)
    return figures_of((each for each in found if first <= each.case.received <= last), today)


@router.get("/{case_id}")
async def show(case_id: Number, desk: TheDesk, session: SteppedUpAdministrator) -> CaseDetail:
    """Return a case with its steps and searches.

    Raises:
        ApiError: 404, no case has this number.
    """
    detail = await _detail(desk, case_id)
    await desk.host.audit.append("case.shown", {"case": case_id}, {"actor": session.actor})
    return detail


@router.put("/{case_id}")
async def change(
    case_id: Number, body: ChangeCase, desk: TheDesk, session: SteppedUpAdministrator
) -> CaseDetail:
    """Change a case.

    Raises:
        ApiError: 404, no case has this number. 409, it was changed meanwhile, or is closed. 422,
            nothing changes, the owner is not an administrator, or the day of receipt is in the
            future or after a step, or the steps do not fit to the new kind.
    """
    found = await _case(desk, case_id)
    _refuse_closed(found)
    new: dict[str, Any] = body.model_dump(exclude_none=True, exclude={"version"})
    if not new:
        raise ApiError(422, "the request changes nothing", "give a new value")
    whole = {**asdict(found.case), **new}
    _check_representative(whole["representative"], whole["authority"])
    if body.owner is not None:
        new["owner"] = await owner_named(desk, body.owner)
    if body.received is not None:
        _check_receipt(desk, body.received)
        new["received"] = body.received.isoformat()
    why = _misfit(
        body.kind or found.case.kind,
        body.received or found.case.received,
        found.steps,
        desk.cases.today(),
    )
    if why:
        raise ApiError(422, why, "withdraw the step first")

    async def write(connection: AsyncConnection) -> list[NewEntry]:
        if not await store.change_case(connection, case_id, body.version, **new):
            _changed_meanwhile()
        return [_entry("changed", case_id, session, {}, fields=", ".join(sorted(new)))]

    await desk.host.audit.append_after(write)
    return await _detail(desk, case_id)


@router.post("/{case_id}/steps")
async def take_step(
    case_id: Number, body: NewStep, desk: TheDesk, session: SteppedUpAdministrator
) -> CaseDetail:
    """Add a step to a case.

    Raises:
        ApiError: 404, no case has this number. 409, it was changed meanwhile, or the step does not
            fit to its state. 422, it needs a note, or an outcome.
    """
    _check_step_body(body)
    found, today = await _case(desk, case_id), desk.cases.today()
    day = body.day or today
    try:
        step = DatedStep(body.kind, day)
        check_step(found.case.kind, found.case.received, valid(found.steps), step, today)
    except CaseStepError as error:
        raise ApiError(409, str(error), f"`galwad cases show {case_id}` shows its steps") from None
    stored = StoredStep(
        position=len(found.steps) + 1,
        kind=body.kind,
        day=day,
        note=body.note,
        outcome=body.outcome or "",
        actor=session.actor,
        at=time.time(),
        withdrawn="",
    )

    async def write(connection: AsyncConnection) -> list[NewEntry]:
        if not await store.change_case(connection, case_id, body.version or found.case.version):
            _changed_meanwhile()
        await store.add_step(connection, case_id, stored)
        facts = {"kind": body.kind, "day": day.isoformat(), "outcome": stored.outcome}
        return [_entry("step", case_id, session, {}, **facts)]

    await desk.host.audit.append_after(write)
    return await _detail(desk, case_id)


@router.post("/{case_id}/steps/withdraw")
async def withdraw_step(
    case_id: Number, body: WithdrawStep, desk: TheDesk, session: SteppedUpAdministrator
) -> CaseDetail:
    """Withdraw a step of a case. It stays in the case, and does not count any more.

    Raises:
        ApiError: 404, no case has this number. 409, it was changed meanwhile, does not have this
            step, or a later step builds on it.
    """
    found = await _case(desk, case_id)
    withdrawn = next((each for each in found.steps if each.position == body.position), None)
    if withdrawn is None or withdrawn.withdrawn:
        raise ApiError(
            409, "the case has no such step", f"`galwad cases show {case_id}` shows its steps"
        )
    left = [each for each in found.steps if each.position != body.position]
    case = found.case
    why = _misfit(case.kind, case.received, left, desk.cases.today())
    if why:
        raise ApiError(409, f"a later step builds on this one: {why}", "withdraw that one first")

    async def write(connection: AsyncConnection) -> list[NewEntry]:
        if not await store.change_case(connection, case_id, case.version):
            _changed_meanwhile()
        await store.withdraw_step(connection, case_id, body.position, body.reason)
        facts = {"step": body.position, "kind": withdrawn.kind}
        return [_entry("step-withdrawn", case_id, session, {"reason": body.reason}, **facts)]

    await desk.host.audit.append_after(write)
    return await _detail(desk, case_id)


@router.post("/{case_id}/searches")
async def search(
    case_id: Number, body: NewSearch, desk: TheDesk, session: SteppedUpAdministrator
) -> SearchDone:
    """Search for the calls of a person, and add them to the case.

    The search is entered in the audit first, and becomes part of the case, even if it finds
    nothing.

    Raises:
        ApiError: 404, no case has this number, or the directories do not find the person. 409, the
            case is closed. 422, `number` is not a telephone number, or there is not exactly one
            of `number` and `text`.
    """
    if (body.number is None) == (body.text is None) or (body.person and body.text is None):
        raise ApiError(
            422, "the search is not clear", "give either `number`, or `text` and perhaps `person`"
        )
    _refuse_closed(await _case(desk, case_id))
    text = body.number or body.text or ""
    by = "number" if body.number is not None else "person" if body.person else "text"
    await desk.host.audit.append(
        "case.search", {"case": case_id, "by": by}, {"actor": session.actor}
    )
    searcher = desk.cases.searcher
    if body.number is not None:
        found = await searcher.by_number(body.number)
    else:
        found = await searcher.by_text(text, body.person)
    done: list[tuple[CaseSearch, int]] = []

    async def write(connection: AsyncConnection) -> list[NewEntry]:
        if await store.is_closed(connection, case_id):
            _refuse_as_closed()
        await store.touch(connection, case_id)
        made = await _store_search(connection, session, case_id, found, text, person=body.person)
        done.append(made)
        facts = {"search": made[0].position, "found": len(found.calls), "new": made[1]}
        return [_entry("searched", case_id, session, {}, **facts)]

    await desk.host.audit.append_after(write)
    people = [
        FoundPerson(
            person=each.person_id,
            name=each.name,
            kind=each.kind,
            reference=each.detail("reference"),
            numbers=[number.display for number in searcher.numbers_of(each)],
        )
        for each in found.people
    ]
    ((made, new),) = done
    return SearchDone(search=SearchRow.model_validate(made), people=people, new=new)


@router.delete("/{case_id}/searches/{position}", status_code=204)
async def remove_search(
    case_id: Number, position: Number, desk: TheDesk, session: SteppedUpAdministrator
) -> None:
    """Remove a search that was made by mistake, and the calls that only this search has found.

    Raises:
        ApiError: 404, no case has this number, or no search of it has this position. 409, the case
            is closed.
    """
    await _case(desk, case_id)

    async def write(connection: AsyncConnection) -> list[NewEntry]:
        if await store.is_closed(connection, case_id):
            _refuse_as_closed()
        if not await store.remove_search(connection, case_id, position):
            raise ApiError(
                404,
                "the case has no such search",
                f"`galwad cases show {case_id}` shows its searches",
            )
        await store.touch(connection, case_id)
        return [_entry("search-removed", case_id, session, {}, search=position)]

    await desk.host.audit.append_after(write)


@router.get("/{case_id}/calls")
async def calls(
    case_id: Number,
    desk: TheDesk,
    session: SteppedUpAdministrator,
    limit: Annotated[int, Field(ge=1, le=500)] = 100,
    after: Annotated[str, Field(max_length=200)] = "",
) -> FoundCalls:
    """Return a page of the calls that were found for a case, the newest first.

    To get the next page, set `after` to the value of `after` in the previous page.

    Raises:
        ApiError: 404, no case has this number. 422, `after` cannot be read.
    """
    await _case(desk, case_id)
    place = cursor_in(after)
    await desk.host.audit.append("case.calls-shown", {"case": case_id}, {"actor": session.actor})
    found = await desk.cases.store.calls(case_id, limit + 1, place)
    shown = found[:limit]
    more = str(Cursor(shown[-1].started, shown[-1].call_id)) if len(found) > limit else None
    return FoundCalls(rows=await _calls(desk, shown), after=more)


@router.put("/{case_id}/calls", status_code=204)
async def exclude(
    case_id: Number, body: ExcludeCalls, desk: TheDesk, session: SteppedUpAdministrator
) -> None:
    """Exclude calls from the answer for a reason, or with an empty reason include them again.

    Raises:
        ApiError: 404, no case has this number, or the case does not have one of the calls. 409, the
            case is closed.
    """
    await _case(desk, case_id)
    wanted = {checked_id(each) for each in body.call_ids}

    async def write(connection: AsyncConnection) -> list[NewEntry]:
        if await store.is_closed(connection, case_id):
            _refuse_as_closed()
        known = await store.exclude_calls(connection, case_id, wanted, body.reason)
        if known != wanted:
            missing = min(wanted - known)
            raise ApiError(404, f"the case does not have the call {missing}", "search for it first")
        await store.touch(connection, case_id)
        kind = "calls-excluded" if body.reason else "calls-included"
        return [_entry(kind, case_id, session, {}, calls=len(known))]

    await desk.host.audit.append_after(write)


@router.get("/{case_id}/accesses")
async def accesses(case_id: Number, desk: TheDesk, session: SteppedUpAdministrator) -> CaseAccesses:
    """Return who has shown, heard, fetched or copied the recordings that were found for a case.

    The calls that are excluded are left out. All entries of the audit about such acts since the
    first of the calls are read.

    Raises:
        ApiError: 404, no case has this number.
    """
    await _case(desk, case_id)
    await desk.host.audit.append("case.accesses-shown", {"case": case_id}, {"actor": session.actor})
    found = [
        each
        for each in await desk.cases.store.calls(case_id, limit=_MOST_CALLS)
        if not each.excluded
    ]
    wanted = {each.call_id for each in found}
    cases = await desk.cases.store.cases_of(wanted)
    since = min((each.started for each in found), default=0.0)
    rows = []
    for kind in _ACCESSES if found else ():
        async for entry in desk.host.audit.search_all(AuditFilter(kind, since=since)):
            if entry.facts.get("call_id") in wanted or entry.facts.get("case") in cases:
                values = {name: value for name, (_, value) in entry.values.items()}
                rows.append(
                    CaseAccess(
                        entry=entry.seq,
                        call_id=str(entry.facts.get("call_id", "")),
                        at=entry.at_us / _US,
                        act=kind,
                        actor=values.get("actor", ""),
                        purpose=str(entry.facts.get("purpose", "")),
                        reference=values.get("reference", ""),
                        recipient=values.get("recipient", ""),
                    )
                )
    return CaseAccesses(rows=sorted(rows, key=lambda row: -row.entry))


@router.post("/{case_id}/packs")
async def pack_made(
    case_id: Number, body: CasePack, desk: TheDesk, session: SteppedUpAdministrator
) -> PackEntry:
    """Enter in the audit and in the case that a pack was made, with its digest and recipient.

    Raises:
        ApiError: 404, no case has this number. 409, the case is closed, or it was changed since the
            version from which the pack was made: the pack may have a call that is excluded now.
    """
    found = await _case(desk, case_id)
    _refuse_closed(found)
    step = StoredStep(
        position=len(found.steps) + 1,
        kind="sent",
        day=desk.cases.today(),
        note=f"pack for {body.recipient}: {body.calls} calls, {body.size} bytes, {body.sha256}",
        outcome="",
        actor=session.actor,
        at=time.time(),
        withdrawn="",
    )
    facts: Facts = {
        "case": case_id,
        "pack_sha256": body.sha256,
        "pack_size": body.size,
        "calls": body.calls,
        "silenced": body.silenced,
    }
    values = {
        "actor": session.actor,
        "reference": found.case.reference,
        "recipient": body.recipient,
    }

    async def write(connection: AsyncConnection) -> list[NewEntry]:
        if not await store.change_case(connection, case_id, body.version):
            _changed_meanwhile()
        await store.add_step(connection, case_id, step)
        return [NewEntry(PACK_MADE, facts, values)]

    head = await desk.host.audit.append_after(write)
    return PackEntry(entry=0 if head is None else head.seq)


@router.post("/{case_id}/erase")
async def erase(
    case_id: Number, body: EraseCalls, desk: TheDesk, session: SteppedUpAdministrator
) -> ErasedCalls:
    """Dispose of the recordings of calls, and erase the person from their notes and rows.

    A recording that is retained for a legal hold is not erased, nor are the facts about its call.
    The contact notes that the CRM has, and the audit, are not changed.

    Raises:
        ApiError: 403, the user does not have the right `purge`. 404, no case has this number. 409,
            the case is not an open request for erasure, or one of the calls is not in it or is
            excluded.
    """
    require_purge(session)
    found = await _case(desk, case_id)
    _refuse_closed(found)
    if found.case.kind != "erasure":
        raise ApiError(409, "the case is not a request for erasure", "open a case of this kind")
    wanted = {checked_id(each) for each in body.call_ids}
    included = await desk.cases.store.included(case_id, wanted)
    if included != wanted:
        missing = min(wanted - included)
        raise ApiError(
            409,
            f"the call {missing} is not in the case, or is excluded",
            f"`galwad cases calls {case_id}` lists the calls",
        )
    rows = []
    for call_id in sorted(wanted):
        try:
            await _erase(desk, session, case_id, call_id, found.case.reference)
            rows.append(ErasedCall(call_id=call_id, why_not=""))
        except ApiError as error:
            rows.append(ErasedCall(call_id=call_id, why_not=error.error))
    return ErasedCalls(rows=rows)


async def _erase(
    desk: CasesDesk, session: Session, case_id: int, call_id: str, reference: str
) -> None:
    """Dispose of a call's recording, and erase the facts about the person. Raises `ApiError`."""
    if desk.calls.live.get(call_id) is not None:
        raise ApiError(
            409, "the call is in progress, or its note is not finished", "repeat it later"
        )
    recording = await desk.archive.catalogue.get(call_id)
    call = await desk.calls.log.store.call(call_id)
    if recording is None and call is not None and time.time() - call.started < _SEALED_S:
        raise ApiError(
            409, "the call may have a recording that is not indexed yet", "repeat it in two days"
        )
    if recording is not None:
        await purge(call_id, Purge(reason="erasure", reference=reference), desk, session)

    async def write(connection: AsyncConnection) -> list[NewEntry]:
        entries = [_entry("call-erased", case_id, session, {}, call_id=call_id)]
        if recording is not None:
            await desk.archive.catalogue.erase_facts(connection, recording)
            entries.append(NewEntry(FACTS_ERASED, {"call_id": call_id}, {"actor": session.actor}))
        return entries

    await desk.host.audit.append_after(write)
    await desk.notes.contacts.erase(call_id)
    await desk.calls.log.store.forget_number_of(call_id)


async def _store_search(
    connection: AsyncConnection,
    session: Session,
    case_id: int,
    found: Found,
    text: str,
    *,
    person: str = "",
) -> tuple[CaseSearch, int]:
    row = CaseSearch(
        position=0,
        text=text,
        person=person,
        places=tuple(found.places),
        found=len(found.calls),
        actor=session.actor,
        at=time.time(),
    )
    return await store.add_search(connection, case_id, row, found.calls)


async def _calls(desk: CasesDesk, found: Collection[CaseCall]) -> list[FoundCall]:
    """Add to each call what the index, the log of calls and the contact notes say about it."""
    ids = [each.call_id for each in found]
    recorded = await desk.archive.catalogue.some(ids)
    custody = await desk.archive.custodian.of(ids)
    logged = await desk.calls.log.store.some(ids)
    notes = await desk.notes.contacts.some(ids)
    rows = []
    for each in found:
        recording, call = recorded.get(each.call_id), logged.get(each.call_id)
        known = custody.get(each.call_id, NOT_RETAINED)
        facts = recording or call
        person, note = notes.get(each.call_id, ("", None))
        state = "" if recording is None else "recorded" if known.disposed is None else "disposed"
        rows.append(
            FoundCall.model_validate(
                {
                    **asdict(each),
                    "line": facts.line if facts else "",
                    "advisor": facts.advisor if facts else "",
                    "talk_s": facts.talk_us / _US if facts else 0.0,
                    "recording": state,
                    "flags": list(known.flag_names),
                    "person": person,
                    "note": None if note is None else NoteOfCall.model_validate(note),
                }
            )
        )
    return rows


async def _detail(desk: CasesDesk, case_id: int) -> CaseDetail:
    found = await _case(desk, case_id)
    every, excluded = await desk.cases.store.count_calls(case_id)
    return CaseDetail(
        case=_row(found),
        possible=_possible(found, desk.cases.today()),
        steps=[CaseStep.model_validate(each) for each in found.steps],
        searches=[
            SearchRow.model_validate(each) for each in await desk.cases.store.searches(case_id)
        ],
        calls=every,
        excluded=excluded,
    )


def _possible(found: CaseOnDay, today: date) -> list[StepKind]:
    case, taken, possible = found.case, valid(found.steps), []
    for kind in get_args(StepKind):
        with suppress(CaseStepError):
            check_step(case.kind, case.received, taken, DatedStep(kind, today), today)
            possible.append(kind)
    return possible


def _row(found: CaseOnDay) -> CaseRow:
    return CaseRow.model_validate({**asdict(found.case), **asdict(found.deadlines)})


async def _case(desk: CasesDesk, case_id: int) -> CaseOnDay:
    found = await desk.cases.store.one(case_id, desk.cases.today())
    if found is None:
        raise ApiError(404, "no case has this number", "`galwad cases list` shows them")
    return found


async def _start_of(desk: CasesDesk, call_id: str) -> float:
    """Return the start of a call in Unix seconds. Raises `ApiError` (404) if there is none."""
    live = desk.calls.live.get(call_id)
    if live is not None:
        return live.state.started
    recording = await desk.archive.catalogue.without_parts(call_id)
    call = recording or await desk.calls.log.store.call(call_id)
    if call is None:
        raise ApiError(404, "there is no call with this id", "check the id, or give `received`")
    return call.started


def _check_representative(representative: str, authority: str) -> None:
    if bool(representative) != bool(authority):
        raise ApiError(
            422,
            "a representative needs an authority, and an authority a representative",
            "look at: body.representative, body.authority",
        )


def _check_step_body(body: NewStep) -> None:
    """Raise an `ApiError` (422) if a step lacks its outcome or note, or has a wrong outcome."""
    if (body.kind == "closed") != (body.outcome is not None):
        raise ApiError(
            422,
            'a step "closed" needs an outcome, and other steps have none',
            "look at: body.outcome",
        )
    needs = body.outcome in NEED_REASON or body.kind in {"extended", "noted"}
    if needs and not body.note:
        raise ApiError(
            422,
            "this step needs a note",
            "look at: body.note; for a refusal or an extension, give the reason",
        )


def _check_receipt(desk: CasesDesk, received: date) -> None:
    if received > desk.cases.today():
        raise ApiError(422, "the day of receipt is in the future", "look at: body.received")
    if received < _FIRST_DAY:
        raise ApiError(422, f"the day of receipt is before {_FIRST_DAY}", "look at: body.received")


def _refuse_closed(found: CaseOnDay) -> None:
    if found.deadlines.state == "closed":
        _refuse_as_closed()


def _refuse_as_closed() -> NoReturn:
    raise ApiError(
        409, "the case is closed", "withdraw the step that closed it, if this was a mistake"
    )


def _misfit(kind: CaseKind, received: date, steps: Sequence[StoredStep], today: date) -> str:
    """Return which step does not fit to a case of this kind and receipt; "" if all do."""
    taken = valid(steps)
    for count, step in enumerate(taken):
        try:
            check_step(kind, received, taken[:count], step, today)
        except CaseStepError as error:
            return f'the step "{step.kind}" of {step.day} does not fit: {error}'
    return ""


def _changed_meanwhile() -> NoReturn:
    raise ApiError(409, "the case was changed meanwhile", "read it again, then repeat the change")


def _entry(
    event: str, case_id: int, session: Session, personal: dict[str, str], **facts: str | int
) -> NewEntry:
    values = {"actor": session.actor, **personal}
    return NewEntry(f"case.{event}", {"case": case_id, **facts}, values)
