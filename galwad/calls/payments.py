"""Endpoints to pause and resume recordings for payments.

The page and payment systems use these endpoints. Each request waits until the switch has reported
the real state of the gate.

A pause takes effect before its audit entry is written. The response then waits for the entry, at
most `galwad.host.background.AUDIT_S` seconds. A resume takes effect only after its audit entry is
written. If the entry takes too long, the request to resume is refused and the recording stays
paused. The request is not carried out later, because the recording would then resume at a moment
that no user expects.

Each person who pauses on the page, and each machine, is a separate pause holder. docs/payments.md
has a table of the pauses that a user may end. The advisor who has the call may not end the pause of
a payment system or of another person's page, because the caller may still be giving card details
there.

A personal token acts as the page of its user: it has the same pause holder, reaches the same calls
as the key on the page, and can do nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, TypeAlias

import structlog
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from galwad.calls.live_calls import DeskCall
from galwad.calls.subject import CallsDesk, TheDesk, live_call
from galwad.host import background
from galwad.host.bodies import RequestBody, ShortText
from galwad.host.errors import ApiError, NotPermittedError, SwitchDownError
from galwad.messages import Pause, PauseReply, RecordingStateName, Resume
from galwad.people.access import ArrivedAt, Pausing, SignedIn
from galwad.people.sessions import Session
from recording.audit.log import Facts

log = structlog.get_logger()

Heartbeat: TypeAlias = Annotated[float, Field(ge=5, le=3600, allow_inf_nan=False)]
"""The seconds within which a pause holder will repeat its request to pause.

If it does not, the recording stays paused, and the advisor and the supervisors are warned.
"""


class PauseRequest(RequestBody):
    """A request to pause or resume one call, for the pause holder `holder`.

    If `holder` is missing, the pause holder is the user who sends the request: `page:NAME` for a
    person, `token:NAME` for a machine. A request to pause cannot name another pause holder. In a
    request to resume, a supervisor may name any pause holder, and the advisor who has the call may
    name a phone, such as `phone:201`.
    """

    holder: ShortText | None = None
    heartbeat: Heartbeat | None = None


class PaymentTarget(RequestBody):
    """A request to pause or resume all calls of an advisor or of an extension.

    Exactly one of `advisor` and `extension` must be set. With a personal token, both can be
    missing, or `advisor` can be the name of the token's user.
    """

    advisor: ShortText | None = None
    extension: ShortText | None = None
    heartbeat: Heartbeat | None = None


class PaymentPage(RequestBody):
    """A request of a payment page to pause the call of its token, or to renew this pause."""

    heartbeat: Heartbeat | None = None


class PaymentTokenRequest(RequestBody):
    """A request for a token with which a payment page can pause one live call, once.

    Exactly one of `call_id`, `advisor` and `extension` must be set. An advisor or extension must
    have exactly one answered call.
    """

    call_id: ShortText | None = None
    advisor: ShortText | None = None
    extension: ShortText | None = None


class NewPaymentToken(BaseModel):
    """The response with a new token, which is not available again later.

    The page must pause before the Unix time `expires`. `holder` is the pause holder of the page.
    """

    token: str
    call_id: str
    expires: float
    holder: str


class PauseOutcome(BaseModel):
    """The response to a request to pause or resume: the real state of the gate.

    `durable` is false if the disk did not confirm in time that this state is stored. `calls` has
    the ids of the calls that were paused or resumed.
    """

    state: RecordingStateName
    durable: bool
    calls: list[str]


router = APIRouter()


Action = Literal["pause", "resume"]
"""The name of an action in the audit chain and the metrics."""
_PAGE = "page:"
_PHONE = "phone:"
_ANY_PAGE = "page"
"""The pause holder of all pages in earlier versions. After an upgrade, a call may still have it.

