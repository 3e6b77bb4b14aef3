"""The data that all parts of a phone share: its account, its SIP transport and its media ports."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from telephony.aio.ports import PortPool
from telephony.aio.transport import SipTransport
from telephony.b2bua.settings import CallSettings
from telephony.sdp import Srtp
from telephony.sip.client_request import ClientRequest
from telephony.sip.events import Address
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Response
from telephony.sip.message.uri import Uri
from telephony.sip.ua.auth import DigestClient


@dataclass(frozen=True, slots=True)
class PhoneAccount:
    """One account on one server, with the open sockets by which the phone uses it."""

    server: Address
    domain: Uri
    """The server's host and port, as passed to `VoIPPhone`, for the URIs that we send."""
    username: str
    transport: SipTransport
    pool: PortPool
    digest: DigestClient = field(repr=False)
    srtp: Srtp = Srtp.OFF
    sessions: CallSettings = field(default_factory=CallSettings)
    """They limit how long a call may last without a refresh (RFC 4028)."""

    @property
    def now(self) -> float:
        """The time by the clock of the SIP core, in monotonic seconds."""
        return self.transport.now

    @property
    def address(self) -> NameAddr:
        """Our address of record: the URI with the account's name and the server's host."""
        return NameAddr("", replace(self.domain, user=self.username))

    def uri(self, number: str) -> Uri:
        """Return the SIP URI of a phone number at our server; a SIP or tel URI stays as it is.

        Raises:
            SipParseError: `number` begins like a URI but is not valid.
            ProtocolError: The phone number has characters that a URI must escape.
        """
        if number.lower().startswith(("sip:", "sips:", "tel:")):
            return Uri.parse(number)
        return replace(self.domain, user=number)

    def credentials(self, client: ClientRequest, response: Response) -> Iterable[tuple[str, str]]:
        """Return the header field with our credentials for a 401 or 407; empty without any."""
        if response.status not in {401, 407}:
            return ()
        answer = self.digest.answer(client.request, response, secrets.token_hex(8))
        return () if answer is None else (answer,)
