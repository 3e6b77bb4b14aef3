"""What one leg and its peer have said of media: descriptions, origin and the relay's ports.

The o= line is the leg's own and its version grows only when what we say changes (RFC 3264 8).
A description counts as agreed only when its offer was answered; a refused one leaves no trace
but the version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from telephony.b2bua.plane import MediaPlane
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
    answer_for,
    build_answer,
    fresh_keys,
    offer_for,
    payload_rows,
    remote_media,
    renewed,
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
        again: LocalMedia | None = None,
    ) -> None:
        """Bind the leg's ports; make its keys, which stay the same as long as it lives.

        `ipv6`: where the peer's media is likely to be. `again`: the ports that the leg had in an
        earlier life of the process.

        Raises:
            NoPortsError: there are none left, or not those.
        """
        self._plane = plane
        self.leg_id = leg_id
        self.origin = origin
        self.said: SessionDescription | None = None
        """What we last told the peer, agreed to or not."""
        self._open = True
        self.local = plane.open(leg_id, ipv6=ipv6) if again is None else plane.reopen(leg_id, again)
        if srtp is not Srtp.OFF:
            self.local = replace(self.local, srtp=srtp, keys=fresh_keys())
        self.ours: SessionDescription | None = None
        """What we last told the peer and it agreed to."""
        self.theirs: SessionDescription | None = None
        """What the peer last told us and we agreed to."""
        self.remote: RemoteMedia | None = None
        self.holding = False
        """The peer's last own offer put the other party on hold."""

    def say(self, build: Builder) -> SessionDescription:
        """Build a description for the peer, with a new version only if it differs.

        Raises:
            SdpParseError: from `build`.
        """
        if self.said is not None and build(self.origin) == self.said:
            return self.said
        said = build(self.origin.next())
        self.origin = self.origin.next()
        self.said = said
        return said

    def agree(self, ours: SessionDescription, theirs: SessionDescription) -> None:
        """Offer and answer are complete: tell the relay.

        Raises:
            SdpParseError: there is no stream that can be carried.
        """
        remote = self._reachable(remote_media(theirs, ours))
        index = ours.audio_index()
        if index is not None and not _share_audio(ours.media[index].codecs(), remote.accepts):
            raise SdpParseError("offer and answer share no audio codec", status=488)
        if self.local.srtp is Srtp.REQUIRED and remote.keys is None:
            raise SdpParseError("no SRTP where nothing else will do", status=488)
        self.ours, self.theirs, self.remote = agreed(ours, theirs), theirs, remote
        if self._open:
            self._plane.configure(self.leg_id, remote)

    def pass_on(
        self,
        offer: SessionDescription,
        source: LegMedia,
        allowed: Sequence[str],
        direction: Direction | None = None,
    ) -> SessionDescription:
        """Offer the peer what the peer of `source` has offered.

        Raises:
            SdpParseError: it holds nothing that we carry.
        """
        return self.say(lambda o: self._passed_on(offer, source, allowed, o, direction))

    def is_in_line(
        self,
        offer: SessionDescription,
        source: LegMedia,
        allowed: Sequence[str],
        direction: Direction | None = None,
    ) -> bool:
        """Whether `pass_on` would ask the peer for the codecs and direction that it has.

        Raises:
            SdpParseError: as `pass_on`.
        """
        built = self._passed_on(offer, source, allowed, self.origin, direction)
        return self.ours is not None and _look(self.ours) == _look(built)

    def knows(self, offer: SessionDescription, source: LegMedia, allowed: Sequence[str]) -> bool:
        """Whether `pass_on` would tell the peer nothing new: the other's key or address is none.

        Raises:
            SdpParseError: as `pass_on`.
        """
        built = self._passed_on(offer, source, allowed, self.origin)
        return self.ours is not None and _details(self.ours) == _details(built)

    def _passed_on(
        self,
        offer: SessionDescription,
        source: LegMedia,
        allowed: Sequence[str],
        origin: Origin,
        direction: Direction | None = None,
    ) -> SessionDescription:
        return offer_for(
            offer,
            self.local,
            origin,
            allowed=allowed,
            srtp=source.local.srtp,
            previous=self.ours,
            direction=direction,
        )

    def answer(
        self, offer: SessionDescription, said: SessionDescription | None, allowed: Sequence[str]
    ) -> SessionDescription:
        """Answer the peer's offer with what another peer has `said`; None: for ourselves.

        Raises:
            SdpParseError: the two have nothing in common.
        """
        if said is None:
            return self.say(lambda o: build_answer(offer, self.local, o, allowed=allowed))
        return self.say(lambda o: answer_for(offer, said, self.local, o, allowed=allowed))

    def repeat(self) -> SessionDescription | None:
        """What holds on this leg, to be said again; None before anything was agreed to."""
        ours = self.ours
        return self.say(lambda origin: renewed(ours, origin)) if ours is not None else None

    @property
    def held(self) -> bool:
        """Whether the peer wants to hear nothing, by what it said last."""
        index = agreed_index(self.theirs, self.ours) if self.theirs is not None else None
        return index is None or self.theirs is None or not self.theirs.direction(index).receives

    def consider(self, offer: SessionDescription) -> None:
        """See whether media could be sent to where an offer says.

        Raises:
            SdpParseError: it could not.
        """
        self._reachable(remote_media(offer))

    def _reachable(self, remote: RemoteMedia) -> RemoteMedia:
        if (":" in remote.host) != (":" in self.local.host):
            raise SdpParseError("media at an address of another family than ours", status=488)
        return remote

    def rows(self) -> tuple[tuple[int, str, int, int, str], ...]:
        """The payload types that the peer may send, as plain rows."""
        table = payload_rows(self.remote.payloads) if self.remote else {}
        return tuple((number, *row) for number, row in sorted(table.items()))

    def move(self, *, ipv6: bool) -> None:
        """Take ports of this family instead, if the plane has both: nothing was agreed to yet.

        Raises:
            NoPortsError: there are none left, and those from before are gone.
        """
        if (":" in self.local.host) == ipv6:
            return
        self.close()
        local = self._plane.open(self.leg_id, ipv6=ipv6)
        self._open = True
        self.local = replace(local, srtp=self.local.srtp, keys=self.local.keys)

    def close(self) -> None:
        """Free the ports; a second time does nothing."""
        if self._open:
            self._open = False
            self._plane.close(self.leg_id)


def _share_audio(one: Mapping[int, Codec], other: Mapping[int, Codec]) -> bool:
    known = {codec.identity for codec in one.values() if codec.is_audio}
    return any(codec.identity in known for codec in other.values())


def _look(session: SessionDescription) -> object:
    """Codecs and direction: what the two legs of a call must have alike."""
    index = session.audio_index()
    if index is None:
        return None
    table = session.media[index].codecs()
    codecs = [(number, codec.identity) for number, codec in table.items()]
    return codecs, session.direction(index)


def _details(session: SessionDescription) -> object:
    """All that one party could notice of what the other has said."""
    index = session.audio_index()
    if index is None:
        return None
    section = session.media[index]
    times = [section.attribute(name) for name in ("ptime", "maxptime")]
    return list(section.codecs().items()), session.direction(index), times
