"""The endpoints with which the page plays a recording: its header, and parts of its payload.

Both are sent as they are in the archive, encrypted. The page decrypts them with the officer's key,
which never leaves the browser. The audit entry about the fetch is committed before the header is
sent. Each request for a part names this entry.
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel

from galwad.archive.proof_routes import MAX_ENTRY_NUMBER
from galwad.archive.routes import FetchReason, audit_fetch, recording_for
from galwad.archive.rules import FETCHED
from galwad.archive.subject import ArchiveDesk, TheDesk
from galwad.host.errors import ApiError
from galwad.people.access import SteppedUpSupervisor, Supervisor
from galwad.people.sessions import Session
from recording.audit.log import AuditEntry

router = APIRouter(tags=["recordings"])
_VALID_S: Final = 4 * 3600
"""The seconds after a fetch in which its audit entry gives access to parts of the payload."""
_MAX_PART: Final = 1024 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{1,15})-(\d{1,15})")


class ListeningAccess(BaseModel):
    """The beginning of a recording, with which the page opens it and verifies what it plays.

    `entry` is the number of the audit entry about the fetch. `header` is the header of the age
    file, in base64. `payload_size` and `payload_sha256` are those in the index. `manifest` is the
    text of the signed manifest; None if its file is missing.
    """

    entry: int
    header: str
    payload_size: int
    payload_sha256: str
    manifest: str | None


@router.post("/recordings/{call_id}/listen")
async def listen(
    call_id: str, body: FetchReason, desk: TheDesk, session: SteppedUpSupervisor
) -> ListeningAccess:
    """Enter the purpose in the audit, and return the encrypted header of a recording.

    Raises:
        ApiError: 403, the purpose is only for administrators. 404, no recording has this id. 409, a
            file is missing or has another size. 410, the recording was disposed of.
    """
    recording = await recording_for(desk, session, call_id, body)
    files = desk.archive.files.open(recording, "payload", recording.payload_size)
    files.close()
    facts = {"payload_sha256": recording.payload_sha256, "client": "page"}
    entry = await audit_fetch(desk, session, call_id, body, facts)
    desk.archive.metrics.fetched.inc()
    return ListeningAccess(
        entry=entry,
        header=base64.b64encode(files.header).decode(),
        payload_size=recording.payload_size,
        payload_sha256=recording.payload_sha256,
        manifest=desk.archive.files.text(recording, "manifest"),
    )


@router.get(
    "/recordings/{call_id}/payload",
    status_code=206,
    response_class=Response,
    responses={206: {"content": {"application/octet-stream": {}}}},
)
async def payload(
    call_id: str,
    desk: TheDesk,
    session: Supervisor,
    entry: Annotated[int, Query(ge=1, le=MAX_ENTRY_NUMBER)],
    range_: Annotated[str, Header(alias="Range", max_length=100)],
) -> Response:
    """Return a part of the encrypted payload of a recording, at most 1 MiB (RFC 9110 section 14).

    `entry` is that of `ListeningAccess`. It must be of this recording and user, and be at most four
    hours old.

    Raises:
        ApiError: 403, the audit entry does not give access, or its purpose is only for
            administrators. 404, no recording has this id. 409, the file is missing. 410, the
            recording was disposed of. 416, the range is malformed, too long or outside the payload.
    """
    fetched = await _fetched(desk, session, call_id, entry)
    recording = await recording_for(desk, session, call_id, _reason_in(fetched))
    size = recording.payload_size
    found = _RANGE.fullmatch(range_)
    first, last = (int(found[1]), min(int(found[2]), size - 1)) if found else (0, -1)
    if first > last or last - first >= _MAX_PART:
        raise ApiError(416, "cannot send this range", "ask for bytes=FIRST-LAST, at most 1 MiB")
    content = await desk.archive.files.part(recording, first, last - first + 1)
    headers = {"Content-Range": f"bytes {first}-{last}/{size}"}
    return Response(content, 206, headers, media_type="application/octet-stream")


def _reason_in(fetched: AuditEntry) -> FetchReason:
    """Return the reason in the audit entry about a fetch."""
    facts: dict[str, Any] = {
        name: fetched.facts.get(name) for name in ("purpose", "disclosure", "case")
    }
    return FetchReason.model_construct(**facts, reference="")


async def _fetched(desk: ArchiveDesk, session: Session, call_id: str, seq: int) -> AuditEntry:
    """Return the audit entry `seq` if it gives this user access to this recording; else raise."""
    audit = desk.host.audit
    for each in await audit.entries(seq - 1, 1):
        is_same = each.kind == FETCHED and each.facts.get("call_id") == call_id
        is_new = each.at_us / 1e6 > audit.clock() - _VALID_S
        if each.seq == seq and is_same and is_new and each.personal.get("actor") == session.actor:
            return each
    raise ApiError(403, "this audit entry gives no access", "state the purpose again")
