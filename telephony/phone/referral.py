"""One blind transfer as the one who asks sees it: a REFER and its NOTIFYs (RFC 3515)."""

from __future__ import annotations

from typing import Final

from telephony.sip.message import Request

_PREFIX: Final = b"SIP/2.0 "


class Referral:
    """What is known of a transfer that we asked for."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        """As the NOTIFYs told them, in order."""

    @property
    def final(self) -> int | None:
        """The target's final status, once it is known."""
        return next((status for status in self.statuses if status >= 200), None)

    def on_notify(self, request: Request) -> None:
        """Read a NOTIFY's status line; other bodies say nothing."""
        line = request.body.partition(b"\r\n")[0]
        digits = line[len(_PREFIX) : len(_PREFIX) + 3]
        if line.startswith(_PREFIX) and len(digits) == 3 and digits.isdigit():
            self.statuses.append(int(digits))
