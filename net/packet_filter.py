"""A kernel filter that drops most packets from chosen sources, and the choice of these sources.

Packets of a flood that the kernel drops cost this process no time and no space in the socket's
queue. On a UDP socket, the filter drops datagrams. On a listening TCP socket, it drops only
requests for a new connection. It is a classic BPF program (SO_ATTACH_FILTER), which the kernel
verifies. A process needs no privilege to attach it.

A source that sends very much is thinned: for `THINNING_S`, the kernel drops most of its packets. If
many strangers send little each and flood us together, all strangers are thinned. A source is an
IPv4 address or an IPv6 /64, as text. A stranger is a source that is not known. Times are in
monotonic seconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final, TypeVar

import structlog

from net.addresses import Network

MOST_FLOODING: Final = 256
"""The most flooding networks in one program, whose size is limited. Further ones are left out."""
MOST_KNOWN: Final = 500
"""The most known networks in one program.

If there are more, the program accepts every packet whose source is not in a flooding network.
"""
ONE_IN: Final = 64
"""One in this many packets from neither flooding nor known networks is accepted, at random."""
ONE_IN_FLOOD: Final = 16
"""One in this many packets from flooding networks is accepted, at random.

Others may have forged the network's addresses, so the network must not be cut off.
"""

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_LOAD_WORD: Final = 0x20
_LOAD_BYTE: Final = 0x30
_AND: Final = 0x54
_JUMP: Final = 0x05
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_NETWORK_HEADER: Final = 0xFFF00000
"""SKF_NET_OFF makes an offset count from the IP header, not from the UDP or TCP header."""
_RANDOM: Final = 0xFFFFF000 + 56
"""SKF_AD_RANDOM: the offset at which a program reads a random number from the kernel."""
_SOURCE: Final = {4: 12, 6: 8}
"""The offsets of the source address in the IP headers, in bytes."""
_ALL: Final = 0xFFFFFFFF
_WHOLE: Final = 0x7FFFFFFF

Instruction = tuple[int, int, int, int]
"""Opcode, jump if true, jump if false, constant."""
_ACCEPT: Final[Instruction] = (_RETURN, 0, 0, _WHOLE)
_DROP: Final[Instruction] = (_RETURN, 0, 0, 0)
_ACCEPT_UNLESS_NEW_CONNECTION: Final[Sequence[Instruction]] = (
    (_LOAD_BYTE, 0, 0, 13),  # the flags of the TCP header
    (_AND, 0, 0, 0x12),  # SYN and ACK
    (_JUMP_IF_EQUAL, 1, 0, 0x02),  # a SYN asks for a connection, an ACK continues one
    _ACCEPT,
)
THINNING_S: Final = 10.0
"""The duration of thinning, in seconds. Thinning begins again if the flood is still there."""
_MAX_SOURCES: Final = 4096
Networks = tuple[Network, ...]
SetFilter = Callable[[Networks, Networks | None], None]
"""Sets the kernel's filter. It is called when its arguments have changed.

