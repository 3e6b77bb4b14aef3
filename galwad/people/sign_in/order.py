"""The order in which waiting sign-ins have their passwords checked, without I/O or a clock.

Browsers on which the account has signed in before come first, in order of arrival. Then known
networks and strangers take turns. After the check of a stranger, the next stranger waits `REST`
times as long as this check took. So guesses of strangers use about a quarter of the time. The wait
is at most `LONGEST_REST_S`, because on a machine that is busy with other work, a check takes longer
without computing more.

Among known networks, and among strangers, the attempt with the lowest rank is next. The rank is
computed from what each network has sent recently (`RecentAttempts`). Of attempts with the same
rank, the newest is next. If too many wait, the last attempt in this order is turned away. If too
many attempts of known browsers wait, the browser with the most attempts loses its newest attempt.

Strangers who were turned away and come again with the same password, not too soon, have places and
turns of their own. So a stranger has two chances in a flood. If the flood sends new attempts, few
returned attempts wait. If the flood's attempts come again, few new attempts wait.

An attempt waits while the pace of its account or network (`galwad.people.sign_in.throttle`) does
not allow a check.
"""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from hashlib import blake2b
from typing import Final, TypeAlias

from galwad.people.sign_in.throttle import Throttle
from net.addresses import areas_of

WINDOW_S: Final = 900.0
RETRY_S: Final = 2
"""The seconds in `Retry-After` of the response to a client that was turned away."""
_SOONEST_S: Final = 0.9
_LATEST_S: Final = 120.0
"""The least and the most seconds after which a client must come again to count as returned."""
_MOST_COUNTS: Final = 16_384
"""The most keys that are counted in one window, for each kind of count."""
_KEY: Final = secrets.token_bytes(32)
_DIGEST_BYTES: Final = 12
Rank: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SignInAttempt:
    """A sign-in that waits for the check of its password.

    `device` is as in `Throttle`. `known` is true if the network is known. `password` is a digest of
    the account and the password.
    """

    account: str
    address: str
    device: str
    known: bool
    password: bytes
    areas: tuple[str, ...] = field(init=False)
    """The areas of the address, from the largest area to the network."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "areas", areas_of(self.address))

    @property
    def network(self) -> str:
        """The network of the client's address."""
        return self.areas[-1]

    @property
    def keys(self) -> tuple[str, str, str]:
        """The arguments `account`, `address` and `device` of the methods of `Throttle`."""
        return self.account, self.address, self.device


def digest_of(account: str, password: str) -> bytes:
    """Return the digest of an account and a password. Only this process can compute it."""
    text = f"{account}\n{password}".encode(errors="surrogatepass")
    return blake2b(text, key=_KEY, digest_size=_DIGEST_BYTES).digest()


