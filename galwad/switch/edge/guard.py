"""Protection against floods: a rate limit for each source of SIP messages, and temporary bans.

The guard decides about a message before the message is parsed, so that dropping a message costs
only a few microseconds. A source is an IPv4 address or an IPv6 /64. A source is known if it belongs
to one of our calls, phones or routes, or if it has sent a correct password. Trunks and known
sources have a larger rate limit and are never banned.

Every other source is a stranger. A stranger is banned for a while if it exceeds its rate limit too
often, sends malformed messages or fails to authenticate. Each further ban lasts twice as long. A
ban ends early if the source becomes known.

A datagram may have a forged source address. So a failure counts only if its sender has proved that
it receives what we send to the source: it has a connection, or it has sent a nonce that we made for
this source. Without such a proof, a source is only limited, and thinned if it sends very much: the
kernel then drops most of its datagrams.

A flow is an address and port, or a connection. A few messages of each flow are accepted even if its
source is banned or above its limit. So a phone beside an attacker at the same source can send its
password. If the password is right, its flow is proved, and has a limit of its own.

A message with the Call-ID of a call in progress is accepted even above the rate limit. There are
three exceptions: the source is banned, the message comes from a stranger and is longer than 16 KiB,
or the source sends more than `CALL_RATE` messages a second for this call.

The INVITE of an emergency call from a trunk or known source has the priority of messages in a call,
so that it is not dropped when datagrams take too much time.

Datagrams, messages on connections (TCP or TLS) and new connections have separate limits. So forged
datagrams cannot use up the limits for the connections of an address. The guard does no I/O and
reads no clock.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import ip_network
from typing import Final, TypeVar

import structlog

from galwad.settings.switch import SipSection
from galwad.switch.edge.emergency import emergency_detector
from net.addresses import Network, network_of
from net.packet_filter import Networks, SetFilter, Thinning, ThinningLimits
from telephony.aio.connections import FilterVerdict
from telephony.sip.events import Address
from telephony.sip.ua.auth import AuthOutcome, DigestVerification

MAX_SOURCES: Final = 4096
"""The maximum number of entries in each of the guard's tables.

When a table is full, its oldest entry is removed. In the table of sources, the oldest entry is the
source that has been quiet for the longest time.
"""
LONGEST_BAN_S: Final = 86_400.0
WINDOW_S: Final = 300.0
"""The time in seconds in which a source's count of failures falls from the limit to zero.

Each failure of a source adds to the source's count. When the count reaches the limit, the source is
banned. Between failures, the count falls at a constant speed.
"""
PROVED_S: Final = 3600.0
"""The time in seconds for which a source is known after it has sent a correct password.

This is the usual lifetime of a registration.
"""

CALL_RATE: Final = 50.0
"""The messages a second that a source may send for one call, in addition to its rate limit.

A phone that sends a keyed digit in each INFO needs ten at most.
"""

_KNOWN_FACTOR: Final = 10
_HANDSHAKE_COUNT: Final = 5.0
"""A new TLS connection counts as this many connections: its handshake takes over 1 ms."""
_KNOWN_CONNECTIONS: Final = 500.0
"""The most new TCP connections a second that are accepted from all known sources together."""
_FAILURE: Final = 100
_SHED: Final = 2
_CHALLENGED: Final = 10
"""A request without credentials counts as this many hundredths of a failure.

A message above the rate limit counts as `_SHED` hundredths of a failure. Both numbers are small,
because a site whose phones all start together sends many such messages.
"""
_THINNING: Final = ThinningLimits(stranger=1000, known=10_000, strangers=1000, few=250)
"""The numbers of dropped datagrams at which thinning starts. Trunks count as known."""
_FLOW_RATE: Final = 0.5
_FLOW_IN_ADVANCE_S: Final = 8.0
"""A flow may send five messages at once, then one every two seconds, even if its source may not.

A phone needs two messages to register. `_NEW_FLOWS_RATE` and `_ALL_NEW_FLOWS_RATE` limit these
messages further.
"""
_NEW_FLOWS_RATE: Final = 10.0
"""The messages a second that `_FLOW_RATE` may admit from all flows of one source together."""
_ALL_NEW_FLOWS_RATE: Final = 50.0
"""The messages a second that `_FLOW_RATE` may admit from all flows of all sources together."""
_BANNED_CONNECTIONS: Final = 5.0
"""The most new TCP connections a second that are accepted from a banned source."""
_USUAL_MESSAGE_BYTES: Final = 2048
"""The length in bytes up to which a message counts as one message for the rate limit.

Most messages are shorter. A message of n times this length counts as n messages.
"""
_MAX_STRANGER_BYTES: Final = 16 * 1024
"""The maximum length in bytes of a message from a stranger (an unknown source).