The advisor who has the call may end this pause, because it may be the advisor's own.
"""


@dataclass(frozen=True, slots=True)
class Asker:
    """The session that requests a pause or a resume, and when its request arrived."""

    session: Session
    arrived_mono: float
    """The time at which the request arrived, in monotonic seconds."""

    def order(
        self, action: Action, holder: str, *, call_id: str = "", extension: str = "", user: str = ""
    ) -> Pause | Resume:
        """Return an order to pause or resume. Set one of `call_id`, `extension` and `user`."""
        trigger: Literal["page", "api"] = (
            "page" if self.session.kind in {"page", "embedded"} else "api"
        )
        order = 0, holder, trigger, self.session.actor, call_id, extension, user
        return Pause(*order, self.arrived_mono) if action == "pause" else Resume(*order)


async def _asker(session: SignedIn, arrived: ArrivedAt) -> Asker:
    return Asker(session, arrived)


TheAsker = Annotated[Asker, Depends(_asker)]


async def _any_asker(session: Pausing, arrived: ArrivedAt) -> Asker:
    return Asker(session, arrived)


AnyAsker = Annotated[Asker, Depends(_any_asker)]
"""The asker, who may have a personal token."""


@router.put("/calls/{call_id}/payment")
async def pause(
    call_id: str, desk: TheDesk, asker: TheAsker, body: PauseRequest | None = None
) -> PauseOutcome:
    """Pause the recording of a call for the pause holder that sends the request.

    If this pause holder has already paused the recording, the recording stays paused, and
    `heartbeat` replaces the earlier value.

    Raises:
        ApiError: 403, another advisor has the call, or the body names another pause holder. 404, no
            live call has this id, or the user may not see it.
        SwitchDownError: The switch does not answer.
    """
    return await _for_call(desk, asker, call_id, "pause", body)


@router.delete("/calls/{call_id}/payment")
async def resume(
    call_id: str, desk: TheDesk, asker: TheAsker, body: PauseRequest | None = None
) -> PauseOutcome:
    """End the pause of one pause holder of a call.

    `PauseRequest.holder` names the pause holder; see `PauseRequest` for the default. The recording
    resumes when the call has no pause holder any more.

    Raises:
        ApiError: 403, another advisor has the call, or the user may not end the pause of this pause
            holder. 404, no live call has this id, or the user may not see it. 503, the audit entry
            cannot be written: the recording stays paused.
        SwitchDownError: The switch does not answer, so the state of the gate is not known.
    """
    return await _for_call(desk, asker, call_id, "resume", body)


@router.put("/payments")
async def pause_all(
    desk: TheDesk, asker: AnyAsker, body: PaymentTarget | None = None
) -> PauseOutcome:
    """Pause the recordings of all calls of an advisor or an extension.

    The pause holder is the machine or the person that sends the request. With a personal token, the
    calls are those in which its user talks, and the body can be left out.

    Raises:
        ApiError: 403, the user may not pause these calls. 404, there is no such call. 422, not
            exactly one of `advisor` and `extension` is set.
        SwitchDownError: The switch does not answer.
    """
    return await _for_all(desk, asker, body, "pause")


@router.delete("/payments")
async def resume_all(
    desk: TheDesk, asker: AnyAsker, body: PaymentTarget | None = None
) -> PauseOutcome:
    """End the pauses of one pause holder in all calls of an advisor or an extension.

    The pause holder is the machine or the person that sends the request. With a personal token, the
    calls are those in which its user talks, and the body can be left out.

    Raises:
        ApiError: 403, the user may not end this pause. 404, there is no such call. 422, not exactly
            one of `advisor` and `extension` is set. 503, the audit entry cannot be written: the
            recording stays paused.
        SwitchDownError: The switch does not answer, so the state of the gate is not known.
    """
    return await _for_all(desk, asker, body, "resume")


async def _for_call(
    desk: CallsDesk, asker: Asker, call_id: str, action: Action, body: PauseRequest | None
) -> PauseOutcome:
    session, talking = asker.session, False
    holders: tuple[str, ...] = ()
    if not has_right(session):
        call = live_call(desk, session, call_id)
        talking, holders = call.is_talking(session.user), call.state.holders
        own = talking or (
            call.concerns(session.user)
            if call.advisor is None
            else call.is_handled_by(session.user)
        )
        if session.user.role == "machine" or not (own or session.user.supervises):
            raise NotPermittedError("another advisor has this call", "ask them or a supervisor")
    if action == "pause":
        holder = _pausing_holder(session, body)
    else:
        holder = _holder_to_release(session, body, holders, talking=talking)
    heartbeat = body.heartbeat if body is not None else None
    order = asker.order(action, holder, call_id=call_id)
    return await carry_out(desk, order, heartbeat=heartbeat)


async def _for_all(
    desk: CallsDesk, asker: Asker, body: PaymentTarget | None, action: Action
) -> PauseOutcome:
    session, body = asker.session, body or PaymentTarget()
    if session.only_pauses:
        return await _for_own(desk, asker, body, action)
    if (body.advisor is None) == (body.extension is None):
        raise ApiError(422, "`advisor` or `extension` is required", "send exactly one of the two")
    if not (has_right(session) or session.user.supervises):
        raise NotPermittedError(
            "only payment systems and supervisors may do this", "use F8 or Shift+F8 on the page"
        )
    named = {"user": body.advisor or "", "extension": body.extension or ""}
    order = asker.order(action, _own(session), **named)
    return await carry_out(desk, order, heartbeat=body.heartbeat)


async def _for_own(
    desk: CallsDesk, asker: Asker, body: PaymentTarget, action: Action
) -> PauseOutcome:
    """Pause or resume the calls in which the user of a personal token talks.

    A call that only rings is left out, because a colleague may answer it. An error for one of the
    calls is raised even if other calls were paused or resumed.
    """
    user = asker.session.user
    if body.extension is not None or body.advisor not in {None, user.name}:
        raise ApiError(
            403, "a personal token can only pause and resume its user's calls", "leave out the body"
        )
    own = [call for call in desk.calls.live.all() if call.is_talking(user)]
    if not own:
        raise ApiError(404, "you have no answered call", "answer the call first, or use the page")

    async def carry_out_for(call: DeskCall) -> PauseOutcome:
        holders = call.state.holders
        release = action == "resume"
        holder = (
            _holder_to_release(asker.session, None, holders, talking=True)
            if release
            else _own(asker.session)
        )
        order = asker.order(action, holder, call_id=call.call_id)
        return await carry_out(desk, order, heartbeat=body.heartbeat)

    results = await asyncio.gather(*map(carry_out_for, own), return_exceptions=True)
    outcomes = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        outcomes.append(result)
    return _together(own, outcomes, action)


def _together(
    calls: Sequence[DeskCall], outcomes: Sequence[PauseOutcome], action: Action
) -> PauseOutcome:
    """Return one outcome for several calls.

    If the request had no effect on one of the calls, the outcome has the state of that call. A call
    that is not to be recorded, such as a consultation, counts only if no call is to be recorded.
    """
    states = [
        outcome.state for call, outcome in zip(calls, outcomes, strict=True) if call.state.recorded
    ] or [outcome.state for outcome in outcomes]
    notable = [state for state in states if (state == "paused") == (action == "resume")]
    return PauseOutcome(
        state=(notable or states)[0],
        durable=all(outcome.durable for outcome in outcomes),
        calls=[call_id for outcome in outcomes for call_id in outcome.calls],
    )


def has_right(session: Session) -> bool:
    """Return whether the session is that of a machine with the right `payments`."""
    return session.kind == "machine" and "payments" in session.user.rights


def _own(session: Session) -> str:
    """Return the pause holder that is the session's user: `token:NAME` or `page:NAME`."""
    return session.actor if session.kind == "machine" else f"{_PAGE}{session.user.name}"


