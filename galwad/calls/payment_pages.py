"""Endpoints for payment pages, which pause and resume one call with a token.

The payment page is a web page of the council or of its payment provider, in the browser of the
advisor. A machine with the right `payments`, such as the CRM, requests a token for one call and
gives it to the page. The page needs no other right, and its token can do nothing else.

The pause is in force before the database has stored that the token was used, because a pause must
not wait for a write to the disk. A resume waits until the database has stored that the token cannot
pause again.
"""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from galwad.calls.live_calls import DeskCall
from galwad.calls.payment_tokens import PaymentToken
from galwad.calls.payments import (
    NewPaymentToken,
    PauseOutcome,
    PaymentPage,
    PaymentTokenRequest,
    carry_out,
    has_right,
)
from galwad.calls.subject import CallsDesk, TheDesk
from galwad.host.errors import ApiError, NotPermittedError, SwitchDownError
from galwad.messages import Pause, Resume
from galwad.people.access import ArrivedAt, SignedIn
from galwad.people.session_layer import vouch_for

PATH = "/payment-page"
"""The path of the only endpoints that pages of other origins may use."""
router = APIRouter()
log = structlog.get_logger()


@router.post("/payment-tokens", status_code=201)
async def make_token(
    body: PaymentTokenRequest, desk: TheDesk, session: SignedIn
) -> NewPaymentToken:
    """Make a token with which a payment page can pause one call, once.

    Raises:
        ApiError: 403, the user is not a machine with the right `payments`. 404, there is no such
            answered call. 409, several calls fit. 422, not exactly one field is set.
    """
    if not has_right(session):
        raise NotPermittedError(
            "this needs a machine's token with the right `payments`", "let the CRM do it"
        )
    call = _one_call(desk, body)
    secret, token = await desk.calls.payment_tokens.make(session.user.name, call.call_id)
    await desk.host.audit.append(
        "payment.token-made",
        {"call_id": call.call_id},
        {"actor": session.actor, "holder": token.holder},
    )
    return NewPaymentToken(
        token=secret, call_id=call.call_id, expires=token.expires, holder=token.holder
    )


async def token_of(request: Request, desk: TheDesk) -> PaymentToken:
    """Return the token in the header field `Authorization`, even if it is used up or expired.

    Raises:
        ApiError: 401, there is no such token. 503, the database did not answer.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    try:
        found = (
            await desk.calls.payment_tokens.find(secret.strip())
            if scheme.lower() == "bearer"
            else None
        )
    except SQLAlchemyError:
        raise ApiError(
            503,
            "the database does not answer",
            "try again; take no card details before the recording is paused",
        ) from None
    if found is None:
        raise ApiError(401, "the token is not known", "request a new one for this call")
    vouch_for(desk.host.places, request.scope, secret)
    return found


Token = Annotated[PaymentToken, Depends(token_of)]


@router.put(PATH)
async def pause(
    desk: TheDesk, token: Token, arrived: ArrivedAt, body: PaymentPage | None = None
) -> PauseOutcome:
    """Pause the call of the token. To renew the pause, the page repeats this request.

    Raises:
        ApiError: 404, the call has ended. 409, another user has released the pause. 410, the token
            is used up or expired. 503, the database or the audit does not answer.
        SwitchDownError: The switch does not answer.
    """
    if not desk.calls.payment_tokens.may_pause(token):
        raise ApiError(
            410, "the token is used up or expired", "request a new one; take no card details yet"
        )
    heartbeat = body.heartbeat if body else None
    if token.used:
        return await _renew(desk, token, heartbeat)
    outcome = await carry_out(
        desk,
        Pause(0, token.holder, "api", token.actor, token.call_id, arrived_mono=arrived),
        heartbeat=heartbeat,
    )
    try:
        in_force = await desk.calls.payment_tokens.paused(token)
    except SQLAlchemyError:
        # The token is then stored as unused, so it expires. It still cannot pause after a resume.
        log.warning("payment.token_not_marked", call_id=token.call_id)
        return outcome
    # A page that is closed while it loads may send its resume before this pause is in force. Then
    # the pause must end here.
    return outcome if in_force else await resume(desk, token)


@router.delete(PATH)
async def resume(desk: TheDesk, token: Token) -> PauseOutcome:
    """End the pause of the token's page, for good: the token cannot pause again.

    The recording resumes if the call has no other pause holder. The page may repeat this request.

    Raises:
        ApiError: 404, the call has ended. 503, the audit or the database does not answer: the
            recording stays paused.
        SwitchDownError: The switch does not answer, so the state of the gate is not known.
    """
    try:
        await desk.calls.payment_tokens.released(token)
    except SQLAlchemyError:
        raise ApiError(
            503, "the database does not answer", "the recording stays paused; try again"
        ) from None
    return await carry_out(desk, Resume(0, token.holder, "api", token.actor, token.call_id))


async def _renew(desk: CallsDesk, token: PaymentToken, heartbeat: float | None) -> PauseOutcome:
    """Renew the pause of a page that has paused before.

    If the pause still exists, only the time of the heartbeat is noted, without an audit entry. If
    another user has released the pause, the repeated request must not pause the call again.
    """
    if not desk.host.switch.connected:
        raise SwitchDownError
    call = desk.calls.live.get(token.call_id)
    if call is None or call.wrapup:
        raise ApiError(404, "there is no such call", "check the call: it may have ended")
    if token.holder not in call.state.holders:
        raise ApiError(
            409, "the pause was released by another user", "take no card details; ask a supervisor"
        )
    if heartbeat is not None:
        desk.calls.heartbeats.beat(token.call_id, token.holder, heartbeat)
    state = call.state
    return PauseOutcome(state=state.recording, durable=state.durable, calls=[token.call_id])


def _one_call(desk: CallsDesk, body: PaymentTokenRequest) -> DeskCall:
    given = [name for name in (body.call_id, body.advisor, body.extension) if name is not None]
    if len(given) != 1:
        raise ApiError(
            422,
            "`call_id`, `advisor` or `extension` is required",
            "send exactly one of the three",
        )
    found = [call for call in desk.calls.live.all() if _is_talking(call) and _fits(call, body)]
    if not found:
        raise ApiError(404, "there is no such answered call", "check the call: it may have ended")
    if len(found) > 1:
        raise ApiError(409, "several answered calls match", "send the `call_id` of the call")
    return found[0]


def _is_talking(call: DeskCall) -> bool:
    return call.page_state(own=True) in {"answered", "held"}


def _fits(call: DeskCall, body: PaymentTokenRequest) -> bool:
    advisor = call.state.advisor
    return (
        call.call_id == body.call_id
        or (advisor is not None and bool(body.advisor) and advisor.user == body.advisor)
        or (advisor is not None and bool(body.extension) and advisor.extension == body.extension)
    )
