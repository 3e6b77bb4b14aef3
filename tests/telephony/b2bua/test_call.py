"""Random events on a call: no exception, no leak, and both ends agree that it is over.

Covers `telephony/b2bua/core.py`.
"""

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.b2bua.phone import Reply
from helpers.b2bua.world import World
from helpers.examples import examples
from telephony.b2bua import SessionInterval
from telephony.errors import ProtocolError
from telephony.sip.dialog import DialogState
from telephony.sip.message.messages import takes_reliable

INFO = (("Content-Type", "application/dtmf-relay"),)
SDP = (("Content-Type", "application/sdp"),)
PHONES = ("a", "b", "c")
WISHES = [("Supported", "100rel"), ("Require", "100rel"), ("Supported", "timer")]

acts = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 3.0, 20.0, 50.0, 200.0])),
    st.tuples(
        st.sampled_from(
            [
                "hold",
                "resume",
                "bare",
                "codec",
                "update",
                "info",
                "refer",
                "bye",
                "options",
                "answer",
                "early",
                "ringing",
                "refuse",
                "cancel",
                "forget",
                "garbage",
                "record",
                "rename",
                "busy",
                "slow",
                "fast",
            ]
        ),
        st.sampled_from(PHONES),
    ),
    st.tuples(st.sampled_from(["hangup", "reject", "ring-again", "down"]), st.just("b")),
)


class Script:
    """Carries out acts; skips those that a phone cannot do in its present state."""

    def __init__(self, world, *, group, at_once):
        self.world = world
        self.names = 0
        rung = (world.b, world.c) if group else (world.b,)
        world.switch.plan.targets = [world.target(phone, trust=True) for phone in rung]
        if not at_once:
            world.b.reply = world.c.reply = Reply(final=None)

    def play(self, name, who):
        world = self.world
        if name == "wait":
            world.net.run(who)
            return
        phone = getattr(world, who)
        act = getattr(self, "do_" + name.replace("-", "_"))
        with suppress(ProtocolError):  # the phone's own core forbids the act in its present state
            act(phone)
        world.net.flush()

    def do_hold(self, phone):
        self._offer(phone, direction="sendonly")

    def do_resume(self, phone):
        self._offer(phone)

    def do_codec(self, phone):
        self._offer(phone, codecs=("8 PCMA/8000", "101 telephone-event/8000"))

    def _offer(self, phone, **changes):
        if phone.dialog is not None:
            phone.reinvite(**changes)

    def do_bare(self, phone):
        self._ask(phone, "INVITE")

    def do_update(self, phone):
        self._ask(phone, "UPDATE", (("Content-Type", "application/sdp"),), phone.sdp(version=50))

    def do_info(self, phone):
        self._ask(phone, "INFO", INFO, b"Signal=1")

    def do_record(self, phone):
        self._ask(phone, "INFO", (("Record", "off"),))

    def do_rename(self, phone):
        self.names += 1
        name = f"<sip:{self.names}@pbx.example>"
        self._ask(phone, "UPDATE", (("P-Asserted-Identity", name),))

    def do_options(self, phone):
        self._ask(phone, "OPTIONS")

    def do_garbage(self, phone):
        self._ask(phone, "INVITE", (("Content-Type", "application/sdp"),), b"v=0\r\nnonsense")

    def do_bye(self, phone):
        self._ask(phone, "BYE")

    def do_refer(self, phone):
        self._ask(phone, "REFER", (("Refer-To", "<sip:c@x>"),))

    @staticmethod
    def _ask(phone, method, headers=(), body=b""):
        if phone.dialog is not None:
            phone.ask(method, headers, body)

    def do_answer(self, phone):
        self._final(phone, 200)

    def do_refuse(self, phone):
        self._final(phone, 486)

    def do_early(self, phone):
        self._provisional(phone, headers=SDP, body=phone.sdp())

    def do_ringing(self, phone):
        self._provisional(phone)

    def _provisional(self, phone, **more):
        for invite in phone.invites:
            if not invite.answered:
                reliable = takes_reliable(invite.request)
                invite.respond(183, reliable=reliable, now=self.world.clock.now, **more)

    def do_busy(self, phone):
        phone.reply = Reply(final=486)

    def do_slow(self, phone):
        phone.infos = {"UPDATE": None, "INFO": None, "NOTIFY": None}

    def do_fast(self, phone):
        phone.infos = {}
        phone.reply = Reply()

    def _final(self, phone, status):
        for invite in phone.invites:
            if not invite.answered:
                phone.answer(invite, Reply(provisional=(), final=status))

    def do_cancel(self, phone):
        if phone.client is not None:
            phone.client.cancel(now=self.world.clock.now)

    def do_forget(self, phone):
        if phone.dialog is not None and phone.dialog.state is DialogState.CONFIRMED:
            phone.dialog.drop("crashed")

    def do_down(self, phone):
        self.world.net.down ^= {phone.address}

    def do_hangup(self, _phone):
        self.world.switch.act(lambda call: call.hangup(self.world.clock.now))

    def do_reject(self, _phone):
        if not self.world.call.answered:
            self.world.switch.act(lambda call: call.reject(486, self.world.clock.now))

    def do_ring_again(self, phone):
        again = [self.world.target(phone)]
        self.world.switch.act(lambda call: call.ring_again(again, self.world.clock.now))


