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
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Final

MOST_SOURCES: Final = 256
"""More than these are not told to the kernel, which holds the program in little memory."""

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_LOAD_WORD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_NETWORK_HEADER: Final = 0xFFF00000
"""SKF_NET_OFF: offsets from the head of the IP packet; the filter begins at UDP's."""
_IPV4_SOURCE: Final = 12
_IPV6_SOURCE: Final = 8
_WHOLE: Final = 0x7FFFFFFF

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""


def program(networks: Iterable[IPv4Network | IPv6Network], *, ipv6: bool) -> list[Instruction]:
    """The filter that drops what comes from these: IPv4 hosts, IPv6 networks of 64 bits."""
    written: list[Instruction] = []
    wanted = [network for network in networks if (network.version == 6) is ipv6]
    if not ipv6:
        written.append((_LOAD_WORD, 0, 0, _NETWORK_HEADER + _IPV4_SOURCE))
    for network in wanted[:MOST_SOURCES]:
        if ipv6:
            high, low = struct.unpack_from("!II", network.network_address.packed)
            written += [
                (_LOAD_WORD, 0, 0, _NETWORK_HEADER + _IPV6_SOURCE),
                (_JUMP_IF_EQUAL, 0, 3, high),
                (_LOAD_WORD, 0, 0, _NETWORK_HEADER + _IPV6_SOURCE + 4),
                (_JUMP_IF_EQUAL, 0, 1, low),
            ]
        else:
            (word,) = struct.unpack("!I", network.network_address.packed)
            written.append((_JUMP_IF_EQUAL, 0, 1, word))
        written.append((_RETURN, 0, 0, 0))
    return [*written, (_RETURN, 0, 0, _WHOLE)]


def shun(made: socket.socket, networks: Iterable[IPv4Network | IPv6Network]) -> None:
    """Let the kernel drop what these send to a UDP socket; an empty list lets all in again.

    Raises:
        OSError: this kernel does not take it; the datagrams then arrive.
    """
    ipv6 = made.family == socket.AF_INET6
    code = program(networks, ipv6=ipv6)
    if len(code) <= (1 if ipv6 else 2):
        with contextlib.suppress(FileNotFoundError):  # there was none
            made.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        return
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    room = ctypes.create_string_buffer(packed)
    described = struct.pack("@HP", len(code), ctypes.addressof(room))
    made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
