"""The data that all parts of a phone share: its account, its SIP transport and its media ports."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from telephony.aio.ports import PortPool
from telephony.aio.transport import SipTransport
from telephony.b2bua.settings import CallSettings
from telephony.sdp import Srtp
from telephony.sip.events import Address
from telephony.sip.message.headers import NameAddr
from telephony.sip.message.messages import Response
from telephony.sip.message.uri import Uri
from telephony.sip.request.client_request import ClientRequest
from telephony.sip.ua.auth import DigestClient


@dataclass(frozen=True, slots=True)
class PhoneAccount:
    """One account on one server, with the open sockets by which the phone uses the account."""

    server: Address
    domain: Uri
    """A URI with the server's host and port, as they were passed to `VoIPPhone`.

    We use this host and port in the URIs that we send.
    """
    username: str
    transport: SipTransport
    pool: PortPool
    digest: DigestClient = field(repr=False)
    srtp: Srtp = Srtp.OFF
    """The SRTP rule of the account's calls: off, optional or required."""
    sessions: CallSettings = field(default_factory=CallSettings)
    """The settings of the session timer.

    They limit how long a call may last without a refresh (RFC 4028).
    """

    @property
    def now(self) -> float:
        """The current time by the clock of the SIP core, in monotonic seconds."""
        return self.transport.now

    @property
    def address(self) -> NameAddr:
        """Our address of record: the URI with the account's name and the server's host."""
        return NameAddr("", replace(self.domain, user=self.username))

    def uri(self, number: str) -> Uri:
        """Return the SIP URI of a phone number at our server.

        If `number` is already a SIP or tel URI, return that URI.

        Raises:
            SipParseError: `number` begins like a URI but is not valid.
            ProtocolError: The phone number has characters that a URI must escape.
        """
        if number.lower().startswith(("sip:", "sips:", "tel:")):
            return Uri.parse(number)
        return replace(self.domain, user=number)

    def credentials(self, client: ClientRequest, response: Response) -> Iterable[tuple[str, str]]:
        """Return the header field with our credentials for a server that asks for a password.

        Args:
            client: The request that we sent.
            response: The server's response to the request.

        Returns:
            One pair: the name of the header field and its value. There is no pair if the response
            is not a 401 or 407, or if we cannot make credentials for it.
        """
        if response.status not in {401, 407}:
            return ()
        answer = self.digest.answer(client.request, response, secrets.token_hex(8))
        return () if answer is None else (answer,)
