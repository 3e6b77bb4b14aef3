"""A fake network with a fake clock, which carries datagrams between SIP cores."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from telephony.sip.dialog import Dialog
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, OutgoingMessage, SipEvent
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response, parse_message
from telephony.sip.message.uri import Uri
from telephony.sip.ua.uac import InviteClient


@dataclass
class Party:
    """One SIP core on the network, with the events that it has emitted so far."""

    name: str
    address: Address
    endpoint: Endpoint
    network: Network
    events: list[SipEvent] = field(default_factory=list)
    react: Callable[[SipEvent], None] | None = None

    def seen(self, kind: type) -> list[SipEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def last(self, kind: type):
        found = self.seen(kind)
        assert found, f"{self.name} saw no {kind.__name__}: {self.events}"
        return found[-1]

    def call(self, other: Party, **kwargs: Any) -> InviteClient:
        client = self.endpoint.invite(
            Uri(user=other.name, host=other.address.host, port=other.address.port),
            from_=NameAddr.parse(f"<sip:{self.name}@example.com>"),
            to=NameAddr.parse(f"<sip:{other.name}@example.com>"),
            destination=other.address,
            now=self.network.now,
            **kwargs,
        )
        self.network.flush()
        return client


class Network:
    """Carries datagrams in fake time. Perfect and instant by default."""

    def __init__(self, seed: int = 1) -> None:
        self.now = 1000.0
        self.random = random.Random(seed)
        self.loss = 0.0
        self.duplication = 0.0
        self.jitter = 0.0
        self.delay = 0.0
        self.drop: Callable[[OutgoingMessage], bool] = lambda datagram: False
        self.parties: dict[Address, Party] = {}
        self.wire: list[tuple[float, OutgoingMessage]] = []
        """Everything that was ever sent, lost or not."""
        self._in_flight: list[tuple[float, int, OutgoingMessage]] = []
        self._order = itertools.count()

    def party(self, name: str, address: Address, **kwargs: Any) -> Party:
        endpoint = Endpoint(rng=random.Random(name), **kwargs)
        endpoint.listen(address)
        party = Party(name, address, endpoint, self)
        self.parties[address] = party
        return party

    def flush(self) -> None:
        """Send what waits and deliver what is due, until all is quiet at this instant."""
        busy = True
        while busy:
            busy = False
            for party in self.parties.values():
                while (event := party.endpoint.next_event()) is not None:
                    party.events.append(event)
                    if party.react is not None:
                        party.react(event)
                    busy = True
                for datagram in party.endpoint.outgoing():
                    self._send(datagram)
                    busy = True
            while self._in_flight and self._in_flight[0][0] <= self.now:
                _, _, datagram = heapq.heappop(self._in_flight)
                target = self.parties.get(datagram.destination)
                if target is not None:
                    target.endpoint.receive(
                        datagram.data, datagram.local, datagram.destination, self.now
                    )
                busy = True

    def run(self, seconds: float) -> None:
        """Let time pass; timers fire when they are due."""
        end = self.now + seconds
        self.flush()
        while True:
            due = [t for p in self.parties.values() if (t := p.endpoint.next_timer()) is not None]
            due += [self._in_flight[0][0]] if self._in_flight else []
            if not due or min(due) > end:
                break
            self.now = max(self.now, min(due))
            for party in self.parties.values():
                party.endpoint.handle_timer(self.now)
            self.flush()
        self.now = end

    def sent(self, start: str) -> list[float]:
        """When messages that start so were sent."""
        return [when for when, d in self.wire if d.data.startswith(start.encode())]

    def messages(self, start: str) -> list[Request | Response]:
        return [parse_message(d.data) for _, d in self.wire if d.data.startswith(start.encode())]

    def _send(self, datagram: OutgoingMessage) -> None:
        self.wire.append((self.now, datagram))
        if self.drop(datagram) or self.random.random() < self.loss:
            return
        copies = 2 if self.random.random() < self.duplication else 1
        for _ in range(copies):
            arrival = self.now + self.delay + self.random.random() * self.jitter
            heapq.heappush(self._in_flight, (arrival, next(self._order), datagram))


@dataclass
class Call:
    """A call that stands: the two ends and their dialogs."""

    network: Network
    alice: Party
    bob: Party
    client: InviteClient
    at_alice: Dialog
    at_bob: Dialog
