"""Our registration at an external registrar (RFC 3261 section 10.2), as some trunks and PBXes need.

A new REGISTER refreshes the binding before it expires. After a failure, the next REGISTER follows a
pause. Each further failure doubles the pause, up to `MAX_RETRY_DELAY` (RFC 5626 section 4.5). The
core responds to challenges with the credentials of `Endpoint.authenticate`. This module does no
I/O, and reads no clock.
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
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Response
from telephony.sip.message.uri import Uri
from telephony.sip.transport.address import Address
from telephony.sip.ua.client import NonInviteClient, StandaloneResponse

logger = logging.getLogger(__name__)

EXPIRES: Final = 3600
"""The expiry in seconds that we request from a registrar."""
MAX_EXPIRES: Final = 86_400
"""The longest granted expiry in seconds that we use. A longer expiry is taken as this."""
FIRST_RETRY_DELAY: Final = 30.0
"""The pause in seconds after the first failure. Each further failure doubles the pause."""
MAX_RETRY_DELAY: Final = 1800.0
"""The longest pause in seconds, also if a Retry-After asks for more.

Each pause that we choose is multiplied by a random number, 0.5 to 1.
"""


class RegistrationState(enum.Enum):
    """The state of our registration at a registrar."""

    TRYING = "trying"
    """No success or failure since the start, or since the connection to the registrar was lost."""
    REGISTERED = "registered"
    FAILED = "failed"
    """Our latest attempt to register has failed. We try again later."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RegistrarAccount:
    """The account with which we register at one registrar."""

    name: str
    """The trunk's name in the log, never a phone number."""
    registrar: Uri
    """The registrar's URI. Our Request-URI has only its scheme and host."""
    user: str
    """The user part of our address-of-record, and of our Contact."""
    expires: int = EXPIRES


class Registration:
    """One binding at one registrar.

    Call `handle_timer` at the time of `next_timer`, `handle` for each `StandaloneResponse` whose
    `transaction.owner` is this object, and `connection_lost` for each `PeerLost`. `status` is the
    registrar's latest final status: 408 or 503 without a response, 0 before the first result.
    """

    def __init__(
        self, endpoint: Endpoint, account: RegistrarAccount, rng: random.Random | None = None
    ) -> None:
        """Make a registration. The first call of `handle_timer` sends the first REGISTER."""
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
        """Return the monotonic seconds of the next REGISTER; minus infinity before the first.

        None while we wait for a response, and after `stop`.
        """
        return self._next

    def handle_timer(self, now: float, destinations: Sequence[Address]) -> None:
        """Send REGISTER, if it is due, to one of the registrar's present addresses.

        After each failure, the next address is tried, cyclically. An empty list is a failure with
        status 503.
        """
        if self._next is None or now < self._next:
            return
        if not destinations:
            self._failed(503, None, now)
            return
        tried = destinations[self._failures % len(destinations)]
        self._register(tried, self._expires, now)

    def connection_lost(self, peer: Address, now: float) -> None:
        """Make REGISTER due now if the connection to `peer`, by which we registered, is lost."""
        if (
            self.state is RegistrationState.REGISTERED
            and self._client is not None
            and self._client.destination == peer
        ):
            self.state = RegistrationState.TRYING
            self._next = now

    def stop(self, now: float) -> None:
        """Stop. If registered, send a REGISTER with expiry 0. The response to it is ignored."""
        client, state = self._client, self.state
        self.state, self._next = RegistrationState.STOPPED, None
        if state is RegistrationState.REGISTERED and client is not None:
            self._register(client.destination, 0, now)

    def handle(self, event: StandaloneResponse, now: float) -> None:
        """Process the result of our REGISTER: a response, or a failure because none arrived."""
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
        # We have no local address of the destination's transport and IP family.
        except ProtocolError:
            self._failed(503, None, now)

    def _registered(self, response: Response, now: float) -> None:
        granted = self._granted(response)
        # The 2xx lists only other Contacts or one that cannot be read, or the registrar has granted
        # 0 s. So our binding does not exist.
        if granted == 0:
            self._failed(self.status, None, now)
            return
        if self.state is not RegistrationState.REGISTERED:
            logger.info("registration.made %s", self.account.name)
        self.state, self._failures = RegistrationState.REGISTERED, 0
        # Refresh 300 s before the binding expires, but not before half of the granted time has
        # passed. A REGISTER without a response fails after 32 s. If some minutes were granted,
        # another REGISTER can follow before the binding expires.
        self._next = now + max(granted / 2, granted - 300.0)

    def _failed(self, status: int, response: Response | None, now: float) -> None:
        self.status = status
        if self.state is not RegistrationState.STOPPED:
            self.state = RegistrationState.FAILED
            pause = min(FIRST_RETRY_DELAY * 2 ** min(self._failures, 16), MAX_RETRY_DELAY)
            pause *= self._rng.uniform(0.5, 1.0)
            self._failures += 1
            asked = response.headers.get("Retry-After") if response is not None else None
            self._next = now + max(pause, min(_seconds(asked, 0), MAX_RETRY_DELAY))

    def _take_minimum(self, response: Response) -> bool:
        """Use the registrar's Min-Expires for our next REGISTER, and return True.

        Return False if Min-Expires is not above our present expiry, or is above `MAX_EXPIRES`.
        """
        least = _seconds(response.headers.get("Min-Expires"), 0)
        if not self._expires < least <= MAX_EXPIRES:
            return False
        self._expires = least
        return True

    def _granted(self, response: Response) -> int:
        """Return the seconds for which our binding is granted, at most `MAX_EXPIRES`.

        The value is the `expires` of our Contact, else Expires, else the expiry in our request. It
        is 0 if a Contact cannot be parsed, or if the response has only other Contacts.
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
