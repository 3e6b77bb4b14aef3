"""The re-INVITEs and UPDATEs that a phone sends for hold, resume and the session timer.

After glare (both sides send a re-INVITE at the same time), it is sent again (RFC 3261 section
14.1).
"""

from __future__ import annotations

import asyncio
from typing import Final

from telephony.phone.changes import Changes
from telephony.phone.dialog_requests import DialogRequests
from telephony.phone.media import CallMedia
from telephony.phone.session import SessionRefresher
from telephony.phone.state import CallFailedError, InvalidStateError
from telephony.sdp import Direction
from telephony.sip.dialog import Dialog

SDP: Final = ("Content-Type", "application/sdp")
_TRIES: Final = 5


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

        If the peer refuses, the hold does not change.

        Raises:
            InvalidStateError: The dialog has ended.
            CallFailedError: The re-INVITE failed (see `send_offer`).
        """
        before = self._media.local_hold
        if before is wanted:
            return
        self._media.local_hold = wanted
        try:
            await self.send_offer(dialog)
        except (CallFailedError, InvalidStateError):
            self._media.local_hold = before
            self._media.withdraw()
            raise

    async def send_offer(self, dialog: Dialog) -> None:
        """Send a re-INVITE that offers our present media settings and refreshes the session.

        Raises:
            InvalidStateError: The dialog has ended.
            CallFailedError: The re-INVITE was refused, had no response, or collided five times with
                a re-INVITE of the peer (glare).
        """
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
            # Without `withdraw`, our offer would still wait for an answer, and we would refuse each
            # offer of the peer with 491.
            self._media.withdraw()
            await asyncio.sleep(dialog.glare_delay())
        raise CallFailedError("the re-INVITE was refused", response.status)

    async def refresh(self, dialog: Dialog) -> None:
        """Refresh the session: by UPDATE if the peer accepts UPDATE, otherwise by a re-INVITE.

        Raises:
            InvalidStateError: The dialog has ended.
            CallFailedError: The UPDATE had no response, or the re-INVITE failed (see `send_offer`).
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
