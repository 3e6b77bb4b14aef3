"""FastAPI dependencies that return the session of a user who may use the endpoint.

These functions are coroutines because FastAPI would call other functions in threads, and a request
would have to wait for a free thread.

With some acts, a stolen session could do lasting harm. These acts may need a stronger sign-in
(step-up). Their endpoints take the session as one of the `SteppedUp` types at the end of this
module, or call `require_step_up`. The acts are:

- the changes of users, their roles, rights, passwords, extensions, identities and second factors,
  but not of their teams (see `galwad.people.routes.changing`)
- to make a token of a machine, and to revoke a token of any user
- the approval of a command line, which gives away a session
- to list, search, show and fetch recordings, which have phone numbers; to retain, release, recover
  and dispose of them
- to discard contact notes that are not delivered
- to read and search the audit, which has names and phone numbers

To pause, resume, handle calls and write notes never needs a step-up: otherwise card data would be
recorded while a provider is down. To see one's own work needs no step-up either.

Only sessions of people who have signed in at the provider need a step-up. The second factor
protects passwords, and a machine's token is limited by its rights.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Request

from galwad.host.connections.protocol import ARRIVAL, Arrival
from galwad.host.errors import SESSION, ApiError, NotPermittedError
from galwad.people.sessions import Session
from galwad.people.subject import PeopleDesk, TheDesk


async def session_of(request: Request) -> Session | None:
    """Return the session of the request's bearer token or cookie, as `SessionLayer` found it.

    Return None if there is no session, if the request has a personal token, or if the user must
    first set up a second factor.
    """
    session = await leaving(request)
    return None if session is not None and session.needs_second_factor else session


async def leaving(request: Request) -> Session | None:
    """Return the session to sign out, even if its user must first set up a second factor.

    Return None if there is no session, or if the request has a personal token.
    """
    session: Session | None = request.scope[SESSION]
    return None if session is not None and session.only_pauses else session


async def pausing(request: Request) -> Session:
    """Return the session of the user, which may be a personal token.

    Only the endpoints that pause and resume the user's own calls accept a personal token.
    `signed_in` refuses a personal token.

    Raises:
        ApiError: 401, the user is not signed in, or the session or token has ended. 403, the user
            must set up a second factor first.
    """
    session = _present(request)
    if session.needs_second_factor:
        raise ApiError(
            403,
            "you must set up a second factor first",
            "set it up on the page",
            reason="second_factor_needed",
        )
    return session


Pausing = Annotated[Session, Depends(pausing)]


async def signed_in(session: Pausing) -> Session:
    """Return the session of the signed-in user, who may be a person or a machine.

    Raises:
        ApiError: 401, the user is not signed in or the session has ended. 403, the request has a
            personal token, or the user must set up a second factor first.
    """
    return _not_personal(session)


SignedIn = Annotated[Session, Depends(signed_in)]


async def entering(request: Request) -> Session:
    """Return the session of the user, who may still have to set up a second factor.

    Raises:
        ApiError: 401, the user is not signed in or the session has ended. 403, the request has a
            personal token.
    """
    return _not_personal(_present(request))


Entering = Annotated[Session, Depends(entering)]


async def person(session: SignedIn) -> Session:
    """Return the session of the signed-in user, who must be a person.

    Raises:
        ApiError: 403, the user is a machine.
    """
    if session.user.role == "machine":
        raise NotPermittedError(
            "a machine's token cannot do this", "sign in with a person's account"
        )
    return session


Person = Annotated[Session, Depends(person)]


async def entering_person(session: Entering) -> Session:
    """Return the session as `entering` does, if the user is a person.

    Raises:
        ApiError: 403, the user is a machine.
    """
    return await person(session)


EnteringPerson = Annotated[Session, Depends(entering_person)]


async def supervisor(session: Person) -> Session:
    """Return the session of the signed-in user, who must be a supervisor or administrator.

    Raises:
        ApiError: 403, the user has another role.
    """
    if not session.user.supervises:
        raise NotPermittedError(
            "only supervisors and administrators may do this", "ask your supervisor"
        )
    return session


Supervisor = Annotated[Session, Depends(supervisor)]


async def administrator(session: Person) -> Session:
    """Return the session of the signed-in user, who must be an administrator.

    Raises:
        ApiError: 403, the user has another role.
    """
    if session.user.role != "admin":
        raise NotPermittedError(
            "only the recording administrator may do this", "ask an administrator to do it"
        )
    return session


Administrator = Annotated[Session, Depends(administrator)]


async def is_administrator(desk: PeopleDesk, name: str) -> bool:
    """Return whether a user is an administrator and not disabled."""
    user = await desk.people.users.get(name)
    return user is not None and user.role == "admin" and not user.disabled


async def owner_named(desk: PeopleDesk, name: str) -> str:
    """Return the user name of an owner. Raises `ApiError` (422) unless it is an administrator."""
    if not await is_administrator(desk, name.lower()):
        raise ApiError(422, "the owner is not an administrator", "look at: body.owner")
    return name.lower()


def _present(request: Request) -> Session:
    session: Session | None = request.scope[SESSION]
    if session is None:
        raise ApiError(401, "you are not signed in", "sign in again, or use a valid token")
    return session


def _not_personal(session: Session) -> Session:
    if session.only_pauses:
        raise NotPermittedError(
            "a personal token can only pause and resume its user's calls",
            "send PUT or DELETE to /api/v1/payments",
        )
    return session


async def arrival_of(request: Request) -> float:
    """Return the time at which the request arrived, in monotonic seconds.

    A web server other than the desk's own does not store this time. The result is then the present
    time.
    """
    arrival: Arrival = request.scope.get(ARRIVAL, Arrival())
    return time.monotonic() if arrival.mono is None else arrival.mono


ArrivedAt = Annotated[float, Depends(arrival_of)]


def require_step_up(
    desk: PeopleDesk, session: Session, facts: Mapping[str, str] | None = None
) -> None:
    """Raise an error if the session must prove a stronger sign-in first.

    The audit entry of the refusal has `facts`, which must not be personal.

    Raises:
        ApiError: 403, the person has signed in at the provider, and has not proven the stronger
            sign-in of the settings within `step_up_lifetime` (`reason` is "step_up_needed").
    """
    section = desk.host.settings.sign_in
    if section is None or section.step_up is None or not session.provider:
        return
    if not desk.people.sessions.is_stepped_up(session, section.step_up_lifetime):
        raise NotPermittedError(
            "this needs a stronger sign-in with your work account",
            "do this on the page, which sends you to the provider for the stronger sign-in",
            reason="step_up_needed",
            facts=facts,
        )


async def stepped_up_person(desk: TheDesk, session: Person) -> Session:
    """Return the session of a person who has proven the stronger sign-in, if it is needed.

    Raises:
        ApiError: 403, a stronger sign-in at the provider is needed first.
    """
    require_step_up(desk, session)
    return session


SteppedUpPerson = Annotated[Session, Depends(stepped_up_person)]


async def stepped_up_supervisor(desk: TheDesk, session: Supervisor) -> Session:
    """Return the session of a supervisor or administrator, as `stepped_up_person` does.

    Raises:
        ApiError: 403, a stronger sign-in at the provider is needed first.
    """
    require_step_up(desk, session)
    return session


SteppedUpSupervisor = Annotated[Session, Depends(stepped_up_supervisor)]


async def stepped_up_administrator(desk: TheDesk, session: Administrator) -> Session:
    """Return the session of an administrator, as `stepped_up_person` does.

    Raises:
        ApiError: 403, a stronger sign-in at the provider is needed first.
    """
    require_step_up(desk, session)
    return session


SteppedUpAdministrator = Annotated[Session, Depends(stepped_up_administrator)]