@settings(max_examples=examples(150))
@given(
    steps=st.lists(acts, max_size=14),
    weather=st.tuples(st.integers(1, 1000), st.sampled_from([0.0, 0.0, 0.15, 0.4])),
    shape=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from(WISHES)),
)
def test_no_sequence_of_events_leaves_a_leg_dialog_or_transaction_open(steps, weather, shape):
    (seed, loss), (group, at_once, offerless, wish) = weather, shape
    world = World(seed, session=SessionInterval(90), trust_caller=True)
    chance = random.Random(seed)
    world.net.lost = lambda _data: chance.random() < loss
    script = Script(world, group=group, at_once=at_once)
    world.a.call(body=b"" if offerless else None, headers=(wish,))
    world.net.flush()
    for step in steps:
        if world.switch.calls:
            script.play(*step)
        else:
            world.net.run(1)
    check(world)


def check(world):
    world.net.run(250)
    for call in world.switch.calls:
        if not call.ended:
            assert call.joined is not None
            a, b = call.joined
            assert world.switch.plane.joins.get(a) == b
            assert set(world.switch.plane.open_legs) == {a, b}
            call.hangup(world.clock.now)
            world.switch.drain(call)
    world.net.lost = lambda _data: False
    world.net.down.clear()
    for phone in (world.a, world.b, world.c):
        phone.infos = {}
    world.net.run(200)
    for phone in (world.a, world.b, world.c):
        # A phone that was unreachable at the hang-up learns of it from its next request.
        if phone.dialog is not None and phone.dialog.state is DialogState.CONFIRMED:
            phone.ask("OPTIONS")
        for invite in phone.invites:
            if not invite.answered:
                invite.respond(487, now=world.clock.now)
    world.net.run(100)
    for phone in (world.a, world.b, world.c):
        for dialog in list(phone.endpoint.agent.dialogs):
            dialog.request("OPTIONS", now=world.clock.now)
    world.assert_clean()


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_call_with_hold_and_transfer_over_a_lossy_network_ends_cleanly(seed):
    world = World(seed)
    chance = random.Random(seed)
    world.net.lost = lambda _data: chance.random() < 0.3
    world.a.call()
    world.net.run(30)
    assert world.call.joined is not None
    world.b.reinvite(direction="sendonly")
    world.net.run(30)
    world.b.refer()
    world.net.run(40)
    world.a.hang_up()
    world.net.run(60)
    assert world.call.ended
    world.assert_clean()


def test_a_second_dial_raises_protocol_error_and_a_dial_after_the_end_rings_no_phone(world):
    world.talk()
    with pytest.raises(ProtocolError):
        world.call.dial([world.target(world.c)], world.clock.now)
    world.a.hang_up()
    world.call.dial([world.target(world.c)], world.clock.now)
    world.call.reject(486, world.clock.now)
    assert world.c.invites == []
