"""Endpoints to list and fetch recordings' headers, and to replace them by new headers (rewrap).

One more endpoint sends the signed set of recipients. The desk does not check a new header. The
recording officer's client opens the old header, makes the new header, checks it, and signs a record
of the rewrap. The finaliser accepts a new header only together with this signed record.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from galwad.archive.files import ArchiveFolder
from galwad.archive.routes import recording_of, refuse_if_disposed
from galwad.archive.subject import TheDesk
from galwad.host.bodies import NO_CARD_NUMBER, RequestBody, RequiredText
from galwad.host.errors import ApiError
from galwad.messages import CommitHeader, StageHeader
from galwad.people.access import Administrator
from recording.archive.manifest import read_manifest
from recording.archive.rewrap import REWRAP
from recording.archive.summary import RecordingSummary
from recording.errors import KeySetError, ManifestError

router = APIRouter()


class SignedSet(BaseModel):
    """The text of the file with the set of recipients, which the recording officer has signed.

    The client must verify the signature itself, and not rely on the desk, which verifies it too.
    """

    content: str


class HeaderQuery(RequestBody):
    """A request to list headers, sorted by call id.

    The list has at most `limit` headers. It begins with the first call id that comes after `after`
    in this order, or with the first of all if `after` is "".
    """

    after: Annotated[
        str, StringConstraints(max_length=24, pattern=r"^[0-9a-z-]*$"), NO_CARD_NUMBER
    ] = ""
    limit: int = Field(default=500, ge=1, le=500)


class HeaderState(BaseModel):
    """The state of a recording's header.

    `recipients` has the fingerprints of the recipients who can open the header, according to the
    record of the most recent rewrap or, if there was no rewrap, to the manifest.

    `current` is true if the header is the one that the most recent rewrap made or, if there was no
    rewrap, the sealing. The header's digest is compared with the digest in the record of the
    rewrap, or in the manifest. A manifest of older software may have no digest; `current` is then
    true for any header. `current` is false if the header or the manifest is missing, or if the
    manifest or the record is malformed. If the recording was disposed of, `disposed` is true,
    `recipients` is empty and `current` is false.
    """

    call_id: str
    recipients: list[str]
    current: bool
    disposed: bool = False


class HeaderPage(BaseModel):
    """A list of headers, sorted by call id. `more` is true if more headers follow this list."""

    rows: list[HeaderState]
    more: bool


class HeaderReason(RequestBody):
    """A request to fetch a header. `reference` is the reason, such as the number of a case.

    The reason is entered in the audit chain before the header is sent.
    """

    reference: RequiredText


class SealedHeader(BaseModel):
    """A recording's header and manifest, and the record of its most recent rewrap.

    With the manifest and the record, the client can check that the header is genuine. `rewrap` is
    None if the header was never replaced by another header.
    """

    header: str
    manifest: str
    rewrap: str | None


class NewHeader(RequestBody):
    """A new header for a recording, and the record of this rewrap (the file `ID.rewrap`).

    The recording officer has signed the record.
    """

    header: str = Field(max_length=128 * 1024)
    rewrap: str = Field(max_length=64 * 1024)


class StagedHeader(BaseModel):
    """The new header, read from the disk after it was stored.

    The old header stays in force until the client sends a `HeaderCommit`.
    """

    header: str


class HeaderCommit(RequestBody):
    """A request to put a recording's new header in force.

    The client sends this request after it has checked the new header. `sha256` is the digest of the
    new header, and `reference` is the reason for the rewrap.
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    reference: RequiredText


@router.get("/recipients")
async def recipients(desk: TheDesk, _session: Administrator) -> SignedSet:
    """Return the signed set of recipients in force. The client must verify the signature.

    Raises:
        ApiError: 409, the server has no signed set of recipients, or cannot use it.
    """
    file = desk.archive.recipients
    if not file.path.exists():
        raise ApiError(
            409,
            "the server has no signed recipient set",
            "put the officer's signed set on the server",
        )
    try:
        found = await asyncio.to_thread(file.read)
    except KeySetError as error:
        raise ApiError(409, f"cannot use the recipient set: {error}", error.hint) from None
    return SignedSet(content=found.content.decode())


