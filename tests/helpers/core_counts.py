"""The numbers of objects that a SIP core stores now."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.sip.endpoint import Endpoint


@dataclass(frozen=True)
class Counts:
    """All numbers are 0 if the core is idle."""

    client_transactions: int
    server_transactions: int
    dialogs: int
    awaiting_ack: int
    """2xx responses that wait for their ACK."""
    awaiting_prack: int
    """Reliable provisional responses that wait for their PRACK."""
    timers: int


def counts(endpoint: Endpoint) -> Counts:
    agent = endpoint.agent
    transactions = agent.core.transactions
    return Counts(
        client_transactions=len(transactions._clients),
        server_transactions=len(transactions._servers),
        dialogs=len(agent.dialogs),
        awaiting_ack=len(agent.awaiting_ack),
        awaiting_prack=len(agent.awaiting_prack),
        timers=len(agent.core.timers),
    )
