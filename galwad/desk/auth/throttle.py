"""Limits for failed sign-ins: they slow the guessing of passwords, but do not lock advisors out.

Only the failed sign-ins within the most recent `WINDOW_S` seconds are counted. Addresses are
counted by network: an IPv4 address, or an IPv6 /64, of which an attacker can use every address.

A stranger has three limits. First, while one account has `MAX_FAILURES_PER_PAIR` failures from one
network, it cannot sign in from that network. Second, while one network has
`MAX_FAILURES_PER_NETWORK` failures, no account can sign in from it. Third, while one account has
`MAX_FAILURES_PER_ACCOUNT` failures from all networks together, each network must wait for its turn
before each sign-in. The first request sets the time of the turn, at most `MAX_DELAY_S` seconds
later, and nothing that others do afterwards can postpone it. So an attacker pays for each guess
with waiting time, and an advisor at a new address waits once.

Two kinds of clients are not strangers to an account: a device with a valid token of an earlier
sign-in (`galwad.desk.auth.devices`), and a network from which the account has signed in before. For
these, only failures from the same device or of this account from the same network count. After
`MAX_FAILURES_PER_PAIR` of them, the client must wait before each sign-in, but can always sign in
after the wait.

An account that does not exist is treated in the same way, so the limits do not show which accounts
exist. The counts are stored in memory.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from galwad.desk.networks import network_of

WINDOW_S = 900.0
MAX_FAILURES_PER_PAIR = 10
"""The limit for the failed sign-ins of one account from one network or one device.

At this number, a stranger cannot sign in. A client that is no stranger must wait before each
sign-in.
"""
MAX_FAILURES_PER_NETWORK = 30
MAX_FAILURES_PER_ACCOUNT = 20
"""The limit for the failed sign-ins of one account from all networks together.

Above this number, strangers must wait for their turns.
"""
MAX_DELAY_S = 60.0
TURN_KEPT_S = 300.0
"""The seconds for which a network can use its turn after the turn has come."""
_MAX_TIMES = max(MAX_FAILURES_PER_PAIR, MAX_FAILURES_PER_NETWORK, MAX_FAILURES_PER_ACCOUNT) + 7
_MAX_KEYS = 10_000
_MAX_TURNS = 65_536
"""More turns than strangers can ask for while an advisor waits for one."""

Key = tuple[str, str, str]


class Throttle:
    """Counts failed sign-ins, and computes how long an account must wait before its next sign-in.

    `device` is the id of the device whose token the client has shown for this account; "" if it has
    shown none. `clock` returns the monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[Key, deque[float]] = {}
        self._turns: OrderedDict[tuple[str, str], float] = OrderedDict()
        """The times of the strangers' turns, by account and network; the newest is at the end."""
        self._known_pairs: OrderedDict[tuple[str, str], None] = OrderedDict()
        """The pairs of an account and a network from which this account has signed in.

        The pairs are sorted by the time of their most recent sign-in. The newest is at the end.
        """

    def is_known(self, account: str, address: str, device: str = "") -> bool:
        """Return whether the client is no stranger to the account."""
        return bool(device) or (account, network_of(address)) in self._known_pairs

    def source(self, account: str, address: str, device: str = "") -> str:
        """Return a name of the known device or network; "" if the client is a stranger."""
        known = self.is_known(account, address, device)
        return device or (network_of(address) if known else "")

    def wait(self, account: str, address: str, device: str = "") -> int:
        """Return the seconds until `account` may sign in from `address`; 0 if it may do so now.

        If a stranger must wait for a turn and has none, this call sets the turn's time.
        """
        now, network = self._clock(), network_of(address)
        if self.is_known(account, address, device):
            longest = self._slowed(_own(account, network, device), MAX_FAILURES_PER_PAIR, now)
        else:
            longest = max(
                self._barred(("pair", account, network), MAX_FAILURES_PER_PAIR, now),
                self._barred(("network", "", network), MAX_FAILURES_PER_NETWORK, now),
                self._until_turn(account, network, now),
            )
        return int(longest) + 1 if longest > 0 else 0

    def failed(self, account: str, address: str, device: str = "") -> None:
        """Count a failed sign-in of `account` from `address`.

        Call this method before the password is checked. So several sign-ins at the same time cannot
        exceed a limit. If the password is right, call `succeeded`, which removes the failure again.
        """
        now = self._clock()
        if len(self._failures) > _MAX_KEYS:
            self._forget(now)
        for key in _keys(account, network_of(address), device):
            self._failures.setdefault(key, deque(maxlen=_MAX_TIMES)).append(now)
        self._turns.pop((account, network_of(address)), None)

    def succeeded(self, account: str, address: str, device: str = "") -> None:
        """Store that `account` has signed in from `address`, and correct the counts of failures.

        Before the password was checked, `failed` counted this sign-in as a failure. This failure is
        removed from all counts. Earlier failures are removed only from the count for this account
        at this network or of this device.
        """
        network = network_of(address)
        self.know(account, address)
        self._failures.pop(_own(account, network, device), None)
        self._remove_newest(_keys(account, network, device))

    def uncounted(self, account: str, address: str, device: str = "") -> None:
        """Remove the failure that `failed` has counted: the password was right.

        The sign-in is not complete, so earlier failures stay, and the client stays a stranger.
        """
        self._remove_newest(_keys(account, network_of(address), device))

    def know(self, account: str, address: str) -> None:
        """Store that `account` has signed in from `address`, now or before the desk's start."""
        pair = account, network_of(address)
        self._known_pairs[pair] = None
        self._known_pairs.move_to_end(pair)
        if len(self._known_pairs) > _MAX_KEYS:
            self._known_pairs.popitem(last=False)

    def _remove_newest(self, keys: tuple[Key, ...]) -> None:
        for key in keys:
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
        return times[-1] + _delay(len(times), limit) - now if len(times) >= limit else 0.0

    def _until_turn(self, account: str, network: str, now: float) -> float:
        failures = len(self._recent(("account", account, ""), now))
        if failures < MAX_FAILURES_PER_ACCOUNT:
            return 0.0
        turn = self._turns.get((account, network))
        if turn is None or now > turn + TURN_KEPT_S:
            turn = now + _delay(failures, MAX_FAILURES_PER_ACCOUNT)
            self._turns[account, network] = turn
            self._turns.move_to_end((account, network))
            if len(self._turns) > _MAX_TURNS:
                self._turns.popitem(last=False)
        return turn - now

    def _forget(self, now: float) -> None:
        old = [k for k, times in self._failures.items() if not times or times[-1] <= now - WINDOW_S]
        for key in old or list(self._failures)[: _MAX_KEYS // 2]:
            del self._failures[key]


def _delay(failures: int, limit: int) -> float:
    """Return the seconds to wait, which double with each failure above the limit."""
    return min(2.0 ** (failures - limit), MAX_DELAY_S)


def _own(account: str, network: str, device: str) -> Key:
    return ("device", account, device) if device else ("pair", account, network)


def _keys(account: str, network: str, device: str) -> tuple[Key, ...]:
    own = _own(account, network, device)
    return (own,) if device else (own, ("network", "", network), ("account", account, ""))
