"""Limits on guessed SIP passwords, for each address and for each account.

Wrong passwords are counted for the address from which they came and for the account that they
named. When a count is too high, an alarm is raised, and further passwords from this address or for
this account are checked only slowly. This applies to known addresses too, such as an office behind
address translation.

Meanwhile, the phone that knows the password is not locked out. A phone whose password was right is
not slowed down at the same address and port, or on the same connection. From a new port or
connection, the first passwords are checked, but only one a second for all new ports together. So a
guesser must take a new port for every three guesses. Emergency calls have a limit of their own, in
the networks in which the account's password was right before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from galwad.switch.edge.guard import WINDOW_S, Bucket, trim
from net.addresses import network_of
from telephony.sip.events import Address

MOST_WRONG: Final = 20.0
"""The number of wrong passwords from one address within `WINDOW_S` seconds that raises an alarm.

It is higher than the number that bans a stranger, which is usually `ban_after` = 10.
"""
MOST_WRONG_FOR_ACCOUNT: Final = 30.0
"""The number of wrong passwords for one account, from all addresses, that raises an alarm."""
SLOW_RATE: Final = 1.0
"""The passwords a second that are checked, from new ports, for an address or account in alarm."""

_MOST_FAMILIAR: Final = 16_384
_FLOW_RATE: Final = 1 / 30
_FLOW_IN_ADVANCE_S: Final = 60.0
"""From a port that is new to us, three passwords are checked at once, and then two a minute."""
_EMERGENCY_RATE: Final = 1 / 5
_EMERGENCY_IN_ADVANCE_S: Final = 15.0
"""For emergency calls of an account, a few passwords are checked at once, then twelve a minute."""

log = structlog.get_logger()
Key = TypeVar("Key")
Value = TypeVar("Value")


class _Suspect:
    """The wrong passwords of one address or account."""

    __slots__ = ("_most", "_since", "_wrong", "reported_at", "slow")

    def __init__(self, most: float) -> None:
        self._most = most
        self._wrong = 0.0
        self._since = float("-inf")
        self.reported_at = float("-inf")
        self.slow = Bucket(in_advance_s=10.0)

    def add(self, now: float) -> None:
        self._wrong = self._count(now) + 1.0
        self._since = now

    def is_guessing(self, now: float) -> bool:
        return self._count(now) >= self._most

    def _count(self, now: float) -> float:
        return max(0.0, self._wrong - (now - self._since) * self._most / WINDOW_S)


class GuessLimits:
    """Decides whether a password is checked. All times are in monotonic seconds."""

    def __init__(
        self, is_account: Callable[[str], bool], alarm: Callable[[str, None, str], None]
    ) -> None:
        """Start without wrong passwords.

        `is_account` returns whether a phone with this name has an account. `alarm` gets a kind,
        None and a text for a person.
        """
        self._is_account = is_account
        self._alarm = alarm
        self._sources: OrderedDict[str, _Suspect] = OrderedDict()
        self._accounts: OrderedDict[str, _Suspect] = OrderedDict()
        self._familiar: OrderedDict[tuple[str, Address], None] = OrderedDict()
        self._homes: OrderedDict[tuple[str, str], Bucket] = OrderedDict()
        """The networks in which an account's password was right, with the limit on emergency calls.

        Another device there can use this limit up only if it guesses the password of this account
        with emergency calls.
        """
        self._flows: OrderedDict[Address, Bucket] = OrderedDict()

    def may_check(
        self, user: str, source: Address, now: float, *, for_emergency: bool = False
    ) -> bool:
        """Return whether to check a password for `user`.

        `for_emergency` is true if it came with the INVITE of an emergency call.
        """
        if (user, source) in self._familiar:
            return True
        origin = network_of(source.host)
        suspects = [self._sources.get(origin)]
        if (user, origin) not in self._homes:
            suspects.append(self._accounts.get(user))
        guessing = [each for each in suspects if each is not None and each.is_guessing(now)]
        if guessing and for_emergency and (home := self._homes.get((user, origin))) is not None:
            return home.take(_EMERGENCY_RATE, now)
        return not guessing or (
            self._flow(source).take(_FLOW_RATE, now)
            and all(each.slow.take(SLOW_RATE, now) for each in guessing)
        )

    def count_right(self, user: str, source: Address) -> None:
        """Remember a right password: this port or connection is no longer slowed down."""
        _remember(self._familiar, (user, source), None)
        home = (user, network_of(source.host))
        _remember(self._homes, home, self._homes.get(home) or Bucket(_EMERGENCY_IN_ADVANCE_S))

    def count_wrong(self, user: str, source: Address, now: float, *, returned: bool) -> None:
        """Count a wrong password, and raise an alarm if there were too many.

        `returned` is True if the sender has proved that it receives what we send to `source`. In
        this case, and on a connection, an earlier right password from `source` is forgotten.
        """
        if returned or source.reliable:
            self._familiar.pop((user, source), None)
        origin = network_of(source.host)
        if _add(self._sources, origin, MOST_WRONG, now):
            self._alarm("phone.passwords_guessed", None, f"from {origin}")
        # A name without an account is counted too, so that the responses do not show whether there
        # is an account. It is not reported, because it can be any text.
        if _add(self._accounts, user, MOST_WRONG_FOR_ACCOUNT, now) and self._is_account(user):
            self._alarm("phone.passwords_guessed", None, f"for extension {user}")

    def _flow(self, source: Address) -> Bucket:
        bucket = self._flows.get(source)
        if bucket is None:
            bucket = self._flows[source] = Bucket(_FLOW_IN_ADVANCE_S)
            trim(self._flows)
        return bucket


def _add(suspects: OrderedDict[str, _Suspect], key: str, most: float, now: float) -> bool:
    """Count a wrong password. Return True if this is to be reported."""
    suspect = suspects.get(key)
    if suspect is None:
        suspect = suspects[key] = _Suspect(most)
        trim(suspects)
    else:
        suspects.move_to_end(key)
    suspect.add(now)
    is_new = suspect.is_guessing(now) and now - suspect.reported_at > WINDOW_S
    if is_new:
        suspect.reported_at = now
    return is_new


def _remember(kept: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    kept[key] = value
    kept.move_to_end(key)
    trim(kept, _MOST_FAMILIAR)
