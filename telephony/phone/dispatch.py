"""Functions that handle the SIP core's events for a phone's call, without waiting."""

from __future__ import annotations

import structlog

from telephony.b2bua.session_timer import IntervalTooSmallError
from telephony.errors import ParseError
from telephony.phone.account import PhoneAccount
from telephony.phone.call import VoIPCall
from telephony.phone.media import SDP
from telephony.phone.state import CallFailedError, CallState
from telephony.sip.events import (
    AckMissing,
    AckReceived,
    DialogEnded,
    DialogRequest,
    DialogRequestFailed,
    DialogResponse,
    InviteAnswered,
    InviteCancelled,
    InviteFailed,
    InviteProgress,
    PrackMissing,
    SipEvent,
)
from telephony.sip.message.content import key_of

logger = structlog.get_logger(__name__)

_RINGS = {180, 183}


def handle(account: PhoneAccount, call: VoIPCall, event: SipEvent) -> None:
    """Handle an event of `call`, and wake the coroutines that wait for a change of the call."""
    if not _on_setup(account, call, event):
        _in_dialog(account, call, event)
    call.changes.notify()


def _on_setup(account: PhoneAccount, call: VoIPCall, event: SipEvent) -> bool:
    match event:
        case InviteProgress():
            _on_progress(account, call, event)
        case InviteAnswered():
            _on_answered(account, call, event)
        case InviteFailed():
            _on_failed(account, call, event)
        case InviteCancelled() if event.invite.dialog is None:
            call.become(CallState.ENDED, 487)
        case PrackMissing():
            call.become(CallState.ENDED, 504)
        case _:
            return False
    return True


def _in_dialog(account: PhoneAccount, call: VoIPCall, event: SipEvent) -> None:
    match event:
        case AckReceived():
            _on_ack(call, event)
        case AckMissing():
            call.bye()
        case DialogRequest():
            _on_request(account, call, event)
        case DialogResponse() | DialogRequestFailed():
            call.requests.on_event(event)
        case DialogEnded() if event.dialog is call.dialog:
            call.become(CallState.ENDED)
        case _:
            logger.debug("phone.event_ignored", kind=type(event).__name__)


def _on_progress(account: PhoneAccount, call: VoIPCall, event: InviteProgress) -> None:
    """Handle a 1xx (RFC 3262 section 5, RFC 3960). If its SDP cannot be used, only log this."""
    response = event.response
    call.statuses.append(response.status)
    if response.status in _RINGS:
        call.become(CallState.RINGING)
    if not response.body or event.dialog is None:
        return
    try:
        if event.answer_due:
            body = call.media.answer(response.body)
            event.client.prack(event.dialog, response, headers=(SDP,), body=body, now=account.now)
        else:
            call.media.answered(response.body)
    except (ParseError, CallFailedError) as error:
        logger.info("phone.no_early_media", status=error.status)


def _on_answered(account: PhoneAccount, call: VoIPCall, event: InviteAnswered) -> None:
    dialog, body = event.dialog, event.response.body
    unwanted = call.dialog is not None or event.client.cancelled
    if body and not unwanted and not event.client.request.body:
        _on_late_offer(account, call, event)
        return
    dialog.ack(event.client, now=account.now)
    # End this dialog: another target of a forked INVITE has already answered the call, or the 2xx
    # came after our CANCEL.
    if call.dialog is not None or event.client.cancelled:
        dialog.request("BYE", now=account.now)
        if call.dialog is None:
            call.become(CallState.ENDED, 487)
        return
    call.dialog = dialog
    call.session.on_2xx(event.response)
    call.statuses.append(event.response.status)
    call.become(CallState.ANSWERED, event.response.status)
    if not body and call.media.agreed:
        return  # The SDP answer has already come in a reliable provisional response.
    try:
        call.media.answered(body)
    except (ParseError, CallFailedError) as error:
        logger.warning("phone.no_common_media", status=error.status)
        call.bye()


def _on_late_offer(account: PhoneAccount, call: VoIPCall, event: InviteAnswered) -> None:
    """Handle a 2xx with an offer: send our answer in the ACK (RFC 3261 section 13.2.1)."""
    call.dialog = event.dialog
    call.session.on_2xx(event.response)
    call.statuses.append(event.response.status)
    call.become(CallState.ANSWERED, event.response.status)
    try:
        answer = call.media.answer(event.response.body)
    except (ParseError, CallFailedError) as error:
        logger.warning("phone.no_common_media", status=error.status)
        event.dialog.ack(event.client, now=account.now)
        call.bye()
        return
    event.dialog.ack(event.client, headers=(SDP,), body=answer, now=account.now)


def _on_failed(account: PhoneAccount, call: VoIPCall, event: InviteFailed) -> None:
    is_first_422 = event.status == 422 and not call.statuses.count(422)
    if event.response is not None:
        call.statuses.append(event.status)
        if is_first_422 and not event.client.cancelled:
            call.session.on_422(event.response)
            timer = call.session.request_headers()
            call.client = event.client.retry(headers=timer, now=account.now)
            return
    call.unreachable = event.response is None and not event.client.cancelled
    tried = event.client.request.uri
    target = call.redirection.next(tried, event.status, event.response)
    if target is not None and not event.client.cancelled:
        call.client = event.client.retry(uri=target, now=account.now)
        return
    call.become(CallState.ENDED, event.status)


def _on_ack(call: VoIPCall, event: AckReceived) -> None:
    if not call.media.awaits_answer or not event.request.body:
        return
    try:
        call.media.answered(event.request.body)
    except (ParseError, CallFailedError) as error:
        logger.warning("phone.no_common_media", status=error.status)
        call.bye()


def _on_request(account: PhoneAccount, call: VoIPCall, event: DialogRequest) -> None:
    transaction, request = event.transaction, event.request
    match request.method:
        case "INVITE" | "UPDATE" | "PRACK":
            try:
                _on_new_offer(account, call, event)
            except IntervalTooSmallError:
                transaction.respond(422, headers=call.session.rejection_headers, now=account.now)
            return
        case "INFO":
            call.infos.append(request)
            call.media.stream.keys += key_of(request) or ""
        case "NOTIFY" if call.refer_sent is not None:
            call.refer_sent.on_notify(request)
        case "NOTIFY":
            transaction.respond(481, now=account.now)
            return
        case _:
            logger.debug("phone.request", method=request.method)
    if not transaction.answered:
        transaction.respond(200, now=account.now)


def _on_new_offer(account: PhoneAccount, call: VoIPCall, event: DialogRequest) -> None:
    transaction, request = event.transaction, event.request
    if not request.body and request.method != "INVITE":
        headers = call.session.answer(request) if request.method == "UPDATE" else ()
        transaction.respond(200, headers=headers, now=account.now)
        return
    # While our own offer has no answer, the peer's offer is refused (RFC 3311 section 5.2).
    if request.body and call.media.awaits_answer:
        transaction.respond(491, now=account.now)
        return
    refreshed = () if request.method == "PRACK" else call.session.answer(request)
    try:
        body = call.media.answer(request.body) if request.body else call.media.offer()
    except (ParseError, CallFailedError) as error:
        transaction.respond(error.status, now=account.now)
        return
    transaction.respond(200, headers=(SDP, *refreshed), body=body, now=account.now)
