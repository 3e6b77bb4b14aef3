"""The composition of requests and responses: the sequence and values of their header fields.

The values of a request come in a `Draft`, from `Endpoint` or the dialog. Those of a response come
from `ServerRequest`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from telephony.sip.message.header_values import RELIABLE, CSeq, NameAddr, Via
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request, Response, respond
from telephony.sip.message.uri import Uri, is_user
from telephony.sip.transaction.core import Core
from telephony.sip.transaction.transactions import MAGIC_COOKIE
from telephony.sip.transport.address import Address, LocalAddress
from telephony.sip.transport.outgoing import NextHop

HeaderList = tuple[tuple[str, str], ...]

WITH_CONTACT = {"INVITE", "UPDATE", "REFER", "SUBSCRIBE", "NOTIFY"}
"""Requests that create a dialog or refresh its target.

These requests have a Contact. Their 2xx and 1xx responses, except 100, have a Contact too.
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """The values from which a request is composed, stored to compose it again."""

    method: str
    uri: Uri
    from_: NameAddr
    to: NameAddr
    call_id: str
    cseq: int
    destination: Address
    local: LocalAddress
    routes: tuple[NameAddr, ...] = ()
    max_forwards: int = 70
    headers: HeaderList = ()
    body: bytes = b""
    contact_user: str = ""
    fallback: Address | None = None

    @property
    def next_hop(self) -> NextHop:
        """The destination of the request, with our local address and the fallback address."""
        return NextHop(self.destination, self.local, self.fallback)

    @property
    def secure(self) -> bool:
        """True if a sips Request-URI or top Route requires a sips Contact (RFC 3261 8.1.1.8)."""
        target = self.routes[0].uri if self.routes else self.uri
        return "sips" in {self.uri.scheme, target.scheme}


def own_contact(user: str | None, local: LocalAddress, *, secure: bool = False) -> str:
    """Return our Contact, a sips URI if `secure` and `local` is TLS. Omit an invalid `user`."""
    secure = secure and local.transport == "TLS"
    plain = secure or local.transport == "UDP"
    transport = () if plain else (("transport", local.transport.lower()),)
    uri = Uri(
        scheme="sips" if secure else "sip",
        user=user if user and is_user(user) else None,
        password=None,
        host=local.advertised.host,
        port=local.advertised.port,
        parameters=transport,
        headers=(),
    )
    return f"<{uri}>"


def compose(core: Core, draft: Draft, branch: str | None = None) -> Request:
    """Compose the request from its draft. If `branch` is None, make a new Via branch.

    If the first route has no `lr`, it is a strict router (RFC 3261 section 12.2.1.1): its URI
    becomes the Request-URI, and the draft's URI the last route.
    """
    uri, routes = draft.uri, [str(route) for route in draft.routes]
    if routes and not _is_loose(draft.routes[0]):
        uri, routes = draft.routes[0].uri, [*routes[1:], f"<{draft.uri}>"]
    headers = Headers()
    headers.add("Via", _own_via(draft.local, branch or MAGIC_COOKIE + core.token()))
    for route in routes:
        headers.add("Route", route)
    headers.add("Max-Forwards", str(draft.max_forwards))
    headers.add("From", str(draft.from_))
    headers.add("To", str(draft.to))
    headers.add("Call-ID", draft.call_id)
    headers.add("CSeq", str(CSeq(draft.cseq, draft.method)))
    defaults = []
    if draft.method in WITH_CONTACT:
        defaults.append(
            ("Contact", own_contact(draft.contact_user, draft.local, secure=draft.secure))
        )
    if draft.method == "INVITE":
        defaults += _capabilities(core, offering=bool(draft.body))
    if core.user_agent:
        defaults.append(("User-Agent", core.user_agent))
    _fill(headers, defaults, draft.headers)
    return Request(draft.method, uri, headers, draft.body)


def compose_response(
    core: Core,
    request: Request,
    status: int,
    reason: str | None,
    *,
    to_tag: str | None,
    contact: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
) -> Response:
    """Compose a response to `request`.

    For a method in `WITH_CONTACT`, a response from 101 to 299 gets `contact`. A 405 gets Allow and
    Supported, as does a 2xx to INVITE or OPTIONS. If the core has a user agent, a response other
    than 100 gets Server. A field in `headers` replaces an added field of the same name. `to_tag` is
    used only if the request's To has no tag.
    """
    response = respond(request, status, reason, to_tag=to_tag)
    defaults = []
    if request.method in WITH_CONTACT and 100 < status < 300:
        defaults.append(("Contact", contact))
    if status == 405 or (200 <= status < 300 and request.method in {"INVITE", "OPTIONS"}):
        defaults += _capabilities(core)
    if core.user_agent and status != 100:
        defaults.append(("Server", core.user_agent))
    _fill(response.headers, defaults, tuple(headers))
    return Response(response.status, response.reason, response.headers, body)


def cancel_of(invite: Request, headers: Iterable[tuple[str, str]]) -> Request:
    """Return the CANCEL for an INVITE that we sent, with further header fields (RFC 3261 9.1)."""
    copy = Headers()
    copy.add("Via", str(invite.via))
    for route in invite.headers.get_all("Route"):
        copy.add("Route", route)
    for name in ("Max-Forwards", "From", "To", "Call-ID"):
        copy.add(name, invite.headers.get(name) or "")
    copy.add("CSeq", f"{invite.cseq.number} CANCEL")
    _fill(copy, [], tuple(headers))
    return Request("CANCEL", invite.uri, copy)


def merge(headers: HeaderList, newer: Iterable[tuple[str, str]]) -> HeaderList:
    """Return both lists as one. A name in both lists has only the fields of `newer`."""
    newer = tuple(newer)
    names = {name.lower() for name, _ in newer}
    return (*(pair for pair in headers if pair[0].lower() not in names), *newer)


def _is_loose(route: NameAddr) -> bool:
    return route.uri.parameter("lr") is not None


def _capabilities(core: Core, *, offering: bool = True) -> list[tuple[str, str]]:
    """Return our Allow and Supported header fields.

    `offering` is false for an INVITE without an offer. Supported is then without 100rel, because
    the first reliable response must have the callee's offer (RFC 3261 section 13.2.1): a reliable
    1xx would have it long before the call is answered.
    """
    pairs = [("Allow", ", ".join(core.allow))]
    supported = [tag for tag in core.supported if offering or tag != RELIABLE]
    if supported:
        pairs.append(("Supported", ", ".join(supported)))
    return pairs


def _fill(headers: Headers, defaults: Iterable[tuple[str, str]], given: HeaderList) -> None:
    names = {name.lower() for name, _ in given}
    for name, value in (*(pair for pair in defaults if pair[0].lower() not in names), *given):
        headers.add(name, value)


def _own_via(local: LocalAddress, branch: str) -> str:
    via = Via(
        transport=local.transport,
        host=local.advertised.host,
        port=local.advertised.port,
        parameters=(("branch", branch), ("rport", None)),
    )
    if local.transport == "TLS":
        via = via.with_parameter("alias", None)
    return str(via)
