"""Endpoints to see live calls, and to choose a call's caller or search for the caller."""

from __future__ import annotations

from math import ceil

from fastapi import APIRouter

from callerid.errors import ChoiceError
from galwad.calls.bodies import (
    Choice,
    PersonSearch,
    Pop,
    SearchOutcome,
)
from galwad.calls.subject import TheDesk, live_call, own_call
from galwad.host.errors import ApiError
from galwad.people.access import Person

router = APIRouter(tags=["calls"])


@router.get("/calls")
async def calls(desk: TheDesk, session: Person) -> list[Pop]:
    """Return all live calls that the signed-in user may see."""
    user = session.user
    return [call.view(user) for call in desk.calls.live.all() if call.visible(user)]


@router.get("/calls/{call_id}")
async def call(call_id: str, desk: TheDesk, session: Person) -> Pop:
    """Return one live call, with the facts that the signed-in user may see.

    Raises:
        ApiError: 404, no live call has this id, or the user may not see it.
    """
    return live_call(desk, session, call_id).view(session.user)


@router.post("/calls/{call_id}/choose")
async def choose(call_id: str, body: Choice, desk: TheDesk, session: Person) -> Pop:
    """Store which candidate the advisor has chosen as the caller.

    The caller's details are shown only later, after the advisor has confirmed the caller's
    identity.

    Raises:
        ApiError: 404, no live call has this id, or the user may not see it. 403, another advisor
            has the call. 409, the call is not answered yet.
        ChoiceError: The chosen person is not a candidate.
    """
    chosen = desk.calls.live.choose(own_call(desk, session, call_id), body.person_id)
    return chosen.view(session.user)


@router.post("/calls/{call_id}/search")
async def search(call_id: str, body: PersonSearch, desk: TheDesk, session: Person) -> SearchOutcome:
    """Search for the caller by a text, in the directories that allow it.

    The people found become candidates of the call. The search is entered in the audit chain first.

    Raises:
        ApiError: 404, no live call has this id, the user may not see it, or no directory can be
            searched by a text. 403, another advisor has the call. 409, the call is not answered
            yet. 429, too many searches.
        ChoiceError: The advisor has confirmed the caller, or the caller has changed.
    """
    before = own_call(desk, session, call_id)
    before.pop.with_searched(())  # raises an error if the caller is confirmed
    if not desk.directories.lookup.searchable:
        raise ApiError(404, "no directory can be searched by a text", "ask who is calling")
    wait = ceil(desk.calls.searches.take(session.user.name))
    if wait:
        raise ApiError(429, "too many searches", f"try again in {wait} s", retry_after=wait)
    await desk.host.audit.append(
        "caller.searched", {"call_id": call_id}, {"actor": session.actor, "text": body.text}
    )
    result = await desk.directories.lookup.search(body.text)
    current = own_call(desk, session, call_id)
    if current.state.callers != before.state.callers:
        raise ChoiceError("the caller has changed: ask who is calling")
    desk.calls.live.searched(current, result.people)
    return SearchOutcome(found=len(result.people), failed=list(result.failed))
