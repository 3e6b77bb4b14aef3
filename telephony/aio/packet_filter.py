"""A kernel filter that drops datagrams from chosen sources (SO_ATTACH_FILTER).

A flood is cheapest if it is never read: a dropped datagram takes no place in the socket's queue, so
the requests of others still find one. The filter is a classic BPF program on the source address.
The kernel verifies it before use; attaching it needs no privilege.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final

MOST_BLOCKED: Final = 256
"""The most blocked networks in one program; the kernel limits the memory that it may take."""
MOST_KNOWN: Final = 500
"""The most known networks in one program; with more, all strangers' datagrams are accepted."""
ONE_IN: Final = 64
"""One in this many datagrams from strangers is accepted, at random, if `known` is given."""

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_LOAD_WORD: Final = 0x20
_AND: Final = 0x54
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_NETWORK_HEADER: Final = 0xFFF00000
"""SKF_NET_OFF: offsets count from the head of the IP packet; by default they count from UDP's."""
_RANDOM: Final = 0xFFFFF000 + 56
"""SKF_AD_RANDOM: a random number from the kernel."""
_SOURCE: Final = {4: 12, 6: 8}
_ALL: Final = 0xFFFFFFFF
_WHOLE: Final = 0x7FFFFFFF

Network = IPv4Network | IPv6Network
Instruction = tuple[int, int, int, int]
"""Opcode, jump if true, jump if false, constant."""


def program(
    blocked: Iterable[Network], known: Sequence[Network] | None = None, *, version: int
) -> list[Instruction]:
    """Return the filter that drops datagrams from `blocked`; empty if there is nothing to drop.

    If `known` is given, one in `ONE_IN` of all other sources' datagrams is accepted.
    """
    written: list[Instruction] = []
    for network in [each for each in blocked if each.version == version][:MOST_BLOCKED]:
        written += _verdict(network, 0)
    accepted = [each for each in known or () if each.version == version]
    if known is not None and len(accepted) <= MOST_KNOWN:
        for network in accepted:
            written += _verdict(network, _WHOLE)
        written += [
            (_LOAD_WORD, 0, 0, _RANDOM),
            (_AND, 0, 0, ONE_IN - 1),
            (_JUMP_IF_EQUAL, 1, 0, 0),
            (_RETURN, 0, 0, 0),
        ]
    return [*written, (_RETURN, 0, 0, _WHOLE)] if written else []


def _verdict(network: Network, verdict: int) -> Iterator[Instruction]:
    """Yield code that returns `verdict` for a packet from this network, else goes on after it."""
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
    for index, (code, _, _, constant) in enumerate(checks):
        behind = len(checks) - index if code == _JUMP_IF_EQUAL else 0
        yield code, 0, behind, constant
    yield _RETURN, 0, 0, verdict


def attach_filter(
    sock: socket.socket, blocked: Iterable[Network], known: Sequence[Network] | None = None
) -> None:
    """Let the kernel drop datagrams from `blocked` to a UDP socket.

    If `known` is given, the kernel also drops most datagrams from all other sources. With nothing
    to drop, the filter is removed.

    Raises:
        OSError: This kernel does not accept the filter; the datagrams still arrive.
    """
    code = program(blocked, known, version=6 if sock.family == socket.AF_INET6 else 4)
    if not code:
        with contextlib.suppress(FileNotFoundError):  # no filter was attached
            sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        return
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(packed)
    described = struct.pack("@HP", len(code), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
