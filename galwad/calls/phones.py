"""Endpoints to control the user's own calls and phone: answer, hold, transfer, hang up, dial.

The switch carries each act out, and decides again whether the call is the user's (`PhoneAct`). An
act has the same effect as the key of the user's phone. Supervisors have no more rights here than
advisors: users control only their own calls and their own phone.
"""

from __future__ import annotations

import time
from functools import partial
from math import ceil
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter
from pydantic import StringConstraints

from galwad.calls.subject import CallsDesk, TheDesk, live_call, own_call
from galwad.host.background import audit_done
from galwad.host.bodies import NO_CARD_NUMBER, RequestBody
from galwad.host.errors import ApiError
from galwad.messages import DialNumber, PhoneAct
from galwad.people.access import Person
from galwad.people.sessions import Session

ActName: TypeAlias = Literal["answer", "hold", "resume", "hangup", "transfer", "welsh"]
Dialled: TypeAlias = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=64, pattern=r"^\+?[A-Za-z0-9 ().*#_/-]+$"
    ),
    NO_CARD_NUMBER,
]
"""A number or destination to dial. The switch ignores spaces, dots, hyphens and brackets."""


class PhoneOrder(RequestBody):
    """A request to do something with the signed-in user's own call.

    `number` is the number or destination of the act "transfer"; the other acts need none. The act
    "welsh" transfers the caller to the destination `[desk] welsh_destination`.
    """

    act: ActName
    number: Dialled | None = None


class DialOrder(RequestBody):
    """A request to ring the signed-in user's phone, and then to call `number` for it."""

    number: Dialled


router = APIRouter()


@router.post("/calls/{call_id}/phone", status_code=204)
async def act(call_id: str, body: PhoneOrder, desk: TheDesk, session: Person) -> None:
    """Answer, hold, resume, transfer or hang up the signed-in user's own call.

    The response is sent when the act has begun. The call's next event shows the result.

    Raises:
        ApiError: 404, no live call has this id, or the user may not see it. 403, the call is not
            the user's. 409, the act is not possible now: `reason` says why. 422, a transfer without
            a number. 429, too many acts.
        SwitchDownError: The switch does not answer.
    """
    _check_own(desk, session, call_id, answers=body.act == "answer")
    number = _number_of(desk, body)
    _limit(desk, session)
    name = "transfer" if body.act == "welsh" else body.act
    order = PhoneAct(
        0,
        call_id,
        name,
        session.user.name,
        session.user.extension or "",
        session.actor,
        number if name == "transfer" else "",
    )
    _check_done(await desk.host.switch.ask(order))
    await _audit(desk, session, call_id, body.act, order.number)


@router.post("/phone/dial", status_code=204)
async def dial(body: DialOrder, desk: TheDesk, session: Person) -> None:
    """Ring the signed-in user's phone, and call the number when the user answers.

    The response is sent when the phone is being rung.

    Raises:
        ApiError: 409, the number cannot be called now: `reason` says why. 429, too many calls.
        SwitchDownError: The switch does not answer.
    """
    extension = session.user.extension
    if not extension:
        raise _refused("no_phone")
    wait = ceil(desk.calls.dials.take(session.user.name))
    if wait:
        raise ApiError(429, "too many calls", f"try again in {wait} s", retry_after=wait)
    answers_itself = desk.host.settings.desk.dial_answers_itself
    request = DialNumber(
        0, session.user.name, extension, body.number, answers_itself=answers_itself
    )
    _check_done(await desk.host.switch.ask(request))
    await _audit(desk, session, "", "dial", body.number)


def _check_own(desk: CallsDesk, session: Session, call_id: str, *, answers: bool) -> None:
    """Check that the user may act on the call. Claim a call that a PBX answered for a group."""
    if not answers:
        call = own_call(desk, session, call_id)
        if not call.is_talking(session.user):
            raise _refused("not_now")
        desk.calls.claim(call, session.user)
        return
    call = live_call(desk, session, call_id)
    if not call.concerns(session.user):
        raise ApiError(403, "the call does not ring at your phone", "look at your own calls")


def _number_of(desk: CallsDesk, body: PhoneOrder) -> str:
    if body.act == "welsh":
        if not desk.host.settings.desk.welsh_destination:
            raise _refused("no_welsh")
        return desk.host.settings.desk.welsh_destination
    if body.act == "transfer" and body.number is None:
        raise ApiError(422, "a transfer needs a number", "send `number`")
    return body.number or ""


def _limit(desk: CallsDesk, session: Session) -> None:
    wait = ceil(desk.calls.acts.take(session.user.name))
    if wait:
        raise ApiError(429, "too many phone actions", f"try again in {wait} s", retry_after=wait)


def _check_done(refused: str) -> None:
    if refused:
        raise _refused(refused)


def _refused(reason: str) -> ApiError:
    """Return the error for an act that was not done. The page has its own text for `reason`."""
    error, hint = _REFUSALS.get(reason, _REFUSALS["failed"])
    return ApiError(409, error, hint, reason=reason)


async def _audit(desk: CallsDesk, session: Session, call_id: str, name: str, number: str) -> None:
    facts = {"call_id": call_id, "act": name}
    personal = {"actor": session.actor, **({"number": number} if number else {})}
    write = partial(desk.host.audit.append, "phone.act", facts, personal, at=time.time())
    await audit_done(
        desk.host.background, write, refused="phone.not_audited", late="phone.audit_late", act=name
    )


_REFUSALS = {
    "no_call": ("there is no such call", "check the call: it may have ended"),
    "not_yours": ("another advisor has this call", "ask them to do it"),
    "not_now": (
        "this is not possible in the present state of the call",
        "check the state of the call",
    ),
    "on_hold": ("the call is on hold on the phone", "resume it on the phone"),
    "transferring": ("a transfer is in progress", "wait until it succeeds or fails"),
    "unknown_number": ("nothing can be reached at this number", "check the number"),
    "answer_on_phone": ("this phone can only be answered by hand", "answer on the phone"),
    "phone_refused": ("the phone refused", "do it on the phone"),
    "phone_silent": ("the phone did not respond", "do it on the phone"),
    "no_phone": ("you have no phone", "ask an administrator for an extension"),
    "not_registered": ("your phone is not registered", "switch the phone on"),
    "busy": ("your phone is in use", "end the other call first"),
    "no_welsh": ("no Welsh-language destination is set", "set `[desk] welsh_destination`"),
    "full": ("all lines are busy", "try again in a minute"),
    "failed": ("the switch failed", "do it on the phone; see the switch's journal"),
}
