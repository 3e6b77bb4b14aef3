"""Limits for wrong one-time codes, which follow a right password.

A client that sends wrong codes knows the password. Six digits can be guessed, so strangers together
have few wrong codes for each account: then their codes are refused until `WINDOW_S` seconds have
passed. Their recovery codes are not, because these cannot be guessed. So the owner of the account
can still sign in from a new place. Known devices and networks (see `source` in
`galwad.people.sign_in.throttle`) do not wait for strangers. After `MAX_OF_A_SOURCE` wrong codes,
each of them has one code in `PACE_S` seconds.

The counts are stored in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

WINDOW_S: Final = 3600.0
"""The seconds for which a wrong code counts."""
MAX_OF_STRANGERS: Final = 10
"""The most wrong codes for one account from all strangers together, within `WINDOW_S`.

So a guesser has 240 codes a day, of which each is right with a chance of 3 in a million.
"""
MAX_OF_A_SOURCE: Final = 10
"""The wrong codes for one account from one known device or network without a pace."""
PACE_S: Final = 60.0
"""The seconds between two codes for one account from one known device or network."""
ALARM_AT: Final = 5
"""The number of wrong codes for one account within `WINDOW_S` at which an alarm is raised."""


class CodeGuesses:
    """Counts wrong codes for each account. `clock` returns the monotonic time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: dict[str, list[tuple[float, str]]] = {}
        """The time and the source of each wrong code, by account. Strangers have the source ""."""
        self._alarmed: dict[str, float] = {}

    def wait(self, account: str, source: str) -> int:
        """Return the seconds until a one-time code from this source is checked; 0 for now.

        `source` names a known device or network; it is "" for a stranger.
        """
        times = [at for at, each in self._recent(account) if each == source]
        if source:
            due = times[-1] + PACE_S - self._clock() if len(times) >= MAX_OF_A_SOURCE else 0.0
            return int(due) + 1 if due > 0 else 0
        if len(times) < MAX_OF_STRANGERS:
            return 0
        return int(times[-MAX_OF_STRANGERS] + WINDOW_S - self._clock()) + 1

    def wrong(self, account: str, source: str) -> None:
        """Count a code as wrong. Call this before the code is checked, and `right` if it is right.

        So several codes at the same time cannot exceed the limit.
        """
        self._wrong[account] = [*self._recent(account), (self._clock(), source)]

    def right(self, account: str, source: str) -> None:
        """Forget the newest code from this source, which `wrong` has counted."""
        recent = self._recent(account)
        newest = max((n for n, (_, each) in enumerate(recent) if each == source), default=None)
        recent = [each for n, each in enumerate(recent) if n != newest]
        self._wrong[account] = recent
        if not recent:
            del self._wrong[account]

    def alarm_due(self, account: str) -> bool:
        """Return whether an alarm must be raised now: at most once in `WINDOW_S` for an account."""
        now = self._clock()
        due = (
            len(self._recent(account)) >= ALARM_AT
            and self._alarmed.get(account, float("-inf")) <= now - WINDOW_S
        )
        if due:
            self._alarmed[account] = now
        return due

    def _recent(self, account: str) -> list[tuple[float, str]]:
        oldest = self._clock() - WINDOW_S
        return [each for each in self._wrong.get(account, []) if each[0] > oldest]
