"""Sign-ins of command lines that a person approves on the page.

A command line asks for a sign-in and gets a secret and a short code. It shows the code, and the
person enters it on the page, where they are signed in in their usual way. Then the command line
exchanges its secret for a token, once. This is the idea of RFC 8628, with the desk as the server.

A person who has seen only the code cannot get the token, because it needs the secret. The danger is
a person who approves the command line of somebody else (RFC 8628, section 5.4). So the page shows
the network address from which the code was requested, and asks.

All sign-ins are in memory. A restart of the desk ends those that are not complete.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

LIFETIME_S: Final = 600.0
"""The seconds in which the person must approve the command line."""
FETCH_S: Final = 60.0
"""The seconds after the approval in which the command line must fetch its token."""
MOST_WAITING: Final = 500
"""The most sign-ins that wait at the same time."""
MOST_FROM_A_NETWORK: Final = 10
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""The letters of a code: no vowels, so that no code is a word, and no digits."""
_LENGTH: Final = 8


class TooManyError(Exception):
    """Too many command lines wait for an approval."""


@dataclass(frozen=True, slots=True)
class Approver:
    """The person who approves a command line; `user` is "" if there is none yet.

    `provider` is true if the person has signed in with the account of an OpenID provider.
    `stepped_up` is the Unix time of the person's stronger sign-in there, if there was one.
    """

    user: str = ""
    provider: bool = False
    stepped_up: float | None = None


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command line that waits for its sign-in until the monotonic time `until`."""

    code: str
    address: str
    network: str
    until: float
    approver: Approver = Approver()


class CommandLines:
    """The command lines that wait. `clock` returns the monotonic time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, CommandLine] = {}
        """The command lines, by the digest of their secret."""

    def begin(self, address: str, network: str) -> tuple[str, CommandLine]:
        """Let a command line at a network address wait; return its secret, and the new entry.

        Raises:
            TooManyError: Too many wait already, in all or from this network.
        """
        self._expire()
        from_network = Counter(each.network for each in self._waiting.values())[network]
        if len(self._waiting) >= MOST_WAITING or from_network >= MOST_FROM_A_NETWORK:
            raise TooManyError
        secret, code = secrets.token_urlsafe(32), _new_code()
        while self.find(code) is not None:
            code = _new_code()
        new = CommandLine(code, address, network, self._clock() + LIFETIME_S)
        self._waiting[_digest(secret)] = new
        return secret, new

    def find(self, code: str) -> CommandLine | None:
        """Return the command line that waits with this code, as a person types it; or None."""
        self._expire()
        typed = canonical(code)
        for each in self._waiting.values():
            if not each.approver.user and secrets.compare_digest(each.code, typed):
                return each
        return None

    def approve(self, code: str, approver: Approver) -> CommandLine | None:
        """Approve the command line with this code; return it, or None if there is none.

        It must fetch its token within `FETCH_S` seconds.
        """
        found = self.find(code)
        if found is None:
            return None
        until = min(found.until, self._clock() + FETCH_S)
        approved = replace(found, approver=approver, until=until)
        key = next(key for key, each in self._waiting.items() if each is found)
        self._waiting[key] = approved
        return approved

    def redeem(self, secret: str) -> CommandLine | None:
        """Return the command line with this secret; None if there is none, or its time is over.

        If it is approved, it is forgotten, so that its secret is accepted once.
        """
        self._expire()
        key = _digest(secret)
        found = self._waiting.get(key)
        if found is not None and found.approver.user:
            del self._waiting[key]
        return found

    def _expire(self) -> None:
        now = self._clock()
        self._waiting = {key: each for key, each in self._waiting.items() if each.until > now}


def canonical(text: str) -> str:
    """Return a typed code in the form `BCDF-GHJK`; "" if the text is not a code."""
    letters = re.sub(r"[\s-]", "", text).upper()
    if len(letters) != _LENGTH or not set(letters) <= set(_LETTERS):
        return ""
    return f"{letters[:4]}-{letters[4:]}"


def _new_code() -> str:
    return canonical("".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)))


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
