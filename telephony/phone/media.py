"""Offer and answer of a phone's call: one audio stream with G.711 and telephone events."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from telephony.aio.ports import PortPool
from telephony.errors import TelephonyError
from telephony.phone.dialog_requests import DialogRequests
from telephony.phone.session import SessionRefresher
from telephony.phone.state import CallFailedError, Changes
from telephony.phone.stream import MediaStream
from telephony.sdp import (
    Codec,
    Direction,
    Origin,
    SessionDescription,
    Srtp,
    agreed,
    own_answer,
    own_offer,
    remote_media,
)
from telephony.sip.dialog import Dialog

CODECS: Final = (
    Codec("PCMA", 8000),
    Codec("PCMU", 8000),
    Codec("telephone-event", 8000, 1, "0-15"),
)
_ALLOWED: Final = tuple(codec.name for codec in CODECS)
SDP: Final = ("Content-Type", "application/sdp")
_TRIES: Final = 5


class CallMedia:
    """Our SDP and the peer's SDP in one call, and the media stream that results from them."""

    def __init__(self, pool: PortPool, changes: Changes, srtp: Srtp = Srtp.OFF) -> None:
        """Bind a pair of ports, and make SRTP keys unless `srtp` is OFF. Raises `NoPortsError`."""
        self.stream = MediaStream(pool, changes, srtp)
        self.local_hold: Direction | None = None
        """SENDONLY or INACTIVE while we hold the peer, otherwise None."""
        self.held_by_peer = False
        """True while the peer holds us: it accepts no media from us."""
        self._origin = Origin(secrets.randbits(31))
        self._local_sdp: SessionDescription | None = None
        self._agreed_sdp: SessionDescription | None = None
        """Our SDP in the latest completed exchange; None until an offer has been answered."""
        self.awaits_answer = False
        """True while our offer has no answer from the peer."""

    @property
    def agreed(self) -> bool:
        """True after at least one offer has been answered, by us or by the peer."""
        return self._agreed_sdp is not None

    @property
    def local_sdp(self) -> bytes:
        """Our newest SDP; b"" if we have written none yet."""
        return b"" if self._local_sdp is None else bytes(self._local_sdp)

    def offer(self) -> bytes:
        """Return a new offer as SDP, which becomes `local_sdp`."""
        self._local_sdp = own_offer(
            self.stream.local,
            self._next_origin(),
            codecs=CODECS,
            direction=self.local_hold or Direction.SENDRECV,
            previous=self._agreed_sdp,
        )
        self.awaits_answer = True
        return bytes(self._local_sdp)

    def answered(self, body: bytes) -> None:
        """Accept the peer's answer to our offer.

        Raises `SdpParseError` if the answer cannot be read or refuses audio, and `CallFailedError`
        if it has no G.711.
        """
        theirs = SessionDescription.parse(body)
        self._apply(theirs)
        self.awaits_answer = False
        # An answer to "inactive" is always "inactive". It does not show whether the peer holds us,
        # so `held_by_peer` does not change.
        if self.local_hold is not Direction.INACTIVE:
            self.held_by_peer = not _receives(theirs)

    def withdraw(self) -> None:
        """Clear `awaits_answer`, because our offer will get no answer."""
        self.awaits_answer = False

    def answer(self, body: bytes) -> bytes:
        """Accept the peer's offer, and return our answer as SDP.

        Raises `SdpParseError` if the offer cannot be read (400) or has no media that can be used
        (488), and `CallFailedError` if it has no G.711.
        """
        theirs, local, origin = SessionDescription.parse(body), self.stream.local, self._origin
        said = own_answer(theirs, local, origin.next(), allowed=_ALLOWED)
        index = said.audio_index()
        if self.local_hold is not None and index is not None:
            sends = said.direction(index).sends and self.local_hold.sends
            wanted = Direction.of(sends=sends, receives=False)
            said = own_answer(theirs, local, origin.next(), allowed=_ALLOWED, direction=wanted)
        self._local_sdp, self._origin = said, origin.next()
        self._apply(theirs)
        self.held_by_peer = not _receives(theirs)
        return bytes(said)

    def _apply(self, theirs: SessionDescription) -> None:
        said = self._local_sdp
        self.stream.configure(remote_media(theirs, said))
        self._agreed_sdp = agreed(said, theirs) if said is not None else None

    def _next_origin(self) -> Origin:
        self._origin = self._origin.next()
        return self._origin


def _receives(theirs: SessionDescription) -> bool:
    index = theirs.audio_index()
    return index is not None and theirs.direction(index).receives


class Renegotiation:
    """The offers and session refreshes that we send in one answered call."""

    def __init__(
        self,
        media: CallMedia,
        session: SessionRefresher,
        requests: DialogRequests,
        changes: Changes,
    ) -> None:
        self._media = media
        self._session = session
        self._requests = requests
        self._changes = changes

    async def change_hold(self, dialog: Dialog, wanted: Direction | None) -> None:
        """Hold the other party with the direction `wanted`; None ends the hold.

        If the peer refuses the offer, the hold does not change. Raises the errors of `send_offer`.
        """
        before = self._media.local_hold
        if before is wanted:
            return
        self._media.local_hold = wanted
        try:
            await self.send_offer(dialog)
        except TelephonyError:
            self._media.local_hold = before
            raise

    async def send_offer(self, dialog: Dialog) -> None:
        """Send a re-INVITE that offers our present media settings and refreshes the session.

        After glare (491, RFC 3261 section 14.1) or a 422, try again, with at most five tries in
        all. Raises `InvalidStateError` after the dialog's end, `CallFailedError` after a refusal,
        no response or the fifth try, and the errors of `answered`.
        """
        try:
            await self._offer(dialog)
        except TelephonyError:
            # Otherwise, our offer would still wait for an answer, and we would refuse each offer of
            # the peer with 491.
            self._media.withdraw()
            raise

    async def _offer(self, dialog: Dialog) -> None:
        for _ in range(_TRIES):
            await self._changes.until(lambda: not dialog.invite_pending)
            offer = self._media.offer()
            headers = (SDP, *self._session.request_headers())
            _, response = await self._requests.send(dialog, "INVITE", headers, offer)
            if response.status < 300:
                self._session.on_2xx(response)
                self._media.answered(response.body)
                return
            if response.status == 422:
                self._session.on_422(response)
                continue
            if response.status != 491:
                break
            self._media.withdraw()
            await asyncio.sleep(dialog.glare_delay())
        raise CallFailedError("the re-INVITE was refused", response.status)

    async def refresh(self, dialog: Dialog) -> None:
        """Refresh the session: by UPDATE if the peer accepts UPDATE, otherwise by a re-INVITE.

        Raises the errors of `send_offer`. A refused UPDATE raises no error: the caller of this
        method repeats the refresh.
        """
        session = self._session
        if not session.peer_accepts_update:
            await self.send_offer(dialog)
            return
        _, response = await self._requests.send(dialog, "UPDATE", session.request_headers())
        if response.status < 300:
            session.on_2xx(response)
        elif response.status == 422:
            session.on_422(response)
        elif response.status in {405, 501}:
            session.peer_accepts_update = False
