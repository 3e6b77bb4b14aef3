"""The decision which sender of RTP is the peer of a leg, and which stream is the peer's voice.

`PeerSource` decides from which address media is accepted. `VoiceStream` knows the stream in which
the peer talks: without SRTP, only a code in this stream may resume a recording.

Without SRTP, an address proves little: an attacker who shares the peer's host or address
translation, or who forges addresses, can send media too. So an address that the peer's SDP names
always wins. A sender that is not named must first send several packets in sequence. Two senders
that compete are reported.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from telephony.rtp.packet import Octets

HostPort = tuple[str, int]

REAL_SILENCE_S: Final = 5.0
"""The silence of the accepted sender, in seconds, after which another can take its place.

A phone with silence suppression is silent for seconds while the other party talks. With
its next packet, the phone gets its place back, unless the new sender fits the SDP better.
"""
ESTABLISHED: Final = 25
"""The number of voice packets, about half a second, that make a stream the peer's voice."""
KEYS_WAIT_S: Final = 5.0
"""The seconds for which pressed keys wait for their stream to become the peer's voice."""
_MOST_WAITING: Final = 128
_NOWHERE: Final = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
_MOST_CANDIDATES: Final = 16
_LARGEST_STEP: Final = 5
"""The most by which a candidate's sequence number may grow, because packets can be lost."""


class SourceRule(StrEnum):
    """The rule that decides whether the sender of a packet is accepted as the leg's peer."""

    SYMMETRIC = "symmetric"
    """Accept packets only from the address and port in the peer's SDP (RFC 4961).

    If nothing arrives from there, accept the first proven sender at the host of the SDP or of the
    signalling. Such a peer sends from another port, or is behind address translation.
    """
    LATCH = "latch"
    """As SYMMETRIC, but also accept a proven sender at any other host.

    A sender at the host of the SDP or of the signalling takes the place of one elsewhere. Media
    goes to the accepted sender, and not to the address in the SDP.
    """
    SDP_HOST = "sdp-host"
    """Accept packets from any port of the host in the peer's SDP, from several at once."""


class Fit(IntEnum):
    """The degree to which a sender's address fits the peer's signalling; higher is better."""

    NONE = 0
    """The rule never accepts this sender."""
    OTHER_HOST = 1
    KNOWN_HOST = 2
    """At the host in the peer's SDP, or at the host of its signalling."""
    SDP = 3
    """The address and port in the peer's SDP."""


_PROVING: Final = {Fit.OTHER_HOST: 10, Fit.KNOWN_HOST: 5}
"""The number of packets in sequence that prove a sender which the SDP does not name.

The packets before the proof, up to a fifth of a second, are kept, so that none is lost.
"""

Kept = tuple[bytearray, float]
"""A packet that waits for the proof of its sender, and its arrival in monotonic seconds."""


@dataclass(slots=True)
class _Candidate:
    """A sender that is not accepted yet: its newest packet, and the packets that wait."""

    ssrc: bytes
    sequence: int
    count: int = 0
    kept: list[Kept] = field(default_factory=list)

    def is_followed_by(self, ssrc: bytes, sequence: int) -> bool:
        return ssrc == self.ssrc and 0 < (sequence - self.sequence) & 0xFFFF <= _LARGEST_STEP


