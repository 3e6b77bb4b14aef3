"""Endpoints to find archived recordings without an index row, and to write missing or wrong rows.

After a restore from a backup, the recordings that were made after the backup have no row. The
finaliser verifies the signatures of such a recording, with the present keys and with earlier keys
from the request. This module adds an audit entry that names the user who made the request, and
writes the row. No file in the archive is changed.

The new row lacks the facts about people, which are encrypted in the manifest. A recipient decrypts
them on another machine. This module accepts them if they match the commitments in the manifest.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Literal, TypeAlias

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from galwad.archive.files import checked_id
from galwad.archive.indexer import index_row
from galwad.archive.routes import RecordingRow, recording_of, row_in
from galwad.archive.subject import ArchiveDesk, TheDesk
from galwad.host.bodies import RequestBody, RequiredText, fields_of
from galwad.host.errors import ApiError
from galwad.messages import VerifiedRecording, VerifyRecording
from galwad.people.access import Administrator
from galwad.people.sessions import Session
from recording.archive.commitments import compare_file, match
from recording.archive.manifest import day_folder
from recording.archive.summary import (
    MOST_LATER_ADVISORS,
    MOST_LATER_CALLERS,
    NO_PERSONAL_FACTS,
    PersonalFacts,
    RecordingSummary,
)
from recording.audit.index_comparison import FACTS_ERASED, INDEXED
from recording.audit.log import AuditFilter, Facts
from recording.index.custody import Custody
from recording.index.orphans import unindexed

router = APIRouter()
SealedText: TypeAlias = Annotated[str, StringConstraints(max_length=1000)]
"""A text exactly as it was sealed. A commitment covers it, so spaces at its ends are kept."""
PublicKey: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]


class Unindexed(BaseModel):
    """The call ids, sorted, of the archived recordings that have no row in the index."""

    call_ids: list[str]


class Reindex(RequestBody):
    """A request to index a recording again. `reference` is the reason.

    `node_keys` and `officer_keys` are earlier public keys of the node and of officers, in base64.
    Signatures that were made with these keys are also accepted. If `dry_run` is true, the recording
    is verified but nothing is written.
    """

    reference: RequiredText
    node_keys: list[PublicKey] = Field(default=[], max_length=10)
    officer_keys: list[PublicKey] = Field(default=[], max_length=10)
    dry_run: bool = False


class SealedCaller(RequestBody):
    """A later caller exactly as it was sealed. It is compared with a commitment.

    `from_us` is in microseconds since the recording's start.
    """

    from_us: int
    number: SealedText | None
    withheld: bool


class SealedAdvisor(RequestBody):
    """A later advisor exactly as it was sealed. It is compared with a commitment.

    `from_us` is in microseconds since the recording's start.
    """

    from_us: int
    advisor: SealedText
    extension: SealedText


@fields_of(PersonalFacts, "number", "line", "advisor", "extension", texts=SealedText)
class RestoreFacts(RequestBody):
    """A request to restore the facts about people in the row of a recording that was reindexed.

    A recipient has decrypted the facts and the salt (hexadecimal) from the recording's manifest.
    `reference` is the reason.
    """

    reference: RequiredText
    salt: str = Field(pattern=r"^[0-9a-f]{64}$")
    later_callers: list[SealedCaller] = Field(default=[], max_length=MOST_LATER_CALLERS)
    later_advisors: list[SealedAdvisor] = Field(default=[], max_length=MOST_LATER_ADVISORS)


class Reindexed(BaseModel):
    """The index row of a recording.

    `state` is "indexed" if this request wrote the row, and "known" if it was there before. A
    dry run writes no row: `state` is then "provable" if the recording was verified and its row
    could be written.
    """

    state: Literal["indexed", "known", "provable"]
    row: RecordingRow


@router.get("/unindexed")
async def lost(desk: TheDesk, _session: Administrator) -> Unindexed:
    """Return the ids of recordings in the archive that have no index row.

    The list may include a new recording whose row is just being written.
    """
    known = await desk.archive.catalogue.folders()
    found = await asyncio.to_thread(unindexed, desk.archive.files.folder, known)
    return Unindexed(call_ids=found)


@router.post("/recordings/{call_id}/reindex")
async def reindex(call_id: str, body: Reindex, desk: TheDesk, session: Administrator) -> Reindexed:
    """Return a recording's index row. If there is no row, verify the recording and write the row.

    If the recording was disposed of but an existing row does not show this, verify the recording
    and enter the disposal in the index. If an existing row contradicts the manifest, verify the
    recording and write the row again. A dry run does the same, except that it writes nothing.

    Raises:
        ApiError: 404, this cannot be the id of a recording. 409, the manifest is not the one that
            the audit has, the finaliser cannot verify the recording, or the new row was removed
            meanwhile. 503, the finaliser does not answer.
    """
    row = await desk.archive.catalogue.get(checked_id(call_id))
    corrected = None
    if row is not None:
        custody = await desk.archive.custodian.one(call_id)
        corrected = await _corrected_facts(desk, row)
        certified = (
            custody.disposed is None and desk.archive.files.content(row, "disposal") is not None
        )
        if corrected is None and not certified:
            return Reindexed(state="known", row=row_in(desk, row, custody))
    order = body.node_keys, body.officer_keys
    content = await desk.archive.finaliser.request(
        lambda ref: VerifyRecording(ref, call_id, *(tuple(keys) for keys in order))
    )
    proven = msgspec.msgpack.decode(content, type=VerifiedRecording)
    if not body.dry_run:
        return await _write(desk, session, body, proven, corrected)
    return Reindexed(state="provable", row=_shown(desk, index_row(proven.sealed), proven))


@router.put("/recordings/{call_id}/facts")
async def restore_facts(
    call_id: str, body: RestoreFacts, desk: TheDesk, session: Administrator
) -> Reindexed:
    """Put the callers' numbers, line, advisors and extensions into a row that lacks them.

    A row that has any of these facts, or their salt, stays as it is.

    Raises:
        ApiError: 404, no recording has this id. 409, the facts differ from the sealed ones or were
            erased, or the row contradicts the manifest.
    """
    row = await recording_of(desk, call_id)
    if row.has_personal_facts or row.salt:
        custody = await desk.archive.custodian.one(call_id)
        return Reindexed(state="known", row=row_in(desk, row, custody))
    erased = AuditFilter(kind=FACTS_ERASED, call_id=call_id)
    if await desk.host.audit.search(erased, limit=1):
        raise ApiError(409, "the facts about people were erased", "they stay erased")
    facts = msgspec.convert(body.model_dump(exclude={"reference"}), PersonalFacts)
    compared, manifest = compare_file(row, desk.archive.files.content(row, "manifest"))
    if manifest is None or compared.problems:
        raise ApiError(409, compared.problems[0], "run `galwad recordings verify`")
    if not match(facts, manifest):
        raise ApiError(409, "these are not the facts that were sealed", "decrypt the facts again")
    personal = {"actor": session.actor, "reference": body.reference}
    await desk.host.audit.append("recording.facts-restored", {"call_id": call_id}, personal)
    restored = msgspec.structs.replace(row, **msgspec.structs.asdict(facts))
    await desk.archive.catalogue.add(restored)
    return Reindexed(
        state="indexed", row=row_in(desk, restored, await desk.archive.custodian.one(call_id))
    )


async def _corrected_facts(desk: ArchiveDesk, row: RecordingSummary) -> PersonalFacts | None:
    """Return the facts about people for a row that must be written again.

    If a fact does not match the manifest's commitments, all facts are left out. `restore_facts` can
    restore them. Return None if the row does not contradict the manifest, or if there is no valid
    manifest.

    Raises `ApiError` (409) if the manifest is not the one that was indexed according to the audit
    chain, so that the manifest itself is in doubt.
    """
    place = msgspec.structs.replace(row, folder=day_folder(row.call_id))
    data = desk.archive.files.content(place, "manifest")
    compared, manifest = compare_file(row, data)
    if manifest is None or data is None or not compared.problems:
        return None
    newest = await desk.host.audit.search(AuditFilter(kind=INDEXED, call_id=row.call_id), limit=1)
    digest = hashlib.sha256(data).hexdigest()
    if [entry.facts.get("manifest_sha256") for entry in newest] != [digest]:
        raise ApiError(
            409,
            "the manifest is not the one that the audit has",
            "restore the manifest from a copy",
        )
    known = manifest.index is None or match(row, manifest)
    return row.personal_facts if known else NO_PERSONAL_FACTS


async def _write(
    desk: ArchiveDesk,
    session: Session,
    body: Reindex,
    proven: VerifiedRecording,
    corrected: PersonalFacts | None,
) -> Reindexed:
    sealed = proven.sealed
    facts: Facts = {
        "call_id": sealed.call_id,
        "manifest_sha256": sealed.manifest_sha256,
        "node_key": proven.node_key,
        "disposed": bool(proven.disposed),
    }
    personal = {"actor": session.actor, "reference": body.reference}
    await desk.host.audit.append("recording.reindexed", facts, personal)
    new = await desk.archive.indexer.reindex(sealed, corrected)
    if proven.disposed:
        await desk.archive.custodian.disposed(sealed.call_id, proven.disposal, proven.disposed)
    row = await desk.archive.catalogue.get(sealed.call_id)
    if row is None:
        raise ApiError(409, "the new row was removed meanwhile", "try again")
    return Reindexed(state="indexed" if new else "known", row=_shown(desk, row, proven))


def _shown(desk: ArchiveDesk, row: RecordingSummary, proven: VerifiedRecording) -> RecordingRow:
    custody = Custody(disposed=proven.disposed or None, reason=proven.disposal)
    return row_in(desk, row, custody)
