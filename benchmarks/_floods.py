"""The floods of flood.py; each is a process that sends until it is killed."""

import contextlib
import multiprocessing
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from multiprocessing.sharedctypes import Synchronized
from typing import TypeAlias

from _common import CALLER, SWITCH

Ports: TypeAlias = dict[str, int]
"""The switch's ports, by transport."""
Sent: TypeAlias = "Synchronized[int]"
"""The number of messages or connections sent."""


def _invite(number: int, host: str, more: str = "") -> bytes:
    return (
        f"INVITE sip:{number}@galwad SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{number:x};rport\r\n"
        f"From: <sip:a@{host}>;tag={number:x}\r\nTo: <sip:{number}@galwad>\r\n"
        f"Call-ID: {number:x}@{host}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
        f"Contact: <sip:a@{host}>\r\n{more}Content-Length: 0\r\n\r\n"
    ).encode()


def _from(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    return made


def flood_junk(ports: Ports, sent: Sent) -> None:
    """Send random octets over UDP from one address."""
    made, data = _from("127.0.0.66"), [os.urandom(200) for _ in range(64)]
    while True:
        for each in data:
            made.sendto(each, (SWITCH, ports["udp"]))
        sent.value += len(data)


def flood_invites(ports: Ports, sent: Sent) -> None:
    """Send INVITEs without credentials from one address, each for another call."""
    made, number = _from("127.0.0.67"), 0
    while True:
        number += 1
        made.sendto(_invite(number, "127.0.0.67"), (SWITCH, ports["udp"]))
        sent.value = number


def _from_everywhere(network: int, more: str, ports: Ports, sent: Sent) -> None:
    hosts = [f"127.{network}.{number >> 8}.{number & 255}" for number in range(1, 2001)]
    crowd, number = [_from(host) for host in hosts], 0
    while True:
        for made, host in zip(crowd, hosts, strict=True):
            number += 1
            made.sendto(_invite(number, host, more), (SWITCH, ports["udp"]))
        sent.value = number


def flood_crowd(ports: Ports, sent: Sent) -> None:
    """Send the same from 2,000 addresses: as many sockets as one process can have."""
    _from_everywhere(7, "", ports, sent)


def flood_headers(ports: Ports, sent: Sent) -> None:
    """Send INVITEs of 64 kB from 2,000 addresses."""
    _from_everywhere(8, "X: y\r\n" * 10_000, ports, sent)


def flood_trunk(ports: Ports, sent: Sent) -> None:
    """Send calls without end from a trunk, and acknowledge none of them."""
    made, number = _from(CALLER), 0
    while True:
        number += 1
        made.sendto(_invite(number, CALLER), (SWITCH, ports["udp"]))
        sent.value = number


def flood_connections(ports: Ports, sent: Sent) -> None:
    """Open TCP connections that send nothing, half a 64 kB message, or half a TLS handshake."""
    hello = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    greeting, kept, number = hello.read(), [], 0
    half = b"INVITE sip:x SIP/2.0\r\n" + b"X: y\r\n" * 10_000
    while True:
        number += 1
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        made.bind((f"127.9.{number >> 8 & 255}.{number & 255}", 0))
        kind = number % 3
        with contextlib.suppress(OSError):
            made.connect_ex((SWITCH, ports["tls" if kind == 0 else "tcp"]))
            time.sleep(0.0002)
            if kind < 2:
                made.send(greeting if kind == 0 else half)
        kept.append(made)
        if len(kept) > 5000:
            kept.pop(0).close()
        sent.value = number


Flood = Callable[[Ports, Sent], None]
FLOODS: tuple[Flood, ...] = (
    flood_junk,
    flood_invites,
    flood_crowd,
    flood_headers,
    flood_trunk,
    flood_connections,
)


@contextlib.contextmanager
def running(flood: Flood, ports: Ports) -> Iterator[Sent]:
    """Run the flood in a process of its own; yield the number of messages sent so far."""
    sent = multiprocessing.get_context("fork").Value("q", 0, lock=False)
    process = multiprocessing.get_context("fork").Process(
        target=_be, args=(flood, ports, sent), daemon=True
    )
    process.start()
    try:
        yield sent
    finally:
        process.kill()
        process.join()


def _be(flood: Flood, ports: Ports, sent: Sent) -> None:
    signal.alarm(120)
    flood(ports, sent)
