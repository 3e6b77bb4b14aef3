"""The pace of failed sign-ins: it slows the guessing of passwords, and locks no account out.

There is a count of failed sign-ins for each pair of an account and a network, for each network, and
for each device with a valid token of an earlier sign-in (`galwad.people.sign_in.devices`). The
counts cover the most recent 15 minutes. At a limit, a pace begins: one password is checked every
0.5 to 10 seconds, and further passwords wait in the queue (`galwad.people.sign_in.queue`).

A network is known if any account has signed in from it. All accounts have the same limits there,
also those that do not exist, so the limits do not show which accounts exist or are in use. The
counts are stored in memory.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, TypeVar

from galwad.host.limits import MOST_KEYS, Rate, Window
from net.addresses import network_of

FAILURES: Final = Rate(10, 900.0)
"""The failed sign-ins of an account from one network, or on one device, at which a pace begins."""
FAILURES_OF_A_NETWORK: Final = Rate(30, 900.0)
"""The failed sign-ins of all accounts from one network at which a pace begins."""
KNOWN_PACE_S: Final = 5.0
"""The seconds between two checks for one account at a known network, or for a device."""
STRANGER_PACE_S: Final = 10.0
"""The seconds between two checks at an unknown network, for one account and for all accounts."""
KNOWN_NETWORK_PACE_S: Final = 0.5
"""The seconds between two checks for all accounts together at a known network.

The time is short, because all people of an office sign in from one network, and some mistype.
"""
Key = tuple[str, str, str]
_Entry = TypeVar("_Entry", bound=Hashable)


class Throttle:
    """Counts failed sign-ins, and computes when the next password of a client may be checked.

    `device` is the id of the device whose token the client has shown for this account, or the key
    of a session; "" without both. `clock` returns the monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clients: Window[Key] = Window(FAILURES, clock)
        """The failed sign-ins of each device, and of each account from each network."""
        self._networks: Window[str] = Window(FAILURES_OF_A_NETWORK, clock)
        self._known_pairs: OrderedDict[tuple[str, str], None] = OrderedDict()
        """The pairs of an account and a network from which this account has signed in.

        The pairs are sorted by the time of their most recent sign-in. The newest is at the end.
        """
        self._known_networks: OrderedDict[str, None] = OrderedDict()

    def knows(self, address: str) -> bool:
        """Return whether any account has signed in from the network of this address."""
        return network_of(address) in self._known_networks

    def source(self, account: str, address: str, device: str = "") -> str:
        """Return the id of the device, or else the network if the account has signed in from it.

        Return "" for a stranger to the account.
        """
        network = network_of(address)
        return device or (network if (account, network) in self._known_pairs else "")

    def ready_at(self, account: str, address: str, device: str = "") -> float:
        """Return the time from which the client's next password may be checked; 0.0 for now."""
        network = network_of(address)
        if device:
            return self._paced(self._clients, ("device", account, device), KNOWN_PACE_S)
        known = network in self._known_networks
        pace_s = KNOWN_PACE_S if known else STRANGER_PACE_S
        all_pace_s = KNOWN_NETWORK_PACE_S if known else STRANGER_PACE_S
        return max(
            self._paced(self._clients, ("pair", account, network), pace_s),
            self._paced(self._networks, network, all_pace_s),
        )

    def failed(self, account: str, address: str, device: str = "") -> None:
        """Count a failed sign-in of `account` from `address`.

        Call this method just before the password is checked. If the password is right, call
        `succeeded` or `uncounted`, which remove the failure again.
        """
        network = network_of(address)
        self._clients.add(_client(account, network, device))
        if not device:
            self._networks.add(network)

    def succeeded(self, account: str, address: str, device: str = "") -> None:
        """Store that `account` has signed in from `address`, and remove what `failed` has counted.

        Earlier failures of a device are removed too. Earlier failures of a network are not: that
        would show other people in this network that the account exists.
        """
        self.know(account, address)
        self.uncounted(account, address, device)
        if device:
            self._clients.forget(("device", account, device))

    def uncounted(self, account: str, address: str, device: str = "") -> None:
        """Remove the failure that `failed` has counted.

        Call this, and not `succeeded`, if the password was right but the sign-in is not complete:
        the network does not become known.
        """
        network = network_of(address)
        self._clients.remove_newest(_client(account, network, device))
        if not device:
            self._networks.remove_newest(network)

    def know(self, account: str, address: str) -> None:
        """Store that `account` has signed in from `address`, now or before the desk's start."""
        network = network_of(address)
        _renew(self._known_pairs, (account, network))
        _renew(self._known_networks, network)

    def _paced(self, failures: Window[_Entry], key: _Entry, pace_s: float) -> float:
        return failures.newest(key) + pace_s if failures.wait(key) > 0 else 0.0


def _renew(known: OrderedDict[_Entry, None], key: _Entry) -> None:
    known[key] = None
    known.move_to_end(key)
    if len(known) > MOST_KEYS:
        known.popitem(last=False)


def _client(account: str, network: str, device: str) -> Key:
    return ("device", account, device) if device else ("pair", account, network)
