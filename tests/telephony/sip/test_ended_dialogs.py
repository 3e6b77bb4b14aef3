"""Ended dialogs and transactions leave no circles of references.

Reference counting frees them, so no full garbage collection is needed, which would delay packets.
Covers `telephony/sip/dialog.py`, `telephony/sip/client_request.py`,
`telephony/sip/transaction/client_transaction.py`,
`telephony/sip/transaction/server_transaction.py`, `telephony/sip/ua/reliable.py`,
`telephony/sip/ua/uac.py` and `telephony/sip/ua/uas.py`.
"""

from __future__ import annotations

import pytest

from helpers.garbage import unreachable, without_collections
from telephony.errors import ProtocolError
from telephony.sip.events import DialogRequest, IncomingInvite, InviteAnswered, StandaloneRequest

pytestmark = pytest.mark.usefixtures("old_objects_ignored")

LONGEST_WAIT_S = 600.0
"""A time after which no timer of an ended dialog or transaction is left, in seconds."""


def answering(status, **how):
    """Return a function that answers each INVITE with this status, and other requests with 200."""

    def react(party):
        def react_to(event):
            now = party.network.now
            match event:
                case IncomingInvite(invite):
                    if status:
                        invite.respond(180, now=now, **how)
                        invite.respond(status, now=now)
                case DialogRequest(_, transaction, _) | StandaloneRequest(transaction):
                    transaction.respond(200, now=now)
                case InviteAnswered(client, dialog):
                    dialog.ack(client, now=now)

        return react_to

    return react


def talk(alice, bob):
    """Return the dialog at Alice of a new call that Bob has answered."""
    alice.react, bob.react = answering(200)(alice), answering(200)(bob)
    alice.call(bob)
    return alice.last(InviteAnswered).dialog


def a_call_that_the_caller_ends(alice, bob):
    talk(alice, bob).request("BYE", now=alice.network.now)


def a_call_that_the_callee_ends(alice, bob):
    talk(alice, bob)
    bob.last(IncomingInvite).invite.dialog.request("BYE", now=bob.network.now)


def a_call_that_both_end_at_once(alice, bob):
    talk(alice, bob).request("BYE", now=alice.network.now)
    bob.last(IncomingInvite).invite.dialog.request("BYE", now=bob.network.now)


def a_call_with_requests_in_its_dialog(alice, bob):
    dialog = talk(alice, bob)
    for method in ("UPDATE", "INFO", "INVITE", "UPDATE"):
        dialog.request(method, now=alice.network.now)
        alice.network.flush()
    with pytest.raises(ProtocolError):
        dialog.request("INVITE", now=alice.network.now)  # the ACK is due
    bob.last(IncomingInvite).invite.dialog.request("UPDATE", now=bob.network.now)
    bob.network.flush()
    dialog.request("BYE", now=alice.network.now)


def a_call_that_ends_while_a_request_waits(alice, bob):
    dialog = talk(alice, bob)
    bob.react = None
    dialog.request("INVITE", now=alice.network.now)
    dialog.request("UPDATE", now=alice.network.now)
    alice.network.flush()
    dialog.request("BYE", now=alice.network.now)


def a_call_without_an_ack(alice, bob):
    bob.react = answering(200)(bob)
    alice.call(bob)
    bob.last(IncomingInvite).invite.dialog.request("BYE", now=bob.network.now)


def a_call_with_reliable_responses(alice, bob):
    alice.react, bob.react = answering(200)(alice), answering(200, reliable=True)(bob)
    alice.call(bob, headers=(("Supported", "100rel"),))
    assert alice.network.sent("PRACK")
    alice.last(InviteAnswered).dialog.request("BYE", now=alice.network.now)


def a_call_that_is_refused(alice, bob):
    bob.react = answering(486)(bob)
    alice.call(bob)


def a_call_that_is_cancelled(alice, bob):
    client = alice.call(bob)
    bob.last(IncomingInvite).invite.respond(180, now=bob.network.now)
    bob.network.flush()
    client.cancel(now=alice.network.now)


def a_call_that_is_not_answered(alice, bob):
    alice.network.drop = lambda datagram: datagram.destination == bob.address
    alice.call(bob)


def a_call_that_is_refused_without_state(alice, bob):
    alice.call(bob)
    bob.last(IncomingInvite).invite.refuse_statelessly(503, now=bob.network.now)


def a_request_outside_dialogs(alice, bob):
    bob.react = answering(0)(bob)
    invite = alice.call(bob).request
    alice.endpoint.request(
        "OPTIONS",
        invite.uri,
        from_=invite.from_,
        to=invite.to,
        destination=bob.address,
        now=alice.network.now,
    )


KINDS = [
    a_call_that_the_caller_ends,
    a_call_that_the_callee_ends,
    a_call_that_both_end_at_once,
    a_call_with_requests_in_its_dialog,
    a_call_that_ends_while_a_request_waits,
    a_call_without_an_ack,
    a_call_with_reliable_responses,
    a_call_that_is_refused,
    a_call_that_is_cancelled,
    a_call_that_is_not_answered,
    a_call_that_is_refused_without_state,
    a_request_outside_dialogs,
]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_an_ended_dialog_is_left_to_the_garbage_collector(network, alice, bob, kind):
    def once():
        kind(alice, bob)
        for _ in range(3):
            network.run(LONGEST_WAIT_S)
        for party in (alice, bob):
            party.react = None
            party.events.clear()
        network.wire.clear()
        network.drop = lambda datagram: False

    once()
    with without_collections():
        once()
        left = unreachable("telephony")
    assert left == {}
