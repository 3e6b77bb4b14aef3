"""Our registration with an external registrar (RFC 3261 10.2), which a trunk or PBX may require.

There is one binding. It is refreshed before it expires; after a failure it is tried again, with a
pause that doubles each time (RFC 5626 4.5). The core answers challenges (`Endpoint.authenticate`).
No I/O and no clock.
"""

from __future__ import annotations

import enum
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from telephony.errors import ParseError, ProtocolError
from telephony.sip.endpoint import Endpoint
from telephony.sip.message.messages import Response
from telephony.sip.message.name_addr import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.transport.address import Address
from telephony.sip.ua.client import NonInviteClient, StandaloneResponse

logger = logging.getLogger(__name__)

EXPIRES: Final = 3600
"""The expiry that we request, in seconds."""
MAX_EXPIRES: Final = 86_400
"""The longest expiry in seconds that we accept from a registrar."""
FIRST_RETRY_DELAY: Final = 30.0
MAX_RETRY_DELAY: Final = 1800.0
"""The pauses between tries in seconds, before the jitter, which reduces them by up to half."""


class RegistrationState(enum.Enum):
    """The state of our binding."""

    TRYING = "trying"
    """No answer since the start, or since the connection was lost."""
    REGISTERED = "registered"
    FAILED = "failed"
    """The registrar refused or did not answer; we try again later."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RegistrarAccount:
    """The account that we register: name, registrar, user."""

    name: str
    """The trunk's name for the log; never its number."""
    registrar: Uri
    """The registrar's domain, the Request-URI of REGISTER."""
    user: str
    """The user part of our address-of-record, and of our Contact."""
    expires: int = EXPIRES


class Registration:
    """One binding at one registrar.

    The owner calls `handle_timer` when `next_timer` is due, and passes to `handle` each
    `StandaloneResponse` whose transaction has this object as its owner.

    Attributes:
        state: The state of the binding.
        status: The last final status, 408 or 503 if there was no response; 0 before the first.
    """

    def __init__(
        self, endpoint: Endpoint, account: RegistrarAccount, rng: random.Random | None = None
    ) -> None:
        """Make a registration; nothing is sent before the first `handle_timer`."""
        self.account = account
        self.state = RegistrationState.TRYING
        self.status = 0
        self._endpoint = endpoint
        self._rng = rng or random.SystemRandom()
        self._expires = account.expires
        self._failures = 0
        self._next: float | None = float("-inf")
        self._client: NonInviteClient | None = None
        self._contact = ""
        domain = Uri(user=account.user, host=account.registrar.host)
        self._us = NameAddr("", domain, ())

    def next_timer(self) -> float | None:
        """Return when the next REGISTER is due; None while one is under way, and after `stop`."""
        return self._next

    def handle_timer(self, now: float, destinations: Sequence[Address]) -> None:
        """Send REGISTER if it is due.

        `destinations` are the registrar's present addresses, the best first. Each failed try moves
        to the next one; if there are none, the try fails with 503.
        """
        if self._next is None or now < self._next:
            return
        if not destinations:
            self._failed(503, None, now)
            return
        tried = destinations[self._failures % len(destinations)]
        self._register(tried, self._expires, now)

    def connection_lost(self, peer: Address, now: float) -> None:
        """Register again at once if the lost connection to `peer` was the registrar's."""
        if (
            self.state is RegistrationState.REGISTERED
            and self._client is not None
            and self._client.destination == peer
        ):
            self.state = RegistrationState.TRYING
            self._next = now

    def stop(self, now: float) -> None:
        """Remove the binding, if there is one, by a REGISTER whose response is ignored."""
        client, state = self._client, self.state
        self.state, self._next = RegistrationState.STOPPED, None
        if state is RegistrationState.REGISTERED and client is not None:
            self._register(client.destination, 0, now)

    def handle(self, event: StandaloneResponse, now: float) -> None:
        """Process the response to our REGISTER."""
        if event.transaction is not self._client or self.state is RegistrationState.STOPPED:
            return
        response = event.response
        if response is not None and event.status < 200:
            return
        self.status = event.status
        if response is not None and event.status < 300:
            self._registered(response, now)
        elif response is not None and event.status == 423 and self._take_minimum(response):
            self._next = now
        else:
            self._failed(event.status, response, now)

    def _register(self, destination: Address, expires: int, now: float) -> None:
        before, self._next = self._client, None
        try:
            self._contact = self._endpoint.contact(self.account.user, destination)
            self._client = self._endpoint.request(
                "REGISTER",
                Uri(scheme=self.account.registrar.scheme, host=self.account.registrar.host),
                from_=before.request.from_ if before else self._us,
                to=self._us,
                destination=destination,
                headers=(("Contact", self._contact), ("Expires", str(expires))),
                call_id=before.request.call_id if before else None,
                cseq=before.request.cseq.number + 1 if before else 1,
                owner=self,
                now=now,
            )
        except ProtocolError:  # no local address reaches the destination
            self._failed(503, None, now)

    def _registered(self, response: Response, now: float) -> None:
        granted = self._granted(response)
        if granted == 0:  # a 2xx, but our contact is not in its list
            self._failed(self.status, None, now)
            return
        if self.state is not RegistrationState.REGISTERED:
            logger.info("registration.made %s", self.account.name)
        self.state, self._failures = RegistrationState.REGISTERED, 0
        # Refresh 300 s before the end, but never before half the time: a lost answer costs 32 s.
        self._next = now + max(granted / 2, granted - 300.0)

    def _failed(self, status: int, response: Response | None, now: float) -> None:
        self.status = status
        if self.state is not RegistrationState.STOPPED:
            self.state = RegistrationState.FAILED
            pause = min(FIRST_RETRY_DELAY * 2**self._failures, MAX_RETRY_DELAY)
            pause *= self._rng.uniform(0.5, 1.0)
            self._failures = min(self._failures + 1, 16)
            asked = response.headers.get("Retry-After") if response is not None else None
            self._next = now + max(pause, min(_seconds(asked, 0), MAX_RETRY_DELAY))

    def _take_minimum(self, response: Response) -> bool:
        """Request the registrar's minimum expiry next time; return False if that is no help."""
        least = _seconds(response.headers.get("Min-Expires"), 0)
        if not self._expires < least <= MAX_EXPIRES:
            return False
        self._expires = least
        return True

    def _granted(self, response: Response) -> int:
        """Return the granted seconds: our Contact's `expires`, else Expires, else as requested.

        0 if the response cannot be read or lists only other contacts.
        """
        try:
            ours, contacts = NameAddr.parse(self._contact).uri, response.contacts
        except ParseError:
            return 0
        mine = [contact for contact in contacts if contact.uri.equivalent(ours)]
        # Some registrars replace our host by the address from which the REGISTER came.
        mine = mine or [contact for contact in contacts if contact.uri.user == ours.user]
        if contacts and not mine:
            return 0
        said = next((contact.parameter("expires") for contact in mine), None)
        return min(_seconds(said or response.headers.get("Expires"), self._expires), MAX_EXPIRES)


def _seconds(text: str | None, default: int) -> int:
    text = (text or "").strip(" \t").partition(";")[0].rstrip()
    fits = text.isascii() and text.isdigit() and len(text) < 11
    return int(text) if fits else default
