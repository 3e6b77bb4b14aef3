"""The floods of desk_flood.py; each is a process that attacks the desk until it is killed."""

import contextlib
import itertools
import resource
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from _common import SWITCH
from _floods import Ports, Sent

HOSTS = tuple(f"127.66.0.{number}" for number in range(1, 5))
CROWD = tuple(f"127.67.{number >> 8}.{number & 255}" for number in range(1, 1001))
MOST_OPEN = 4000
"""The connections that a flood holds at the same time."""
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: desk\r\nX: "
HALF_BODY = b"POST /api/v1/login HTTP/1.1\r\nHost: desk\r\nContent-Length: 9000\r\n\r\n{"
GUESS = (
    b"POST /api/v1/login HTTP/1.1\r\nHost: desk\r\nContent-Type: application/json\r\n"
    b'Content-Length: 41\r\n\r\n{"user":"ceri","password":"wrong guess!"}'
)
FORGED = b"GET /api/v1/me HTTP/1.1\r\nHost: desk\r\nCookie: galwad=%d\r\n\r\n"


def _connections(hosts: Sequence[str], port: int) -> Iterator[socket.socket]:
    """Yield connections, from one host after another; close the oldest beyond `MOST_OPEN`."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kept: list[socket.socket] = []
    for host in itertools.cycle(hosts):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        made.bind((host, 0))
        made.connect_ex((SWITCH, port))
        kept.append(made)
        if len(kept) > MOST_OPEN:
            kept.pop(0).close()
        yield made


def _writable(made: socket.socket) -> None:
    """Wait until a connection is open, but not for long."""
    poll = select.poll()
    poll.register(made, select.POLLOUT)
    poll.poll(500)


def _send(data: bytes, hosts: Sequence[str], ports: Ports, sent: Sent) -> None:
    """Open connections as fast as possible; send `data` over each one as soon as it is open.

    A connection that the desk does not accept at once does not delay the next one.
    """
    opening, poll = {}, select.epoll()
    for number, made in enumerate(_connections(hosts, ports["desk"]), 1):
        sent.value = number
        if not data:
            continue
        opening[made.fileno()] = made
        poll.register(made, select.EPOLLOUT)
        for descriptor, _ in poll.poll(0):
            ready = opening.pop(descriptor)
            poll.unregister(descriptor)
            with contextlib.suppress(OSError):
                ready.send(data % number if b"%d" in data else data)


def _drip(ports: Ports, sent: Sent) -> None:
    """Hold as many requests as possible, each with a further byte every second."""
    made = _connections(CROWD, ports["desk"])
    held = [next(made) for _ in range(MOST_OPEN)]
    _writable(held[-1])
    for each in held:
        with contextlib.suppress(OSError):
            each.send(HALF_HEAD)
    sent.value = len(held)
    while True:
        for number, each in enumerate(held):
            try:
                each.send(b"y")
            except OSError:
                each.close()
                held[number] = next(made)
                sent.value += 1
        time.sleep(1)


def _streams(tokens: Sequence[str], count: int, ports: Ports, sent: Sent) -> None:
    """Hold event streams, `count` in all, shared equally by the sessions; read all of them.

    `sent` counts the streams that the desk has begun or refused.
    """
    poll, streams = select.epoll(), {}
    made = _connections([SWITCH], ports["desk"])
    for number in range(count):
        each = next(made)
        each.setblocking(True)
        token = tokens[number % len(tokens)]
        each.sendall(
            f"GET /api/v1/events HTTP/1.1\r\nHost: desk\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        each.setblocking(False)
        streams[each.fileno()] = each
        poll.register(each, select.EPOLLIN)
    silent = set(streams)
    while True:
        for descriptor, _ in poll.poll():
            silent.discard(descriptor)
            sent.value = count - len(silent)
            try:
                gone = not streams[descriptor].recv(65536)
            except OSError:
                gone = True
            if gone:
                poll.unregister(descriptor)
                streams.pop(descriptor).close()


DeskFlood = Callable[[Ports, Sent], None]
FLOODS: dict[str, DeskFlood] = {
    "bare": partial(_send, b"", HOSTS),
    "bare crowd": partial(_send, b"", CROWD),
    "bare, same address": partial(_send, b"", [SWITCH]),
    "half heads": partial(_send, HALF_HEAD, HOSTS),
    "half bodies": partial(_send, HALF_BODY, CROWD),
    "dripping heads": _drip,
    "guesses": partial(_send, GUESS, CROWD),
    "forged cookies": partial(_send, FORGED, CROWD),
}


def streams(tokens: Sequence[str], count: int) -> DeskFlood:
    """Return the flood with this number of event streams of these sessions."""
    return partial(_streams, tokens, count)
