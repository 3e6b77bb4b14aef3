"""The transactions of one endpoint, found by dict keys (RFC 3261 sections 17.1.3 and 17.2.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from telephony.sip.message.messages import Request, Response
from telephony.sip.transaction.client_transaction import (
    ClientTransaction,
    ClientUser,
    InviteClientTransaction,
    NonInviteClientTransaction,
)
from telephony.sip.transaction.server_transaction import (
    InviteServerTransaction,
    NonInviteServerTransaction,
    ServerTransaction,
    ServerUser,
)
from telephony.sip.transaction.timers import TimerQueue, Timings
from telephony.sip.transport.address import Address
from telephony.sip.transport.outgoing import NextHop

MAGIC_COOKIE = "z9hG4bK"
"""Every Via branch of an RFC 3261 element begins with this "magic cookie"."""

ClientKey = tuple[str, str]
ServerKey = tuple[str, ...]
MergeKey = tuple[str, str, int, str]


def client_key(message: Request | Response) -> ClientKey:
    """Return the key of a client transaction: the top Via's branch and the CSeq method.

    The method is part of the key, because a CANCEL has the same branch as its INVITE.
    """
    return message.via.branch or "", message.cseq.method


def server_key(request: Request, method: str | None = None) -> ServerKey:
    """Return the key of a server transaction: branch, sent-by, CSeq number and method.

    For a branch without the magic cookie, the key has the values by which RFC 2543 identifies a
    transaction. The CSeq number is in all keys, because some phones use one branch for different
    requests (pyVoIP after a 401). A request, its copies, its ACK and its CANCEL have the same CSeq
    number. The key of an ACK has the method INVITE, because the ACK to a non-2xx belongs to its
    INVITE's transaction. `server_key(cancel, "INVITE")` is the key of a CANCEL's INVITE.
    """
    method = method or request.method
    if method == "ACK":
        method = "INVITE"
    via = request.via
    branch = via.branch or ""
    if branch.lower().startswith(MAGIC_COOKIE.lower()) and len(branch) > len(MAGIC_COOKIE):
        number = str(request.cseq.number)
        return branch, via.host.lower(), str(via.port or 5060), number, method
    return (
        "rfc2543",
        str(request.uri),
        request.from_.tag or "",
        request.call_id,
        str(request.cseq.number),
        str(via),
        method,
    )


def merge_key(request: Request) -> MergeKey:
    """Return the values that a forking proxy's copies of a request share (RFC 3261 8.2.2.2)."""
    cseq = request.cseq
    return request.call_id, request.from_.tag or "", cseq.number, cseq.method


class Transactions:
    """All transactions of one endpoint that are not terminated."""

    def __init__(
        self, *, send: Callable[[bytes, NextHop], None], timers: TimerQueue, timings: Timings
    ) -> None:
        self._send = send
        self._timers = timers
        self._timings = timings
        self._clients: dict[ClientKey, tuple[ClientTransaction, Address]] = {}
        self._servers: dict[ServerKey, ServerTransaction] = {}
        self._originals: dict[MergeKey, ServerKey] = {}
        """The key of the server transaction of the first copy of each received request.

        Copies by other paths are merged requests (RFC 3261 section 8.2.2.2).
        """
        self._call_ids: Counter[str] = Counter()
        """The number of client transactions by Call-ID."""

    def start_client(
        self, request: Request, user: ClientUser, hop: NextHop, now: float
    ) -> ClientTransaction:
        """Make a client transaction for `request`, and send the request to `hop`."""
        kind = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        key, call_id = client_key(request), request.call_id
        transaction = kind(
            request,
            user,
            send=self._sender(hop),
            timers=self._timers,
            on_end=lambda: self._end_client(key, call_id),
            timings=self._timings,
            reliable=hop.destination.reliable,
        )
        self._clients[key] = transaction, hop.destination
        self._call_ids[call_id] += 1
        transaction.start(now)
        return transaction

    def client_of(self, response: Response) -> ClientTransaction | None:
        """Return the client transaction to which this response belongs, or None."""
        found = self._clients.get(client_key(response))
        return None if found is None else found[0]

    def clients_to(self, destination: Address) -> list[ClientTransaction]:
        """Return the client transactions whose request was sent to `destination`."""
        found = self._clients.values()
        return [transaction for transaction, where in found if where == destination]

    def has_call_id(self, call_id: str) -> bool:
        """Return whether any client transaction has a request with this Call-ID."""
        return call_id in self._call_ids

    def _end_client(self, key: ClientKey, call_id: str) -> None:
        if self._clients.pop(key, None) is None:
            return
        self._call_ids[call_id] -= 1
        if not self._call_ids[call_id]:
            del self._call_ids[call_id]

    def start_server(
        self, request: Request, user: ServerUser, key: ServerKey, hop: NextHop, tag: str
    ) -> ServerTransaction:
        """Make a server transaction that sends to `hop`. `tag` is the To tag of a CANCEL's 200."""
        kind = InviteServerTransaction if request.method == "INVITE" else NonInviteServerTransaction
        original = merge_key(request)
        transaction = kind(
            user,
            send=self._sender(hop),
            timers=self._timers,
            on_end=lambda: self._end_server(key, original),
            timings=self._timings,
            reliable=hop.destination.reliable,
            tag=tag,
        )
        self._servers[key] = transaction
        self._originals.setdefault(original, key)
        return transaction

    def server_of(self, key: ServerKey) -> ServerTransaction | None:
        """Return the server transaction with this key; None if there is no such transaction."""
        return self._servers.get(key)

    def is_merged(self, request: Request) -> bool:
        """Return whether a copy of this new request has come by another path (RFC 3261 8.2.2.2)."""
        return merge_key(request) in self._originals

    def _end_server(self, key: ServerKey, original: MergeKey) -> None:
        self._servers.pop(key, None)
        if self._originals.get(original) == key:
            del self._originals[original]

    def _sender(self, hop: NextHop) -> Callable[[bytes], None]:
        def send(data: bytes) -> None:
            self._send(data, hop)

        return send
