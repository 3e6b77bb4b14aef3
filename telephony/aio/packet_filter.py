"""Sources that the kernel drops for us before a datagram reaches the process (SO_ATTACH_FILTER).

A flood is cheapest where it is never read: what the filter drops takes no place in the socket's
queue, so the requests of others still find one. It is a classic BPF program on the source
address, which the kernel checks before it takes it; no right is needed for that.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final

MOST_BARRED: Final = 256
"""More than these are not told to the kernel, which holds the program in little memory."""
MOST_FRIENDS: Final = 500
"""With more friends than these nobody is thinned out."""
ONE_IN: Final = 64
"""So many datagrams of strangers come to one that is let in, where they are thinned out."""

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_LOAD_WORD: Final = 0x20
_AND: Final = 0x54
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_NETWORK_HEADER: Final = 0xFFF00000
"""SKF_NET_OFF: offsets from the head of the IP packet; the filter begins at UDP's."""
_RANDOM: Final = 0xFFFFF000 + 56
"""SKF_AD_RANDOM: a number that the kernel draws."""
_SOURCE: Final = {4: 12, 6: 8}
_ALL: Final = 0xFFFFFFFF
_WHOLE: Final = 0x7FFFFFFF

Network = IPv4Network | IPv6Network
Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""


def program(
    barred: Iterable[Network], friends: Sequence[Network] | None = None, *, version: int
) -> list[Instruction]:
    """The filter that drops what comes from `barred`; empty where it has nothing to drop.

    Given `friends`, of all others one datagram in `ONE_IN` is let in.
    """
    written: list[Instruction] = []
    for network in [each for each in barred if each.version == version][:MOST_BARRED]:
        written += _verdict(network, 0)
    known = [each for each in friends or () if each.version == version]
    if friends is not None and len(known) <= MOST_FRIENDS:
        for network in known:
            written += _verdict(network, _WHOLE)
        written += [
            (_LOAD_WORD, 0, 0, _RANDOM),
            (_AND, 0, 0, ONE_IN - 1),
            (_JUMP_IF_EQUAL, 1, 0, 0),
            (_RETURN, 0, 0, 0),
        ]
    return [*written, (_RETURN, 0, 0, _WHOLE)] if written else []


def _verdict(network: Network, verdict: int) -> Iterator[Instruction]:
    """Return `verdict` for a packet from this network, else go on behind it."""
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


def shun(
    made: socket.socket, barred: Iterable[Network], friends: Sequence[Network] | None = None
) -> None:
    """Let the kernel drop what these send to a UDP socket, and most of what strangers do.

    Without either all are let in again.

    Raises:
        OSError: this kernel does not take it; the datagrams then arrive.
    """
    code = program(barred, friends, version=6 if made.family == socket.AF_INET6 else 4)
    if not code:
        with contextlib.suppress(FileNotFoundError):  # there was none
            made.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        return
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    room = ctypes.create_string_buffer(packed)
    described = struct.pack("@HP", len(code), ctypes.addressof(room))
    made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
