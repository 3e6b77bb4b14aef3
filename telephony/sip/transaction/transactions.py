"""The transactions of one endpoint, and the search for that of a received message (RFC 3261 17)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from telephony.sip.message.messages import Request, Response
from telephony.sip.transaction.client import (
    ClientTransaction,
    ClientUser,
    InviteClientTransaction,
    NonInviteClientTransaction,
)
from telephony.sip.transaction.keys import ClientKey, MergeKey, ServerKey, client_key, merge_key
from telephony.sip.transaction.server import (
    InviteServerTransaction,
    NonInviteServerTransaction,
    ServerTransaction,
    ServerUser,
)
from telephony.sip.transaction.timers import TimerQueue, Timings
from telephony.sip.transport.address import Address
from telephony.sip.transport.outgoing import NextHop


class Transactions:
    """All transactions of one endpoint that are not terminated."""

    def __init__(
        self, *, send: Callable[[bytes, NextHop], None], timers: TimerQueue, timings: Timings
    ) -> None:
        """Start without transactions; `send` sends the bytes of a message to a next hop."""
        self._send = send
        self._timers = timers
        self._timings = timings
        self._clients: dict[ClientKey, tuple[ClientTransaction, Address]] = {}
        self._servers: dict[ServerKey, ServerTransaction] = {}
        self._originals: dict[MergeKey, ServerKey] = {}
        """The server transaction of the first copy of each received request.

        Copies by other paths are merged requests (RFC 3261 section 8.2.2.2).
        """
        self._call_ids: Counter[str] = Counter()
        """The number of client transactions by Call-ID."""

    @property
    def client_count(self) -> int:
        """The number of client transactions."""
        return len(self._clients)

    @property
    def server_count(self) -> int:
        """The number of server transactions."""
        return len(self._servers)

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
        """Make a server transaction, whose responses go to `hop`; `tag` is for that to a CANCEL."""
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
        """Return whether a copy has already come by another path (merged, RFC 3261 8.2.2.2)."""
        return merge_key(request) in self._originals

    def _end_server(self, key: ServerKey, original: MergeKey) -> None:
        self._servers.pop(key, None)
        if self._originals.get(original) == key:
            del self._originals[original]

    def _sender(self, hop: NextHop) -> Callable[[bytes], None]:
        def send(data: bytes) -> None:
            self._send(data, hop)

        return send
