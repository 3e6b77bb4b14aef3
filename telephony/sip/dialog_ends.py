"""The two ends of a dialog and the way between them; here requests to the other end are addressed.

What may be sent, and when, is in dialog.py (RFC 3261 12.2.1.1 is what both of them carry out).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from telephony.sip.compose import Draft, HeaderList
from telephony.sip.core import Core, Local, Way
from telephony.sip.events import Address
from telephony.sip.headers import NameAddr
from telephony.sip.uri import Uri
from telephony.sip.way import way_to

_WITH_CONTACT = {"INVITE", "UPDATE", "REFER", "SUBSCRIBE", "NOTIFY"}


class DialogId(NamedTuple):
    """Identifies a dialog at this end (RFC 3261 12)."""

    call_id: str
    local_tag: str
    remote_tag: str


class DialogEnds:
    """Who speaks with whom, and where.

    Attributes (read, except where said):
        id: Call-ID, local tag, remote tag.
        local: our From/To of requests in it, with our tag.
        remote: the peer's, with its tag.
        remote_target: the peer's Contact URI, refreshed by INVITE and UPDATE.
        routes: the route set, in the order of our Route headers.
        local_address: the socket that it uses.
        peer: where the INVITE came from, or went to.
        send_to: may be set by the owner: every request then goes there (a phone behind NAT),
            else to the first route or the remote target if that is an IP address, else to `peer`.
            A connection to the peer that is still open is used before a new one is made.
        contact: our Contact value in it.
    """

    def __init__(
        self,
        core: Core,
        *,
        call_id: str,
        local: NameAddr,
        remote: NameAddr,
        remote_target: Uri,
        routes: Iterable[NameAddr],
        at: Local,
        peer: Address,
        contact: str,
    ) -> None:
        self.id = DialogId(call_id, local.tag or "", remote.tag or "")
        self.local = local
        self.remote = remote
        self.remote_target = remote_target
        self.routes = tuple(routes)
        self.local_address: Address = at.address
        self.peer = peer
        self.send_to: Address | None = None
        self.contact = contact
        self._core = core
        self._at = at

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.id.call_id

    @property
    def destination(self) -> Address:
        """Where the next request goes."""
        return self._way().destination

    def _draft(self, method: str, number: int, headers: HeaderList, body: bytes) -> Draft:
        given = headers
        if method in _WITH_CONTACT and not any(name.lower() == "contact" for name, _ in headers):
            given = (("Contact", self.contact), *headers)
        way = self._way()
        return Draft(
            method=method,
            uri=self.remote_target,
            from_=self.local,
            to=self.remote,
            call_id=self.id.call_id,
            cseq=number,
            destination=way.destination,
            local=way.local,
            routes=self.routes,
            headers=given,
            body=body,
            otherwise=way.otherwise,
        )

    def _way(self) -> Way:
        next_hop = self.routes[0].uri if self.routes else self.remote_target
        return way_to(self._core, next_hop, self.peer, self.send_to, self._at)
