"""Notices a PBX that does not name the party that answers.

Such a PBX does not name the party after a transfer either. Its transfers then stay unseen, and a
department to which it transfers a call is recorded. The alarm `pbx.no_names` says so.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from galwad.settings import Settings
from telephony.sip.events import Address

log = structlog.get_logger()
MOST_UNNAMED = 3
"""The number of answered calls in a row without a name after which there is an alarm."""


class NamingMonitor:
    """Counts the answered calls of each trusted trunk in which it has not named a party."""

    def __init__(self, settings: Settings, alarm: Callable[[str, str | None, str], None]) -> None:
        """`alarm` is the function `LinkServer.alarm`."""
        self._settings = settings
        self._alarm = alarm
        self._unnamed: dict[str, int] = {}
        """The answered calls without a name since the last call with a name, by trunk."""

    def ended(self, peer: Address, *, is_named: bool) -> None:
        """Count a call that advisors behind the PBX at `peer` could answer, and that was answered.

        `is_named` is true if the PBX has named a party of this call.
        """
        trunk = self._settings.find_trunk(*peer[:3])
        if trunk is None or not trunk.trusted:
            return
        name = trunk.name
        self._unnamed[name] = 0 if is_named else self._unnamed.get(name, 0) + 1
        if self._unnamed[name] == MOST_UNNAMED:
            self._alarm("pbx.no_names", None, f"{name}: {MOST_UNNAMED} calls in a row")

    def states(self) -> dict[str, bool]:
        """Return whether each trunk names parties, as far as its most recent calls show it.

        A trunk is left out while it is not certain: after one or two calls without a name.
        """
        counts = self._unnamed.items()
        return {name: not count for name, count in counts if not 0 < count < MOST_UNNAMED}
