"""One call of a phone: its state, its audio, and what its user may do with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Final, Literal, Self

import structlog

from telephony.errors import ParseError, ProtocolError
from telephony.phone.changes import Changes
from telephony.phone.errand import Errands
from telephony.phone.line import Line
from telephony.phone.media import CallMedia
from telephony.phone.outbox import KEY_MS, KEYS
from telephony.phone.reception import Reception
from telephony.phone.redirection import Redirection
from telephony.phone.referral import Referral, refer
from telephony.phone.renegotiation import SDP, change_hold
from telephony.phone.reports import PeerReport
from telephony.phone.session import Session
from telephony.phone.state import CallFailedError, CallState, InvalidStateError
from telephony.sdp import Direction
from telephony.sip.dtmf_relay import CONTENT_TYPE, body_of
from telephony.sip.endpoint import Dialog, InviteClient, InviteServer
from telephony.sip.headers import NameAddr
from telephony.sip.message import Request
from telephony.sip.replaces import Replaces
from telephony.sip.uri import escape_header

logger = structlog.get_logger(__name__)

_ORDER: Final = tuple(CallState)


class VoIPCall:
    """A call, placed or received. Everything that waits is a coroutine.

    Audio is 16-bit linear PCM, little-endian, mono, 8 kHz, whatever the codec on the wire.

    Attributes:
        state: where it stands.
        remote: the other party, as To or From named it.
        request: the INVITE of a call that came in; None for one that we placed.
        status: the SIP status that ended or answered it; 0 while there is none.
        unreachable: True if it ended because nobody answered our INVITE, not even to refuse it;
            `status` is then 408, or 503 where there is no way to the server.
        statuses: what came for our INVITE so far, in order: 180, 200; challenges that were
            answered are not among them.
        moved_to: the URIs of the last 3xx, the preferred first; to call one of them is the
            program's choice, unless it let the phone `follow` them.
        takes_over: the call of ours whose place this one takes (RFC 3891), as its caller asks:
            `answer` ends that one.
        infos: INFO requests that came, oldest first.
    """

    def __init__(
        self, line: Line, remote: NameAddr, changes: Changes, invite: InviteServer | None = None
    ) -> None:
        """Made by the phone alone.

        Raises:
            NoPortsError: no pair of media ports is free.
        """
        self.state = CallState.DIALING if invite is None else CallState.RINGING
        self.remote = remote
        self.status = 0
        self.unreachable = False
        self.statuses: list[int] = []
        self.redirection = Redirection()
        self.takes_over: VoIPCall | None = None
        self.infos: list[Request] = []
        self.media = CallMedia(line.pool, changes, line.srtp)
        self.dialog: Dialog | None = None
        self.client: InviteClient | None = None
        self.invite = invite
        self.changes = changes
        self.errands = Errands(line)
        self.referral: Referral | None = None
        self.session = Session(self, line)
        self._line = line

    @property
    def request(self) -> Request | None:
        """The INVITE of a call that came in."""
        return self.invite.request if self.invite is not None else None

    @property
    def moved_to(self) -> list[str]:
        """See above."""
        return [str(uri) for uri in self.redirection.told]

    @property
    def protected(self) -> bool:
        """Whether its media is SRTP, as it was agreed on last."""
        return self.media.stream.protection is not None

    @property
    def held(self) -> bool:
        """Whether the other party holds us, in whatever form: it wants no media of ours."""
        return self.media.held

    @property
    def reception(self) -> Reception:
        """How well the other party's media arrives, or did until the end."""
        return self.media.stream.reception.now

    @property
    def report(self) -> PeerReport | None:
        """How well ours arrives there, as their RTCP said last; None until it says so."""
        return self.media.stream.reports.peer

    @property
    def replaces(self) -> str:
        """The Replaces header (RFC 3891) by which another phone may take this one's place.

        Raises:
            InvalidStateError: the call is over, or rings nowhere.
        """
        there = self._consulted()
        return str(Replaces(there.call_id, there.id.remote_tag, there.id.local_tag))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hangup()

    # --- state ------------------------------------------------------------------------------

    async def wait_for(self, state: CallState) -> None:
        """Return once the call is, or has been, in `state`.

        Raises:
            CallFailedError: it ended before; `status` says how.
        """
        wanted = _ORDER.index(state)
        await self.changes.until(lambda: _ORDER.index(self.state) >= wanted)
        failed = self.state is CallState.ENDED and state is not CallState.ENDED
        if failed and (self.status >= 300 or not self.status):
            what = "nobody answers" if self.unreachable else "the call ended first"
            raise CallFailedError(what, self.status, unreachable=self.unreachable)

    def become(self, state: CallState, status: int = 0) -> None:
        """Go on to `state`; the one place where the state changes."""
        if _ORDER.index(state) <= _ORDER.index(self.state):
            return
        logger.debug("phone.call_state", before=self.state, after=state, status=status)
        self.state, self.status = state, status or self.status
        if state is CallState.ENDED:
            self.media.stream.close()
            self.errands.end()
            self.session.stop()
        self.changes.tell()

    # --- setting up and ending ----------------------------------------------------------------

    async def progress(self) -> None:
        """Let the caller hear us before we answer: 183 with our SDP; then `write_audio`.

        Raises:
            InvalidStateError: no call rings here, or its INVITE holds no offer.
            CallFailedError: as `answer`.
        """
        invite = self._ringing_here()
        if not invite.request.body:
            raise InvalidStateError("the INVITE holds no offer")
        body = self._description(invite)
        invite.respond(
            183, headers=(SDP,), body=body, reliable=invite.takes_reliable, now=self._line.now
        )
        self._line.transport.flush()

    async def answer(self) -> None:
        """Answer a call that rings here.

        Raises:
            InvalidStateError: it does not.
            CallFailedError: its offer holds nothing that we speak; it has been refused with 488.
        """
        invite = self._ringing_here()
        body = self._description(invite)
        headers = (SDP, *self.session.answer(invite.request))
        self.dialog = invite.respond(200, headers=headers, body=body, now=self._line.now)
        if self.dialog is not None:
            self.become(CallState.ANSWERED, 200)
        if self.takes_over is not None:
            self.takes_over.part()
        self._line.transport.flush()

    async def deny(self, status: int = 486) -> None:
        """Refuse a call that rings here.

        Raises:
            InvalidStateError: it does not.
        """
        self._ringing_here()
        self.refuse(status)

    def refuse(self, status: int) -> None:
        """Answer the INVITE with a failure."""
        if self.invite is not None and not self.invite.answered:
            self.invite.respond(status, now=self._line.now)
        self.become(CallState.ENDED, status)
        self._line.transport.flush()

    async def hangup(self) -> None:
        """End the call, whatever its state; returns once it has ended."""
        if self.state is CallState.ENDED:
            return
        self.part()
        await self.wait_for(CallState.ENDED)

    def part(self) -> None:
        """Say that it is over: BYE, CANCEL or a refusal, as its state wants."""
        if self.dialog is not None:
            self.bye()
        elif self.client is not None:
            self.client.cancel(now=self._line.now)
        elif self.state is not CallState.ENDED:
            self.refuse(480)
        self._line.transport.flush()

    def bye(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send BYE; `DialogEnded` comes back."""
        dialog = self.dialog
        if dialog is not None and self.state is CallState.ANSWERED:
            self.media.stream.outbox.clear()
            try:
                dialog.request("BYE", headers=headers, now=self._line.now)
            except ProtocolError:
                logger.debug("phone.bye_already_sent")

    # --- in the call ------------------------------------------------------------------------

    async def hold(self, direction: Literal["sendonly", "inactive"] = "sendonly") -> None:
        """Put the other party on hold; what it sends meanwhile is not asked for.

        Args:
            direction: "sendonly": it may hear what we write; "inactive": nothing at all.

        Raises:
            InvalidStateError: the call is not answered.
            CallFailedError: the re-INVITE was refused.
        """
        await change_hold(self, self._answered(), Direction(direction))

    async def resume(self) -> None:
        """Take the other party off hold; raises as `hold`."""
        await change_hold(self, self._answered(), None)

    async def transfer(self, target: str) -> int:
        """Transfer the other party to `target`, a number or a SIP URI, without asking it first.

        Returns:
            The final status of the call to the target: 200 when it answered; or that of the
            REFER itself, when it was refused. The call here ends by itself after a success.

        Raises:
            InvalidStateError: the call is not answered.
            CallFailedError: the call ended before the outcome was told.
        """
        return await refer(self, self._answered(), self._line.address, self._line.uri(target))

    async def join(self, other: VoIPCall) -> int:
        """Let the other party talk with that of `other`, whom we consulted: attended transfer.

        A REFER whose Refer-To has a Replaces (RFC 3891, RFC 5589 7). `other` may be a call of
        ours that still rings. Both calls end by themselves after a success.

        Returns:
            As `transfer`.

        Raises:
            InvalidStateError: this call is not answered; the other is over, or rings nowhere.
            CallFailedError: as `transfer`.
        """
        there = other._consulted()
        uri = replace(there.remote.uri, headers=(("Replaces", escape_header(other.replaces)),))
        return await refer(self, self._answered(), self._line.address, uri)

    async def send_info(self, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> int:
        """Send INFO (RFC 6086); a body wants its Content-Type among `headers`.

        Returns:
            The status of the answer.
        """
        _, response = await self.errands.send(self._answered(), "INFO", headers, body)
        return response.status

    # --- audio and keys ---------------------------------------------------------------------

    async def write_audio(self, pcm: bytes) -> None:
        """Queue audio; returns when less than 200 ms of it wait. Without audio, silence is sent.

        Once the call has ended it goes nowhere; `read_audio` and `state` tell of the end.

        Raises:
            InvalidStateError: the call is not answered, nor was `progress` sent or received.
        """
        if self.state is CallState.ENDED:
            return
        if self.state is not CallState.RINGING or not self.media.agreed:
            self._answered()
        await self.media.stream.write(pcm)

    async def drain_audio(self) -> None:
        """Return once all that was written has been sent, or the call has ended."""
        outbox = self.media.stream.outbox
        await self.changes.until(lambda: not outbox.queued or self.state is CallState.ENDED)

    async def read_audio(self, samples: int = 160) -> bytes:
        """The next `samples` received, each two bytes, in the order of their timestamps.

        Waits for them; loss is silence. Once the call has ended: what is left, at last b"".
        """
        return await self.media.stream.read(samples)

    async def audio(self, samples: int = 160) -> AsyncIterator[bytes]:
        """What is received, piece by piece, until the call has ended; the last may be shorter."""
        while piece := await self.read_audio(samples):
            yield piece

    async def send_dtmf(self, keys: str, by: Literal["rtp", "info"] = "rtp") -> None:
        """Press keys (0-9, *, #, A-D); returns when the last was let go.

        Args:
            keys: in their order.
            by: "rtp" sends RTP events (RFC 4733); "info" an INFO each (application/dtmf-relay).

        Raises:
            InvalidStateError: the call is not answered.
            ProtocolError: no such keys, or, by RTP, the peer takes none.
            CallFailedError: by INFO; the peer refuses it.
        """
        self._answered()
        if by == "info":
            await self._send_keys_by_info(keys.upper())
            return
        outbox = self.media.stream.outbox
        outbox.press(keys)
        await self.changes.until(lambda: not outbox.pressing or self.state is CallState.ENDED)

    async def get_dtmf(self, length: int = 1) -> str:
        """The next `length` keys that the peer presses; fewer if the call ends before."""
        stream = self.media.stream
        await self.changes.until(
            lambda: len(stream.keys) >= length or self.state is CallState.ENDED
        )
        taken, stream.keys = stream.keys[:length], stream.keys[length:]
        return taken

    async def _send_keys_by_info(self, keys: str) -> None:
        if any(key not in KEYS for key in keys):
            raise ProtocolError("not keys")
        for key in keys:
            headers = (("Content-Type", CONTENT_TYPE),)
            status = await self.send_info(body_of(key, KEY_MS), headers)
            if status >= 300:
                raise CallFailedError("the INFO was refused", status)

    # --- within -----------------------------------------------------------------------------

    def _answered(self) -> Dialog:
        if self.dialog is None or self.state is not CallState.ANSWERED:
            raise InvalidStateError(f"the call is {self.state}")
        return self.dialog

    def _ringing_here(self) -> InviteServer:
        if self.invite is None or self.state is not CallState.RINGING:
            raise InvalidStateError(f"no call that came in rings here: it is {self.state}")
        return self.invite

    def _description(self, invite: InviteServer) -> bytes:
        """Our answer to the INVITE, as said before; an offer, where it holds none."""
        if self.media.agreed:
            return self.media.said
        offer = invite.request.body
        try:
            return self.media.answer(offer) if offer else self.media.offer()
        except (ParseError, CallFailedError) as error:
            self.refuse(error.status)
            raise CallFailedError("there is no common media", error.status) from None

    def _consulted(self) -> Dialog:
        """The dialog of a call that is answered, or the first of one of ours that rings."""
        early = (
            self.client.dialogs.values() if self.state is CallState.RINGING and self.client else ()
        )
        return next(iter(early), None) or self._answered()
