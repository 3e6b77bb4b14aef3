"""The order in which waiting sign-ins have their passwords checked, without I/O or a clock.

There are three kinds. Browsers on which the account has signed in before come first, in order of
arrival. Then sign-ins from known networks and those of strangers take turns, and after the check of
a stranger the next stranger waits `REST` times as long as this check took, but not longer than
`LONGEST_REST_S`: on a machine that is busy with other work, the check takes longer, but not more
computing. So guesses of strangers use about a quarter of the time.

Within the other kinds, the attempt with the lowest rank is next
(`galwad.people.sign_in.recent_attempts`), and of several the newest one. If too many wait, the last
one in this order is turned away, which can be the new one; of devices, the newest one of the device
that has the most. So a network that sends few sign-ins has its password checked soon, whatever
others send: the first sign-in of a network comes before the second one of any other.

Strangers who were turned away and come again with the same password, not too soon, have places and
turns of their own. So a stranger has two chances: as one of the few who are new when a flood has
lasted for a while, and as one of the few who come again when all of the flood is new.

An attempt waits while the pace of its account or network (`galwad.people.sign_in.throttle`) does
not allow a check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from functools import partial
from typing import Final

from galwad.people.sign_in.recent_attempts import Rank, RecentAttempts, SignInAttempt
from galwad.people.sign_in.throttle import Throttle

MOST_STRANGERS: Final = 16
MOST_KNOWN: Final = 64
MOST_DEVICES: Final = 256
"""The most attempts of each kind that wait; of strangers also that many who have come again."""
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
    """The attempts that wait. All times are monotonic seconds, as those of `throttle`."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._recent = RecentAttempts()
        self._waiting: dict[_Kind, dict[SignInAttempt, float]] = {kind: {} for kind in _Kind}
        """The attempts of each kind in order of arrival, and their times of arrival."""
        self._rest_until = 0.0
        """The time before which no password of a stranger is checked."""
        self._last = self._last_stranger = _Kind.STRANGER
        """The kind of the last attempt that was not a device's, and of the last stranger."""

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, attempt: SignInAttempt, now: float) -> SignInAttempt | None:
        """Let an attempt wait; return the one that is turned away for it, if there is one."""
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
        """Remove an attempt whose client has left."""
        for waiting in self._waiting.values():
            waiting.pop(attempt, None)

    def next(self, now: float) -> SignInAttempt | None:
        """Return and remove the attempt whose password is checked next; None if none may be yet.

        It counts as a failed sign-in until `uncounted` of the throttle is called.
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
    """Return the newest attempt of the device that has the most."""
    devices = Counter(each.device for each in waiting)
    return [each for each in waiting if each.device == devices.most_common(1)[0][0]][-1]