class PeerSource:
    """Decides which sender is the peer of one leg, under one of the `SourceRule`s."""

    def __init__(self, rule: SourceRule) -> None:
        self.rule = rule
        self.signalling_host = ""
        """The host with which we exchange the peer's SIP messages; "" if it is not known."""
        self.accepted: HostPort | None = None
        """The accepted sender; None if there is none since the newest SDP address or rule."""
        self.contested = False
        """True if another sender competes with the accepted one, or has lost its place to it."""
        self.dropped = 0
        """Kept packets that were dropped without a proof of their sender. The leg resets this."""
        self.sdp: HostPort | None = None
        """The address in the peer's SDP; None if there is none to which media can be sent."""
        self._previous: HostPort | None = None
        """The sender that was accepted before the latest SDP, until another is accepted.

        A phone that moves its media sends from its old address until its SDP is answered.
        """
        self._previous_count = 0
        self._previous_heard = float("-inf")
        self._since = float("-inf")
        """The time of the latest SDP with a new address, in monotonic seconds."""
        self._earlier: set[HostPort] = set()
        """The senders that lost their place because they were silent."""
        self._candidates: dict[HostPort, _Candidate] = {}

    @property
    def expected(self) -> HostPort | None:
        """The address from which the peer's packets should arrive; None if it is not known."""
        return self.learned or self.sdp

    @property
    def learned(self) -> HostPort | None:
        """The accepted sender if it is not the address in the SDP; None otherwise."""
        return self.accepted if self.accepted != self.sdp else None

    def set_rule(self, rule: SourceRule, signalling_host: str) -> bool:
        """Use these values; return whether any is new. A new rule forgets the accepted sender."""
        if (rule, signalling_host) == (self.rule, self.signalling_host):
            return False
        if rule is not self.rule:
            self._forget()
        self.rule, self.signalling_host = rule, signalling_host
        return True

    def move(self, host: str, port: int, last_heard: float | None, now: float) -> None:
        """Take a new address from the peer's SDP.

        The accepted sender can continue until another sender is accepted. `last_heard` is the
        arrival of the newest accepted packet; None if there was none.
        """
        before = self.sdp if self._is_sdp_heard(last_heard) else self.accepted
        self.sdp = None if host in _NOWHERE or not port else (host, port)
        self._forget()
        learns = self.rule is not SourceRule.SDP_HOST
        self._previous = before if learns and before is not None and self.fit(before) else None
        self._since = now

    def fit(self, sender: HostPort) -> Fit:
        """Return how well the address of a sender fits the peer's SDP and signalling."""
        if sender == self.sdp:
            return Fit.SDP
        host = sender[0]
        if self.sdp is not None and host == self.sdp[0]:
            return Fit.KNOWN_HOST
        if self.rule is SourceRule.SDP_HOST:
            return Fit.NONE
        if self.signalling_host and host == self.signalling_host:
            return Fit.KNOWN_HOST
        return Fit.OTHER_HOST if self.rule is SourceRule.LATCH else Fit.NONE

    def accepts(self, sender: HostPort) -> bool:
        """Return whether packets from this sender are accepted without a proof."""
        if self.rule is SourceRule.SDP_HOST:
            return self.sdp is not None and sender[0] == self.sdp[0]
        return sender == self.accepted

    def could_accept(self, sender: HostPort, last_heard: float | None, now: float) -> bool:
        """Return whether a packet from this sender could be from the peer; change nothing.

        A sender at a host that neither the SDP nor the signalling names is refused while another
        sender is accepted and not silent.
        """
        fit = self.fit(sender)
        if fit is not Fit.OTHER_HOST or self.accepted in {None, sender}:
            return bool(fit)
        return self._is_silent(last_heard, now)

    def accept_authentic(self, sender: HostPort) -> bool:
        """Accept the sender of an authentic SRTP packet; return whether it is a new one."""
        if self.rule is SourceRule.SDP_HOST or sender == self.accepted:
            return False
        self._accept(sender)
        return True

    def prove(
        self, sender: HostPort, packet: Octets, last_heard: float | None, now: float
    ) -> list[Kept] | None:
        """Return the packets of this sender to handle now; None if `packet` is refused.

        An empty list means that the packet waits for the proof of its sender. Call this only if
        `accepts` has returned False. `packet` is valid RTP that arrived at `now`. `last_heard` is
        the arrival of the newest accepted packet; None if there was none. Times are in monotonic
        seconds.
        """
        fit = self.fit(sender)
        if fit is Fit.NONE:
            return None
        if self.sdp is not None and self._is_sdp_heard(last_heard):
            self._accept(self.sdp)
        if fit is Fit.SDP or sender in self._earlier:
            self._accept(sender, contested=fit is not Fit.SDP)
            return [(bytearray(packet), now)]
        if sender == self._previous:
            return self._go_on(sender, packet, now)
        accepted = Fit.NONE if self.accepted is None else self.fit(self.accepted)
        if fit <= accepted and not self._is_silent(last_heard, now):
            if self._count(sender, packet) >= _PROVING[fit] and fit == accepted:
                self.contested = True
            return None
        if self._count(sender, packet, now) < _PROVING[fit]:
            return []
        return self._take_over(sender, fit, accepted)

    def _is_sdp_heard(self, last_heard: float | None) -> bool:
        """Return whether the address in the SDP has sent packets, and is not yet accepted.

        The kernel delivers these packets to `MediaLeg.connected`, so `prove` does not see them.
        """
        if self.accepted is not None or self.sdp is None or last_heard is None:
            return False
        return last_heard > max(self._since, self._previous_heard)

    def _is_silent(self, last_heard: float | None, now: float) -> bool:
        return now - max(last_heard or self._since, self._since) >= REAL_SILENCE_S

    def _go_on(self, sender: HostPort, packet: Octets, now: float) -> list[Kept]:
        """Accept a packet of the sender that was accepted before the latest SDP."""
        self._previous_heard = now
        self._previous_count += 1
        if self._previous_count >= ESTABLISHED:
            self._accept(sender)
        return [(bytearray(packet), now)]

    def _count(self, sender: HostPort, packet: Octets, now: float | None = None) -> int:
        """Return how many packets in sequence the sender has sent. With `now`, keep `packet`."""
        ssrc, sequence = bytes(packet[8:12]), int.from_bytes(packet[2:4])
        candidate = self._candidates.get(sender)
        if candidate is None or not candidate.is_followed_by(ssrc, sequence):
            self._drop(sender)
            if len(self._candidates) >= _MOST_CANDIDATES:
                self._drop(min(self._candidates, key=self._progress))
            candidate = self._candidates[sender] = _Candidate(ssrc, sequence)
        candidate.sequence = sequence
        candidate.count += 1
        if now is not None:
            candidate.kept.append((bytearray(packet), now))
        return candidate.count

    def _progress(self, sender: HostPort) -> tuple[Fit, int]:
        """Return the sort key of a candidate. A candidate nearer to acceptance has a higher one."""
        return self.fit(sender), self._candidates[sender].count

    def _take_over(self, sender: HostPort, fit: Fit, accepted: Fit) -> list[Kept]:
        """Accept a proven sender; return its packets. `accepted` is the earlier sender's fit."""
        kept = self._candidates.pop(sender).kept
        has_rival = any(self.fit(other) >= fit for other in self._candidates)
        before = self.accepted
        self._accept(sender, contested=has_rival or fit <= accepted)
        if before is not None and fit <= accepted:
            self._earlier.add(before)
        return kept

    def _accept(self, sender: HostPort, *, contested: bool = False) -> None:
        if self.accepted is None or self.fit(sender) > self.fit(self.accepted):
            self._earlier.clear()
        self._earlier.discard(sender)
        self.accepted, self.contested = sender, contested
        self._previous, self._previous_count = None, 0
        self._drop_candidates()

    def _forget(self) -> None:
        self.accepted, self.contested = None, False
        self._previous, self._previous_count = None, 0
        self._earlier.clear()
        self._drop_candidates()

    def _drop_candidates(self) -> None:
        for sender in list(self._candidates):
            self._drop(sender)

    def _drop(self, sender: HostPort) -> None:
        candidate = self._candidates.pop(sender, None)
        if candidate is not None:
            self.dropped += len(candidate.kept)