def _pausing_holder(session: Session, body: PauseRequest | None) -> str:
    own = _own(session)
    if body is not None and body.holder not in {None, own}:
        raise ApiError(403, "you may not pause in another holder's name", "leave out `holder`")
    return own


def _holder_to_release(
    session: Session, body: PauseRequest | None, holders: Collection[str], *, talking: bool
) -> str:
    """Return the pause holder whose pause the user asks to end, if the user may end it.

    `holders` are the call's pause holders. `talking` is true if the user has the call now.
    """
    own = _own(session)
    named = body.holder if body is not None else None
    if named is None:
        older = own not in holders and _ANY_PAGE in holders
        return _ANY_PAGE if older and (talking or session.user.supervises) else own
    theirs = talking and (named == _ANY_PAGE or named.startswith(_PHONE))
    if not (named == own or theirs or session.user.supervises):
        raise NotPermittedError("you may not change another holder's pause", "ask a supervisor")
    return named


async def carry_out(
    desk: CallsDesk, order: Pause | Resume, *, heartbeat: float | None = None
) -> PauseOutcome:
    """Carry out an order to pause or resume, and write its audit entry.

    The caller of this function has checked that the user may do this. If `heartbeat` is set, the
    holder must repeat its request to pause within that many seconds, or an alarm is raised.

    Raises:
        SwitchDownError: The switch did not reply.
        AuditError: The audit entry of a resume cannot be written.
        ApiError: 404, there is no such call. 503, the audit entry of a resume was not written in
            time.
    """
    action: Action = "pause" if isinstance(order, Pause) else "resume"
    if isinstance(order, Resume):
        await _audit_resumption(desk, order)
    holder = order.holder
    held = {call.call_id for call in desk.calls.live.all() if holder in call.state.holders}
    switch = desk.host.switch
    try:
        reply = await (switch.pause(order) if isinstance(order, Pause) else switch.resume(order))
    except SwitchDownError:
        desk.calls.metrics.pauses.labels(action, "no_switch").inc()
        raise
    desk.calls.metrics.pauses.labels(action, "done" if reply.calls else "no_call").inc()
    _watch(desk, reply, holder, heartbeat if action == "pause" else None)
    # A renewal may come every few seconds, so it is not audited again.
    renewed = heartbeat is not None and bool(reply.calls) and held.issuperset(reply.calls)
    if isinstance(order, Pause) and not renewed:
        await _audit_pause(desk, order, reply)
    if not reply.calls:
        raise ApiError(404, "there is no such call", "check the call: it may have ended")
    event = "payment.paused" if action == "pause" else "payment.resumed"
    log.info(event, calls=list(reply.calls), state=reply.state, durable=reply.durable)
    return PauseOutcome(state=reply.state, durable=reply.durable, calls=list(reply.calls))


