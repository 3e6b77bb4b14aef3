"""The media state of one leg: its ports, its o= line and the descriptions of both sides.

The o= line is the leg's own, and its version grows only when our description changes (RFC 3264 8).
A description counts as agreed only when its offer was answered; a refused one changes nothing but
the version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from telephony.b2bua.media_plane import MediaPlane
from telephony.errors import SdpParseError
from telephony.sdp import (
    Codec,
    Direction,
    LocalMedia,
    Origin,
    RemoteMedia,
    SessionDescription,
    Srtp,
    agreed,
    agreed_index,
    forwarded_answer,
    forwarded_offer,
    fresh_keys,
    own_answer,
    payload_rows,
    remote_media,
    with_origin,
)

Builder = Callable[[Origin], SessionDescription]


class LegMedia:
    """The ports of a leg and the offer/answer state with its peer."""

    def __init__(
        self,
        plane: MediaPlane,
        leg_id: str,
        origin: Origin,
        srtp: Srtp = Srtp.OFF,
        *,
        ipv6: bool = False,
        restored: LocalMedia | None = None,
    ) -> None:
        """Bind the leg's ports, and create its SRTP keys, which stay the same while the leg lives.

        `ipv6` is true if the peer's media probably uses IPv6. `restored` holds the ports that the
        leg had in an earlier process.

        Raises:
            NoPortsError: No ports are free, or the former ones are not available.
        """
        self._plane = plane
        self.leg_id = leg_id
        self.origin = origin
        self.last_sent: SessionDescription | None = None
        """Our last description to the peer, whether the peer agreed to it or not."""
        self._open = True
        self.local = (
            plane.open(leg_id, ipv6=ipv6) if restored is None else plane.reopen(leg_id, restored)
        )
        if srtp is not Srtp.OFF:
            self.local = replace(self.local, srtp=srtp, keys=fresh_keys())
        self.local_description: SessionDescription | None = None
        """Our description in the last completed exchange; None before one."""
        self.remote_description: SessionDescription | None = None
        """The peer's description in the last completed exchange; None before one."""
        self.remote: RemoteMedia | None = None
        """The result of that exchange for the relay; None before one."""
        self.holds_other = False
        """True if the peer's own last offer put the other party on hold."""

    def describe(self, build: Builder) -> SessionDescription:
        """Build a description for the peer, with a new version only if it differs from the last.

        Raises:
            SdpParseError: `build` raised it.
        """
        if self.last_sent is not None and build(self.origin) == self.last_sent:
            return self.last_sent
        said = build(self.origin.next())
        self.origin = self.origin.next()
        self.last_sent = said
        return said

    def agree(self, ours: SessionDescription, theirs: SessionDescription) -> None:
        """Complete an offer/answer exchange: store its result and configure the relay.

        Raises:
            SdpParseError: Status 488; no stream can be carried, no audio codec is in common, or the
                leg requires SRTP and the peer has plain RTP.
        """
        remote = self._reachable(remote_media(theirs, ours))
        index = ours.audio_index()
        if index is not None and not _share_audio(ours.media[index].codecs(), remote.accepts):
            raise SdpParseError("offer and answer share no audio codec", status=488)
        if self.local.srtp is Srtp.REQUIRED and remote.keys is None:
            raise SdpParseError("no SRTP where nothing else will do", status=488)
        self.local_description, self.remote_description = agreed(ours, theirs), theirs
        self.remote = remote
        if self._open:
            self._plane.configure(self.leg_id, remote)

    def pass_on(
        self,
        offer: SessionDescription,
        source: LegMedia,
        allowed: Sequence[str],
        direction: Direction | None = None,
    ) -> SessionDescription:
        """Build the offer to the peer from the offer that the peer of `source` sent.

        Raises:
            SdpParseError: The offer holds no stream that we can carry.
        """
        return self.describe(lambda o: self._passed_on(offer, source, allowed, o, direction))

    def matches(
        self,
        offer: SessionDescription,
        source: LegMedia,
        allowed: Sequence[str],
        direction: Direction | None = None,
    ) -> bool:
        """Return whether the peer already has the codecs and direction that `pass_on` would offer.

        Raises:
            SdpParseError: The same as for `pass_on`.
        """
        built = self._passed_on(offer, source, allowed, self.origin, direction)
        ours = self.local_description
        return ours is not None and _codecs_and_direction(ours) == _codecs_and_direction(built)

    def is_unchanged(
        self, offer: SessionDescription, source: LegMedia, allowed: Sequence[str]
    ) -> bool:
        """Return whether `pass_on` would tell the peer nothing new.

        The other party's key and address do not count: the peer never sees them.

        Raises:
            SdpParseError: The same as for `pass_on`.
        """
        built = self._passed_on(offer, source, allowed, self.origin)
        ours = self.local_description
        return ours is not None and _visible_media(ours) == _visible_media(built)

    def _passed_on(
        self,
        offer: SessionDescription,
        source: LegMedia,
        allowed: Sequence[str],
        origin: Origin,
        direction: Direction | None = None,
    ) -> SessionDescription:
        return forwarded_offer(
            offer,
            self.local,
            origin,
            allowed=allowed,
            srtp=source.local.srtp,
            previous=self.local_description,
            direction=direction,
        )

    def answer(
        self, offer: SessionDescription, said: SessionDescription | None, allowed: Sequence[str]
    ) -> SessionDescription:
        """Build the answer to the peer's offer from `said`, the other party's description.

        Without `said` (None), choose the answer ourselves.

        Raises:
            SdpParseError: The offer and `said` have nothing in common, or we can carry no stream.
        """
        if said is None:
            return self.describe(lambda o: own_answer(offer, self.local, o, allowed=allowed))
        return self.describe(
            lambda o: forwarded_answer(offer, said, self.local, o, allowed=allowed)
        )

    def current(self) -> SessionDescription | None:
        """Return our agreed description, to be sent again; None before an agreement."""
        ours = self.local_description
        return self.describe(lambda origin: with_origin(ours, origin)) if ours is not None else None

    @property
    def has_agreed(self) -> bool:
        """True once an offer and its answer were agreed."""
        return self.local_description is not None

    @property
    def peer_not_receiving(self) -> bool:
        """True if the peer receives no media by its last description, or has sent none yet."""
        theirs = self.remote_description
        index = agreed_index(theirs, self.local_description) if theirs is not None else None
        return index is None or theirs is None or not theirs.direction(index).receives

    def check_reachable(self, offer: SessionDescription) -> None:
        """Check that media could be sent to the address in an offer.

        Raises:
            SdpParseError: Status 488; there is no live audio, or its address is unusable or of
                another family than ours.
        """
        self._reachable(remote_media(offer))

    def _reachable(self, remote: RemoteMedia) -> RemoteMedia:
        if (":" in remote.host) != (":" in self.local.host):
            raise SdpParseError("media at an address of another family than ours", status=488)
        return remote

    def rows(self) -> tuple[tuple[int, str, int, int, str], ...]:
        """Return the payload types that the peer may send, in order, as plain rows.

        A row is (payload type, encoding name, clock in Hz, channels, fmtp).
        """
        table = payload_rows(self.remote.payloads) if self.remote else {}
        return tuple((number, *row) for number, row in sorted(table.items()))

    def rebind(self, *, ipv6: bool) -> None:
        """Bind ports of this address family in place of the others, before any agreement.

        Nothing changes if the ports already are of this family.

        Raises:
            NoPortsError: No ports are free; the former ones are closed already.
        """
        if (":" in self.local.host) == ipv6:
            return
        self.close()
        local = self._plane.open(self.leg_id, ipv6=ipv6)
        self._open = True
        self.local = replace(local, srtp=self.local.srtp, keys=self.local.keys)

    def close(self) -> None:
        """Free the ports; a second call does nothing."""
        if self._open:
            self._open = False
            self._plane.close(self.leg_id)


def _share_audio(one: Mapping[int, Codec], other: Mapping[int, Codec]) -> bool:
    known = {codec.identity for codec in one.values() if codec.is_audio}
    return any(codec.identity in known for codec in other.values())


def _codecs_and_direction(session: SessionDescription) -> object:
    """Return the codecs and the direction, which the two legs of a call must have in common."""
    index = session.audio_index()
    if index is None:
        return None
    table = session.media[index].codecs()
    codecs = [(number, codec.identity) for number, codec in table.items()]
    return codecs, session.direction(index)


def _visible_media(session: SessionDescription) -> object:
    """Return all parts of a description that matter to the other party."""
    index = session.audio_index()
    if index is None:
        return None
    section = session.media[index]
    times = [section.attribute(name) for name in ("ptime", "maxptime")]
    return list(section.codecs().items()), session.direction(index), times
