"""The pace of failed sign-ins: it slows the guessing of passwords, and locks no account out.

Only the failed sign-ins within the most recent `WINDOW_S` seconds are counted: of each account from
each network, of each network, and of each device with a valid token of an earlier sign-in
(`galwad.people.sign_in.devices`). Above a limit, one password is checked in a number of seconds,
and the others wait in the queue (`galwad.people.sign_in.queue`). A right password is accepted as
soon as it is checked.

A network is known if any account has signed in from it. All accounts have the same limits there,
also those that do not exist, so the limits do not show which accounts exist or are in use. What
happens at other networks never counts.

The counts are stored in memory.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, TypeVar

from galwad.host.networks import network_of

WINDOW_S: Final = 900.0
MAX_FAILURES: Final = 10
"""The failed sign-ins of one account from one network, or of one device, without a pace."""
MAX_FAILURES_OF_A_NETWORK: Final = 30
"""The failed sign-ins of all accounts from one network without a pace."""
KNOWN_PACE_S: Final = 5.0
"""The seconds between two checks for one account at a known network, or for a device."""
STRANGER_PACE_S: Final = 10.0
"""The seconds between two checks for one account, or in all, at a network that is not known."""
KNOWN_NETWORK_PACE_S: Final = 0.5
"""The seconds between two checks for all accounts together at a known network.

All people of an office sign in from one network in the morning, and some of them mistype.
"""
_MAX_KEYS: Final = 10_000

Key = tuple[str, str, str]
_Entry = TypeVar("_Entry")


class Throttle:
    """Counts failed sign-ins, and computes when the next password of a client may be checked.

    `device` is the id of the device whose token the client has shown for this account; "" if it has
    shown none. `clock` returns the monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[Key, deque[float]] = OrderedDict()
        """The times of failed sign-ins; the key with the newest failure is at the end."""
        self._known_pairs: OrderedDict[tuple[str, str], None] = OrderedDict()
        """The pairs of an account and a network from which this account has signed in.

        The pairs are sorted by the time of their most recent sign-in. The newest is at the end.
        """
        self._known_networks: OrderedDict[str, None] = OrderedDict()

    def knows(self, address: str) -> bool:
        """Return whether any account has signed in from the network of this address."""
        return network_of(address) in self._known_networks

    def source(self, account: str, address: str, device: str = "") -> str:
        """Return a name of the device, or of the network if the account has signed in from it.

        It is "" for a stranger to the account.
        """
        network = network_of(address)
        return device or (network if (account, network) in self._known_pairs else "")

    def ready_at(self, account: str, address: str, device: str = "") -> float:
        """Return the time from which the client's next password may be checked; 0.0 for now."""
        network = network_of(address)
        if device:
            return self._paced(("device", account, device), MAX_FAILURES, KNOWN_PACE_S)
        known = network in self._known_networks
        return max(
            self._paced(
                ("pair", account, network),
                MAX_FAILURES,
                KNOWN_PACE_S if known else STRANGER_PACE_S,
            ),
            self._paced(
                ("network", "", network),
                MAX_FAILURES_OF_A_NETWORK,
                KNOWN_NETWORK_PACE_S if known else STRANGER_PACE_S,
            ),
        )

    def failed(self, account: str, address: str, device: str = "") -> None:
        """Count a failed sign-in of `account` from `address`.

        Call this method just before the password is checked. If the password is right, call
        `succeeded`, which removes the failure again.
        """
        now = self._clock()
        for key in _keys(account, network_of(address), device):
            times = self._failures.setdefault(key, deque(maxlen=MAX_FAILURES_OF_A_NETWORK))
            times.append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > _MAX_KEYS or self._oldest() <= now - WINDOW_S:
            self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str, device: str = "") -> None:
        """Store that `account` has signed in from `address`, and remove what `failed` has counted.

        Earlier failures of a device are removed too. Those of a network are not: that would show
        the others in this network that the account exists.
        """
        self.know(account, address)
        self.uncounted(account, address, device)
        if device:
            self._failures.pop(("device", account, device), None)

    def uncounted(self, account: str, address: str, device: str = "") -> None:
        """Remove the failure that `failed` has counted: the password was right.

        If the sign-in is not complete, the client stays a stranger.
        """
        for key in _keys(account, network_of(address), device):
            times = self._failures.get(key)
            if times:
                times.pop()
                if not times:
                    del self._failures[key]

    def know(self, account: str, address: str) -> None:
        """Store that `account` has signed in from `address`, now or before the desk's start."""
        network = network_of(address)
        _renew(self._known_pairs, (account, network))
        _renew(self._known_networks, network)

    def _oldest(self) -> float:
        times = next(iter(self._failures.values()), None)
        return times[-1] if times else float("inf")

    def _paced(self, key: Key, limit: int, pace_s: float) -> float:
        times = self._failures.get(key)
        if times is None or len(times) < limit or times[-limit] <= self._clock() - WINDOW_S:
            return 0.0
        return times[-1] + pace_s


def _renew(known: OrderedDict[_Entry, None], key: _Entry) -> None:
    """Move an entry to the end, and remove the oldest one if there are too many."""
    known[key] = None
    known.move_to_end(key)
    if len(known) > _MAX_KEYS:
        known.popitem(last=False)


def _keys(account: str, network: str, device: str) -> tuple[Key, ...]:
    if device:
        return (("device", account, device),)
    return ("pair", account, network), ("network", "", network)