@router.post("/headers/search")
async def search(body: HeaderQuery, desk: TheDesk, session: Administrator) -> HeaderPage:
    """Return a page of recordings' headers, each with the recipients that can open it.

    The recipients are read from the record of the header's most recent rewrap. If there was no
    rewrap, they are read from the recording's manifest.
    """
    await desk.host.audit.append("headers.listed", {"after": body.after}, {"actor": session.actor})
    page = await desk.archive.catalogue.in_order(body.after, body.limit)
    known = await desk.archive.custodian.of([row.call_id for row in page.rows])
    gone = {call_id for call_id, custody in known.items() if custody.disposed is not None}
    rows = await asyncio.to_thread(
        lambda: [
            HeaderState(call_id=row.call_id, recipients=[], current=False, disposed=True)
            if row.call_id in gone
            else _state(desk.archive.files, row)
            for row in page.rows
        ]
    )
    return HeaderPage(rows=rows, more=page.after is not None)


@router.post("/recordings/{call_id}/header")
async def fetch(
    call_id: str, body: HeaderReason, desk: TheDesk, session: Administrator
) -> SealedHeader:
    """Enter the fetch in the audit chain, then return a recording's header from the archive.

    Raises:
        ApiError: 404, no recording has this id. 409, the header or the manifest is missing. 410,
            the recording was disposed of.
    """
    recording = await recording_of(desk, call_id)
    refuse_if_disposed(desk, recording)
    header = desk.archive.files.text(recording, "header")
    manifest = desk.archive.files.text(recording, "manifest")
    if header is None or manifest is None:
        raise ApiError(409, "the header or manifest is missing", "restore the file from a backup")
    await desk.host.audit.append(
        "header.fetched",
        {"call_id": call_id, "payload_sha256": recording.payload_sha256},
        {"actor": session.actor, "reference": body.reference},
    )
    rewrap = desk.archive.files.text(recording, "rewrap")
    return SealedHeader(header=header, manifest=manifest, rewrap=rewrap)


@router.put("/recordings/{call_id}/header")
async def stage(
    call_id: str, body: NewHeader, desk: TheDesk, _session: Administrator
) -> StagedHeader:
    """Store a recording's new header in the archive, without putting it in force.

    Return the new header as read again from the disk, so that the client can check it.

    Raises:
        ApiError: 404, no recording has this id. 409, the finaliser refuses the new header. 410, the
            recording was disposed of. 503, the finaliser does not answer: the old header is still
            in force.
    """
    recording = await recording_of(desk, call_id)
    refuse_if_disposed(desk, recording)
    header, record = body.header.encode(), body.rewrap.encode()
    found = await desk.archive.finaliser.request(
        lambda ref: StageHeader(ref, call_id, recording.payload_sha256, header, record)
    )
    return StagedHeader(header=found.decode())


@router.put("/recordings/{call_id}/header/commit", status_code=204)
async def commit(call_id: str, body: HeaderCommit, desk: TheDesk, session: Administrator) -> None:
    """Put a recording's new header in force, after `stage` has stored it.

    An audit entry about the replacement is written first. If the replacement then fails, a second
    audit entry reports the failure.

    Raises:
        ApiError: 404, no recording has this id. 409, the finaliser refuses the new header. 410, the
            recording was disposed of. 503, the finaliser does not answer: the new header may be in
            force.
    """
    recording = await recording_of(desk, call_id)
    refuse_if_disposed(desk, recording)

    def in_force() -> str:
        return hashlib.sha256(desk.archive.files.content(recording, "header") or b"").hexdigest()

    facts = {
        "call_id": call_id,
        "payload_sha256": recording.payload_sha256,
        "old_sha256": in_force(),
        "new_sha256": body.sha256,
    }
    personal = {"actor": session.actor, "reference": body.reference}
    await desk.host.audit.append("header.replaced", facts, personal)
    try:
        await desk.archive.finaliser.request(
            lambda ref: CommitHeader(ref, call_id, recording.payload_sha256, body.sha256)
        )
    except ApiError as error:
        # The finaliser may have replaced the header although the request failed. Then the audit
        # entry above is correct, and no entry about a failure is added.
        if in_force() != body.sha256:
            await desk.host.audit.append(
                "header.not-replaced", {**facts, "why": error.error}, personal
            )
        raise


def _state(archive: ArchiveFolder, recording: RecordingSummary) -> HeaderState:
    """Return the header's state from its files, without verifying the signatures in them."""
    header, manifest, record = (
        archive.text(recording, suffix) for suffix in ("header", "manifest", "rewrap")
    )
    try:
        sealed = read_manifest((manifest or "").encode())
        last = None if record is None else REWRAP.read(record.encode())
    except ManifestError:
        return HeaderState(call_id=recording.call_id, recipients=[], current=False)
    expected = sealed.header if last is None else last.header
    digest = hashlib.sha256((header or "").encode()).hexdigest()
    current = header is not None and (expected is None or expected.sha256 == digest)
    names = sealed.recipients if last is None else last.recipients
    return HeaderState(call_id=recording.call_id, recipients=names, current=current)
