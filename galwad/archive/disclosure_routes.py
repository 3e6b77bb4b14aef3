"""Endpoints for the register of disclosures: open, decide, enter what left, and close.

Only administrators may use these endpoints. A second administrator approves a disclosure before its
recordings can be used, or reviews an urgent one afterwards. A decision names the version of the
disclosure that the administrator has seen, so no decision is about what they have not seen.
"""

from __future__ import annotations

import time
from typing import NoReturn

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from galwad.archive import disclosures
from galwad.archive.agreement import refuse_dependent
from galwad.archive.disclosures import (
    FILE_SENT,
    Decision,
    DisclosedFile,
    Disclosure,
    DisclosureState,
)
from galwad.archive.evidence import Digest, Size
from galwad.archive.routes import recording_of
from galwad.archive.rules import DisclosurePurpose
from galwad.archive.subject import REVIEW, ArchiveDesk, TheDesk
from galwad.host.bodies import (
    LongText,
    Number,
    RequestBody,
    RequiredText,
    ResponseBody,
    ShortText,
    fields_of,
)
from galwad.host.errors import ApiError
from galwad.messages import Alarm
from galwad.people.access import SteppedUpAdministrator
from galwad.people.sessions import Session
from recording.audit.log import Facts, NewEntry

router = APIRouter(prefix="/disclosures", tags=["disclosures"])


class SomeRecordings(RequestBody):
    """Recordings, by their ids."""

    call_ids: list[ShortText] = Field(min_length=1, max_length=500)


class OpenDisclosure(SomeRecordings):
    """A request to disclose recordings, for one of the situations that the privacy notice names.

    `requester` asks by `authority`: an order, a law or a form. `recipient` is the person who gets
    the copies. With `urgent`, the reason why it cannot wait for a second administrator, the
    recordings may be used at once.
    """

    purpose: DisclosurePurpose
    requester: RequiredText
    authority: RequiredText
    recipient: RequiredText
    reference: RequiredText
    details: LongText = ""
    urgent: ShortText = ""


class Decide(RequestBody):
    """The decision of a second administrator. A refusal needs a note with the reason."""

    version: Number
    decision: Decision
    note: ShortText = ""


class SentFile(RequestBody):
    """A file that left for a disclosure, and that is no evidence pack of Galwad."""

    what: RequiredText
    sha256: Digest
    size: Size


class CloseDisclosure(RequestBody):
    """The end of a disclosure, with a note about what came of it."""

    version: Number
    note: RequiredText


@fields_of(Disclosure, *Disclosure.__dataclass_fields__)
class DisclosureRow(ResponseBody):
    """A disclosure. Times are in Unix seconds. `state` is the present one.

    "requested" waits for a second administrator, who approves or refuses it. "urgent" may be used,
    and waits for its review.
    """

    state: DisclosureState


class DisclosureList(BaseModel):
    """Disclosures, the newest first."""

    rows: list[DisclosureRow]


@fields_of(DisclosedFile, *DisclosedFile.__dataclass_fields__)
class FileRow(ResponseBody):
    """A file that left the council."""


class DisclosureDetail(BaseModel):
    """A disclosure, the ids of its recordings, and the files that left."""

    disclosure: DisclosureRow
    call_ids: list[str]
    files: list[FileRow]


@router.get("")
async def listed(
    desk: TheDesk,
    session: SteppedUpAdministrator,
    ended: bool = False,  # noqa: FBT001, FBT002 - FastAPI reads it from the query
) -> DisclosureList:
    """Return the disclosures; with `ended`, those that were refused or closed, too."""
    await desk.host.audit.append("disclosures.listed", {}, {"actor": session.actor})
    found = await desk.archive.disclosures.all(ended=ended)
    return DisclosureList(rows=list(map(DisclosureRow.model_validate, found)))


