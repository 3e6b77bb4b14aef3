"""The floods of flood.py; each is a process that sends until it is killed."""

import contextlib
import multiprocessing
import os
import selectors
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.sharedctypes import Synchronized
from typing import TypeAlias

from _common import CALLER, SWITCH

Ports: TypeAlias = dict[str, int]
"""The switch's ports, by transport."""
Sent: TypeAlias = "Synchronized[int]"
"""The number of messages or connections sent."""
KNOWN = "127.0.0.80"
"""The address of a registered phone, from which some floods come too."""
STRANGER = "127.0.0.66"
_A_WRITE = 50
"""The number of messages that are written to a connection at once."""
_WRITES_A_TURN = 20
_SEND_BUFFER = 32 * 1024
"""The send buffer is small, so that the messages sent are about those that the switch has read."""


def _invite(number: int, host: str, more: str = "", transport: str = "UDP") -> bytes:
    return (
        f"INVITE sip:{number}@galwad SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {host}:5060;branch=z9hG4bK{number:x};rport\r\n"
        f"From: <sip:a@{host}>;tag={number:x}\r\nTo: <sip:{number}@galwad>\r\n"
        f"Call-ID: {number:x}@{host}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
        f"Contact: <sip:a@{host}>\r\n{more}Content-Length: 0\r\n\r\n"
    ).encode()


def _from(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    return made


def flood_nothing(ports: Ports, sent: Sent) -> None:
    """Send nothing, to compare."""
    del ports, sent
    while True:
        time.sleep(1.0)


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
    """Send INVITEs without credentials from 2,000 addresses, each with a socket of its own."""
    _from_everywhere(7, "", ports, sent)


def flood_headers(ports: Ports, sent: Sent) -> None:
    """Send INVITEs of 64 kB from 2,000 addresses."""
    _from_everywhere(8, "X: y\r\n" * 10_000, ports, sent)


def flood_trunk(ports: Ports, sent: Sent) -> None:
    """Send INVITEs from a trunk as fast as possible, and acknowledge no response."""
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


def flood_known_udp(ports: Ports, sent: Sent) -> None:
    """Send INVITEs without credentials over UDP from the address of a registered phone."""
    made, number = _from(KNOWN), 0
    while True:
        number += 1
        made.sendto(_invite(number, KNOWN), (SWITCH, ports["udp"]))
        sent.value = number


class _Stream:
    """A connection that sends INVITEs as fast as the switch reads them, and reads the responses."""

    def __init__(self, host: str, transport: str, port: int) -> None:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(2.0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        try:
            made.bind((host, 0))
            made.connect((SWITCH, port))
            self.socket = made if transport == "tcp" else _client().wrap_socket(made)
        except OSError:
            made.close()
            raise
        self.socket.setblocking(False)
        self._host, self._transport, self._unsent = host, transport.upper(), b""

    def exchange(self, number: int) -> int:
        """Send what fits, and return the number of the last message. Read what there is.

        Raises:
            OSError: The connection has ended.
        """
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            for _ in range(_WRITES_A_TURN):
                if not self._unsent:
                    numbers = range(number + 1, number + _A_WRITE + 1)
                    self._unsent = b"".join(
                        _invite(each, self._host, transport=self._transport) for each in numbers
                    )
                    number += _A_WRITE
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while True:
                if not self.socket.recv(65536):
                    raise ConnectionResetError
        return number


def _client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _over_streams(host: str, transport: str, count: int, ports: Ports, sent: Sent) -> None:
    """Send INVITEs without credentials over `count` connections. Replace connections that end."""
    number, streams = 0, selectors.DefaultSelector()
    while True:
        while len(streams.get_map()) < count:
            with contextlib.suppress(OSError):
                stream = _Stream(host, transport, ports[transport])
                streams.register(
                    stream.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, stream
                )
            if number:
                break  # a refused connection must not stop the others
        for key, _ in streams.select(0.01):
            try:
                number = key.data.exchange(number)
            except OSError:
                streams.unregister(key.fileobj)
                key.data.socket.close()
        sent.value = number


def flood_handshakes(ports: Ports, sent: Sent) -> None:
    """Open and close TLS connections from the address of a registered phone."""
    number = 0
    while True:
        number += 1
        with contextlib.suppress(OSError):
            _Stream(KNOWN, "tls", ports["tls"]).socket.close()
        sent.value = number


def flood_crowd_tcp(ports: Ports, sent: Sent) -> None:
    """Send 20 INVITEs over each of many TCP connections, each from an address of its own."""
    number, kept = 0, []
    while True:
        number += 20
        host = f"127.10.{number // 20 >> 8 & 255}.{number // 20 & 255}"
        with contextlib.suppress(OSError):
            stream = _Stream(host, "tcp", ports["tcp"])
            kept.append(stream)
            messages = (_invite(number + each, host, transport="TCP") for each in range(20))
            stream.socket.send(b"".join(messages))
        if len(kept) > 500:
            kept.pop(0).socket.close()
        sent.value = number


Flood = Callable[[Ports, Sent], None]
FLOODS: dict[str, Flood] = {
    "nothing": flood_nothing,
    "junk": flood_junk,
    "invites": flood_invites,
    "crowd": flood_crowd,
    "headers": flood_headers,
    "trunk": flood_trunk,
    "connections": flood_connections,
    "crowd tcp": flood_crowd_tcp,
    "stranger tcp": partial(_over_streams, STRANGER, "tcp", 1),
    "stranger tls": partial(_over_streams, STRANGER, "tls", 1),
    "known udp": flood_known_udp,
    "known tcp": partial(_over_streams, KNOWN, "tcp", 1),
    "known tls": partial(_over_streams, KNOWN, "tls", 1),
    "known tcp*150": partial(_over_streams, KNOWN, "tcp", 150),
    "trunk tcp": partial(_over_streams, CALLER, "tcp", 1),
    "handshakes": flood_handshakes,
}


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
