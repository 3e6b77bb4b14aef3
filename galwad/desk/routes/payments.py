"""Endpoints to pause and resume recordings for payments.

The page and payment systems use these endpoints. Each request waits until the switch has reported
the real state of the gate.

A request to pause does not wait for its audit entry. A request to resume waits, because a recording
must not resume without an audit entry. If the entry takes too long, the request to resume is
refused and the recording stays paused. The request is not carried out later, because the recording
would then resume at a moment that no user expects.

Each person who pauses on the page, and each machine, is a pause holder of its own. A user may end
the pause of another pause holder only if the user can know that the payment is over. A supervisor
may end the pause of any pause holder. The advisor who has the call may end the pause of a phone,
such as the phone of the colleague who transferred the call. This advisor may not end the pause of a
payment system or of another person's page, because the caller may still be giving card details
there. docs/payments.md has the table.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Depends

from galwad.desk.auth.sessions import Session
from galwad.desk.calls.switch_client import PauseOrder, PauseTarget, PauseTrigger
from galwad.desk.errors import ApiError, SwitchDownError
from galwad.desk.models.payments import PauseOutcome, PauseRequest, PaymentTarget
from galwad.desk.routes.access import ArrivedAt, SignedIn, TheDesk, live_call
from galwad.desk.service import Desk
from galwad.messages import PauseReply
from recording.errors import AuditError

router = APIRouter()
log = structlog.get_logger()


Action = Literal["hold", "release"]
"""The name of an action in the audit chain and the metrics: "hold" pauses, "release" resumes."""
_PAGE = "page:"
_PHONE = "phone:"
_ANY_PAGE = "page"
"""The pause holder of all pages in earlier versions. After an upgrade, a call may still have it.

The advisor who has the call may end this pause, because it may be the advisor's own.
"""
_AUDIT_S = 2.0
"""The longest time in seconds that a request waits for its audit entry.

After this time, a request to resume fails. A request to pause succeeds, because the pause is
already in force.
"""
_RETRY_S = 5.0
"""The seconds between two attempts to write the audit entry of a pause."""


@dataclass(frozen=True, slots=True)
class Asker:
    """The session that requests a pause or a resume, and when its request arrived."""

    session: Session
    arrived_mono: float
    """The time in monotonic seconds."""

    def order(self, target: PauseTarget, holder: str) -> PauseOrder:
        """Return the order to pause or resume the calls of `target` for a pause holder."""
        trigger: PauseTrigger = "page" if self.session.kind == "page" else "api"
        return PauseOrder(target, holder, self.session.actor, trigger, self.arrived_mono)


async def _asker(session: SignedIn, arrived: ArrivedAt) -> Asker:
    return Asker(session, arrived)


TheAsker = Annotated[Asker, Depends(_asker)]


@router.put("/calls/{call_id}/payment")
async def pause(
    call_id: str, desk: TheDesk, asker: TheAsker, body: PauseRequest | None = None
) -> PauseOutcome:
    """Pause the recording of a call for the pause holder that sends the request.

    If this pause holder has already paused the recording, nothing changes.
    """
    return await _for_call(desk, asker, call_id, "hold", body)


@router.delete("/calls/{call_id}/payment")
async def resume(
    call_id: str, desk: TheDesk, asker: TheAsker, body: PauseRequest | None = None
) -> PauseOutcome:
    """End the pause of one pause holder of a call.

    `PauseRequest.holder` names the pause holder; see `PauseRequest` for the default. The recording
    resumes when the call has no pause holder any more.
    """
    return await _for_call(desk, asker, call_id, "release", body)


@router.put("/payments")
async def pause_all(body: PaymentTarget, desk: TheDesk, asker: TheAsker) -> PauseOutcome:
    """Pause the recordings of all calls of an advisor or an extension.

    The pause holder is the machine or the person that sends the request.
    """
    return await _for_all(desk, asker, body, "hold")


@router.delete("/payments")
async def resume_all(body: PaymentTarget, desk: TheDesk, asker: TheAsker) -> PauseOutcome:
    """End the pauses of one pause holder in all calls of an advisor or an extension.

    The pause holder is the machine or the person that sends the request.
    """
    return await _for_all(desk, asker, body, "release")


async def _for_call(
    desk: Desk, asker: Asker, call_id: str, action: Action, body: PauseRequest | None
) -> PauseOutcome:
    session, talking = asker.session, False
    holders: tuple[str, ...] = ()
    if not has_right(session):
        call = live_call(desk, session, call_id)
        talking, holders = call.is_talking(session.user), call.state.holders
        own = (
            call.concerns(session.user)
            if call.advisor is None
            else call.is_handled_by(session.user)
        )
        if session.user.role == "machine" or not (own or session.user.supervises):
            raise ApiError(403, "another advisor has this call", "ask them or a supervisor")
    if action == "hold":
        holder = _pausing_holder(session, body)
    else:
        holder = _holder_to_release(session, body, holders, talking=talking)
    target = PauseTarget(call_id=call_id)
    heartbeat = body.heartbeat if body is not None else None
    return await carry_out(desk, action, asker.order(target, holder), heartbeat=heartbeat)


async def _for_all(desk: Desk, asker: Asker, body: PaymentTarget, action: Action) -> PauseOutcome:
    session = asker.session
    if (body.advisor is None) == (body.extension is None):
        raise ApiError(422, "`advisor` or `extension` is required", "send exactly one of the two")
    if not (has_right(session) or session.user.supervises):
        raise ApiError(
            403, "only payment systems and supervisors may do this", "use the page's key"
        )
    target = PauseTarget(user=body.advisor or "", extension=body.extension or "")
    order = asker.order(target, _own(session))
    return await carry_out(desk, action, order, heartbeat=body.heartbeat)


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

    Raises:
        ApiError: 403, the user may not end the pause of this pause holder.
    """
    own = _own(session)
    named = body.holder if body is not None else None
    if named is None:
        older = own not in holders and _ANY_PAGE in holders
        return _ANY_PAGE if older and (talking or session.user.supervises) else own
    theirs = talking and (named == _ANY_PAGE or named.startswith(_PHONE))
    if not (named == own or theirs or session.user.supervises):
        raise ApiError(403, "you may not change another holder's pause", "ask a supervisor")
    return named


