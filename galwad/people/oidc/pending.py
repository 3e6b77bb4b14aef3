"""The sign-ins that a browser has begun: they are in a sealed cookie, and not in memory.

The cookie binds a sign-in to the browser. So no stranger can fill the desk's memory with sign-ins,
and the response to another browser's sign-in is refused. The key of the seal is in memory: a person
who signs in during a restart of the desk must begin again.

A sign-in can be completed once, within `LIFETIME_S` seconds. Its state is marked as used when its
code is exchanged, and not before: a response without a code costs no memory. The states that were
used within this time are in memory, a limited number for each network. Above a limit, a new sign-in
is not refused: the oldest state is forgotten.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

from galwad.people.oidc.errors import ResponseError

LIFETIME_S: Final = 600.0
MOST_IN_A_BROWSER: Final = 4
"""The most sign-ins of one browser, such as in several tabs. The newest are kept."""
MOST_USED: Final = 50_000
MOST_USED_OF_A_NETWORK: Final = 2_000
"""The most states that are kept as used, in all and for each network.

The limit of a network is above the number of people of one office who sign in within `LIFETIME_S`.
"""
_LONGEST_COOKIE: Final = 4096


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in that a browser has begun. It ends at the Unix time `until`."""

    state: str
    nonce: str
    verifier: str
    until: float
    session: str = ""
    """The key of the session that is stepped up; "" for a sign-in."""
    place: str = ""
    """The fragment of the page's address from which the step-up was begun, without "#"."""

    @property
    def begun(self) -> float:
        """The Unix time at which the sign-in began."""
        return self.until - LIFETIME_S

    @property
    def challenge(self) -> str:
        """The code challenge of the verifier, by the method S256 (RFC 7636, section 4.2)."""
        digest = sha256(self.verifier.encode()).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


class PendingSignIns:
    """Begins sign-ins and completes them. `clock` returns the Unix time in seconds.

    If a network or all networks have too many used states, the oldest state is forgotten before
    its time is over. `on_forgotten` then gets the network of the new state. Only a flood causes
    this.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        on_forgotten: Callable[[str], None] = lambda _network: None,
    ) -> None:
        self._seal = Fernet(Fernet.generate_key())
        self._clock = clock
        self._on_forgotten = on_forgotten
        self._used: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """The network and the end of each used state; the oldest is first."""
        self._of_network: dict[str, OrderedDict[str, None]] = {}
        """The used states of each network; the oldest is first."""

    def begin(self, cookie: str, session: str = "", place: str = "") -> tuple[PendingSignIn, str]:
        """Begin a sign-in; return it, and the new value of the browser's cookie.

        For a step-up, `session` is the session's key and `place` the page's fragment; otherwise "".
        """
        new = PendingSignIn(
            secrets.token_urlsafe(32),
            secrets.token_urlsafe(32),
            secrets.token_urlsafe(48),
            self._clock() + LIFETIME_S,
            session,
            place,
        )
        kept = [new, *self._open(cookie)][:MOST_IN_A_BROWSER]
        sealed = self._seal.encrypt(json.dumps([asdict(each) for each in kept]).encode())
        return new, sealed.decode()

    def find(self, cookie: str, state: str) -> PendingSignIn:
        """Return the sign-in with this state, if it can be completed. Raises `ResponseError`."""
        for each in self._open(cookie):
            if hmac.compare_digest(each.state.encode(), state.encode(errors="replace")):
                if each.state in self._used:
                    break
                return each
        raise _over()

    def use(self, pending: PendingSignIn, network: str) -> None:
        """Mark the state of a sign-in as used, just before its code is exchanged.

        `network` is the network of the browser. Raises `ResponseError` if the sign-in is over, or
        was used already.
        """
        now = self._clock()
        if pending.until <= now or pending.state in self._used:
            raise _over()
        while self._used and next(iter(self._used.values()))[1] <= now:
            self._forget(next(iter(self._used)))
        theirs = self._of_network.get(network, ())
        if len(theirs) >= MOST_USED_OF_A_NETWORK:
            self._forget(next(iter(theirs)))
            self._on_forgotten(network)
        elif len(self._used) >= MOST_USED:
            self._forget(next(iter(self._used)))
            self._on_forgotten(network)
        self._used[pending.state] = network, pending.until
        self._of_network.setdefault(network, OrderedDict())[pending.state] = None

    def _forget(self, state: str) -> None:
        network, _ = self._used.pop(state)
        theirs = self._of_network[network]
        del theirs[state]
        if not theirs:
            del self._of_network[network]

    def _open(self, cookie: str) -> list[PendingSignIn]:
        """Return the sign-ins in a cookie that have not ended."""
        if not cookie or len(cookie) > _LONGEST_COOKIE:
            return []
        try:
            entries = json.loads(self._seal.decrypt(cookie.encode()))
        except (InvalidToken, UnicodeEncodeError):
            return []
        now = self._clock()
        return [each for entry in entries if (each := PendingSignIn(**entry)).until > now]


def _over() -> ResponseError:
    return ResponseError("this browser has begun no such sign-in, or it is over")
