"""Endpoints for the presence of advisors.

A user sets their own presence. A supervisor sees the presence of all users, and may set it.
"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from galwad.calls.bodies import Presence
from galwad.calls.presence.board import takes_calls
from galwad.calls.subject import CallsDesk, TheDesk
from galwad.host.bodies import RequestBody, ShortText
from galwad.host.errors import ApiError
from galwad.people.access import Person, Supervisor
from galwad.people.user import User

router = APIRouter(tags=["presence"])


class PresenceChoice(RequestBody):
    """A request to become available, or to begin a break.

    A break needs a `reason` from the list of reasons, unless that list is empty.
    """

    state: Literal["available", "break"]
    reason: ShortText = ""


@router.get("/presence")
async def presences(desk: TheDesk, _: Supervisor) -> list[Presence]:
    """Return the presence of all users who can take calls, sorted by name."""
    await desk.calls.presence.read_users()
    desk.calls.presence.refresh()
    return desk.calls.presence.all()


@router.put("/presence")
async def set_own(body: PresenceChoice, desk: TheDesk, session: Person) -> Presence:
    """Begin a break of the signed-in user, or end the user's break and wrap-up.

    Raises:
        ApiError: 409, the user takes no calls. 422, the reason of the break is missing or unknown.
    """
    _check_reason(desk, body)
    if not takes_calls(session.user):
        raise ApiError(409, "you take no calls", "ask an administrator for an extension")
    return await _set(desk, session.user, body)


@router.put("/presence/{user}")
async def set_other(
    user: str, body: PresenceChoice, desk: TheDesk, session: Supervisor
) -> Presence:
    """Begin a break of another user, or end the user's break and wrap-up.

    The decision is entered in the audit chain before it takes effect.

    Raises:
        ApiError: 404, no user who takes calls has this name. 422, the reason of the break is
            missing or unknown.
    """
    _check_reason(desk, body)
    found = await desk.people.users.get(user)
    if found is None or not takes_calls(found):
        raise ApiError(404, "no user who takes calls has this name", "check the name")
    await desk.host.audit.append(
        "presence.set",
        {"state": body.state},
        {"actor": session.actor, "user": found.name, "reason": body.reason},
    )
    return await _set(desk, found, body, session.user.name)


async def _set(desk: CallsDesk, user: User, body: PresenceChoice, set_by: str = "") -> Presence:
    if body.state == "break":
        return await desk.calls.presence.begin_break(user, body.reason, set_by)
    return await desk.calls.presence.make_available(user)


def _check_reason(desk: CallsDesk, body: PresenceChoice) -> None:
    codes = [each.code for each in desk.texts.lists.get("breaks").entries]
    if body.state == "break" and (body.reason or codes) and body.reason not in codes:
        known = f"choose one of {', '.join(codes)}" if codes else "leave it out"
        wrong = "an unknown" if body.reason else "no"
        raise ApiError(422, f"this break has {wrong} `reason`", known)
