"""Counts of what each network has sent recently, which decide the order of waiting sign-ins.

A person who mistypes, or is turned away and tries again, sends few different passwords. A program
that guesses sends many, and one that only floods sends many requests. So for each network and the
areas around it, the different pairs of an account and a password are counted, and the requests. And
it is noted which attempts were turned away, because a person comes again with the same password.

Passwords are kept only as digests with a key that is in memory, and only for a while: at most
`WINDOW_S` to twice this time, or less in a flood. A right password is forgotten at once.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, TypeAlias

from galwad.host.networks import areas_of

WINDOW_S: Final = 900.0
RETRY_S: Final = 2
"""The seconds after which a client that was turned away may try again; the same for all clients."""
_SOONEST_S: Final = 0.9
_LATEST_S: Final = 120.0
"""The seconds after which, and within which, a client must come again to count as returned."""
_MOST: Final = 16_384
"""The most counts of one kind that are kept of one window."""
_KEY: Final = secrets.token_bytes(32)
_DIGEST_BYTES: Final = 12
Rank: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SignInAttempt:
    """A sign-in that waits for the check of its password.

    `device` is the id of the device whose token the client has shown, or "". `known` is true if the
    network is known. `password` is a digest of the account and the password.
    """

    account: str
    address: str
    device: str
    known: bool
    password: bytes
    areas: tuple[str, ...] = field(init=False)
    """The areas of the address, the largest one first; the last one is its network."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "areas", areas_of(self.address))

    @property
    def network(self) -> str:
        """The network of the client's address."""
        return self.areas[-1]

    @property
    def keys(self) -> tuple[str, str, str]:
        """The arguments of the methods of `Throttle`."""
        return self.account, self.address, self.device


def digest_of(account: str, password: str) -> bytes:
    """Return the digest of an account and a password; only this process can compute it."""
    text = f"{account}\n{password}".encode(errors="surrogatepass")
    return blake2b(text, key=_KEY, digest_size=_DIGEST_BYTES).digest()


class RecentAttempts:
    """Counts attempts. All times are monotonic seconds."""

    def __init__(self) -> None:
        self._wrong = _Counts()
        """The passwords that were checked and are wrong."""
        self._passwords = tuple(_Counts() for _ in areas_of(""))
        self._requests = tuple(_Counts() for _ in areas_of(""))
        """The different passwords and the requests of each area, for each size of area."""
        self._of_account = _Counts()
        """The different passwords, by network and account."""
        self._unchecked = _Counts()
        """The requests with the same password that were not checked, by network."""
        self._turned_away: OrderedDict[tuple[str, bytes], tuple[float, float]] = OrderedDict()
        """The first and the last time at which attempts were turned away, by network and password.
        """

    def came(self, attempt: SignInAttempt, now: float) -> None:
        """Count an attempt that has arrived."""
        if not self._unchecked.of((attempt.network, attempt.password)):
            self._add_password(attempt, now, 1)
        self._unchecked.add((attempt.network, attempt.password), now)
        for area, requests in zip(attempt.areas, self._requests, strict=True):
            requests.add(area, now)

    def turned_away(self, attempt: SignInAttempt, now: float) -> None:
        """Note that an attempt had to leave before its password was checked."""
        key = attempt.network, attempt.password
        first, last = self._turned_away.get(key, (now, now))
        self._turned_away[key] = first if now - last <= _LATEST_S else now, now
        self._turned_away.move_to_end(key)
        if len(self._turned_away) > _MOST:
            self._turned_away.popitem(last=False)

    def returns(self, attempt: SignInAttempt, now: float) -> bool:
        """Return whether the attempt was turned away, and comes again, but not at once.

        A program that floods comes again sooner, or with another password.
        """
        times = self._turned_away.get((attempt.network, attempt.password))
        return times is not None and _SOONEST_S <= now - times[1] <= _LATEST_S

    def checked(self, attempt: SignInAttempt, now: float, *, right: bool) -> None:
        """Store the result of a check. A right password does not count against its network."""
        if not right:
            self._wrong.add(attempt.password, now)
            return
        key = attempt.network, attempt.password
        number = self._unchecked.of(key)
        self._wrong.remove(attempt.password)
        self._unchecked.remove(key)
        self._turned_away.pop(key, None)
        self._add_password(attempt, now, -1)
        for area, requests in zip(attempt.areas, self._requests, strict=True):
            requests.add(area, now, -number)

    def rank(self, attempt: SignInAttempt) -> Rank:
        """Return the rank of an attempt: the lowest one has its password checked first.

        A password that is known to be wrong comes last. Of areas, networks and accounts in a
        network, those come first that have sent the fewest different passwords, and then the fewest
        requests. Of the attempts of one account in one network, those come first that have come
        again most often with the same password.
        """
        sent = zip(attempt.areas, self._passwords, self._requests, strict=True)
        network = attempt.network
        return (
            self._is_wrong(attempt),
            *(count.of(area) for area, *counts in sent for count in counts),
            self._of_account.of((network, attempt.account)),
            -self._unchecked.of((network, attempt.password)),
        )

    def rank_of_returned(self, attempt: SignInAttempt) -> Rank:
        """Return the rank of an attempt among those that were turned away and have come again.

        Of those that have sent equally few passwords, the one comes first that was turned away for
        the first time most recently: a flood that comes again and again began earlier.
        """
        first, _ = self._turned_away.get((attempt.network, attempt.password), (0.0, 0.0))
        sent = zip(attempt.areas, self._passwords, strict=True)
        return self._is_wrong(attempt), *(passwords.of(area) for area, passwords in sent), -first

    def _is_wrong(self, attempt: SignInAttempt) -> int:
        return min(self._wrong.of(attempt.password), 1)

    def _add_password(self, attempt: SignInAttempt, now: float, number: int) -> None:
        for area, passwords in zip(attempt.areas, self._passwords, strict=True):
            passwords.add(area, now, number)
        self._of_account.add((attempt.network, attempt.account), now, number)


class _Counts:
    """Counts by key, of the present window and the one before."""

    def __init__(self) -> None:
        self._new: dict[object, int] = {}
        self._old: dict[object, int] = {}
        self._began = float("-inf")

    def of(self, key: object) -> int:
        """Return the count of a key."""
        return max(self._new.get(key, 0) + self._old.get(key, 0), 0)

    def add(self, key: object, now: float, number: int = 1) -> None:
        """Add to the count of a key."""
        if now - self._began >= WINDOW_S or len(self._new) >= _MOST:
            self._old = self._new if now - self._began < 2 * WINDOW_S else {}
            self._new, self._began = {}, now
        self._new[key] = self._new.get(key, 0) + number

    def remove(self, key: object) -> None:
        """Forget a key."""
        self._new.pop(key, None)
        self._old.pop(key, None)
