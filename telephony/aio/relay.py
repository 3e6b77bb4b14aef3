"""The media relay: passes RTP and RTCP from each leg to the leg that it is joined with.

Each leg's RTP also goes to the leg's tap, which stores it. `media_poller` decides when a socket
is read, and `media_path` handles each packet. The relay does not change the RTP payload, sequence
number or timestamp. It changes the SSRC if SRTP requires a new one, and the payload type if the
legs have different numbers for a codec.

If a packet is a telephone event (DTMF) or has an unknown payload type, the tap gets only its RTP
header. Without the header, the recorder would count the packet as lost. SRTP protects the media
only between a leg and its peer: inside the relay and for the tap, it is not encrypted.
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
    MediaListener,
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
    """The `MediaPlane` of a process: the table of all legs. Use it in one event loop only."""

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

        Give at most one pool for each address family. `source` is the rule of legs for which
        `set_source_rule` sets none. `clock` returns monotonic seconds.

        `sweep` calls `on_silence` with the leg id and the seconds of silence when a leg has become
        silent for `silence_s`, but not during a hold. `on_refused` gets the leg id and the sender's
        host and port of a refused packet, if none was refused in the five seconds before.
        `on_contested` gets the same arguments when a sender competes
        with the accepted one or has taken its place.
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
        """Bind a port for RTP and one for RTCP for a new leg, or raise NoPortsError.

        If no pool has the requested address family, another is used. `urgent` allows reserved
        ports. Raises `ProtocolError` if the leg already has ports.
        """
        pool = self._pools.get(ipv6) or next(iter(self._pools.values()))
        return self._open(leg_id, pool, pool.take(urgent=urgent))

    def reopen(self, leg_id: str, local: LocalMedia) -> LocalMedia:
        """Bind the ports `local` that the leg had before a restart, or raise NoPortsError."""
        pool = self._pools.get(":" in local.host)
        if pool is None:
            raise NoPortsError("there are no media ports of the leg's address family")
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
        self._watch(leg.pair.rtp, partial(reader_of, leg), hold=True)
        self._poller.watch(leg.pair.rtcp, control_reader_of(leg))
        return LocalMedia(pool.advertise, pair.port)

    def configure(self, leg_id: str, remote: RemoteMedia) -> None:
        """Apply the peer's SDP to a leg: the peer's address, SRTP keys and media directions.

        Packets wait for the first SDP, because a phone can send its first packet before its answer
        arrives. After a new address or port, the leg decides again which sender is its peer.
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

        A leg that has received media can get a new partner. The leg's waiting packets are then
        discarded, because they were meant for the earlier partner. If the leg has a tap, they are
        handled instead, so that the tap receives them. The two tables map the payload types that
        one peer sends to those that the other peer expects.
        """
        one, other = self._legs[a], self._legs[b]
        if one is other:
            raise ProtocolError("a leg cannot be joined to itself")
        now = self._clock()
        for leg, partner, payload_map in ((one, other, a_to_b), (other, one, b_to_a)):
            if leg.peer is not partner:
                self._leave(leg)
                leg.waiting_since = now
                if leg.listener.tap is None and leg.counters.first is not None:
                    self._poller.discard(*_rtp_sockets(leg))
            leg.peer, leg.payload_map = partner, dict(payload_map)
        self._rebuild_readers(one, other)

    def is_own_port(self, host: str, port: int) -> bool:
        """Return whether this is one of our own addresses with a port of our media range."""
        return any(pool.owns(host, port) for pool in self._pools.values())

    def close(self, leg_id: str) -> None:
        """Remove the leg, if there is one, and free its ports."""
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
        """The number of free, unreserved port pairs of the pool that has the fewest."""
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

        Return the leg's live counters, readable after the leg is closed; None for an unknown leg.
        `on_lost` is called for packets that the kernel dropped, `on_report` for the peer's RTCP.

        An unknown leg is accepted, because the calling code may not know yet that it is closed. The
        methods below accept an unknown leg too, except `start_ringback`, `counters` and
        `silent_since`.
        """
        leg = self._legs.get(leg_id)
        if leg is not None:
            leg.listener = MediaListener(track, tap, on_lost, on_report)
            self._rebuild_readers(leg)
        return None if leg is None else leg.counters

    def set_source_rule(self, leg_id: str, rule: SourceRule, signalling_host: str = "") -> None:
        """Use `rule` for the leg's senders; `signalling_host` is an IP address, "" if unknown."""
        leg = self._legs.get(leg_id)
        if leg is not None and leg.source.set_rule(rule, signalling_host):
            self._rebuild_readers(leg, leg.peer)

    def await_peer(self, leg_id: str) -> None:
        """Send nothing to the leg's peer until it has sent a valid packet.

        Call this if only a datagram, whose sender can be forged, has named the media address: we
        could be made to send a call's media to a third party. Call `confirm_peer` if the signalling
        proves that the peer received our response.
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
        """Call `watcher` for each telephone event of the peer, before it is forwarded.

        None stops this. While the leg has a watcher, it follows the stream of its peer's voice.
        """
        leg = self._legs.get(leg_id)
        if leg is not None:
            leg.watcher = watcher
            self._rebuild_readers(leg)

    def start_ringback(self, leg_id: str) -> None:
        """Play the ringing tone to the leg's peer, if the peer uses G.711."""
        self._ringback.start(self._legs[leg_id])

    def stop_ringback(self, leg_id: str) -> None:
        """Stop the ringing tone, if one is playing."""
        leg = self._legs.get(leg_id)
        if leg is not None:
            self._ringback.stop(leg)

    def drain(self, *leg_ids: str) -> None:
        """Handle now all media that has already arrived for these legs, in order of arrival.

        Call this before a recording stops, resumes or ends: otherwise, a delayed event loop might
        handle the end of a call before its final packets.
        """
        legs = [leg for leg in map(self._legs.get, leg_ids) if leg and leg.remote]
        self._poller.drain(*(sock for leg in legs for sock in _rtp_sockets(leg)))

    def keep_up(self) -> None:
        """Relay waiting packets if this was not done for `LATE_S`, 10 ms; call between messages."""
        self._poller.keep_up()

    @property
    def waiting_s(self) -> float:
        """The seconds for which the oldest unhandled packet has waited; 0 if none waits."""
        return self._poller.waiting_s

    def counters(self, leg_id: str) -> Counters:
        """Return the leg's live counters, readable after the leg is closed."""
        return self._legs[leg_id].counters

    def has_heard(self, leg_id: str) -> bool:
        """Return whether a packet of the leg's peer has arrived; False for an unknown leg."""
        leg = self._legs.get(leg_id)
        return leg is not None and leg.counters.last is not None

    def silent_since(self, leg_id: str) -> float:
        """Return the time of the peer's latest packet, or `MediaLeg.waiting_since` if later."""
        leg = self._legs[leg_id]
        return max(leg.counters.last or 0.0, leg.waiting_since)

    def sweep(self, now: float) -> None:
        """Call `on_silence` for each leg that has become silent. Call this once a second."""
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
                for sock in _rtp_sockets(leg):
                    self._poller.reset_reader(sock)

    def _watch(
        self, sock: socket.socket, make: Callable[[], Reader], *, hold: bool = False
    ) -> None:
        use = partial(self._poller.set_reader, sock)
        self._poller.watch(sock, reader_made_later(make, use), hold=hold)

    def _connect(self, leg: MediaLeg) -> None:
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
                self._watch(leg.connected, partial(connected_reader_of, leg, leg.connected))
            leg.connected_to = address
        except OSError:  # no route now, or too many open files; use the first RTP socket
            self._close_connected(leg)

    def _close_connected(self, leg: MediaLeg) -> None:
        sock, leg.connected, leg.connected_to = leg.connected, None, None
        if sock is not None:
            self._poller.forget(sock)
            sock.close()


def _rtp_sockets(leg: MediaLeg) -> list[socket.socket]:
    return [leg.pair.rtp] if leg.connected is None else [leg.pair.rtp, leg.connected]


def _is_due(leg: MediaLeg) -> bool:
    """Return whether media should arrive: joined, and the SDP allows both directions (no hold)."""
    remote = leg.remote
    return leg.peer is not None and remote is not None and remote.send and remote.receive
