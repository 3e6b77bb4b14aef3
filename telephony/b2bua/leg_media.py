"""The media state of one leg: its ports, its o= line, our session description and the peer's.

The version in the leg's o= line grows only when our description changes (RFC 3264 8). The agreed
description changes only when an offer is accepted. The version of a refused offer is not used again
for a different description.

The addresses to which a peer may direct media are checked here. Without a check, an SDP could
direct our packets to this machine's own programs, to a multicast address, or in a loop to our own
media ports. A third party's address cannot be refused, because the media of many
PBXs comes from another host than their signalling. `Relay.await_peer` protects third parties.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol, runtime_checkable

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
from telephony.sdp.media import ip_literal


class MediaPlane(Protocol):
    """Binds ports, and relays media between two joined legs."""

    def open(self, leg_id: str, *, ipv6: bool, urgent: bool) -> LocalMedia:
        """Bind a pair of RTP and RTCP ports for a leg; `urgent` allows reserved ports.

        A media plane with only one address family uses it whatever `ipv6` says. Raises
        `NoPortsError` if no pair in the port range is free.
        """

    def reopen(self, leg_id: str, local: LocalMedia) -> LocalMedia:
        """Bind the pair of ports in `local`, which the leg had before a restart.

        Raises `NoPortsError` if the pair is in use, or outside the port range.
        """

    def configure(self, leg_id: str, remote: RemoteMedia) -> None:
        """Set or change the address, the SRTP keys and the directions of the leg's media."""

    def join(self, a: str, b: str, a_to_b: dict[int, int], b_to_a: dict[int, int]) -> None:
        """Relay media between the legs `a` and `b`. Earlier joins of `a` or `b` end.

        Each table maps the payload types that one peer sends to those that the other peer expects.
        """

    def is_own_port(self, host: str, port: int) -> bool:
        """Return whether this is one of our own addresses with a port of our media range."""

    def close(self, leg_id: str) -> None:
        """Free the leg's ports."""


@runtime_checkable
class RingbackPlane(Protocol):
    """A media plane that can also play the ringing tone to a caller who waits."""

    def start_ringback(self, leg_id: str) -> None:
        """Play the ringing tone to the leg's party until `stop_ringback` is called."""

    def stop_ringback(self, leg_id: str) -> None:
        """Stop the ringing tone for the leg's party."""


Builder = Callable[[Origin], SessionDescription]


