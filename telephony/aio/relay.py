"""The media relay: passes RTP and RTCP from each leg to the leg that it is joined with.

A copy of each leg's RTP goes to the leg's tap, a function that stores packets. `media_poller`
decides when a socket is read, and `media_path` handles each packet.

The relay does not change the RTP payload, SSRC, sequence number or timestamp. It changes the
payload type if the two legs have different numbers for a codec. The tap receives only the RTP
header of a telephone event, because the rest of the packet contains the DTMF digit. Without the
header, the recorder would count the packet as lost. SRTP protects the media only between a leg and
its peer. Inside the relay, and for the tap, media is not encrypted.

The leg's `SourceRule` decides from which addresses media is accepted (`media_source`). Media is
sent to the address in the peer's SDP, unless the peer is behind address translation.
"""

import socket
import time
from collections.abc import Callable
from functools import partial

from telephony.aio.media_backlog import Reader
from telephony.aio.media_leg import (
    Counters,
    LossListener,
    MediaLeg,
    ReportListener,
    Tap,
    Watcher,
)
from telephony.aio.media_path import (
    connected_reader_of,
    control_reader_of,
    kinds_of,
    reader_made_later,
    reader_of,
    wipe_buffer,
)
from telephony.aio.media_poller import MediaPoller
from telephony.aio.media_source import PeerSource, SourceRule, VoiceStream
from telephony.aio.ports import PortPair, PortPool, connected_socket
from telephony.aio.ringback import Ringback
from telephony.errors import NoPortsError, ProtocolError
from telephony.sdp import LocalMedia, RemoteMedia

__all__ = ["Counters", "LossListener", "Relay", "ReportListener", "SourceRule", "Tap", "Watcher"]