async def carry_out(
    desk: Desk, action: Action, order: PauseOrder, *, heartbeat: float | None = None
) -> PauseOutcome:
    """Pause the calls of an order for its pause holder, or end the holder's pause; audit it.

    The caller of this function has checked that the user may do this. If `heartbeat` is set, the
    holder must repeat its request to pause within that many seconds, or its users are warned.

    Raises:
        SwitchDownError: The switch did not reply.
        ApiError: 404, there is no such call. 503, a resume could not be audited.
    """
    if action == "release":
        await _audit_resumption(desk, order)
    holder = order.holder
    held = {call.call_id for call in desk.calls.all() if holder in call.state.holders}
    send = desk.switch.pause if action == "hold" else desk.switch.resume
    try:
        reply = await send(order)
    except SwitchDownError:
        desk.metrics.pauses.labels(action, "no_switch").inc()
        raise
    desk.metrics.pauses.labels(action, "done" if reply.calls else "no_call").inc()
    _watch(desk, reply, holder, heartbeat if action == "hold" else None)
    # A renewal, which may come every few seconds, changes nothing and is not audited again.
    renewed = heartbeat is not None and bool(reply.calls) and held.issuperset(reply.calls)
    if action == "hold" and not renewed:
        await _audit_pause(desk, order, reply)
    if not reply.calls:
        raise ApiError(404, "there is no such call", "check the call: it may have ended")
    event = "payment.held" if action == "hold" else "payment.released"
    log.info(event, calls=list(reply.calls), state=reply.state, durable=reply.durable)
    return PauseOutcome(state=reply.state, durable=reply.durable, calls=list(reply.calls))


def _watch(desk: Desk, reply: PauseReply, holder: str, heartbeat: float | None) -> None:
    for call_id in reply.calls:
        if heartbeat is None:
            desk.heartbeats.stop(call_id, holder)
        else:
            desk.heartbeats.beat(call_id, holder, heartbeat)


async def _audit_resumption(desk: Desk, order: PauseOrder) -> None:
    if not await desk.finishes_within(_audit(desk, "release", order), _AUDIT_S):
        desk.metrics.pauses.labels("release", "no_audit").inc()
        log.warning("payment.audit_late", action="release")
        raise ApiError(503, "the audit does not answer", "the recording stays paused; try again")


async def _audit_pause(desk: Desk, order: PauseOrder, reply: PauseReply) -> None:
    """Write the audit entry of a pause that is already in force.

    The entry has the time of the pause. If the database refuses the entry, a background task tries
    again every `_RETRY_S` seconds until it succeeds. This function returns after the first attempt,
    or after `_AUDIT_S` seconds.
    """
    at = time.time()
    tried = asyncio.Event()

    async def until_it_is_written() -> None:
        while True:
            try:
                await _audit(desk, "hold", order, at=at)
            except AuditError:
                if not tried.is_set():
                    log.warning("payment.not_audited", calls=list(reply.calls))
            else:
                return
            finally:
                tried.set()
            await asyncio.sleep(_RETRY_S)

    desk.spawn(until_it_is_written())
    try:
        async with asyncio.timeout(_AUDIT_S):
            await tried.wait()
    except TimeoutError:
        log.warning("payment.audit_late", action="hold", calls=list(reply.calls))


async def _audit(desk: Desk, action: Action, order: PauseOrder, *, at: float | None = None) -> None:
    target = order.target
    personal = {"actor": order.actor, "holder": order.holder, "user": target.user}
    await desk.audit.append(
        f"payment.{action}",
        {"call_id": target.call_id, "extension": target.extension},
        {name: value for name, value in personal.items() if value},
        at=at,
    )