@router.post("", status_code=201)
async def open_disclosure(
    body: OpenDisclosure, desk: TheDesk, session: SteppedUpAdministrator
) -> DisclosureDetail:
    """Ask to disclose recordings. If it is urgent, the alarm `disclosure.review` is raised.

    Raises:
        ApiError: 404, no recording has one of the ids.
    """
    call_ids = await _recordings(desk, body)
    disclosure = Disclosure(
        disclosure_id=0,
        **body.model_dump(exclude={"call_ids"}),
        asked_by=session.user.name,
        opened=time.time(),
    )
    number = 0

    async def store(connection: AsyncConnection) -> list[NewEntry]:
        nonlocal number
        number = await disclosures.add(connection, disclosure, call_ids)
        facts = {"purpose": body.purpose, "urgent": bool(body.urgent)}
        names = {"requester", "authority", "recipient", "reference", "urgent"}
        personal = {name: text for name, text in body.model_dump(include=names).items() if text}
        return [
            _entry("opened", number, session, personal, **facts),
            *(_entry("call-added", number, session, {}, call_id=each) for each in call_ids),
        ]

    await desk.host.audit.append_after(store)
    if disclosure.urgent:
        desk.host.alarm(Alarm(REVIEW, None, f"{number}: {session.user.name}"))
    return await _detail(desk, number)


@router.get("/{disclosure_id}")
async def show(
    disclosure_id: Number, desk: TheDesk, session: SteppedUpAdministrator
) -> DisclosureDetail:
    """Return a disclosure with its recordings, and the files that left.

    Raises:
        ApiError: 404, no disclosure has this number.
    """
    detail = await _detail(desk, disclosure_id)
    facts = {"disclosure": disclosure_id}
    await desk.host.audit.append("disclosure.shown", facts, {"actor": session.actor})
    return detail


@router.post("/{disclosure_id}/calls")
async def add(
    disclosure_id: Number, body: SomeRecordings, desk: TheDesk, session: SteppedUpAdministrator
) -> DisclosureDetail:
    """Add recordings to a disclosure, before a second administrator has decided.

    Raises:
        ApiError: 404, no disclosure has this number, or no recording one of the ids. 409, it was
            decided or closed, changed meanwhile, or another administrator has opened it.
    """
    found = await _one(desk, disclosure_id)
    if found.asked_by != session.user.name:
        raise ApiError(
            409,
            f"{found.asked_by} has opened this disclosure, and adds its recordings",
            "open another one; its approval needs a second administrator, too",
        )
    if found.decision:
        _refuse_as_decided()
    _refuse_closed(found)
    call_ids = await _recordings(desk, body)

    async def store(connection: AsyncConnection) -> list[NewEntry]:
        if not await disclosures.change(connection, disclosure_id, found.version):
            _changed_meanwhile()
        new = await disclosures.add_calls(connection, disclosure_id, call_ids)
        return [_entry("call-added", disclosure_id, session, {}, call_id=each) for each in new]

    await desk.host.audit.append_after(store)
    return await _detail(desk, disclosure_id)


@router.post("/{disclosure_id}/decision")
async def decide(
    disclosure_id: Number, body: Decide, desk: TheDesk, session: SteppedUpAdministrator
) -> DisclosureDetail:
    """Approve or refuse a disclosure as the second administrator, or review an urgent one.

    An urgent disclosure can be reviewed after it was closed, too.

    Raises:
        ApiError: 404, no disclosure has this number. 409, the same administrator has opened it, the
            two accounts are linked (`refuse_dependent`), it was decided, closed or changed. 422, a
            refusal has no note.
    """
    found = await _one(desk, disclosure_id)
    if found.decision:
        _refuse_as_decided()
    if not found.urgent:
        _refuse_closed(found)
    if found.asked_by == session.user.name:
        raise ApiError(409, "you have opened this disclosure", "ask a second administrator")
    if body.decision == "refused" and not body.note:
        raise ApiError(422, "a refusal needs a reason", "look at: body.note")
    now = time.time()
    await refuse_dependent(desk.host.audit, found.asked_by, session.user.name, now)

    async def store(connection: AsyncConnection) -> list[NewEntry]:
        decided = {
            "decision": body.decision,
            "decided_by": session.user.name,
            "decided": now,
            "decision_note": body.note,
        }
        if not await disclosures.change(connection, disclosure_id, body.version, **decided):
            _changed_meanwhile()
        personal = {"asked_by": found.asked_by, "note": body.note}
        return [_entry(body.decision, disclosure_id, session, personal)]

    await desk.host.audit.append_after(store)
    return await _detail(desk, disclosure_id)


