"""The endpoint that enters an evidence pack in the audit.

`galwad evidence` makes the pack on the officer's machine. The server never has its content.
"""

from __future__ import annotations

import time
from typing import Annotated, TypeAlias

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from galwad.archive import disclosures
from galwad.archive.disclosures import DisclosedFile
from galwad.archive.routes import FetchReason, recording_for
from galwad.archive.rules import PACK_MADE
from galwad.archive.subject import TheDesk
from galwad.host.bodies import RequiredText
from galwad.host.errors import ApiError
from galwad.people.access import SteppedUpSupervisor
from recording.audit.log import Facts, NewEntry

router = APIRouter(tags=["recordings"])
Digest: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size: TypeAlias = Annotated[int, Field(ge=1, le=1 << 40)]


class EvidencePack(FetchReason):
    """An evidence pack that was made from a recording.

    `sha256` and `size` (in bytes) are those of the encrypted file. `recipient` is the name of the
    person or body whom it is for. `silenced` is the number of stretches that are silent in the
    copy.
    """

    recipient: RequiredText
    sha256: Digest
    size: Size
    silenced: Annotated[int, Field(ge=0, le=100_000)] = 0


class PackEntry(BaseModel):
    """The number of the audit entry about an evidence pack."""

    entry: int


@router.post("/recordings/{call_id}/evidence")
async def pack_made(
    call_id: str, body: EvidencePack, desk: TheDesk, session: SteppedUpSupervisor
) -> PackEntry:
    """Enter in the audit that an evidence pack was made, with its digest and recipient.

    A pack for a disclosure is entered in its register, too.

    Raises:
        ApiError: 403, the purpose is only for administrators, or the disclosure or case forbids it.
            404, no recording has this id. 409, the disclosure is for another recipient, or was
            closed meanwhile. 410, the recording was disposed of.
    """
    await recording_for(desk, session, call_id, body)
    facts: Facts = {
        "call_id": call_id,
        "purpose": body.purpose,
        **body.authority(),
        "pack_sha256": body.sha256,
        "pack_size": body.size,
        "silenced": body.silenced,
    }
    personal = {
        "actor": session.actor,
        "reference": body.reference,
        "recipient": body.recipient,
    }
    entry = NewEntry(PACK_MADE, facts, personal)

    async def store(connection: AsyncConnection) -> list[NewEntry]:
        if body.disclosure is not None:
            await _register(connection, body.disclosure, call_id, body, session.actor)
        return [entry]

    head = await desk.host.audit.append_after(store)
    return PackEntry(entry=0 if head is None else head.seq)


async def _register(
    connection: AsyncConnection, disclosure: int, call_id: str, body: EvidencePack, actor: str
) -> None:
    """Enter a pack in the register of disclosures. Raises `ApiError` (409)."""
    found = await disclosures.read_one(connection, disclosure)
    if found is None or not found.may_be_used:
        raise ApiError(409, "the disclosure was closed or refused meanwhile", "read it again")
    if found.recipient != body.recipient:
        raise ApiError(
            409,
            f"disclosure {disclosure} is for another recipient: {found.recipient}",
            "make the pack for this recipient",
        )
    await disclosures.add_file(
        connection,
        disclosure,
        DisclosedFile(
            position=0,
            call_id=call_id,
            what="",
            sha256=body.sha256,
            size=body.size,
            actor=actor,
            at=time.time(),
        ),
    )