class Relay:
    """The `MediaPlane` of a process: the table of all legs. Use it in one event loop only.

    All methods are in one class because they share this table. Most of them change a leg and then
    replace the leg's readers (the functions that read its sockets).
    """

    def __init__(
        self,
        *pools: PortPool,
        source: SourceRule = SourceRule.SYMMETRIC,
        silence_s: float = 30.0,
        on_silence: Callable[[str, float], None] | None = None,
        on_refused: Callable[[str, str, int], None] | None = None,
        on_contested: Callable[[str, str, int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the relay. No port is bound before a leg is opened.

        Args:
            pools: The port pools: one for IPv4, one for IPv6, or both.
            source: The source rule of all legs for which `set_source_rule` sets no other rule.
            silence_s: The seconds after which a leg without packets counts as silent. A leg on hold
                never counts as silent.
            on_silence: A function that `sweep` calls with the leg id and the seconds of silence,
                once for each time that a leg becomes silent.
            on_refused: A function that is called with the leg id and the sender's host and port
                when a packet is refused: its sender does not match the source rule, or it is not
                authentic SRTP. The function is not called if the leg has refused another packet in
                the previous five seconds.
            on_contested: A function that is called with the leg id and a sender's host and port
                when this sender competes with the accepted one: it fits as well, or it has taken
                its place. The function is called at most once in a series, as `on_refused`.
            clock: A function that returns the time in monotonic seconds.
        """
        self._pools = {pool.ipv6: pool for pool in pools}
        self._source = source
        self._silence_s = silence_s
        self._on_silence = on_silence
        self._on_refused = on_refused
        self._on_contested = on_contested
        self._clock = clock
        self._legs: dict[str, MediaLeg] = {}
        self._poller = MediaPoller(clock, on_idle=wipe_buffer)
        self._ringback = Ringback()

    # The methods that the interface MediaPlane requires

    def open(self, leg_id: str, *, ipv6: bool = False, urgent: bool = False) -> LocalMedia:
        """Bind a port for RTP and a port for RTCP for a new leg, and return them as `LocalMedia`.

        `ipv6` requests an IPv6 address. If no pool has the requested address family, another pool
        is used. `urgent` allows the ports that the pools reserve.

        Raises:
            NoPortsError: No pair of ports is free, or no pair can be bound.
        """
        pool = self._pools.get(ipv6) or next(iter(self._pools.values()))
        return self._open(leg_id, pool, pool.take(urgent=urgent))

    def reopen(self, leg_id: str, local: LocalMedia) -> LocalMedia:
        """Bind the ports that the leg had before the process restarted; `local` contains them.

        Raises:
            NoPortsError: The ports are in use or outside the pool, or there is no pool for their
                address family.
        """
        pool = self._pools.get(":" in local.host)
        if pool is None:
            raise NoPortsError("there are no media ports of that address family")
        opened = self._open(leg_id, pool, pool.take_again(local.port))
        self._legs[leg_id].reopened = True
        return opened

    def _open(self, leg_id: str, pool: PortPool, pair: PortPair) -> LocalMedia:
        if leg_id in self._legs:
            pool.give_back(pair)
            raise ProtocolError("the leg already has media ports")
        source = PeerSource(self._source)
        leg = MediaLeg(leg_id, pair, source, self._on_refused, self._on_contested)
        leg.rebuild_readers = self._rebuild_readers
        leg.waiting_since = self._clock()
        self._legs[leg_id] = leg
        self._poller.watch(leg.pair.rtp, reader_of(leg), hold=True)
        self._poller.watch(leg.pair.rtcp, control_reader_of(leg))
        return LocalMedia(pool.advertise, pair.port)

    def configure(self, leg_id: str, remote: RemoteMedia) -> None:
        """Apply the peer's SDP to a leg: the peer's address, SRTP keys and media directions.

        Packets that arrive before the first SDP wait for it, because a phone can send its first
        packet before its answer arrives.

        If the address or port has changed, the leg decides again which sender is its peer.
        """
        leg = self._legs[leg_id]
        is_first = leg.remote is None
        moved = leg.remote is None or (leg.remote.host, leg.remote.rtp_port) != (
            remote.host,
            remote.rtp_port,
        )
        leg.remote, leg.kinds = remote, kinds_of(remote, leg.events)
        leg.secure(remote.keys)
        now = self._clock()
        if moved:
            leg.source.move(remote.host, remote.rtp_port, leg.counters.last, now)
            leg.voice = VoiceStream()
        leg.waiting_since = now
        leg.silence_reported = False
        self._rebuild_readers(leg, leg.peer)
        if is_first:
            self._poller.release(leg.pair.rtp)

    def join(self, a: str, b: str, a_to_b: dict[int, int], b_to_a: dict[int, int]) -> None:
        """Relay media between the legs `a` and `b`. Earlier joins of `a` or `b` end.

        Packets may wait in the sockets of a leg that gets a new partner. They are discarded,
        because they were meant for the earlier partner. If the leg has a tap, they are not
        discarded but handled like later packets, so that the tap receives them.

        Args:
            a: The id of one leg.
            b: The id of the second leg.
            a_to_b: For each payload type that the peer of `a` sends, the type that the peer of `b`
                expects.
            b_to_a: For each payload type that the peer of `b` sends, the type that the peer of `a`
                expects.
        """
        one, other = self._legs[a], self._legs[b]
        if one is other:
            raise ProtocolError("a leg cannot be joined to itself")
        now = self._clock()
        for leg, partner, payload_map in ((one, other, a_to_b), (other, one, b_to_a)):
            if leg.peer is not partner:
                self._leave(leg)
                leg.waiting_since = now
                if leg.tap is None and leg.counters.first is not None:
                    self._poller.discard(*_rtp_sockets(leg))
            leg.peer, leg.payload_map = partner, dict(payload_map)
        self._rebuild_readers(one, other)

    def is_own_port(self, host: str, port: int) -> bool:
        """Return whether this is one of our own addresses with a port of our media range."""
        return any(pool.owns(host, port) for pool in self._pools.values())

    def close(self, leg_id: str) -> None:
        """Remove the leg and free its ports. Does nothing if the leg is unknown."""
        leg = self._legs.pop(leg_id, None)
        if leg is None:
            return
        self._ringback.stop(leg)
        self._leave(leg)
        self._close_connected(leg)
        for sock in (leg.pair.rtp, leg.pair.rtcp):
            self._poller.forget(sock)
        self._pools[leg.pair.rtp.family == socket.AF_INET6].give_back(leg.pair)

    # Further methods that the switch calls

    @property
    def free_pairs(self) -> int:
        """The number of free port pairs in the pool that has the fewest, without reserved ones."""
        return min(pool.free for pool in self._pools.values())

    def set_tap(
        self,
        leg_id: str,
        track: int,
        tap: Tap | None,
        on_lost: LossListener | None = None,
        on_report: ReportListener | None = None,
    ) -> Counters | None:
        """Pass packets from the leg's peer to `tap`; None removes the tap.

        Return the leg's live counters, which can still be read after the leg is closed. Return None
        for an unknown leg.

        `track` is the track number that `tap` receives with each packet. `on_lost` is called for
        packets that the kernel dropped, and `on_report` for RTCP from the leg's peer.

        This method and `set_source_rule`, `watch_events` and `stop_ringback` do nothing for an
        unknown leg, because the code that calls them may not know yet that the leg is closed.
        """
        leg = self._legs.get(leg_id)
        if leg is not None:
            leg.tap, leg.track = tap, track
            leg.on_lost, leg.on_report = on_lost, on_report
            self._rebuild_readers(leg)
        return None if leg is None else leg.counters

    def set_source_rule(self, leg_id: str, rule: SourceRule, signalling_host: str = "") -> None:
        """Use `rule` from now on to decide which senders are accepted as the leg's peer.

        `signalling_host` is the IP address from which the peer's signalling comes; "" if it is not
        known. If both are as before, nothing changes.
        """
        leg = self._legs.get(leg_id)
        if leg is not None and leg.source.set_rule(rule, signalling_host):
            self._rebuild_readers(leg, leg.peer)

    def await_peer(self, leg_id: str) -> None:
        """Send nothing to the leg's peer until it has sent a valid packet.

        Call this method if only a datagram, whose sender can be forged, has named the address of
        the media. Otherwise we could be made to send a call's media to a third party. Call
        `confirm_peer` if the signalling proves that the peer received our response.
        """
        self._set_unconfirmed(leg_id, unconfirmed=True)

    def confirm_peer(self, leg_id: str) -> None:
        """End the effect of `await_peer`."""
        self._set_unconfirmed(leg_id, unconfirmed=False)

    def _set_unconfirmed(self, leg_id: str, *, unconfirmed: bool) -> None:
        leg = self._legs.get(leg_id)
        if leg is not None and leg.unconfirmed != unconfirmed:
            leg.unconfirmed = unconfirmed
            self._rebuild_readers(leg, leg.peer)

    def watch_events(self, leg_id: str, watcher: Watcher | None) -> None:
        """Call `watcher` for each telephone-event packet from the leg's peer.

        `watcher` is called before the packet is forwarded. None removes the earlier watcher. While
        the leg has a watcher, the leg follows the stream of its peer's voice.
        """
        leg = self._legs.get(leg_id)
        if leg is not None:
            leg.watcher = watcher
            self._rebuild_readers(leg)

    def start_ringback(self, leg_id: str) -> None:
        """Play the ringing tone to the leg's peer, if the peer uses G.711.

        Does nothing if the tone is already playing.
        """
        self._ringback.start(self._legs[leg_id])

    def stop_ringback(self, leg_id: str) -> None:
        """Stop the ringing tone. Does nothing if no tone is playing or the leg is unknown."""
        leg = self._legs.get(leg_id)
        if leg is not None:
            self._ringback.stop(leg)

    def drain(self, *leg_ids: str) -> None:
        """Handle now all media that has already arrived for these legs, in order of arrival.

        Call this method before a recording stops, resumes or ends. Without it, a delayed event loop
        might handle the end of a call before the final packets of the call.
        """
        legs = [leg for leg in map(self._legs.get, leg_ids) if leg and leg.remote]
        self._poller.drain(*(sock for leg in legs for sock in _rtp_sockets(leg)))

    def keep_up(self) -> None:
        """Relay the packets that wait, if that was not done for `LATE_S` (10 ms).

        Call this method between two pieces of other work, such as two SIP messages.
        """
        self._poller.keep_up()

    @property
    def waiting_s(self) -> float:
        """The time in seconds for which the oldest packet that was not handled has waited.

        0 if no packet waits.
        """
        return self._poller.waiting_s

    def counters(self, leg_id: str) -> Counters:
        """Return the leg's live counters. The object can still be read after the leg is closed."""
        return self._legs[leg_id].counters

    def has_heard(self, leg_id: str) -> bool:
        """Return whether a packet of the leg's peer has arrived; False for an unknown leg."""
        leg = self._legs.get(leg_id)
        return leg is not None and leg.counters.last is not None

    def silent_since(self, leg_id: str) -> float:
        """Return the time since which the leg has been silent, in monotonic seconds.

        This is the later of two times: the arrival of the most recent valid RTP packet from the
        peer, and the time from which the relay waits for media from the peer (`waiting_since`).
        """
        leg = self._legs[leg_id]
        return max(leg.counters.last or 0.0, leg.waiting_since)

    def sweep(self, now: float) -> None:
        """Call `on_silence` for each leg that has become silent. Call this method once a second.

        `now` is the current time in monotonic seconds.
        """
        for leg_id, leg in list(self._legs.items()):
            seconds = now - self.silent_since(leg_id)
            if seconds < self._silence_s:
                leg.silence_reported = False
            elif _is_due(leg) and not leg.silence_reported:
                leg.silence_reported = True
                if self._on_silence:
                    self._on_silence(leg_id, seconds)

    def close_all(self) -> None:
        """Handle the media that has already arrived, close every leg, and stop the poller."""
        self.drain(*self._legs)
        for leg_id in list(self._legs):
            self.close(leg_id)
        self._poller.close()

    # Private methods

    def _leave(self, leg: MediaLeg) -> None:
        partner = leg.peer
        leg.peer, leg.payload_map = None, {}
        if partner is not None and partner.peer is leg:
            partner.peer, partner.payload_map = None, {}
            self._rebuild_readers(partner)

    def _rebuild_readers(self, *legs: MediaLeg | None) -> None:
        for leg in legs:
            if leg is not None and leg.leg_id in self._legs:
                self._connect(leg)
                self._make_later(leg.pair.rtp, partial(reader_of, leg))
                if leg.connected is not None:
                    self._make_later(
                        leg.connected, partial(connected_reader_of, leg, leg.connected)
                    )

    def _make_later(self, sock: socket.socket, make: Callable[[], Reader]) -> None:
        """Make the reader of a watched socket when the socket's next packet arrives."""
        use = partial(self._poller.set_reader, sock)
        self._poller.set_reader(sock, reader_made_later(make, use))

    def _connect(self, leg: MediaLeg) -> None:
        """Connect `leg.connected`, the leg's second RTP socket, to the address of the leg's peer.

        While the peer's address is not known, the leg has no second RTP socket. Its first RTP
        socket, `pair.rtp`, then receives and sends all RTP.
        """
        address = leg.address
        if address == leg.connected_to:
            return
        if address is None:
            self._close_connected(leg)
            return
        try:
            if leg.connected is not None:
                leg.connected.connect(address)
            else:
                leg.connected = connected_socket(leg.pair.rtp, address)
                self._poller.watch(leg.connected, connected_reader_of(leg, leg.connected))
            leg.connected_to = address
        except OSError:  # no route now, or too many open files; use the first RTP socket
            self._close_connected(leg)

    def _close_connected(self, leg: MediaLeg) -> None:
        sock, leg.connected, leg.connected_to = leg.connected, None, None
        if sock is not None:
            self._poller.forget(sock)
            sock.close()


def _rtp_sockets(leg: MediaLeg) -> list[socket.socket]:
    """Return the sockets at which RTP of the leg's peer arrives."""
    return [leg.pair.rtp] if leg.connected is None else [leg.pair.rtp, leg.connected]


def _is_due(leg: MediaLeg) -> bool:
    """Return whether media should arrive from the leg's peer.

    This is so if the leg is joined and the agreed SDP allows media in both directions (no hold).
    """
    remote = leg.remote
    return leg.peer is not None and remote is not None and remote.send and remote.receive
