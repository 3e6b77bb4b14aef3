"""Offer and answer of one call at a phone: one audio stream, G.711 and telephone events."""

from __future__ import annotations

import secrets
from typing import Final

from telephony.aio.ports import PortPool
from telephony.phone.changes import Changes
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

CODECS: Final = (
    Codec("PCMA", 8000),
    Codec("PCMU", 8000),
    Codec("telephone-event", 8000, 1, "0-15"),
)
_ALLOWED: Final = tuple(codec.name for codec in CODECS)


class CallMedia:
    """Our descriptions, the peer's descriptions, and the media stream that results from both."""

    def __init__(self, pool: PortPool, changes: Changes, srtp: Srtp = Srtp.OFF) -> None:
        """Bind a pair of ports; make keys if media may be protected.

        Raises:
            NoPortsError: No pair is free.
        """
        self.stream = MediaStream(pool, changes, srtp)
        self.local_hold: Direction | None = None
        """The direction by which we hold the peer, SENDONLY or INACTIVE; None if we do not."""
        self.held_by_peer = False
        """True while the peer holds us: it accepts no media from us."""
        self._origin = Origin(secrets.randbits(31))
        self._local_sdp: SessionDescription | None = None
        self._agreed_sdp: SessionDescription | None = None
        """Our last description that was part of a completed offer and answer."""
        self._offered = False

    @property
    def awaits_answer(self) -> bool:
        """True while our offer has no answer yet."""
        return self._offered

    @property
    def agreed(self) -> bool:
        """True after an offer has been answered, by either side."""
        return self._agreed_sdp is not None

    @property
    def local_sdp(self) -> bytes:
        """Our newest description; b"" before the first."""
        return b"" if self._local_sdp is None else bytes(self._local_sdp)

    def offer(self) -> bytes:
        """Return a new offer as SDP."""
        self._local_sdp = own_offer(
            self.stream.local,
            self._next_origin(),
            codecs=CODECS,
            direction=self.local_hold or Direction.SENDRECV,
            previous=self._agreed_sdp,
        )
        self._offered = True
        return bytes(self._local_sdp)

    def answered(self, body: bytes) -> None:
        """Accept the answer to our offer.

        Raises:
            SdpParseError: The answer cannot be read, or has no audio for us.
            CallFailedError: There is no common codec.
        """
        theirs = SessionDescription.parse(body)
        self._apply(theirs)
        self._offered = False
        if (
            self.local_hold is not Direction.INACTIVE
        ):  # an answer to "inactive" can only be inactive
            self.held_by_peer = not _receives(theirs)

    def withdraw(self) -> None:
        """Forget our offer, which was refused."""
        self._offered = False

    def answer(self, body: bytes) -> bytes:
        """Answer the peer's offer.

        Raises:
            SdpParseError: The offer cannot be read; status 488 if it has nothing that we know.
            CallFailedError: There is no common codec.
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
