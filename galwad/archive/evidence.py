"""The endpoint that enters an evidence pack in the audit.

`galwad evidence` makes the pack on the officer's machine. The server never has its content.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter
from pydantic import BaseModel, Field

from galwad.archive.routes import FetchReason, recording_for
from galwad.archive.subject import TheDesk
from galwad.host.bodies import RequiredText
from galwad.people.access import SteppedUpSupervisor
from recording.audit.log import Facts

router = APIRouter(tags=["recordings"])
PACK_MADE: Final = "evidence.made"
"""The kind of the audit entry about each evidence pack."""
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

    Raises:
        ApiError: 403, the purpose is only for administrators. 404, no recording has this id. 410,
            the recording was disposed of.
    """
    await recording_for(desk, session, call_id, body.purpose)
    facts: Facts = {
        "call_id": call_id,
        "purpose": body.purpose,
        "pack_sha256": body.sha256,
        "pack_size": body.size,
        "silenced": body.silenced,
    }
    personal = {
        "actor": session.actor,
        "reference": body.reference,
        "recipient": body.recipient,
    }
    head = await desk.host.audit.append(PACK_MADE, facts, personal)
    return PackEntry(entry=head.seq)
