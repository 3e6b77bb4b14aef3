"""The redirection of a call that we placed by 3xx responses (RFC 3261 section 8.1.3.4)."""

from __future__ import annotations

from typing import Final

from telephony.errors import ParseError
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Response
from telephony.sip.message.uri import Uri

_MOST: Final = 10
"""URIs that one call tries, including the first."""


class Redirection:
    """The URIs to which servers redirected one call. Each URI is tried at most once."""

    def __init__(self) -> None:
        self.follow = False
        """True if the phone itself, and not the program, calls the URIs of a 3xx."""
        self.targets: list[Uri] = []
        """The URIs in the most recent 3xx response, the preferred URI first."""
        self._tried: list[Uri] = []
        self._left: list[Uri] = []

    def next(self, tried: Uri, status: int, response: Response | None) -> Uri | None:
        """Return the URI to call after `tried` failed with `status`, or None.

        None if `follow` is false, after a 6xx, after ten URIs, or if no untried URI is left.
        """
        self._tried.append(tried)
        if response is not None and 300 <= status < 400:
            self.targets = _targets(response)
            self._left = [*self.targets, *self._left]
        if not self.follow or status >= 600 or len(self._tried) >= _MOST:
            return None
        while self._left:
            uri = self._left.pop(0)
            if not any(uri.equivalent(other) for other in self._tried):
                return uri
        return None


def _targets(response: Response) -> list[Uri]:
    try:
        contacts = response.contacts
    except ParseError:
        return []
    wanted = [c for c in contacts if c.uri.scheme in {"sip", "sips", "tel"}]
    return [contact.uri for contact in sorted(wanted, key=_preference)]


def _preference(contact: NameAddr) -> float:
    try:
        return -float(contact.parameter("q") or 1)
    except ValueError:
        return 0.0
