"""The limits for wrong codes and guessed passwords, and `SignInLimits`, the limits of a desk."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from galwad.host.limits import Rate, Window
from galwad.people.sign_in.devices import Devices
from galwad.people.sign_in.queue import SignInQueue
from galwad.people.sign_in.throttle import Throttle

CODES_OF_STRANGERS: Final = Rate(10, 3600.0)
"""The most wrong codes for one account from all strangers together.

So a guesser has 240 codes a day. Each of them is right with a chance of 3 in a million.
"""
CODES_OF_A_SOURCE: Final = Rate(10, 3600.0)
"""The wrong codes for one account from one known device or network after which codes must wait."""
CODE_PACE_S: Final = 60.0
"""The seconds between two codes from one device or network that has reached `CODES_OF_A_SOURCE`."""
CODES_ALARM: Final = Rate(5, 3600.0)
"""The wrong codes for one account at which an alarm is raised."""
PASSWORDS_ALARM: Final = {
    "account": Rate(8, 3600.0),
    "network": Rate(30, 3600.0),
    "all": Rate(200, 3600.0),
}
"""The wrong passwords at which an alarm is raised.

They are counted for one account, from one network, and for all accounts together.
"""


class CodeGuesses:
    """Counts the wrong codes for each account.

    Wrong codes of strangers do not delay known devices and networks (see `source` in
    `galwad.people.sign_in.throttle`). Only one-time codes have to wait: a recovery code is checked
    at once, also from a new place. `clock` returns the monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._strangers: Window[str] = Window(CODES_OF_STRANGERS, clock)
        self._sources: Window[tuple[str, str]] = Window(CODES_OF_A_SOURCE, clock)
        self._accounts: Window[str] = Window(CODES_ALARM, clock)

    def wait(self, account: str, source: str) -> int:
        """Return the seconds until a one-time code from this source is checked; 0 for now.

        `source` names a known device or network; it is "" for a stranger.
        """
        if not source:
            due = self._strangers.wait(account)
        elif self._sources.wait((account, source)) > 0:
            due = self._sources.newest((account, source)) + CODE_PACE_S - self._clock()
        else:
            due = 0.0
        return int(due) + 1 if due > 0 else 0

    def wrong(self, account: str, source: str) -> None:
        """Count a code as wrong before it is checked. If the code turns out right, call `right`.

        So several codes at the same time cannot exceed the limit.
        """
        self._accounts.add(account)
        if source:
            self._sources.add((account, source))
        else:
            self._strangers.add(account)

    def right(self, account: str, source: str) -> None:
        """Forget the newest code from this source, which `wrong` has counted."""
        self._accounts.remove_newest(account)
        if source:
            self._sources.remove_newest((account, source))
        else:
            self._strangers.remove_newest(account)

    def alarm_due(self, account: str) -> bool:
        """Return whether an alarm must be raised now: at most once an hour for an account."""
        return self._accounts.report_due(account)


class PasswordGuesses:
    """Counts wrong passwords, so that many guesses raise an alarm.

    `galwad.people.sign_in.throttle` limits the guesses. `clock` returns the monotonic time in
    seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts: dict[str, Window[str]] = {
            name: Window(rate, clock) for name, rate in PASSWORDS_ALARM.items()
        }

    def wrong(self, account: str, network: str) -> list[str]:
        """Count a wrong password; return the names of the counts that must raise an alarm now.

        The names are keys of `PASSWORDS_ALARM`. Each alarm is raised at most once an hour.
        """
        keys = {"account": account, "network": network, "all": ""}
        for name, key in keys.items():
            self._counts[name].add(key)
        return [name for name, key in keys.items() if self._counts[name].report_due(key)]


@dataclass(frozen=True, slots=True)
class SignInLimits:
    """Counts failed sign-ins and wrong codes, and knows the browsers that have signed in before.

    A known browser does not have to wait because of the failures of other clients.
    """

    devices: Devices
    throttle: Throttle
    queue: SignInQueue
    """The queue in which sign-ins wait for the check of their passwords."""
    codes: CodeGuesses = field(default_factory=CodeGuesses)
    passwords: PasswordGuesses = field(default_factory=PasswordGuesses)

    @classmethod
    def with_key_in(cls, path: Path) -> SignInLimits:
        """Return the limits of a desk whose key for known browsers is in the file `path`."""
        throttle = Throttle()
        return cls(Devices(path), throttle, SignInQueue(throttle))
