"""Ports for tests, so that two test runs on one machine never meet on one.

They lie below those that the kernel gives out by itself. A block of them is ours while we hold
a socket of that block's name in the abstract namespace, which ends with the process.
"""

from __future__ import annotations

import atexit
import contextlib
import random
import socket
from dataclasses import dataclass

FIRST, LAST, BLOCK = 10_000, 32_699, 100
_SHORT = 4
"""The most blocks of a short range."""
_SINGLE = 500
"""The number of ports that `free_port` uses in turn."""


@dataclass(frozen=True, slots=True)
class Ports:
    """A range of ports that nobody else has, until `close`."""

    first: int
    last: int
    held: contextlib.ExitStack

    def __str__(self):
        """As settings have it, such as "20000-20399"."""
        return f"{self.first}-{self.last}"

    def __iter__(self):
        return iter(range(self.first, self.last + 1))

    @property
    def pair(self):
        """As a phone takes it."""
        return self.first, self.last

    def close(self):
        """Let others have it."""
        self.held.close()


def _order(starts, blocks):
    """The starts to try: long ranges fill the top half, short ones prefer the other half."""
    if blocks > _SHORT:
        return list(reversed(starts))
    middle = len(starts) // 2
    low, high = starts[:middle], starts[middle:]
    return random.sample(low, len(low)) + random.sample(high, len(high))


def claim(count):
    """A range of so many ports; the first is even."""
    blocks = -(-count // BLOCK)
    starts = range((LAST + 1 - FIRST) // BLOCK - blocks + 1)
    for start in _order(starts, blocks):
        with contextlib.ExitStack() as trial, contextlib.suppress(OSError):
            for number in range(start, start + blocks):
                trial.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)).bind(
                    f"\0galwad-tests-ports-{number}"
                )
            first, held = FIRST + start * BLOCK, trial.pop_all()
            atexit.register(held.close)
            return Ports(first, first + count - 1, held)
    raise AssertionError(f"no {count} ports in a row are left from {FIRST} to {LAST}")


def _in_turn():
    ports = claim(_SINGLE)
    while True:
        yield from range(ports.first, ports.last + 1)


_singles = _in_turn()


def free_port(host="127.0.0.1"):
    """A port of this address that nobody uses, by UDP or TCP: a phone binds both."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in _singles:
        with (
            socket.socket(family, socket.SOCK_DGRAM) as datagrams,
            socket.socket(family, socket.SOCK_STREAM) as connections,
            contextlib.suppress(OSError),
        ):
            datagrams.bind((host, port))
            connections.bind((host, port))
            return port
    raise AssertionError
