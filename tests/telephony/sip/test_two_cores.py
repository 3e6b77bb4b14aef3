"""Two cores on a network that loses, duplicates and reorders messages, driven by hypothesis.

However their messages cross, in the end both agree about each call, and neither has a dialog, a
transaction or a timer left.

Covers `telephony/sip/dialog.py`, `telephony/sip/ua/uac.py` and `telephony/sip/ua/uas.py`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from helpers.core_counts import counts
from helpers.examples import examples
from telephony.sip.dialog import DialogState
from telephony.sip.events import (
    AckMissing,
    AckReceived,
    Address,
    DialogEnded,
    DialogRequest,
    DialogRequestFailed,
    DialogResponse,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
    InviteProgress,
)
from telephony.sip.ua.uac import InviteClient
from telephony.sip.ua.uas import InviteServer

OFFER: dict[str, Any] = {"headers": (("Content-Type", "application/sdp"),), "body": b"v=0\r\n"}
MOST_CALLS = 6
LOST = st.sampled_from([0.0, 0.0, 0.1, 0.3, 0.5])
SIDES = st.booleans()
CHOICE = st.integers(0, 1000)


def key_of(request):
    """Return the values that identify a request at both ends."""
    return request.call_id, request.from_.tag, request.cseq.number, request.method


class User:
    """The application of one core: answers urgent events at once, keeps the rest for the rules."""

    def __init__(self, party, network):
        self.party, self.network = party, network
        self.clients, self.dialogs, self.waiting, self.asked = [], [], [], []
        self.said = {}
        """The final status that was given to each request, by `key_of`."""
        party.react = self.react

    def react(self, event):
        now = self.network.now
        match event:
            case IncomingInvite(invite=invite):
                self.waiting.append(invite)
            case InviteProgress(client=client, dialog=dialog, response=response, answer_due=True):
                assert dialog is not None
                client.prack(dialog, response, **OFFER, now=now)
            case InviteAnswered(client=client, dialog=dialog):
                self.dialogs.append(dialog)
                dialog.ack(client, **({} if client.request.body else OFFER), now=now)
                if client.cancelled:
                    self.bye(dialog)
            case DialogRequest(transaction=transaction, request=request):
                if request.method in {"BYE", "PRACK"}:
                    self.say(transaction, 200)
                else:
                    assert request.method != "INVITE" or not self.offers_in(transaction.dialog)
                    self.waiting.append(transaction)
            case DialogResponse(dialog=dialog, transaction=client, response=response):
                if isinstance(client, InviteClient) and 200 <= response.status < 300:
                    dialog.ack(client, now=now)
            case AckMissing(dialog=dialog) | DialogRequestFailed(dialog=dialog, status=408):
                self.bye(dialog)
            case _:
                pass

    def say(self, transaction, status, **more):
        """Send the final response, unless the core has already sent one."""
        if transaction.answered:
            return
        if isinstance(transaction, InviteServer) and transaction.cancelled:
            return
        self.said[key_of(transaction.request)] = status
        good = {} if status >= 300 or transaction.request.method != "INVITE" else OFFER
        dialog = transaction.respond(status, **good, **more, now=self.network.now)
        if dialog is not None and dialog not in self.dialogs:
            self.dialogs.append(dialog)

    def offers_in(self, dialog):
        """Return our unanswered re-INVITEs in a dialog; while there is one, the peer's gets 491."""
        invites = (client for client in self.asked if client.request.method == "INVITE")
        return [client for client in invites if client.dialog is dialog and not client.finished]

    def live(self):
        return [d for d in self.dialogs if d.state is DialogState.CONFIRMED and not d.is_ending]

    def ask(self, dialog, method):
        if method == "INVITE" and dialog.invite_pending:
            return
        offers = OFFER if method in {"INVITE", "UPDATE"} else {}
        self.asked.append(dialog.request(method, **offers, now=self.network.now))

    def bye(self, dialog):
        if dialog in self.live():
            self.ask(dialog, "BYE")