The first argument has the thinned sources, the latest first. The second is None if strangers are
not thinned. Otherwise, it has the networks whose packets the kernel must not drop.
"""
T = TypeVar("T")
log = structlog.get_logger()


def program(
    flooding: Iterable[Network],
    known: Sequence[Network] | None = None,
    *,
    versions: Sequence[int],
) -> list[Instruction]:
    """Return the BPF program that drops packets by their source; empty if nothing is to be dropped.

    One in `ONE_IN_FLOOD` packets from the networks `flooding` is accepted. All other packets are
    accepted if `known` is None or has more than `MOST_KNOWN` networks. Otherwise, packets from the
    networks `known` are accepted, and one in `ONE_IN` packets from elsewhere. `versions` are the IP
    versions that the socket receives: 4, 6 or both. Networks of another version are left out.
    """
    thinned = [each for each in flooding if each.version in versions][:MOST_FLOODING]
    accepted = None if known is None else [each for each in known if each.version in versions]
    if accepted is not None and len(accepted) > MOST_KNOWN:
        accepted = None
    if not thinned and accepted is None:
        return []
    parts = [
        _part(
            [each for each in thinned if each.version == version],
            None if accepted is None else [each for each in accepted if each.version == version],
        )
        for version in versions
    ]
    if len(parts) == 1:
        return parts[0]
    return [
        (_LOAD_BYTE, 0, 0, _NETWORK_HEADER),
        (_AND, 0, 0, 0xF0),
        (_JUMP_IF_EQUAL, 1, 0, versions[0] << 4),
        (_JUMP, 0, 0, len(parts[0])),
        *parts[0],
        *parts[1],
    ]


def _part(flooding: Sequence[Network], known: Sequence[Network] | None) -> list[Instruction]:
    """Return the instructions for packets of one IP version. The last one ends the program."""
    written: list[Instruction] = []
    if known is not None:
        for network in known:
            written += [*_unless_from(network), _ACCEPT]
        written += _accept_one_in(ONE_IN)
    written.append(_ACCEPT)
    checks = [_unless_from(network) for network in flooding]
    before: list[Instruction] = []
    for check in checks:  # from each check of a flooding network, jump to the end of the program
        before += [*check, (_JUMP, 0, 0, 0)]
    end = len(before) + len(written)
    before = [
        (code, yes, no, end - at - 1) if code == _JUMP else (code, yes, no, constant)
        for at, (code, yes, no, constant) in enumerate(before)
    ]
    if flooding:
        written += [*_accept_one_in(ONE_IN_FLOOD), _ACCEPT]
    return [*before, *written]


def _accept_one_in(count: int) -> list[Instruction]:
    """Return the instructions that drop a packet, or continue for one in `count`."""
    return [
        (_LOAD_WORD, 0, 0, _RANDOM),
        (_AND, 0, 0, count - 1),
        (_JUMP_IF_EQUAL, 1, 0, 0),
        _DROP,
    ]


def _unless_from(network: Network) -> list[Instruction]:
    """Return the instructions that skip the next one, unless a packet is from this network."""
    words = struct.iter_unpack("!I", network.network_address.packed)
    masks = struct.iter_unpack("!I", network.netmask.packed)
    checks: list[Instruction] = []
    for index, ((word,), (mask,)) in enumerate(zip(words, masks, strict=True)):
        if mask:
            place = _NETWORK_HEADER + _SOURCE[network.version] + 4 * index
            checks.append((_LOAD_WORD, 0, 0, place))
            if mask != _ALL:
                checks.append((_AND, 0, 0, mask))
            checks.append((_JUMP_IF_EQUAL, 0, 0, word))
    return [
        (code, 0, len(checks) - index if code == _JUMP_IF_EQUAL else 0, constant)
        for index, (code, _, _, constant) in enumerate(checks)
    ]


def attach_filter(
    sock: socket.socket, flooding: Iterable[Network], known: Sequence[Network] | None = None
) -> None:
    """Make the kernel drop packets to a UDP or listening TCP socket, as `program` says.

    If there is nothing to drop, an attached filter is removed. If this kernel does not accept the
    filter, `OSError` is raised, and no packet is dropped.
    """
    code = program(flooding, known, versions=_versions(sock))
    if code and sock.type == socket.SOCK_STREAM:
        code = [*_ACCEPT_UNLESS_NEW_CONNECTION, *code]
    # The kernel has no memory for two large programs, so the attached one is removed first.
    with contextlib.suppress(FileNotFoundError):  # there was no attached filter
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    if not code:
        return
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(packed)
    described = struct.pack("@HP", len(code), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)


def _versions(sock: socket.socket) -> Sequence[int]:
    if sock.family == socket.AF_INET:
        return (4,)
    return (6,) if sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) else (4, 6)


@dataclass(frozen=True, slots=True)
class ThinningLimits:
    """The limits at which thinning starts, in refused packets within a second."""

    stranger: int
    """From one stranger."""
    known: int
    """From one known source."""
    strangers: int
    """From all strangers together. Of each stranger, only the first `few` packets count."""
    few: int
    """The most packets of one stranger that are counted for `strangers`."""


class Thinning:
    """Counts refused packets, and sets the kernel's filter if there are too many."""

    def __init__(
        self,
        limits: ThinningLimits,
        *,
        known: Callable[[float], Networks],
        set_filter: SetFilter = lambda *_: None,
    ) -> None:
        self._limits = limits
        self._known = known
        self._set_filter = set_filter
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """For each source, the start of the count of its refused packets, and the count."""
        self._strangers = 0
        self._thinned: OrderedDict[str, float] = OrderedDict()
        self._strangers_until = float("-inf")
        self._published: tuple[Networks, Networks | None] = (), None

    def count_stranger(self, source: str, now: float) -> None:
        """Count a refused packet of a stranger."""
        count = self._count(source, now)
        if count == self._limits.stranger:
            self._thin(source, now)
        if count <= self._limits.few:
            self._strangers += 1
            if self._strangers == self._limits.strangers:
                self._thin_strangers(now)

    def count_known(self, source: str, now: float) -> None:
        """Count a refused packet of a known source."""
        if self._count(source, now) == self._limits.known:
            self._thin(source, now)

    def sweep(self, now: float) -> None:
        """Update the kernel's filter, and count strangers from 0 again. Call this once a second."""
        for source in [each for each, until in self._thinned.items() if until < now - THINNING_S]:
            del self._thinned[source]
        self._strangers = 0
        self._publish(now)

    def _count(self, source: str, now: float) -> int:
        since, count = self._counts.get(source, (now, 0))
        if now - since > 1.0:
            since, count = now, 0
        _remember(self._counts, source, (since, count + 1))
        return count + 1

    def _thin(self, source: str, now: float) -> None:
        if self._thinned.get(source, float("-inf")) < now - THINNING_S:
            log.warning("source.thinned", source=source)
        _remember(self._thinned, source, now + THINNING_S)
        self._publish(now)

    def _thin_strangers(self, now: float) -> None:
        if now - self._strangers_until > THINNING_S:
            log.warning("strangers.thinned")
        self._strangers_until = now + THINNING_S
        self._publish(now)

    def _publish(self, now: float) -> None:
        latest = reversed(self._thinned.items())
        thinned = tuple(ip_network(source) for source, until in latest if until > now)
        current = thinned, self._known(now) if self._strangers_until > now else None
        if current != self._published:
            self._published = current
            self._set_filter(*current)


def _remember(kept: OrderedDict[str, T], source: str, value: T) -> None:
    kept[source] = value
    kept.move_to_end(source)
    if len(kept) > _MAX_SOURCES:
        kept.popitem(last=False)