def _watch(desk: CallsDesk, reply: PauseReply, holder: str, heartbeat: float | None) -> None:
    for call_id in reply.calls:
        if heartbeat is None:
            desk.calls.heartbeats.stop(call_id, holder)
        else:
            desk.calls.heartbeats.beat(call_id, holder, heartbeat)


async def _audit_resumption(desk: CallsDesk, order: Resume) -> None:
    written = _audit(desk, "resume", order, {})
    if not await desk.host.background.finishes_within(written, background.AUDIT_S):
        desk.calls.metrics.pauses.labels("resume", "no_audit").inc()
        log.warning("payment.audit_late", action="resume")
        raise ApiError(503, "the audit does not answer", "the recording stays paused; try again")


async def _audit_pause(desk: CallsDesk, order: Pause, reply: PauseReply) -> None:
    """Write the audit entry of a pause that is already in force, with the time of the pause."""
    write = partial(_audit, desk, "pause", order, {"calls": " ".join(reply.calls)}, at=time.time())
    await background.audit_done(
        desk.host.background,
        write,
        refused="payment.not_audited",
        late="payment.audit_late",
        action="pause",
        calls=list(reply.calls),
    )


async def _audit(
    desk: CallsDesk,
    action: Action,
    order: Pause | Resume,
    facts: Facts,
    *,
    at: float | None = None,
) -> None:
    personal = {"actor": order.actor, "holder": order.holder, "user": order.user}
    await desk.host.audit.append(
        f"payment.{action}",
        {"call_id": order.call_id, "extension": order.extension, **facts},
        {name: value for name, value in personal.items() if value},
        at=at,
    )