A longer message is dropped, because parsing it would take milliseconds.
"""
_SCANNED_BYTES: Final = 4096
_CALL_ID: Final = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\s]+)", re.IGNORECASE)

log = structlog.get_logger()
Key = TypeVar("Key")
T = TypeVar("T")


class SourceKind(Enum):
    """The kinds of sources. Each kind has its own rate limit."""

    TRUNK = "trunk"
    KNOWN = "known"
    STRANGER = "stranger"


class Bucket:
    """A token bucket. A full bucket has the tokens of `in_advance_s` seconds."""

    __slots__ = ("_due", "_in_advance_s")

    def __init__(self, in_advance_s: float = 3.0) -> None:
        self._due = 0.0
        self._in_advance_s = in_advance_s

    def take(self, rate: float, now: float, count: float = 1.0) -> bool:
        """Take `count` tokens and return True; False while the bucket has a debt.

        Missing tokens become a debt, until `rate` tokens per second have made up for it. `now` is
        in monotonic seconds.
        """
        due = max(self._due, now)
        if due - now > self._in_advance_s:
            return False
        self._due = due + count / rate
        return True


class _Limits:
    """Rate limiters for datagrams, for messages on connections, and for new connections."""

    __slots__ = ("connections", "datagrams", "stream")

    def __init__(self, in_advance_s: float = 3.0) -> None:
        self.datagrams = Bucket(in_advance_s)
        self.stream = Bucket(in_advance_s)
        self.connections = Bucket(in_advance_s)

    def of_messages(self, source: Address) -> Bucket:
        """Return the rate limiter for messages of the transport of `source`: stream or datagram."""
        return self.stream if source.reliable else self.datagrams


class _Source:
    __slots__ = (
        "failures",
        "limits",
        "new_flows",
        "since",
        "warned_at",
    )

    def __init__(self, now: float) -> None:
        self.limits = _Limits()
        self.new_flows = _Limits()
        self.failures = 0.0
        self.since = now
        self.warned_at = float("-inf")


@dataclass(slots=True)
class _Ban:
    until: float
    seconds: float


class FloodGuard:
    """Limits the rate of messages from each source, and bans sources.

    A source is an IPv4 address or an IPv6 /64. All times are in monotonic seconds.
    """

    def __init__(
        self,
        sip: SipSection,
        *,
        is_trunk: Callable[[str, int, str], bool],
        in_call: Callable[[str], bool],
        trunks: Iterable[Network] = (),
        set_filter: SetFilter = lambda *_: None,
    ) -> None:
        """Create a guard without bans; `sip` has the rate limits and the length of a ban.

        `is_trunk` gets host, port and transport, `in_call` a Call-ID. `trunks` are the networks of
        all trunks. `set_filter` sets the kernel's filter for datagrams.
        """
        self.shed = 0
        """The number of messages dropped without being parsed, and of new connections refused."""
        self._sip = sip
        self._is_trunk = lru_cache(MAX_SOURCES)(is_trunk)
        self._in_call = in_call
        self._is_emergency = emergency_detector(sip.emergency_numbers)
        self._trunks = tuple(trunks)
        self._thinning = Thinning(_THINNING, known=self._unthinned, set_filter=set_filter)
        self._strangers = _Limits(in_advance_s=1.0)
        self._known_connections = Bucket()
        self._new_flows = _Limits()
        self._flows: OrderedDict[Address, Bucket] = OrderedDict()
        self._proved_flows: OrderedDict[Address, Bucket] = OrderedDict()
        self._calls: OrderedDict[tuple[str, bytes], Bucket] = OrderedDict()
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._bans: OrderedDict[str, _Ban] = OrderedDict()
        self._proved: OrderedDict[str, float] = OrderedDict()
        self._known: frozenset[str] = frozenset()

    def judge_message(self, data: bytes, source: Address, now: float) -> FilterVerdict:
        """Return what is to be done with a received message, before it is parsed.

        Only a trunk or known source gets `FilterVerdict.TOO_MANY`. If a stranger exceeds its limits
        on a connection, the connection is closed.
        """
        origin = network_of(source.host)
        kind = self.kind_of(source, now)
        remembered = self._source(origin, now)
        if kind is SourceKind.STRANGER:
            return self._judge_stranger(data, source, remembered, now)
        if self._of_a_call(data, origin, now):
            return FilterVerdict.IN_CALL
        count = _count_of(data)
        bucket = remembered.limits.of_messages(source)
        if self._may(bucket, kind, now, count) or self._may_as_flow(remembered, source, now, count):
            return FilterVerdict.IN_CALL if self._is_emergency(data) else FilterVerdict.ACCEPTED
        self._shed(remembered, source, kind, now)
        return FilterVerdict.TOO_MANY

    def _judge_stranger(
        self, data: bytes, source: Address, remembered: _Source, now: float
    ) -> FilterVerdict:
        kind, origin, count = SourceKind.STRANGER, network_of(source.host), _count_of(data)
        is_short = len(data) <= _MAX_STRANGER_BYTES
        if self._barred(origin, now):
            if is_short and self._may_as_flow(remembered, source, now, count):
                return FilterVerdict.ACCEPTED
            self._count_drop(source, kind, now)
            return FilterVerdict.DROPPED
        if (
            is_short
            and self._may(remembered.limits.of_messages(source), kind, now, count)
            and self._strangers.of_messages(source).take(self._sip.strangers_rate, now, count)
        ):
            return FilterVerdict.ACCEPTED
        if is_short and self._of_a_call(data, origin, now):
            return FilterVerdict.IN_CALL
        if is_short and self._may_as_flow(remembered, source, now, count):
            return FilterVerdict.ACCEPTED
        self._shed(remembered, source, kind, now)
        return FilterVerdict.DROPPED

    def accepts_connection(self, source: Address, now: float) -> bool:
        """Return whether to accept a new connection from this source."""
        origin = network_of(source.host)
        kind = self.kind_of(source, now)
        remembered = self._source(origin, now)
        count = _HANDSHAKE_COUNT if source.transport == "TLS" else 1.0
        if self._barred(origin, now):
            accepted = remembered.limits.connections.take(_BANNED_CONNECTIONS, now, count)
            self.shed += not accepted
            return accepted
        if self._may(remembered.limits.connections, kind, now, count) and (
            kind is SourceKind.TRUNK
            or (
                self._known_connections.take(_KNOWN_CONNECTIONS, now, count)
                if kind is SourceKind.KNOWN
                else self._strangers.connections.take(self._sip.strangers_rate, now, count)
            )
        ):
            return True
        self._shed(remembered, source, kind, now)
        return False

    def is_privileged(self, source: Address, now: float) -> bool:
        """Return whether a source is a trunk or known: it may exceed the connection limit."""
        return self.kind_of(source, now) is not SourceKind.STRANGER

    def on_malformed(self, source: Address, now: float) -> None:
        """Count an unreadable message of `source`, or a TLS handshake that took too long.

        Too many failures lead to a ban. A datagram is not counted, because anyone can forge it.
        """
        if source.reliable:
            self._failed(source, _FAILURE, "malformed", now)

    def count_outcome(self, source: Address, verification: DigestVerification, now: float) -> None:
        """Count the result of the check of the credentials in a request from `source`.

        Correct credentials make the source known, prove its flow, and clear the source's failures.
        Wrong credentials count as a failure, and missing credentials as a small part of a failure,
        but only if the sender has proved its address.
        """
        match verification.outcome:
            case AuthOutcome.ACCEPTED:
                origin = network_of(source.host)
                _remember(self._proved, origin, now + PROVED_S)
                if source not in self._proved_flows:
                    _remember(self._proved_flows, source, Bucket())
                self._source(origin, now).failures = 0.0
            case AuthOutcome.REFUSED if source.reliable or verification.returned:
                self._failed(source, _FAILURE, "credentials", now)
            case AuthOutcome.MISSING if source.reliable:
                self._failed(source, _CHALLENGED, "no credentials", now)
            case _:
                # STALE: the password was right, only the nonce was too old.
                # UNCHECKED: the password may be right.
                pass

    def set_known_hosts(self, hosts: Iterable[str]) -> None:
        """Replace the known hosts. A ban of one of `hosts` ends at once."""
        self._known = frozenset(network_of(host) for host in hosts)
        for origin in self._known & self._bans.keys():
            del self._bans[origin]

    def sweep(self, now: float) -> None:
        """Update the kernel's filter, and forget bans that ended long ago.

        Call this method once a second. A ban that ended recently must be remembered, because the
        next ban of the same source lasts twice as long.
        """
        for origin, ban in list(self._bans.items()):
            if now > ban.until + max(ban.seconds, WINDOW_S):
                del self._bans[origin]
        self._thinning.sweep(now)

    def banned(self, now: float) -> int:
        """Return the number of sources that are banned now."""
        return sum(1 for ban in self._bans.values() if ban.until > now)

    def kind_of(self, source: Address, now: float) -> SourceKind:
        """Return whether a source is a trunk, a known source or a stranger.

        A source is known if `set_known_hosts` has named it, or if it has sent a correct password in
        the last `PROVED_S` seconds.
        """
        if self._is_trunk(source.host, source.port, source.transport):
            return SourceKind.TRUNK
        origin = network_of(source.host)
        if origin in self._known or self._proved.get(origin, 0.0) > now:
            return SourceKind.KNOWN
        return SourceKind.STRANGER

    def _may(self, bucket: Bucket, kind: SourceKind, now: float, count: float) -> bool:
        rate = self._sip.source_rate
        if kind is SourceKind.TRUNK:
            rate = self._sip.trunk_rate
        elif kind is SourceKind.KNOWN:
            rate = self._sip.source_rate * _KNOWN_FACTOR
        return bucket.take(rate, now, count)

    def _may_as_flow(self, remembered: _Source, source: Address, now: float, count: float) -> bool:
        """Return whether to accept a message although its source is banned or above its limit."""
        proved = self._proved_flows.get(source)
        if proved is not None:
            self._proved_flows.move_to_end(source)
            if proved.take(self._sip.source_rate, now, count):
                return True
        flow = self._flows.get(source)
        if flow is None:
            flow = self._flows[source] = Bucket(_FLOW_IN_ADVANCE_S)
            trim(self._flows)
        return (
            flow.take(_FLOW_RATE, now, count)
            and remembered.new_flows.of_messages(source).take(_NEW_FLOWS_RATE, now, count)
            and self._new_flows.of_messages(source).take(_ALL_NEW_FLOWS_RATE, now, count)
        )

    def _of_a_call(self, data: bytes, origin: str, now: float) -> bool:
        """Return whether a message belongs to a call in progress, and is within `CALL_RATE`."""
        found = _CALL_ID.search(data, 0, _SCANNED_BYTES)
        if found is None or not self._in_call(found[1].decode("utf-8", "surrogateescape")):
            return False
        key = origin, found[1]
        bucket = self._calls.get(key)
        if bucket is None:
            bucket = self._calls[key] = Bucket()
            trim(self._calls)
        else:
            self._calls.move_to_end(key)
        return bucket.take(CALL_RATE, now)

    def _barred(self, origin: str, now: float) -> bool:
        ban = self._bans.get(origin)
        return ban is not None and ban.until > now

    def _source(self, origin: str, now: float) -> _Source:
        found = self._sources.get(origin)
        if found is None:
            found = self._sources[origin] = _Source(now)
            trim(self._sources)
        else:
            self._sources.move_to_end(origin)
        return found

    def _shed(self, remembered: _Source, source: Address, kind: SourceKind, now: float) -> None:
        self._count_drop(source, kind, now)
        if kind is SourceKind.STRANGER:
            if source.reliable:
                self._failed(source, _SHED, "too many", now)
        elif now - remembered.warned_at > WINDOW_S:
            remembered.warned_at = now
            log.warning("source.too_many", source=source.host, standing=kind.value)

    def _count_drop(self, source: Address, kind: SourceKind, now: float) -> None:
        """Count a dropped message. Too many datagrams start thinning."""
        self.shed += 1
        if source.reliable:
            return
        if kind is SourceKind.STRANGER:
            self._thinning.count_stranger(network_of(source.host), now)
        else:
            self._thinning.count_known(network_of(source.host), now)

    def _failed(self, source: Address, counts: int, reason: str, now: float) -> None:
        limit = self._sip.ban_after * _FAILURE
        if not limit or self.kind_of(source, now) is not SourceKind.STRANGER:
            return
        origin = network_of(source.host)
        remembered = self._source(origin, now)
        forgiven = (now - remembered.since) * limit / WINDOW_S
        remembered.failures = max(0.0, remembered.failures - forgiven) + counts
        remembered.since = now
        if remembered.failures >= limit:
            remembered.failures = 0.0
            self._ban(origin, reason, now)

    def _ban(self, origin: str, reason: str, now: float) -> None:
        before = self._bans.pop(origin, None)
        seconds = self._sip.ban_time if before is None else min(2 * before.seconds, LONGEST_BAN_S)
        self._bans[origin] = _Ban(now + seconds, seconds)
        trim(self._bans)
        log.warning("source.banned", source=origin, seconds=round(seconds), reason=reason)

    def _unthinned(self, now: float) -> Networks:
        proved = {origin for origin, until in self._proved.items() if until > now}
        return self._trunks + tuple(ip_network(origin) for origin in sorted(self._known | proved))


def _count_of(data: bytes) -> float:
    return max(1.0, len(data) / _USUAL_MESSAGE_BYTES)


def trim(kept: OrderedDict[Key, T], most: int = 0) -> None:
    """Remove the oldest entries of a table beyond `most`, by default `MAX_SOURCES`."""
    while len(kept) > (most or MAX_SOURCES):
        kept.popitem(last=False)


def _remember(kept: OrderedDict[Key, T], key: Key, value: T) -> None:
    kept[key] = value
    kept.move_to_end(key)
    trim(kept)
