"""One call of a phone: the state of the call, its audio, and the methods that programs use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Final, Literal, Self

import structlog

from telephony.errors import ParseError, ProtocolError
from telephony.phone.account import PhoneAccount
from telephony.phone.dialog_requests import DialogRequests, ReferSent
from telephony.phone.media import SDP, CallMedia, Renegotiation
from telephony.phone.quality import PeerReport, ReceptionQuality
from telephony.phone.rtp_sender import BAD_KEYS, KEY_MS
from telephony.phone.session import SessionRefresher
from telephony.phone.state import CallFailedError, CallState, Changes, InvalidStateError
from telephony.rtp.dtmf import KEYS
from telephony.sdp import Direction
from telephony.sip.dialog import Dialog
from telephony.sip.message.content import DTMF_RELAY, body_of
from telephony.sip.message.header_values import NameAddr, Replaces
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri, escape_header
from telephony.sip.ua.uac import InviteClient
from telephony.sip.ua.uas import InviteServer

logger = structlog.get_logger(__name__)

_ORDER: Final = tuple(CallState)
_EXPIRED: Final = (("Reason", 'SIP;cause=408;text="Session expired"'),)
_MOST_TRIED: Final = 10
"""The most URIs that one call tries, including the first."""


class Redirection:
    """The URIs to which servers redirected one call. Each URI is tried at most once."""

    def __init__(self) -> None:
        self.follow = False
        """True if the phone itself, and not the program, calls the URIs of a 3xx."""
        self.targets: list[Uri] = []
        """The URIs in the most recent 3xx response, the preferred URI first."""
        self._tried: list[Uri] = []
        self._left: list[Uri] = []

    def next(self, tried: Uri, status: int, response: Response | None) -> Uri | None:
        """Return the URI to call after `tried` failed with `status`, or None.

        None if `follow` is false, after a 6xx, after ten URIs, or if no untried URI is left.
        """
        self._tried.append(tried)
        if response is not None and 300 <= status < 400:
            self.targets = _targets(response)
            self._left = [*self.targets, *self._left]
        if not self.follow or status >= 600 or len(self._tried) >= _MOST_TRIED:
            return None
        while self._left:
            uri = self._left.pop(0)
            if not any(uri.equivalent(other) for other in self._tried):
                return uri
        return None


def _targets(response: Response) -> list[Uri]:
    try:
        contacts = response.contacts
    except ParseError:
        return []
    wanted = [c for c in contacts if c.uri.scheme in {"sip", "sips", "tel"}]
    return [contact.uri for contact in sorted(wanted, key=lambda c: c.q, reverse=True)]


class VoIPCall:
    """A call that we placed or received.

    Audio is 16-bit linear PCM, little-endian, mono, 8 kHz, whatever the codec on the network.

    Attributes:
        remote: The other party's name and URI, from To in our INVITE or From in the received one.
        status: The SIP status that answered or ended the call; 0 before that.
        unreachable: True if our INVITE got no final response and was not cancelled. `status` is
            then 408, or 503 without a route to the server.
        statuses: The statuses of the responses to our INVITE, oldest first, without those that only
            asked for a password (401, 407).
        takes_over: The call of this phone that `answer` ends, because this call replaces it (RFC
            3891); None without a Replaces.
        infos: The INFO requests received, oldest first.
    """

    def __init__(
        self,
        account: PhoneAccount,
        remote: NameAddr,
        changes: Changes,
        invite: InviteServer | None = None,
    ) -> None:
        """Bind media ports. Only `VoIPPhone` creates calls. Raises `NoPortsError`."""
        self.state = CallState.DIALING if invite is None else CallState.RINGING
        self.remote = remote
        self.status = 0
        self.unreachable = False
        self.statuses: list[int] = []
        self.redirection = Redirection()
        self.takes_over: VoIPCall | None = None
        self.infos: list[Request] = []
        self.media = CallMedia(account.pool, changes, account.srtp)
        self.dialog: Dialog | None = None
        self.client: InviteClient | None = None
        self.invite = invite
        self.changes = changes
        self.requests = DialogRequests(account)
        self.refer_sent: ReferSent | None = None
        self.session = SessionRefresher(account.session, self._refresh_session, self._expire)
        self._renegotiation = Renegotiation(self.media, self.session, self.requests, changes)
        self._account = account

    @property
    def request(self) -> Request | None:
        """The INVITE of a received call; None for a call that we placed."""
        return self.invite.request if self.invite is not None else None

    @property
    def moved_to(self) -> list[str]:
        """The URIs of the latest 3xx to our INVITE, the preferred first; empty before a 3xx."""
        return [str(uri) for uri in self.redirection.targets]

    @property
    def protected(self) -> bool:
        """True if the media is SRTP, according to the most recent offer and answer."""
        return self.media.stream.protection is not None

    @property
    def held_by_peer(self) -> bool:
        """True while the other party holds us: it accepts no media from us."""
        return self.media.held_by_peer

    @property
    def reception(self) -> ReceptionQuality:
        """The quality of the media that we receive; still readable after the call."""
        return self.media.stream.reception.now

    @property
    def report(self) -> PeerReport | None:
        """The other party's latest RTCP report on our media; None before the first."""
        return self.media.stream.reports.peer

    @property
    def replaces(self) -> str:
        """The value of a Replaces that names this call (RFC 3891).

        Raises `InvalidStateError` unless the call is answered, or rings at the other party.
        """
        there = self._replaceable_dialog()
        return str(Replaces(there.call_id, there.id.remote_tag, there.id.local_tag))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hangup()

    # --- the call's state -------------------------------------------------------------------

    async def wait_for(self, state: CallState) -> None:
        """Wait until the call has reached `state` or a later one.

        Raises `CallFailedError` if the call ends unanswered, unless `state` is ENDED.
        """
        wanted = _ORDER.index(state)
        await self.changes.until(lambda: _ORDER.index(self.state) >= wanted)
        failed = self.state is CallState.ENDED and state is not CallState.ENDED
        if failed and (self.status >= 300 or not self.status):
            what = "no response to the INVITE" if self.unreachable else "the call ended first"
            raise CallFailedError(what, self.status, unreachable=self.unreachable)

    def become(self, state: CallState, status: int = 0) -> None:
        """Change to a later state, or do nothing. A `status` of 0 does not change the status."""
        if _ORDER.index(state) <= _ORDER.index(self.state):
            return
        logger.debug("phone.call_state", before=self.state, after=state, status=status)
        self.state, self.status = state, status or self.status
        if state is CallState.ENDED:
            self.media.stream.close()
            self.requests.end()
            self.session.stop()
        self.changes.notify()

    # --- answering and ending the call ------------------------------------------------------

    async def progress(self) -> None:
        """Send 183 with our SDP: the caller can then hear `write_audio` before we answer.

        If the offer cannot be used, refuse the call and raise `CallFailedError`. Raises
        `InvalidStateError` unless this is a received call that rings and has an offer.
        """
        invite = self._ringing_here()
        if not invite.request.body:
            raise InvalidStateError("the INVITE has no SDP offer")
        body = self._description(invite)
        invite.respond(
            183, headers=(SDP,), body=body, reliable=invite.takes_reliable, now=self._account.now
        )
        self._account.transport.flush()

    async def answer(self) -> None:
        """Answer a received call.

        If the offer cannot be used, refuse the call and raise `CallFailedError`. Raises
        `InvalidStateError` unless this is a received call that rings.
        """
        invite = self._ringing_here()
        body = self._description(invite)
        headers = (SDP, *self.session.answer(invite.request))
        self.dialog = invite.respond(200, headers=headers, body=body, now=self._account.now)
        if self.dialog is not None:
            self.become(CallState.ANSWERED, 200)
        if self.takes_over is not None:
            self.takes_over.send_hangup()
        self._account.transport.flush()

    async def deny(self, status: int = 486) -> None:
        """Refuse a received call; raise InvalidStateError if we placed it or it no longer rings."""
        self._ringing_here()
        self.refuse(status)

    def refuse(self, status: int) -> None:
        """End an unanswered received call with this SIP failure status."""
        if self.invite is not None and not self.invite.answered:
            self.invite.respond(status, now=self._account.now)
        self.become(CallState.ENDED, status)
        self._account.transport.flush()

    async def hangup(self) -> None:
        """End the call in any state, and return when the call has ended."""
        if self.state is CallState.ENDED:
            return
        self.send_hangup()
        await self.wait_for(CallState.ENDED)

    def send_hangup(self) -> None:
        """Send BYE, CANCEL or (for a received call that rings) 480, without waiting for the end."""
        if self.dialog is not None:
            self.bye()
        elif self.client is not None:
            self.client.cancel(now=self._account.now)
        elif self.state is not CallState.ENDED:
            self.refuse(480)
        self._account.transport.flush()

    def bye(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send BYE if the call is answered. The SIP core then emits `DialogEnded`."""
        dialog = self.dialog
        if dialog is not None and self.state is CallState.ANSWERED:
            self.media.stream.sender.clear()
            try:
                dialog.request("BYE", headers=headers, now=self._account.now)
            except ProtocolError:
                logger.debug("phone.bye_already_sent")

    # --- hold, transfer and INFO during the call --------------------------------------------

    async def hold(self, direction: Literal["sendonly", "inactive"] = "sendonly") -> None:
        """Put the other party on hold: ask it to send no media.

        With "sendonly", the other party still hears the audio that we write. With "inactive", it
        hears nothing.

        Raises:
            InvalidStateError: The call is not answered.
            CallFailedError: The re-INVITE was refused or got no response.
            SdpParseError: The SDP answer cannot be used.
        """
        await self._renegotiation.change_hold(self._answered(), Direction(direction))

    async def resume(self) -> None:
        """End a `hold`. Raises the same errors."""
        await self._renegotiation.change_hold(self._answered(), None)

    async def transfer(self, target: str) -> int:
        """Transfer the other party to a number or SIP URI without calling it first (blind).

        Return the final status of the other party's call to the target. If the other party refuses
        our REFER, return the status of its response. After a 2xx, this call ends. Raises
        `InvalidStateError` if this call is not answered, `CallFailedError` if no final status came,
        and `SipParseError` or `ProtocolError` for a wrong `target`.
        """
        return await self._refer(self._answered(), self._account.uri(target))

    async def attended_transfer(self, other: VoIPCall) -> int:
        """Transfer the other party of this call to the party that we consult in the call `other`.

        Our REFER has a Replaces in the Refer-To (RFC 3891, RFC 5589 section 7). `other` may still
        ring. The returned status is as in `transfer`. After a 2xx, this call ends, and the party
        that we consulted ends `other`. Raises `InvalidStateError` unless this call is answered and
        `other` has a dialog, and `CallFailedError` if no final status came.
        """
        there = other._replaceable_dialog()
        uri = replace(there.remote.uri, headers=(("Replaces", escape_header(other.replaces)),))
        return await self._refer(self._answered(), uri)

    async def send_info(self, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> int:
        """Send an INFO (RFC 6086); return its final status.

        A `body` needs a Content-Type in `headers`. Raises `InvalidStateError` if the call is not
        answered, `CallFailedError` without a response.
        """
        _, response = await self.requests.send(self._answered(), "INFO", headers, body)
        return response.status

    # --- audio and DTMF digits --------------------------------------------------------------

    async def write_audio(self, pcm: bytes) -> None:
        """Queue audio for sending, and wait until less than 200 ms of queued audio remain.

        While the queue is empty, the call sends silence. After the call's end, the audio is dropped
        without an error. Raises `InvalidStateError` if the call is neither answered nor rings with
        agreed SDP, and `ProtocolError` for an odd number of bytes.
        """
        if self.state is CallState.ENDED:
            return
        if self.state is not CallState.RINGING or not self.media.agreed:
            self._answered()
        await self.media.stream.write(pcm)

    async def drain_audio(self) -> None:
        """Wait until all queued audio has been sent, or until the call has ended."""
        sender = self.media.stream.sender
        await self.changes.until(lambda: not sender.queued or self.state is CallState.ENDED)

    async def read_audio(self, samples: int = 160) -> bytes:
        """Return the next received samples as 16-bit PCM, sorted by RTP timestamp.

        Wait until they have arrived. Lost packets become silence. After the end of the call, return
        the remaining samples, and then b"".
        """
        return await self.media.stream.read(samples)

    async def audio(self, samples: int = 160) -> AsyncIterator[bytes]:
        """Yield the received audio in pieces of `samples` samples; the final one may be shorter."""
        while piece := await self.read_audio(samples):
            yield piece

    async def send_dtmf(self, keys: str, by: Literal["rtp", "info"] = "rtp") -> None:
        """Send DTMF digits (0-9, *, #, A-D), and wait until all are sent.

        With "rtp", the digits are RTP events (RFC 4733), and the wait also ends with the call. With
        "info", each digit is an INFO with application/dtmf-relay.

        Raises:
            InvalidStateError: The call is not answered.
            ProtocolError: `keys` has another character, or the peer takes no RTP events ("rtp").
            CallFailedError: An INFO was refused or got no response.
        """
        self._answered()
        if by == "info":
            await self._send_keys_by_info(keys.upper())
            return
        sender = self.media.stream.sender
        sender.press(keys)
        await self.changes.until(lambda: not sender.pressing or self.state is CallState.ENDED)

    async def get_dtmf(self, length: int = 1) -> str:
        """Wait for the peer's next `length` DTMF digits; return fewer if the call ends earlier."""
        stream = self.media.stream
        await self.changes.until(
            lambda: len(stream.keys) >= length or self.state is CallState.ENDED
        )
        taken, stream.keys = stream.keys[:length], stream.keys[length:]
        return taken

    async def _refer(self, dialog: Dialog, uri: Uri) -> int:
        """Ask the peer by REFER to call `uri`. After a 2xx, end our call (RFC 5589 section 6.1)."""
        self.refer_sent = ReferSent(self.requests, self.changes)
        status = await self.refer_sent.send(dialog, self._account.address, uri)
        if status < 300:
            self.send_hangup()
        return status

    async def _refresh_session(self) -> None:
        if self.dialog is not None:
            await self._renegotiation.refresh(self.dialog)

    def _expire(self) -> None:
        self.bye(_EXPIRED)
        self._account.transport.flush()

    async def _send_keys_by_info(self, keys: str) -> None:
        if any(key not in KEYS for key in keys):
            raise ProtocolError(BAD_KEYS)
        for key in keys:
            headers = (("Content-Type", DTMF_RELAY),)
            status = await self.send_info(body_of(key, KEY_MS), headers)
            if status >= 300:
                raise CallFailedError("the INFO was refused", status)

    # --- helper methods ---------------------------------------------------------------------

    def _answered(self) -> Dialog:
        if self.dialog is None or self.state is not CallState.ANSWERED:
            raise InvalidStateError(f"the call is not answered; its state is {self.state}")
        return self.dialog

    def _ringing_here(self) -> InviteServer:
        if self.invite is None or self.state is not CallState.RINGING:
            raise InvalidStateError(
                f"the call is not a ringing received call; its state is {self.state}"
            )
        return self.invite

    def _description(self, invite: InviteServer) -> bytes:
        """Return the SDP for our response, or refuse the call and raise CallFailedError."""
        if self.media.agreed:
            return self.media.local_sdp
        offer = invite.request.body
        try:
            return self.media.answer(offer) if offer else self.media.offer()
        except (ParseError, CallFailedError) as error:
            self.refuse(error.status)
            raise CallFailedError("the caller's offer cannot be used", error.status) from None

    def _replaceable_dialog(self) -> Dialog:
        """Return the dialog that a Replaces names: in our ringing call, the first early dialog."""
        early = (
            self.client.dialogs.values() if self.state is CallState.RINGING and self.client else ()
        )
        return next(iter(early), None) or self._answered()
