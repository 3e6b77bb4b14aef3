"""The FastAPI dependencies of the sensitive acts, which may need a stronger sign-in (step-up).

Sensitive acts are those with which a stolen session could do lasting harm. An endpoint is one of
them if its session has a type of this module:

- the changes of users, their roles, rights, passwords, extensions, identities and second factors,
  but not of their teams (see `galwad.people.routes.changing`)
- the tokens of machines: to make and to revoke them
- the approval of a command line, which gives away a session
- to list, search, show and fetch recordings, which have numbers; to retain, release, recover and
  dispose of them
- to discard contact notes that are not delivered
- to read and search the audit, which has names and phone numbers

A pause and a resume, calls and notes never need a step-up: card data must not be recorded because a
provider is down. Nor does what a person sees of their own work.

Only sessions of people who have signed in at the provider are affected. A password has its second
factor, and a machine's token its rights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends

from galwad.desk import Desk
from galwad.host.errors import NotPermittedError
from galwad.people.access import Administrator, Person, Supervisor, TheDesk
from galwad.people.sessions import Session


def require_step_up(desk: Desk, session: Session, facts: Mapping[str, str] | None = None) -> None:
    """Raise an error if the session must prove a stronger sign-in first.

    The audit entry of the refusal has `facts`, which must not be personal.

    Raises:
        ApiError: 403, the settings name a stronger sign-in, the person has signed in at the
            provider, and has not proven it within the lifetime: `reason` is "step_up_needed".
    """
    section = desk.settings.sign_in
    if section is None or section.step_up is None or not session.provider:
        return
    if not desk.sessions.is_stepped_up(session, section.step_up_lifetime):
        raise NotPermittedError(
            "this needs a stronger sign-in with your work account",
            "do it on the page, which leads to the provider, then try again",
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