class TwoCores(RuleBasedStateMachine):
    """The actions that hypothesis combines; the test sets `make_network`."""

    make_network: Callable

    @initialize(seed=st.integers(0, 10_000), loss=LOST, duplication=LOST, jitter=LOST)
    def begin(self, seed, loss, duplication, jitter):
        self.network = network = type(self).make_network(seed)
        network.loss, network.duplication, network.jitter = loss, duplication, jitter
        self.users = [
            User(network.party("alice", Address("192.0.2.1", 5060)), network),
            User(network.party("bob", Address("192.0.2.2", 5060)), network),
        ]

    def user(self, side):
        return self.users[side]

    def has_room(self):
        return sum(len(user.clients) for user in self.users) < MOST_CALLS

    def is_asked(self):
        return any(user.waiting for user in self.users)

    def talks(self):
        return any(user.live() for user in self.users)

    @precondition(has_room)
    @rule(side=SIDES, offer=st.booleans(), reliable=st.sampled_from([True, True, False]))
    def call(self, side, offer, reliable):
        supported = "100rel" if reliable else "timer"
        given = OFFER if offer else {"headers": (), "body": b""}
        headers = (*given["headers"], ("Supported", supported))
        client = self.user(side).party.call(
            self.user(not side).party, headers=headers, body=given["body"]
        )
        self.user(side).clients.append(client)

    @precondition(has_room)
    @rule(side=SIDES)
    def call_and_be_answered(self, side):
        self.call(side, offer=True, reliable=False)
        other = self.user(not side)
        self.network.run(2)
        while other.waiting:
            other.say(other.waiting.pop(), 200)
        self.network.run(2)

    @precondition(is_asked)
    @rule(side=SIDES, which=CHOICE, status=st.sampled_from([180, 183]), reliable=st.booleans())
    def progress(self, side, which, status, reliable):
        waiting = [t for t in self.user(side).waiting if isinstance(t, InviteServer)]
        if waiting:
            invite = waiting[which % len(waiting)]
            if not invite.answered and not invite.cancelled:
                reliable = reliable and invite.takes_reliable
                body = OFFER if status == 183 else {}
                invite.respond(status, reliable=reliable, **body, now=self.network.now)
                self.network.flush()

    @precondition(is_asked)
    @rule(side=SIDES, which=CHOICE, status=st.sampled_from([200, 200, 200, 202, 488, 486, 603]))
    def answer(self, side, which, status):
        user = self.user(side)
        if user.waiting:
            user.say(user.waiting.pop(which % len(user.waiting)), status)
            self.network.flush()

    @rule(side=SIDES, which=CHOICE)
    def cancel(self, side, which):
        clients = self.user(side).clients + [
            client for client in self.user(side).asked if client.request.method == "INVITE"
        ]
        if clients:
            clients[which % len(clients)].cancel(now=self.network.now)
            self.network.flush()

    @precondition(talks)
    @rule(
        side=SIDES,
        which=CHOICE,
        method=st.sampled_from(["INVITE", "INVITE", "UPDATE", "REFER", "NOTIFY", "INFO", "BYE"]),
        both=st.booleans(),
    )
    def ask(self, side, which, method, both):
        """Send a request; with `both`, the other end sends the same before it can receive ours."""
        user = self.user(side)
        live = user.live()
        if not live:
            return
        dialog = live[which % len(live)]
        user.ask(dialog, method)
        if both:
            other = self.user(not side)
            for theirs in other.live():
                if theirs.call_id == dialog.call_id:
                    other.ask(theirs, method)
        self.network.flush()

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.3, 1.0, 4.0, 33.0, 70.0]))
    def wait(self, seconds):
        self.network.run(seconds)

    @rule(loss=LOST, jitter=LOST)
    def weather(self, loss, jitter):
        self.network.loss, self.network.jitter = loss, jitter

    def teardown(self):
        if not hasattr(self, "users"):
            return
        self.network.loss = self.network.jitter = 0.0
        for _ in range(30):
            self.network.run(4)
            for user in self.users:
                while user.waiting:
                    user.say(user.waiting.pop(), 200)
        for user in self.users:
            for dialog in user.live():
                user.bye(dialog)
        self.network.run(200)
        self.nothing_is_left()
        self.each_call_has_one_outcome()
        self.each_request_has_one_answer()

    def nothing_is_left(self):
        for user in self.users:
            stored = dataclasses.asdict(counts(user.party.endpoint))
            assert not any(stored.values()), (user.party.name, stored)
            assert user.party.endpoint.next_timer() is None
            ended = Counter(id(event.dialog) for event in user.party.seen(DialogEnded))
            assert set(ended.values()) <= {1}

    def each_call_has_one_outcome(self):
        for user, other in (self.users, reversed(self.users)):
            answered = {id(e.client): e for e in user.party.seen(InviteAnswered)}
            failed = {id(e.client): e for e in user.party.seen(InviteFailed)}
            ended = {(d.call_id, d.remote_tag, d.local_tag) for d in _ended(other)}
            for client in user.clients:
                assert (id(client) in answered) != (id(client) in failed)
                event = failed.get(id(client))
                if event is None:
                    assert tuple(answered[id(client)].dialog.id) in ended
                elif event.response is not None and event.status not in {487, 504}:
                    assert other.said[key_of(client.request)] == event.status
            mine = {tuple(e.dialog.id) for e in answered.values()}
            for event in other.party.seen(AckReceived):
                there = event.dialog.id
                if not event.dialog.caller:
                    assert (there.call_id, there.remote_tag, there.local_tag) in mine

    def each_request_has_one_answer(self):
        for user, other in (self.users, reversed(self.users)):
            told: dict = {}
            for event in user.party.seen(DialogResponse):
                if event.response.status >= 200:
                    told.setdefault(id(event.transaction), []).append(event.response.status)
            for event in user.party.seen(DialogRequestFailed):
                told.setdefault(id(event.transaction), []).append(None)
            for client in user.asked:
                statuses = told.get(id(client), [])
                assert len(statuses) <= 1, (client.request.method, statuses)
                said = other.said.get(key_of(client.request))
                if client.request.method == "INVITE" and statuses in ([487], [504]):
                    continue  # cancelled or timed out while its 2xx waited for a PRACK
                if said is not None and statuses not in ([], [None]):
                    assert statuses == [said], client.request.method


def _ended(user):
    return [event.dialog.id for event in user.party.seen(DialogEnded)]


def test_two_cores_agree_after_any_sequence_of_actions_and_no_state_is_left(make_network):
    machine = type("Machine", (TwoCores,), {"make_network": staticmethod(make_network)})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples(60), stateful_step_count=30, deadline=None),
    )