class LegMedia:
    """The ports of a leg, and the state of the SDP exchange with the leg's peer."""

    def __init__(
        self,
        plane: MediaPlane,
        leg_id: str,
        origin: Origin,
        srtp: Srtp = Srtp.OFF,
        *,
        ipv6: bool = False,
        urgent: bool = False,
        restored: LocalMedia | None = None,
    ) -> None:
        """Bind the leg's ports. Unless `srtp` is OFF, create SRTP keys for the leg's whole life.

        `ipv6` is true if the peer's media probably uses IPv6. `urgent` allows reserved ports.
        `restored` has the ports from before a restart; None means new ones. Raises `NoPortsError`
        if no ports are free, or the ports in `restored` are not available.
        """
        self._plane = plane
        self._urgent = urgent
        self.leg_id = leg_id
        self.check_remote: Callable[[RemoteMedia], RemoteMedia] = _unchecked
        """Returns the peer's media without a forbidden RTCP address, or raises `SdpParseError`."""
        self.origin = origin
        self.last_sent: SessionDescription | None = None
        """The newest session description that we sent to the peer, even if it was refused."""
        self._open = True
        self.local = (
            plane.open(leg_id, ipv6=ipv6, urgent=urgent)
            if restored is None
            else plane.reopen(leg_id, restored)
        )
        if srtp is not Srtp.OFF:
            self.local = LocalMedia(self.local.host, self.local.port, srtp, fresh_keys())
        self.local_description: SessionDescription | None = None
        """Our description in the latest complete SDP exchange; None before the first one."""
        self.remote_description: SessionDescription | None = None
        """The peer's description in the latest complete SDP exchange; None before the first one."""
        self.remote: RemoteMedia | None = None
        """The peer's media in the latest complete SDP exchange; None before the first one."""
        self.holds_other = False
        """True if the peer's newest offer within the dialog has put the other party on hold."""
        self._muted = False

    def describe(self, build: Builder) -> SessionDescription:
        """Build a session description for the peer; `build` gets the o= line.

        The version in the o= line grows only if the description differs from `last_sent`. Errors
        of `build` are raised.
        """
        if self.last_sent is not None and build(self.origin) == self.last_sent:
            return self.last_sent
        said = build(self.origin.next())
        self.origin = self.origin.next()
        self.last_sent = said
        return said

    def agree(self, ours: SessionDescription, theirs: SessionDescription) -> None:
        """Complete an offer/answer exchange: store its result and configure the media relay.

        Raises `SdpParseError` if the audio, the media address or the SRTP keys cannot be used.
        """
        remote = self._reachable(remote_media(theirs, ours))
        index = ours.audio_index()
        if index is not None and not _share_audio(ours.media[index].codecs(), remote.accepts):
            raise SdpParseError("offer and answer share no audio codec", status=488)
        if self.local.srtp is Srtp.REQUIRED and remote.keys is None:
            raise SdpParseError("the leg requires SRTP, but the peer offers none", status=488)
        self.local_description, self.remote_description = agreed(ours, theirs), theirs
        self.remote = remote
        self._configure()

    def mute(self, *, muted: bool) -> None:
        """Begin or end a time in which the peer gets no media, whatever the peer's SDP says."""
        if muted != self._muted:
            self._muted = muted
            self._configure()

    def _configure(self) -> None:
        if self._open and self.remote is not None:
            remote = replace(self.remote, receive=False) if self._muted else self.remote
            self._plane.configure(self.leg_id, remote)

    def pass_on(
        self,
        offer: SessionDescription,
        source: LegMedia,
        allowed: Sequence[str],
        direction: Direction | None = None,
    ) -> SessionDescription:
        """Build our offer to the peer from `offer`, a description that another leg's peer has sent.

        `source` is the other leg's media, `allowed` are the encoding names that our offer may
        contain, and `direction` None means that of `offer`. Raises `SdpParseError` if the offer
        contains no media stream that we support.
        """
        return self.describe(lambda o: self._passed_on(offer, source, allowed, o, direction))

    def matches(
        self,
        offer: SessionDescription,
        source: LegMedia,
        allowed: Sequence[str],
        direction: Direction | None = None,
    ) -> bool:
        """Return whether the offer of `pass_on` would only repeat our agreed codecs and direction.

        Raises `SdpParseError` as `pass_on`.
        """
        built = self._passed_on(offer, source, allowed, self.origin, direction)
        ours = self.local_description
        return ours is not None and _codecs_and_direction(ours) == _codecs_and_direction(built)

    def is_unchanged(
        self, offer: SessionDescription, source: LegMedia, allowed: Sequence[str]
    ) -> bool:
        """Return whether `pass_on` would only repeat agreed codecs, direction, ptime and maxptime.

        Our peer never receives the other party's SRTP key and address, so these are not compared.
        Raises `SdpParseError` as `pass_on`.
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
        """Answer the peer's offer from `said`, the other party's description.

        If `said` is None, build the answer only from the offer and our own settings. Raises
        `SdpParseError` if the offer and `said` have no usable audio in common, or we support no
        media stream of the offer.
        """
        if said is None:
            return self.describe(lambda o: own_answer(offer, self.local, o, allowed=allowed))
        return self.describe(
            lambda o: forwarded_answer(offer, said, self.local, o, allowed=allowed)
        )

    def current(self) -> SessionDescription | None:
        """Return our latest agreed description, to send it again; None if none was agreed yet."""
        ours = self.local_description
        return self.describe(lambda origin: with_origin(ours, origin)) if ours is not None else None

    @property
    def has_agreed(self) -> bool:
        """True once an SDP exchange (offer and answer) is complete."""
        return self.local_description is not None

    @property
    def peer_not_receiving(self) -> bool:
        """True if the latest complete SDP exchange stops media to the peer, or none is complete."""
        theirs = self.remote_description
        index = agreed_index(theirs, self.local_description) if theirs is not None else None
        return index is None or theirs is None or not theirs.direction(index).receives

    def check_reachable(self, offer: SessionDescription, index: int) -> None:
        """Check that media could be sent to the address in section `index` of an offer.

        Raises `SdpParseError` (488) if the section's address is not usable, or its address family
        (IPv4 or IPv6) is not that of our ports.
        """
        self._reachable(remote_media(offer, index=index))

    def _reachable(self, remote: RemoteMedia) -> RemoteMedia:
        if (":" in remote.host) != (":" in self.local.host):
            raise SdpParseError(
                "the peer's media address has another address family than ours", status=488
            )
        return self.check_remote(remote)

    def rows(self) -> tuple[tuple[int, str, int, int, str], ...]:
        """Return rows (payload type, name, clock in Hz, channels, fmtp) that the peer may send."""
        table = payload_rows(self.remote.payloads) if self.remote else {}
        return tuple((number, *row) for number, row in sorted(table.items()))

    def rebind(self, *, ipv6: bool) -> None:
        """Replace the ports if they are of the other address family. Call it before SDP is agreed.

        Raises `NoPortsError` if no ports are free. The old ports are closed even then.
        """
        if (":" in self.local.host) == ipv6:
            return
        self.close()
        local = self._plane.open(self.leg_id, ipv6=ipv6, urgent=self._urgent)
        self._open = True
        self.local = LocalMedia(local.host, local.port, self.local.srtp, self.local.keys)

    def close(self) -> None:
        """Free the ports, if not free already."""
        if self._open:
            self._open = False
            self._plane.close(self.leg_id)

    def release(self) -> None:
        """Forget the descriptions, the SRTP keys, and the call's function that checks addresses."""
        self.check_remote = _unchecked
        self.local = LocalMedia(self.local.host, self.local.port, self.local.srtp)
        self.last_sent = self.local_description = self.remote_description = self.remote = None


