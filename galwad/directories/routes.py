"""The endpoint by which another system says that the people of a directory have changed."""

from __future__ import annotations

from fastapi import APIRouter

from galwad.directories.subject import TheDesk
from galwad.host.errors import NotPermittedError
from galwad.people.access import SignedIn
from galwad.people.user import Right

router = APIRouter(tags=["directories"])


@router.post("/directories/forget", status_code=204)
async def forget_answers(desk: TheDesk, session: SignedIn) -> None:
    """Forget the stored answers of directories, and do not store answers that are on their way.

    A call that rings later asks the directories again. The calls that are shown now do not change.

    Raises:
        ApiError: 403, the user is neither an administrator nor a machine with the right
            `directories`.
    """
    if session.user.role != "admin" and Right.DIRECTORIES not in session.user.rights:
        raise NotPermittedError(
            "this needs a machine's token with the right `directories`",
            "let the CRM do it, or the recording administrator",
        )
    desk.directories.lookup.forget_answers()
    await desk.host.audit.append("directory.answers-forgotten", {}, {"actor": session.actor})
