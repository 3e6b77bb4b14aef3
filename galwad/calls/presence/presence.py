"""The presence of a user, as the board knows it and as responses and events have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class PresenceState(StrEnum):
    """The state of a user. If several fit, the first of them counts."""

    ON_CALL = "on_call"
    """A phone of the user rings, or the user is on a call."""
    BREAK = "break"
    WRAP_UP = "wrap_up"
    """A call of the user has just ended, and its contact note is not written."""
    OFFLINE = "offline"
    """The user has no open page and no registered phone."""
    NO_PHONE = "no_phone"
    """The user has an open page, but no phone that can ring."""
    AVAILABLE = "available"


@dataclass(frozen=True, slots=True)
class Presence:
    """The presence of one user.

    `since` is the start of `state` in Unix seconds. `on_break` is true from the start of the user's
    break to its end, also during a call; `reason` is the code of its reason, and `set_by` the
    supervisor who has set it, or "". `devices` is the number of registered devices of the user's
    phone; null while the switch is not connected. `page` is true if a page of the user is open.
    `line` is the line on which the user talks, or "". `ringing` is true if the user's phone rings
    and the user does not talk. `team` is the code of the user's team, or "".
    """

    user: str
    extension: str | None
    state: PresenceState
    since: float
    on_break: bool = False
    reason: str = ""
    set_by: str = ""
    devices: int | None = None
    page: bool = False
    line: str = ""
    ringing: bool = False
    team: str = ""

    @property
    def away(self) -> bool:
        """True if a line with `skip_away` rings this user last."""
        return self.on_break or self.state is PresenceState.WRAP_UP


@dataclass(frozen=True, slots=True)
class PresenceNews:
    """Each presence that has changed; an event has those that the signed-in user may see.

    `gone` are the users who are no longer listed.
    """

    advisors: Sequence[Presence]
    gone: Sequence[str] = ()