class RecentAttempts:
    """Counts recent attempts, and computes their ranks. All times are monotonic seconds."""

    def __init__(self) -> None:
        self._wrong = _Counts()
        """The passwords that were checked and are wrong."""
        self._passwords = tuple(_Counts() for _ in areas_of(""))
        self._requests = tuple(_Counts() for _ in areas_of(""))
        """The numbers of different passwords and of requests by area, for each size of area."""
        self._of_account = _Counts()
        """The different passwords, by network and account."""
        self._unchecked = _Counts()
        """The requests by network and password, except those with a password that was right."""
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
        if len(self._turned_away) > _MOST_COUNTS:
            self._turned_away.popitem(last=False)

    def returns(self, attempt: SignInAttempt, now: float) -> bool:
        """Return whether the attempt was turned away and comes again in time, but not too soon."""
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

        These attempts come first, in the order of importance:

        - attempts with a password that is not known to be wrong;
        - for each area, from the largest to the network: attempts from an area with fewer different
          passwords, then from an area with fewer requests;
        - in a network: attempts for an account with fewer different passwords, then attempts with a
          password that was sent more often.
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
        """Return the rank of an attempt that comes again, among the attempts that come again.

        If the areas of two attempts have sent equally many passwords, the attempt whose first
        refusal is newer comes first. A flood that comes again and again began earlier.
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
        return max(self._new.get(key, 0) + self._old.get(key, 0), 0)

    def add(self, key: object, now: float, number: int = 1) -> None:
        if now - self._began >= WINDOW_S or len(self._new) >= _MOST_COUNTS:
            self._old = self._new if now - self._began < 2 * WINDOW_S else {}
            self._new, self._began = {}, now
        self._new[key] = self._new.get(key, 0) + number

    def remove(self, key: object) -> None:
        self._new.pop(key, None)
        self._old.pop(key, None)


MOST_STRANGERS: Final = 16
MOST_KNOWN: Final = 64
MOST_DEVICES: Final = 256
"""The most attempts of each kind that wait. Strangers who have come again are a separate kind."""
REST: Final = 3.0
LONGEST_REST_S: Final = 0.6


class _Kind(Enum):
    DEVICE = "device"
    KNOWN = "known"
    STRANGER = "stranger"
    RETURNED = "returned"
    """A stranger who was turned away and has come again."""


_MOST: Final = {
    _Kind.DEVICE: MOST_DEVICES,
    _Kind.KNOWN: MOST_KNOWN,
    _Kind.STRANGER: MOST_STRANGERS,
    _Kind.RETURNED: MOST_STRANGERS,
}
_LONGEST_WAIT_S: Final = {
    _Kind.DEVICE: 60.0,
    _Kind.KNOWN: 5.0,
    _Kind.STRANGER: 4.0,
    _Kind.RETURNED: 7.0,
}
"""The seconds after which an attempt is turned away."""
_STRANGERS: Final = (_Kind.STRANGER, _Kind.RETURNED)


class SignInOrder:
    """The attempts that wait. All times are monotonic seconds, also the times of `throttle`."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._recent = RecentAttempts()
        self._waiting: dict[_Kind, dict[SignInAttempt, float]] = {kind: {} for kind in _Kind}
        """The attempts of each kind in order of arrival, and their times of arrival."""
        self._rest_until = 0.0
        """The time before which no password of a stranger is checked."""
        self._last = self._last_stranger = _Kind.STRANGER
        """The kind of the last chosen attempt without a device, and of the last chosen stranger."""

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, attempt: SignInAttempt, now: float) -> SignInAttempt | None:
        """Let an attempt wait. If too many wait, return the attempt that is turned away."""
        kind = self._kind_of(attempt, now)
        waiting = self._waiting[kind]
        self._recent.came(attempt, now)
        waiting[attempt] = now
        if len(waiting) <= _MOST[kind]:
            return None
        if kind is _Kind.DEVICE:
            last = _newest_of_busiest(waiting)
        else:
            last = max(waiting, key=partial(self._place, kind))
        self._turn_away(last, now)
        return last

    def remove(self, attempt: SignInAttempt) -> None:
        """Remove an attempt if it still waits."""
        for waiting in self._waiting.values():
            waiting.pop(attempt, None)

    def next(self, now: float) -> SignInAttempt | None:
        """Return and remove the attempt to check next; None if no password may be checked now.

        The attempt counts as a failed sign-in until `succeeded` or `uncounted` of the throttle is
        called.
        """
        devices = self._ready(_Kind.DEVICE, now)
        chosen = devices[0] if devices else self._next_of_networks(now)
        if chosen is None:
            return None
        self.remove(chosen)
        self._throttle.failed(*chosen.keys)
        return chosen

    def overdue(self, now: float) -> list[SignInAttempt]:
        """Return and remove the attempts that have waited for too long."""
        late = []
        for kind, waiting in self._waiting.items():
            longest = _LONGEST_WAIT_S[kind]
            late += [each for each, came in waiting.items() if now - came >= longest]
        for each in late:
            self._turn_away(each, now)
        return late

    def next_timer(self, now: float) -> float | None:
        """Return the time at which `next` or `overdue` may have an attempt; None if none waits.

        Call it after `next` has returned None.
        """
        times = []
        for kind, waiting in self._waiting.items():
            times += [came + _LONGEST_WAIT_S[kind] for came in waiting.values()]
            rest = self._rest_until if kind in _STRANGERS else now
            times += [max(self._throttle.ready_at(*each.keys), rest) for each in waiting]
        return min(times, default=None)

    def checked(self, attempt: SignInAttempt, began: float, now: float, *, right: bool) -> None:
        """Store the result of the check of a password, which took from `began` to `now`."""
        self._recent.checked(attempt, now, right=right)
        if not (attempt.device or attempt.known):
            self._rest_until = now + min(REST * (now - began), LONGEST_REST_S)

    def _turn_away(self, attempt: SignInAttempt, now: float) -> None:
        self.remove(attempt)
        self._recent.turned_away(attempt, now)

    def _kind_of(self, attempt: SignInAttempt, now: float) -> _Kind:
        if attempt.device:
            return _Kind.DEVICE
        if attempt.known:
            return _Kind.KNOWN
        return _Kind.RETURNED if self._recent.returns(attempt, now) else _Kind.STRANGER

    def _next_of_networks(self, now: float) -> SignInAttempt | None:
        """Return the next attempt of a known network or a stranger, who take turns."""
        turns = [_Kind.KNOWN]
        if now >= self._rest_until:
            strangers = sorted(_STRANGERS, key=lambda kind: kind is self._last_stranger)
            turns = [*strangers, *turns] if self._last is _Kind.KNOWN else [*turns, *strangers]
        for kind in turns:
            ready = self._ready(kind, now)
            if ready:
                self._last = kind
                if kind in _STRANGERS:
                    self._last_stranger = kind
                return min(ready, key=partial(self._place, kind))
        return None

    def _ready(self, kind: _Kind, now: float) -> list[SignInAttempt]:
        waiting = self._waiting[kind]
        return [each for each in waiting if self._throttle.ready_at(*each.keys) <= now]

    def _place(self, kind: _Kind, attempt: SignInAttempt) -> tuple[Rank, float]:
        returned = kind is _Kind.RETURNED
        rank = self._recent.rank_of_returned if returned else self._recent.rank
        return rank(attempt), -self._waiting[kind][attempt]


def _newest_of_busiest(waiting: Iterable[SignInAttempt]) -> SignInAttempt:
    """Return the newest attempt of the device that has the most attempts."""
    devices = Counter(each.device for each in waiting)
    return [each for each in waiting if each.device == devices.most_common(1)[0][0]][-1]
