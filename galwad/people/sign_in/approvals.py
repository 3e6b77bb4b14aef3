"""Sign-ins of command lines and of panels of a CRM that a person approves on the page.

The client asks for a sign-in and gets a secret and a short code. It shows the code. On the page, a
signed-in person enters or compares the code, and approves the client. Then the client exchanges its
secret for a session, once. This is the idea of RFC 8628, with the desk as the server.

A person who has seen only the code cannot get the session, because it needs the secret. The danger
is a person who approves the client of another person (RFC 8628, section 5.4). So the page shows the
network address from which the code was requested, and asks for a confirmation.

Command lines and panels wait in separate `Approvals`, so that a person never approves a panel with
the code of a command line. All sign-ins are in memory. A restart of the desk ends those that are
not complete.

Anyone can begin a sign-in. A new sign-in is never refused, so that a flood keeps no person out. A
client that does not ask for its session is forgotten. Clients that have never asked, and clients
that have, are two groups. If a group has too many, in all or of one network, the client that has
been silent for the longest time makes room. So a flood of new sign-ins ends no sign-in whose client
asks every two seconds.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from galwad.host.limits import Rate
from galwad.people.sessions import Session

LIFETIME_S: Final = 600.0
"""The seconds in which the person must approve the client, and the client fetch its session."""
FETCH_S: Final = 120.0
"""The most seconds between the approval and the fetching of the session."""
SILENT_S: Final = 150.0
"""The seconds after which a client that has not asked for its session is forgotten.

The time is long because browsers run the timers of a hidden page only once a minute.
"""
MOST_WAITING: Final = 20_000
MOST_OF_A_NETWORK: Final = 2_000
"""The most clients of one kind (command lines or panels) that wait, in all and from one network.

Half are for clients that have never asked for their session, and half for those that have. Clients
that a person has approved do not count.
"""
CODES: Final = Rate(10, 600.0)
"""The most codes that one user may send in ten minutes, to show or approve a waiting client."""
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""The letters of a code. There are no vowels, so that no code is a word."""
_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class WaitingClient:
    """A client that waits for its sign-in until the monotonic time `until`.

    `site` is the origin of the page around a panel; "" for a command line. `approver` is the
    session in which a person has approved the client; None before that.
    """

    code: str
    address: str
    network: str
    until: float
    site: str = ""
    approver: Session | None = None


class _Line:
    """Clients by the time of their latest request. The first client has been silent longest."""

    def __init__(self, most: int, most_of_a_network: int) -> None:
        self._most = most
        self._most_of_a_network = most_of_a_network
        self._heard: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """The network of each client, and the time of its latest request."""
        self._of_network: dict[str, OrderedDict[str, None]] = {}

    def add(self, key: str, network: str, now: float) -> None:
        self._heard[key] = network, now
        self._of_network.setdefault(network, OrderedDict())[key] = None

    def remove(self, key: str) -> None:
        if key not in self._heard:
            return
        network, _ = self._heard.pop(key)
        theirs = self._of_network[network]
        del theirs[key]
        if not theirs:
            del self._of_network[network]

    def silent(self, since: float) -> str:
        """Return the first client if its latest request was before `since`, or else ""."""
        key = next(iter(self._heard), "")
        return key if key and self._heard[key][1] < since else ""

    def surplus(self, network: str) -> str:
        """Return the client that must make room for a new client of this network, or ""."""
        theirs = self._of_network[network]
        if len(theirs) > self._most_of_a_network:
            return next(iter(theirs))
        return next(iter(self._heard)) if len(self._heard) > self._most else ""


class Approvals:
    """The clients of one kind that wait. `clock` returns the monotonic time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, WaitingClient] = {}
        """The clients, by the digest of their secret."""
        self._codes: dict[str, str] = {}
        """The digest of the secret of each client that is not approved, by its code."""
        limits = MOST_WAITING // 2, MOST_OF_A_NETWORK // 2
        self._new, self._asking = _Line(*limits), _Line(*limits)
        """The clients that have never asked for their session, and those that have."""
        self._approved = _Line(MOST_WAITING, MOST_WAITING)

    def begin(self, address: str, network: str, site: str = "") -> tuple[str, WaitingClient]:
        """Let a client at a network address wait; return the client's secret, and the client."""
        self._expire()
        secret, code = secrets.token_urlsafe(32), _new_code()
        while code in self._codes:
            code = _new_code()
        new = WaitingClient(code, address, network, self._clock() + LIFETIME_S, site)
        key = _digest(secret)
        self._waiting[key], self._codes[code] = new, key
        self._join(self._new, key)
        return secret, new

    def find(self, code: str) -> WaitingClient | None:
        """Return the client that waits with a code that a person has typed, or None."""
        self._expire()
        return self._in_time(self._codes.get(canonical(code), ""))

    def approve(self, code: str, approver: Session) -> WaitingClient | None:
        """Approve the client with this code and return it; None if no client has this code."""
        found = self.find(code)
        if found is None:
            return None
        until = min(found.until, self._clock() + FETCH_S)
        approved = replace(found, approver=approver, until=until)
        key = self._codes.pop(found.code)
        self._waiting[key] = approved
        self._join(self._approved, key)
        return approved

    def redeem(self, secret: str) -> WaitingClient | None:
        """Return the client with this secret; None if there is none, or its time is over.

        An approved client is forgotten, so that its secret opens only one session.
        """
        self._expire()
        key = _digest(secret)
        found = self._in_time(key)
        if found is None:
            return None
        if found.approver is not None:
            self._forget(key)
        else:
            self._join(self._asking, key)
        return found

    def _join(self, line: _Line, key: str) -> None:
        """Move a client to the end of a line. Forget the client that must make room for it."""
        self._leave(key)
        network = self._waiting[key].network
        line.add(key, network, self._clock())
        surplus = line.surplus(network)
        if surplus:
            self._forget(surplus)

    def _in_time(self, key: str) -> WaitingClient | None:
        found = self._waiting.get(key)
        if found is not None and found.until <= self._clock():
            self._forget(key)
            return None
        return found

    def _expire(self) -> None:
        now = self._clock()
        for line, longest in (
            (self._new, SILENT_S), (self._asking, SILENT_S), (self._approved, FETCH_S)
        ):  # fmt: skip
            while key := line.silent(now - longest):
                self._forget(key)

    def _forget(self, key: str) -> None:
        gone = self._waiting.pop(key)
        self._codes.pop(gone.code, None)
        self._leave(key)

    def _leave(self, key: str) -> None:
        for line in (self._new, self._asking, self._approved):
            line.remove(key)


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
