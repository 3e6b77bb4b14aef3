"""Sign-ins of command lines and of panels of a CRM that a person approves on the page.

Such a client asks for a sign-in and gets a secret and a short code. It shows the code. On the page,
where the person is signed in in their usual way, they enter or compare the code and approve the
client. Then the client exchanges its secret for a session, once. This is the idea of RFC 8628, with
the desk as the server.

A person who has seen only the code cannot get the session, because it needs the secret. The danger
is a person who approves the client of somebody else (RFC 8628, section 5.4). So the page shows the
network address from which the code was requested, and asks.

Command lines and panels wait in an `Approvals` of their own, so that the code of the one is never
approved as the other. All sign-ins are in memory. A restart of the desk ends those that are not
complete.
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

from galwad.desk.auth.sessions import Session

LIFETIME_S: Final = 600.0
"""The seconds in which the person must approve the client."""
FETCH_S: Final = 120.0
"""The seconds after the approval in which the client must fetch its session.

Browsers call the timers of a page out of sight once a minute.
"""
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""The letters of a code: no vowels, so that no code is a word, and no digits."""
_LENGTH: Final = 8


class TooManyError(Exception):
    """Too many clients wait for an approval."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most clients that wait at the same time: in all, and from one network."""

    in_all: int
    from_a_network: int


COMMAND_LINES: Final = Limits(500, 10)
PANELS: Final = Limits(2000, 200)
"""All advisors of a council may begin within a minute, from one address of its network."""


@dataclass(frozen=True, slots=True)
class WaitingClient:
    """A client that waits for its sign-in until the monotonic time `until`.

    `site` is the origin around a panel, or "" for a command line. `approver` is the session in
    which a person has approved it, or None.
    """

    code: str
    address: str
    network: str
    until: float
    site: str = ""
    approver: Session | None = None


class Approvals:
    """The clients of one kind that wait. `clock` returns the monotonic time in seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._waiting: dict[str, WaitingClient] = {}
        """The clients, by the digest of their secret."""

    def begin(self, address: str, network: str, site: str = "") -> tuple[str, WaitingClient]:
        """Let a client at a network address wait; return its secret, and the new entry.

        Raises:
            TooManyError: Too many wait already, in all or from this network.
        """
        self._expire()
        from_network = Counter(each.network for each in self._waiting.values())[network]
        limits = self._limits
        if len(self._waiting) >= limits.in_all or from_network >= limits.from_a_network:
            raise TooManyError
        secret, code = secrets.token_urlsafe(32), _new_code()
        while self.find(code) is not None:
            code = _new_code()
        new = WaitingClient(code, address, network, self._clock() + LIFETIME_S, site)
        self._waiting[_digest(secret)] = new
        return secret, new

    def find(self, code: str) -> WaitingClient | None:
        """Return the client that waits with this code, as a person types it; or None."""
        self._expire()
        typed = canonical(code)
        for each in self._waiting.values():
            if each.approver is None and secrets.compare_digest(each.code, typed):
                return each
        return None

    def approve(self, code: str, approver: Session) -> WaitingClient | None:
        """Approve the client with this code in a session; return it, or None if there is none.

        It must fetch its session within `FETCH_S` seconds.
        """
        found = self.find(code)
        if found is None:
            return None
        until = min(found.until, self._clock() + FETCH_S)
        approved = replace(found, approver=approver, until=until)
        key = next(key for key, each in self._waiting.items() if each is found)
        self._waiting[key] = approved
        return approved

    def redeem(self, secret: str) -> WaitingClient | None:
        """Return the client with this secret; None if there is none, or its time is over.

        If it is approved, it is forgotten, so that its secret is accepted once.
        """
        self._expire()
        key = _digest(secret)
        found = self._waiting.get(key)
        if found is not None and found.approver is not None:
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