@router.post("/{disclosure_id}/files")
async def sent(
    disclosure_id: Number, body: SentFile, desk: TheDesk, session: SteppedUpAdministrator
) -> DisclosureDetail:
    """Enter a file that left for a disclosure. Evidence packs are entered when they are made.

    Raises:
        ApiError: 404, no disclosure has this number. 409, the disclosure cannot be used.
    """
    found = await _one(desk, disclosure_id)
    file = DisclosedFile(
        position=0,
        call_id="",
        **body.model_dump(),
        actor=session.actor,
        at=time.time(),
    )

    async def store(connection: AsyncConnection) -> list[NewEntry]:
        present = await disclosures.read_one(connection, disclosure_id)
        if present is None or not present.may_be_used:
            raise ApiError(
                409,
                f"the disclosure is {(present or found).state}",
                "files leave only for a disclosure that is approved or urgent",
            )
        await disclosures.add_file(connection, disclosure_id, file)
        facts: Facts = {
            "disclosure": disclosure_id,
            "purpose": found.purpose,
            "file_sha256": body.sha256,
            "file_size": body.size,
        }
        personal = {"actor": session.actor, "what": body.what, "recipient": found.recipient}
        return [NewEntry(FILE_SENT, facts, personal)]

    await desk.host.audit.append_after(store)
    return await _detail(desk, disclosure_id)


@router.post("/{disclosure_id}/close")
async def close(
    disclosure_id: Number, body: CloseDisclosure, desk: TheDesk, session: SteppedUpAdministrator
) -> DisclosureDetail:
    """Close a disclosure: its recordings cannot be used for it any more.

    Raises:
        ApiError: 404, no disclosure has this number. 409, it is closed, or was changed meanwhile.
    """
    found = await _one(desk, disclosure_id)
    _refuse_closed(found)

    async def store(connection: AsyncConnection) -> list[NewEntry]:
        closed = {
            "closed_by": session.user.name,
            "closed": time.time(),
            "closing_note": body.note,
        }
        if not await disclosures.change(connection, disclosure_id, body.version, **closed):
            _changed_meanwhile()
        return [_entry("closed", disclosure_id, session, {"note": body.note})]

    await desk.host.audit.append_after(store)
    return await _detail(desk, disclosure_id)


async def _recordings(desk: ArchiveDesk, body: SomeRecordings) -> list[str]:
    """Return the ids of the recordings, sorted. Raises `ApiError` (404) for an unknown one."""
    return sorted({(await recording_of(desk, each)).call_id for each in body.call_ids})


async def _one(desk: ArchiveDesk, disclosure_id: int) -> Disclosure:
    found = await desk.archive.disclosures.one(disclosure_id)
    if found is None:
        raise ApiError(404, "no disclosure has this number", "`galwad disclosures list` shows them")
    return found


async def _detail(desk: ArchiveDesk, disclosure_id: int) -> DisclosureDetail:
    register = desk.archive.disclosures
    return DisclosureDetail(
        disclosure=DisclosureRow.model_validate(await _one(desk, disclosure_id)),
        call_ids=await register.calls(disclosure_id),
        files=list(map(FileRow.model_validate, await register.files(disclosure_id))),
    )


def _refuse_closed(found: Disclosure) -> None:
    if found.closed is not None:
        raise ApiError(409, "the disclosure is closed", "open another one")


def _refuse_as_decided() -> NoReturn:
    raise ApiError(409, "the disclosure is decided already", "open another one")


def _changed_meanwhile() -> NoReturn:
    raise ApiError(
        409, "the disclosure was changed meanwhile", "read it again, then repeat the change"
    )


def _entry(
    event: str, disclosure_id: int, session: Session, personal: dict[str, str], **facts: str | bool
) -> NewEntry:
    values = {"actor": session.actor, **personal}
    return NewEntry(f"disclosure.{event}", {"disclosure": disclosure_id, **facts}, values)
