"""The users who are away, on a break or in wrap-up, as the desk has reported them.

A route with `skip_away` rings the phones of these users last. While no desk is connected, no
break can be ended, so the switch forgets the report after a while.
"""

from __future__ import annotations

from collections.abc import Iterable

KEPT_S = 3600.0
"""The time in seconds for which the report of a desk counts after its link is lost."""


class AwayUsers:
    """The names of the users who are away. `now` is a monotonic time in seconds."""

    def __init__(self) -> None:
        self._users: frozenset[str] = frozenset()
        self._forget_at: float | None = None

    def set(self, users: Iterable[str]) -> None:
        """Replace all users who are away, because a connected desk has reported them."""
        self._users, self._forget_at = frozenset(users), None

    def keep_until_forgotten(self, now: float) -> None:
        """Forget the present report after `KEPT_S` seconds, unless `set` is called before."""
        if self._forget_at is None:
            self._forget_at = now + KEPT_S

    def has(self, user: str, now: float) -> bool:
        """Return whether this user is away; False for a phone without a user, whose name is ""."""
        known = self._forget_at is None or now < self._forget_at
        return known and user in self._users