def _unchecked(remote: RemoteMedia) -> RemoteMedia:
    return remote


def _share_audio(one: Mapping[int, Codec], other: Mapping[int, Codec]) -> bool:
    known = {codec.identity for codec in one.values() if codec.is_audio}
    return any(codec.identity in known for codec in other.values())


def _codecs_and_direction(session: SessionDescription) -> object:
    """Return a description's codecs and direction, to compare them; None without audio."""
    index = session.audio_index()
    if index is None:
        return None
    table = session.media[index].codecs()
    codecs = [(number, codec.identity) for number, codec in table.items()]
    return codecs, session.direction(index)


def _visible_media(session: SessionDescription) -> object:
    """Return a description's codecs, direction and packet times; None without audio."""
    index = session.audio_index()
    if index is None:
        return None
    section = session.media[index]
    times = [section.attribute(name) for name in ("ptime", "maxptime")]
    return list(section.codecs().items()), session.direction(index), times


def check_media_address(host: str, signalling_host: str, own_host: str) -> None:
    """Check that media may be sent to `host`, an IP literal in a peer's SDP.

    Loopback is allowed only if the peer is on this machine: its signalling (`signalling_host`, ""
    if unknown) came from loopback or from our own address in the SDP. The unspecified address is
    allowed: it means a hold, and nothing is ever sent to it. Raises `SdpParseError` (488) if no
    media may be sent to this address.
    """
    address = _address(host)
    if address.is_unspecified:
        return
    if address.is_loopback:
        if signalling_host != own_host and not _is_loopback(signalling_host):
            raise SdpParseError("the media address is loopback, but the peer is remote", 488)
    elif address.is_multicast or address.is_reserved or _is_this_network(address):
        raise SdpParseError("the peer's media address is not a unicast address", 488)


def _address(host: str) -> IPv4Address | IPv6Address:
    address = ip_literal(host)
    return getattr(address, "ipv4_mapped", None) or address


def _is_loopback(host: str) -> bool:
    return bool(host) and _address(host).is_loopback


def _is_this_network(address: IPv4Address | IPv6Address) -> bool:
    """Return whether the address is in 0.0.0.0/8, which names no host (RFC 1122)."""
    return address.version == 4 and address.packed[0] == 0
