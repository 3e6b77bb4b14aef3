"""Our registration at an external registrar (RFC 3261 section 10.2), as some trunks and PBXes need.

A registration has one binding. Before the binding expires, a new REGISTER refreshes it. After a
failure, REGISTER is sent again after a pause; each further failure doubles the pause (RFC 5626
section 4.5). The core answers challenges (`Endpoint.authenticate`). This module does no I/O and
reads no clock.
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
"""The expiry in seconds that we request from a registrar."""
MAX_EXPIRES: Final = 86_400
"""The longest expiry in seconds that we accept from a registrar. A longer expiry is reduced to this
value."""
FIRST_RETRY_DELAY: Final = 30.0
MAX_RETRY_DELAY: Final = 1800.0
"""The first and the longest pause between two tries, in seconds. A random factor between 0.5 and 1
then shortens the pause."""


class RegistrationState(enum.Enum):
    """The state of our registration at a registrar."""

    TRYING = "trying"
    """The registrar has not answered since the start, or since the connection was lost."""
    REGISTERED = "registered"
    FAILED = "failed"
    """The registrar has refused our REGISTER or did not answer. We send it again later."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RegistrarAccount:
    """The account with which we register: its name, registrar and user."""

    name: str
    """The name of the trunk, used in the log; it is never a telephone number."""
    registrar: Uri
    """The URI of the registrar's domain, used as the Request-URI of REGISTER."""
    user: str
    """The user part of our address-of-record, and of our Contact."""
    expires: int = EXPIRES


class Registration:
    """One binding at one registrar.

    The owner of this object calls `handle_timer` when `next_timer` is due. The owner also passes
    each `StandaloneResponse` to `handle` if the `owner` of the response's transaction is this
    object.

    Attributes:
        state: The state of the registration.
        status: The status of the registrar's last final response. It is 408 or 503 if there was no
            response, and 0 before the first result.
    """

    def __init__(
        self, endpoint: Endpoint, account: RegistrarAccount, rng: random.Random | None = None
    ) -> None:
        """Make a registration. It sends nothing before the first call of `handle_timer`."""
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
        """Return the monotonic time in seconds at which the next REGISTER is due.

        Return None while a REGISTER waits for its response, and after `stop`.
        """
        return self._next

    def handle_timer(self, now: float, destinations: Sequence[Address]) -> None:
        """Send REGISTER if it is due.

        `destinations` are the present addresses of the registrar, the preferred address first.
        After each failure, the next REGISTER goes to the next address. If there are no addresses,
        the try fails with 503.
        """
        if self._next is None or now < self._next:
            return
        if not destinations:
            self._failed(503, None, now)
            return
        tried = destinations[self._failures % len(destinations)]
        self._register(tried, self._expires, now)

    def connection_lost(self, peer: Address, now: float) -> None:
        """Make REGISTER due immediately if the lost connection to `peer` led to the registrar."""
        if (
            self.state is RegistrationState.REGISTERED
            and self._client is not None
            and self._client.destination == peer
        ):
            self.state = RegistrationState.TRYING
            self._next = now

    def stop(self, now: float) -> None:
        """Stop the registration, and remove the binding if it exists.

        A REGISTER with an expiry of 0 removes the binding. The response to this REGISTER is
        ignored.
        """
        client, state = self._client, self.state
        self.state, self._next = RegistrationState.STOPPED, None
        if state is RegistrationState.REGISTERED and client is not None:
            self._register(client.destination, 0, now)

    def handle(self, event: StandaloneResponse, now: float) -> None:
        """Process the result of our REGISTER: a response, or a failure without a response."""
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
        except ProtocolError:  # no local address has the destination's transport and IP family
            self._failed(503, None, now)

    def _registered(self, response: Response, now: float) -> None:
        granted = self._granted(response)
        if granted == 0:  # a 2xx whose list does not contain our Contact
            self._failed(self.status, None, now)
            return
        if self.state is not RegistrationState.REGISTERED:
            logger.info("registration.made %s", self.account.name)
        self.state, self._failures = RegistrationState.REGISTERED, 0
        # Refresh 300 s before the expiry, but not before half of the granted time. So there is time
        # to try again after a lost response, which is noticed after 32 s.
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
        """Use the registrar's Min-Expires as the expiry of our next REGISTER.

        Return False if Min-Expires is not longer than our expiry, or longer than `MAX_EXPIRES`.
        """
        least = _seconds(response.headers.get("Min-Expires"), 0)
        if not self._expires < least <= MAX_EXPIRES:
            return False
        self._expires = least
        return True

    def _granted(self, response: Response) -> int:
        """Return for how many seconds the registrar granted our binding.

        This is the `expires` of our Contact in the response, else the response's Expires, else the
        requested expiry. Return 0 if the response cannot be read, or lists only other Contacts.
        """
        try:
            ours, contacts = NameAddr.parse(self._contact).uri, response.contacts
        except ParseError:
            return 0
        mine = [contact for contact in contacts if contact.uri.equivalent(ours)]
        # Some registrars replace the host in our Contact by the source address of the REGISTER.
        mine = mine or [contact for contact in contacts if contact.uri.user == ours.user]
        if contacts and not mine:
            return 0
        said = next((contact.parameter("expires") for contact in mine), None)
        return min(_seconds(said or response.headers.get("Expires"), self._expires), MAX_EXPIRES)


def _seconds(text: str | None, default: int) -> int:
    text = (text or "").strip(" \t").partition(";")[0].rstrip()
    fits = text.isascii() and text.isdigit() and len(text) < 11
    return int(text) if fits else default
