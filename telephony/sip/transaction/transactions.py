"""The transactions of one endpoint, by the keys with which messages find them (RFC 3261 17)."""

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
    """All transactions that are not terminated. Their users remove them when they terminate."""

    def __init__(
        self, *, send: Callable[[bytes, NextHop], None], timers: TimerQueue, timings: Timings
    ) -> None:
        """Start without a transaction; `send` sends a message's bytes to a hop."""
        self._send = send
        self._timers = timers
        self._timings = timings
        self._clients: dict[ClientKey, tuple[ClientTransaction, Address]] = {}
        self._servers: dict[ServerKey, ServerTransaction] = {}
        self._originals: dict[MergeKey, ServerKey] = {}
        """The first transaction of each request, to detect merged requests (8.2.2.2)."""
        self._call_ids: Counter[str] = Counter()
        """The number of client transactions with each Call-ID."""

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
        """Open a client transaction and send its request."""
        kind = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        transaction = kind(
            request,
            user,
            send=self._sender(hop),
            timers=self._timers,
            timings=self._timings,
            reliable=hop.destination.reliable,
        )
        self._clients[client_key(request)] = transaction, hop.destination
        self._call_ids[request.call_id] += 1
        transaction.start(now)
        return transaction

    def client_of(self, response: Response) -> ClientTransaction | None:
        """Return the client transaction that a response answers; None if there is none."""
        found = self._clients.get(client_key(response))
        return None if found is None else found[0]

    def clients_to(self, destination: Address) -> list[ClientTransaction]:
        """Return the client transactions whose request went to `destination`."""
        found = self._clients.values()
        return [transaction for transaction, where in found if where == destination]

    def has_call_id(self, call_id: str) -> bool:
        """Return whether a client transaction has this Call-ID."""
        return call_id in self._call_ids

    def end_client(self, request: Request) -> None:
        """Remove a terminated client transaction."""
        if self._clients.pop(client_key(request), None) is None:
            return
        self._call_ids[request.call_id] -= 1
        if not self._call_ids[request.call_id]:
            del self._call_ids[request.call_id]

    def start_server(
        self, request: Request, user: ServerUser, key: ServerKey, hop: NextHop
    ) -> ServerTransaction:
        """Open a server transaction; its responses go to `hop`."""
        kind = InviteServerTransaction if request.method == "INVITE" else NonInviteServerTransaction
        transaction = kind(
            user,
            send=self._sender(hop),
            timers=self._timers,
            timings=self._timings,
            reliable=hop.destination.reliable,
        )
        self._servers[key] = transaction
        self._originals.setdefault(merge_key(request), key)
        return transaction

    def server_of(self, key: ServerKey) -> ServerTransaction | None:
        """Return the server transaction with this key; None if there is none."""
        return self._servers.get(key)

    def is_merged(self, request: Request) -> bool:
        """Return whether a copy of this request came by another path (8.2.2.2)."""
        return merge_key(request) in self._originals

    def end_server(self, request: Request, key: ServerKey) -> None:
        """Remove a terminated server transaction."""
        self._servers.pop(key, None)
        if self._originals.get(merge_key(request)) == key:
            del self._originals[merge_key(request)]

    def _sender(self, hop: NextHop) -> Callable[[bytes], None]:
        def send(data: bytes) -> None:
            self._send(data, hop)

        return send