class VoiceStream:
    """Knows the RTP stream in which the peer of one leg talks: its sender and its SSRC.

    Without SRTP, a code that resumes a recording is accepted only in this stream. It takes
    `ESTABLISHED` voice packets to establish a stream. An attacker who forges the peer's address
    does not know the SSRC. The attacker's own stream is not established while the peer's voice
    arrives. A phone can change its SSRC just before a code. So the keys of another stream wait
    until that stream is established.
    """

    def __init__(self) -> None:
        """Start without a stream. For new SDP with another address, make a new object."""
        self.sender: HostPort | None = None
        self.ssrc = b""
        self.low_byte = -1
        """The last byte of `ssrc`; -1 without a stream. To save time, only this is compared."""
        self.contested = False
        """True after `ESTABLISHED` voice packets of other addresses that the SDP does not name."""
        self._counts: dict[tuple[HostPort, bytes], int] = {}
        self._foreign = 0
        self._latest = 0
        self._keys: deque[tuple[HostPort, bytes, Kept]] = deque(maxlen=_MOST_WAITING)

    def keep_key(self, sender: HostPort, packet: Octets, number: int, now: float) -> None:
        """Keep a telephone event that is not in the established stream.

        The event does not interrupt the voice of its stream. `number` is as in `hear_other`.
        """
        ssrc = bytes(packet[8:12])
        self._keys.append((sender, ssrc, (bytearray(packet), now)))
        if number == self._latest + 1 and (sender, ssrc) in self._counts:
            self._latest = number

    def take_keys(self, now: float) -> list[Kept]:
        """Return the established stream's events of the last `KEYS_WAIT_S`; forget all events."""
        found = [
            kept
            for sender, ssrc, kept in self._keys
            if self.contains(sender, ssrc) and now - kept[1] <= KEYS_WAIT_S
        ]
        self._keys.clear()
        return found

    def hear_other(self, sender: HostPort, ssrc: bytes, number: int, *, named_by_sdp: bool) -> bool:
        """Take a voice packet of another stream; return whether that stream is established now.

        `number` counts all packets that the leg has accepted. If it is not the next one after the
        previous call, a packet of the established stream has arrived in between. The voice of the
        address in the SDP (`named_by_sdp`) takes the place of another voice at once.
        """
        interrupted = self.sender is not None and number != self._latest + 1
        if interrupted or len(self._counts) > _MOST_CANDIDATES:
            self._counts.clear()
        self._latest = number
        count = self._counts.get((sender, ssrc), 0) + 1
        self._counts[sender, ssrc] = count
        is_foreign = self.sender is not None and sender != self.sender
        if is_foreign and not named_by_sdp:
            self._foreign += 1
            self.contested = self.contested or self._foreign >= ESTABLISHED
        if count >= ESTABLISHED or (is_foreign and named_by_sdp):
            self.contested = self.contested and not named_by_sdp
            self.sender, self.ssrc, self.low_byte = sender, ssrc, ssrc[-1]
            self._counts.clear()
            return True
        return False

    def contains(self, sender: HostPort, ssrc: bytes) -> bool:
        """Return whether a packet with this sender and SSRC is certainly of the peer's voice."""
        return (sender, ssrc) == (self.sender, self.ssrc) and not self.contested
