"""Endpoints to sign in a command line that a person approves on the page.

People who sign in with the account of an OpenID provider can use the command line in this way. No
password is typed there.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request

from galwad.people.access import Person, SteppedUpPerson
from galwad.people.sign_in.approval_routes import (
    approve_waiting,
    begin_waiting,
    find_waiting,
    opened,
    redeem,
)
from galwad.people.sign_in.bodies import (
    CommandLineFacts,
    Me,
    WaitingCode,
    WaitingSecret,
    WaitingSignIn,
)
from galwad.people.sign_in.routes import me_of
from galwad.people.subject import TheDesk

router = APIRouter()
_FRAGMENT: Final = "#command-line"


@router.post("/command-lines", status_code=201)
async def begin(request: Request, desk: TheDesk) -> WaitingSignIn:
    """Begin the sign-in of a command line. It must ask for its token at least every two minutes."""
    return begin_waiting(desk, request, desk.people.command_lines, _FRAGMENT)


@router.post("/command-lines/show")
async def show(body: WaitingCode, desk: TheDesk, session: Person) -> CommandLineFacts:
    """Return the network address of the command line that waits with a code.

    Raises:
        ApiError: 404, no command line waits with this code. 429, too many codes.
    """
    found = find_waiting(desk, session, desk.people.command_lines, body)
    return CommandLineFacts(address=found.address)


@router.post("/command-lines/approve", status_code=204)
async def approve(
    body: WaitingCode, request: Request, desk: TheDesk, session: SteppedUpPerson
) -> None:
    """Let the command line that waits with a code sign in as the signed-in person.

    The approval is entered in the audit chain before it takes effect. A stronger sign-in that the
    person has proven also counts for the command line's session.

    Raises:
        ApiError: 404, no command line waits with this code. 429, too many codes.
    """
    found = find_waiting(desk, session, desk.people.command_lines, body)
    await approve_waiting(desk, request, session, desk.people.command_lines, found)


@router.post("/command-lines/token")
async def token(body: WaitingSecret, request: Request, desk: TheDesk) -> Me:
    """Return the signed-in person and a token, if the command line is approved.

    Raises:
        ApiError: 409, the command line is not approved yet: `reason` is "waiting". 410, it was not
            approved in time, or has not asked for 150 s. 401, the session that approved it has
            ended.
    """
    approver = await redeem(desk, request, desk.people.command_lines, body)
    made = await desk.people.sessions.open(
        approver.user.name, "cli", provider=approver.provider, stepped_up=approver.stepped_up
    )
    session = await opened(desk, made)
    return me_of(desk, session).model_copy(update={"token": made})
