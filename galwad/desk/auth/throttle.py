"""Limits for failed sign-ins: they slow the guessing of passwords, but do not lock advisors out.

Only the failed sign-ins within the most recent `WINDOW_S` seconds are counted. There are three
limits. First, while one account has `MAX_FAILURES_PER_PAIR` failures from one address, it cannot
sign in from that address. Second, while one address has `MAX_FAILURES_PER_ADDRESS` failures, no
account can sign in from it. Third, while one account has `MAX_FAILURES_PER_ACCOUNT` failures from
all addresses together, it must wait before each sign-in. The wait doubles with each further
failure, up to `MAX_DELAY_S` seconds.

If an account has signed in from an address before, another rule replaces all three limits for this
account at this address. Only the failures of this account from this address are counted. After
`MAX_FAILURES_PER_PAIR` failures the account must wait before each sign-in, but can always sign in
after the wait. So an attacker at another address cannot lock an advisor out. The counts are stored
in memory. A restart of the desk clears the counts, but an attacker cannot cause a restart.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW_S = 900.0
MAX_FAILURES_PER_PAIR = 10
"""The limit for the failed sign-ins of one account from one address.

At this number, an account that has not signed in from this address before cannot sign in from it.
An account that has signed in from this address before is not blocked, but must wait before each
sign-in.
"""
MAX_FAILURES_PER_ADDRESS = 30
MAX_FAILURES_PER_ACCOUNT = 20
"""The limit for the failed sign-ins of one account from all addresses together.

An account with this many failures must wait before each sign-in, except at an address from which it
has signed in before.
"""
MAX_DELAY_S = 60.0
_MAX_TIMES = max(MAX_FAILURES_PER_PAIR, MAX_FAILURES_PER_ADDRESS, MAX_FAILURES_PER_ACCOUNT) + 7
_MAX_KEYS = 10_000

Key = tuple[str, str, str]


class Throttle:
    """Counts failed sign-ins, and computes how long an account must wait before its next sign-in.

    `clock` returns the monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[Key, deque[float]] = {}
        self._known_pairs: OrderedDict[tuple[str, str], None] = OrderedDict()
        """The pairs of an account and an address from which this account has signed in.

        The pairs are sorted by the time of their most recent sign-in. The newest is at the end.
        """

    def wait(self, account: str, address: str) -> int:
        """Return the seconds until `account` may sign in from `address`; 0 if it may do so now."""
        now = self._clock()
        pair, all_of_address, all_of_account = _keys(account, address)
        if (account, address) in self._known_pairs:
            longest = self._slowed(pair, MAX_FAILURES_PER_PAIR, now)
        else:
            longest = max(
                self._barred(pair, MAX_FAILURES_PER_PAIR, now),
                self._barred(all_of_address, MAX_FAILURES_PER_ADDRESS, now),
                self._slowed(all_of_account, MAX_FAILURES_PER_ACCOUNT, now),
            )
        return int(longest) + 1 if longest > 0 else 0

    def failed(self, account: str, address: str) -> None:
        """Count a failed sign-in of `account` from `address`.

        Call this method before the password is checked. So several sign-ins at the same time cannot
        exceed a limit. If the password is right, call `succeeded`, which removes the failure again.
        """
        now = self._clock()
        if len(self._failures) > _MAX_KEYS:
            self._forget(now)
        for key in _keys(account, address):
            self._failures.setdefault(key, deque(maxlen=_MAX_TIMES)).append(now)

    def succeeded(self, account: str, address: str) -> None:
        """Store that `account` has signed in from `address`, and correct the counts of failures.

        Before the password was checked, `failed` counted this sign-in as a failure. This failure is
        removed from all counts. Earlier failures are removed only from the count for this account
        at this address.
        """
        self._known_pairs[account, address] = None
        self._known_pairs.move_to_end((account, address))
        if len(self._known_pairs) > _MAX_KEYS:
            self._known_pairs.popitem(last=False)
        pair, *others = _keys(account, address)
        self._failures.pop(pair, None)
        for key in others:
            times = self._failures.get(key)
            if times:
                times.pop()
                if not times:
                    del self._failures[key]

    def _recent(self, key: Key, now: float) -> deque[float]:
        times = self._failures.get(key, deque[float]())
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        return times

    def _barred(self, key: Key, limit: int, now: float) -> float:
        times = self._recent(key, now)
        return times[-limit] + WINDOW_S - now if len(times) >= limit else 0.0

    def _slowed(self, key: Key, limit: int, now: float) -> float:
        times = self._recent(key, now)
        if len(times) < limit:
            return 0.0
        return times[-1] + min(2.0 ** (len(times) - limit), MAX_DELAY_S) - now

    def _forget(self, now: float) -> None:
        old = [k for k, times in self._failures.items() if not times or times[-1] <= now - WINDOW_S]
        for key in old or list(self._failures)[: _MAX_KEYS // 2]:
            del self._failures[key]


def _keys(account: str, address: str) -> tuple[Key, Key, Key]:
    return ("pair", account, address), ("address", "", address), ("account", account, "")
