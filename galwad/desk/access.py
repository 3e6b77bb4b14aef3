"""Who is asking: the dependencies by which endpoints take the desk, a session, or a role."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from galwad.desk.calls import LiveCall
from galwad.desk.errors import ApiError
from galwad.desk.service import Desk
from galwad.desk.sessions import Session


def desk_of(request: Request) -> Desk:
    """The desk that this app serves."""
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(desk_of)]


async def session_of(request: Request, desk: TheDesk) -> Session | None:
    """The session of the bearer token or the cookie, if it is in force."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.cookies.get(desk.options.cookie, "")
    return await desk.sessions.find(token.strip()) if token else None


def signed_in(session: Annotated[Session | None, Depends(session_of)]) -> Session:
    """Anyone with a session: people and machines."""
    if session is None:
        raise ApiError(401, "nobody is signed in", "sign in again")
    return session


SignedIn = Annotated[Session, Depends(signed_in)]


def person(session: SignedIn) -> Session:
    """People only."""
    if session.user.role == "machine":
        raise ApiError(403, "this is for people", "use an account of your own")
    return session


Person = Annotated[Session, Depends(person)]


def supervisor(session: Person) -> Session:
    """Supervisors and recording administrators."""
    if not session.user.supervises:
        raise ApiError(403, "this is for supervisors", "ask yours")
    return session


Supervisor = Annotated[Session, Depends(supervisor)]


def administrator(session: Person) -> Session:
    """Recording administrators only."""
    if session.user.role != "admin":
        raise ApiError(403, "this is for the recording administrator", "ask them")
    return session


Administrator = Annotated[Session, Depends(administrator)]


def live_call(desk: Desk, session: Session, call_id: str) -> LiveCall:
    """A live call that this session may see; others do not exist for it."""
    call = desk.calls.get(call_id)
    if call is None or not call.visible(session.user):
        raise ApiError(404, "no live call has this id", "it may have ended")
    return call


def own_call(desk: Desk, session: Session, call_id: str) -> LiveCall:
    """A call that this user has answered."""
    call = live_call(desk, session, call_id)
    if not call.mine(session.user):
        raise ApiError(403, "another advisor has this call", "only they can do this")
    if not call.has(session.user):
        raise ApiError(409, "the call is not answered yet", "answer it first")
    return call
