"""Random calls, pauses, transfers and crashes: no gate is open that must be shut.

Covers `galwad/switch/call/switch_call.py`, `galwad/switch/call/dispatcher.py` and
`galwad/switch/call/call_recording.py`.
"""

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from galwad.switch.call.checkpoints import CallPause
from helpers.core_counts import counts
from helpers.examples import examples
from helpers.switch import Centre
from recording.policy import Trigger
from telephony.errors import ProtocolError
from telephony.sip.dialog import DialogState

SIAN, CERI, DEPARTMENT, TRUNK = "192.0.2.201", "192.0.2.202", "192.0.2.30", "192.0.2.1"
INSIDE = {SIAN, CERI}
PHONES = ("sian", "ceri", "department", "trunk")

acts = st.one_of(
    st.just(("die",)),
    st.tuples(st.just("hold"), st.sampled_from(["user:sian", "user:ceri"]), st.integers(0, 2)),
    st.tuples(st.just("release"), st.sampled_from(["user:sian", "user:ceri"]), st.integers(0, 2)),
    st.tuples(
        st.just("call"),
        st.sampled_from(PHONES[:2]),
        st.sampled_from(["201", "202", "3001", "01970000000"]),
    ),
    st.just(("call", "trunk", "01970000000")),
    st.tuples(
        st.just("refer"),
        st.sampled_from(PHONES),
        st.sampled_from(["201", "202", "3001", "999"]),
        st.integers(0, 3),
    ),
    st.tuples(
        st.sampled_from(["join", "take"]),
        st.sampled_from(PHONES),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    st.tuples(st.sampled_from(["bye", "reinvite"]), st.sampled_from(PHONES), st.integers(0, 3)),
    st.tuples(st.sampled_from(["slow", "quick", "leaves"]), st.sampled_from(PHONES)),
    st.tuples(st.just("answer"), st.sampled_from(PHONES)),
)


class Script:
    def __init__(self, centre, register):
        self.centre = centre
        self.trunk = centre.phone(TRUNK, "01632960001")
        self.sian = centre.phone(SIAN, "201", register)
        self.ceri = centre.phone(CERI, "202", register)
        self.department = centre.phone(DEPARTMENT, "3001")
        self.pauses = {}
        """By call: whoever holds it, as far as the test knows."""

    def calls(self):
        return list(self.centre.calls.values())

    def pick(self, number):
        calls = self.calls()
        return calls[number % len(calls)] if calls else None

    def dialog(self, phone, number):
        known = phone.endpoint.agent.dialogs
        live = [dialog for dialog in known if dialog.state is DialogState.CONFIRMED]
        return live[number % len(live)] if live else None

    async def play(self, name, *rest):
        with suppress(ProtocolError):  # the phone's own core does not allow this at the moment
            await getattr(self, "do_" + name)(*rest)
        self.centre.run()
        await asyncio.sleep(0)

    async def do_die(self):
        self.centre.revive()

    async def do_hold(self, holder, number):
        call = self.pick(number)
        if call is not None:
            call.recording.shut(CallPause(holder, Trigger.PAGE, holder))
            self.pauses.setdefault(call.call_id, set()).add(holder)

    async def do_release(self, holder, number):
        call = self.pick(number)
        if call is not None:
            assert await call.recording.resume(holder, holder)
            self.pauses.get(call.call_id, set()).discard(holder)

    async def do_call(self, who, number):
        if len(self.calls()) < 3:
            getattr(self, who).call(number)

    async def do_refer(self, who, to, number):
        phone = getattr(self, who)
        dialog = self.dialog(phone, number)
        if dialog is not None:
            phone.ask("REFER", ("Refer-To", f"<sip:{to}@192.0.2.9>"), dialog=dialog)

    async def do_join(self, who, number, other):
        phone = getattr(self, who)
        dialog, named = self.dialog(phone, number), self.dialog(phone, other)
        if dialog is not None:
            call_id, ours, theirs = named.id
            call_id = call_id.replace("@", "%40")
            tags = f"%3Bto-tag%3D{theirs}%3Bfrom-tag%3D{ours}"
            to = f"<sip:202@192.0.2.9?Replaces={call_id}{tags}>"
            phone.ask("REFER", ("Refer-To", to), dialog=dialog)

    async def do_take(self, who, whose, number):
        owner = getattr(self, PHONES[whose])
        named = self.dialog(owner, number)
        if named is not None:
            tags = f"to-tag={named.id.remote_tag};from-tag={named.id.local_tag}"
            getattr(self, who).call("201", ("Replaces", f"{named.call_id};{tags}"))

    async def do_bye(self, who, number):
        phone = getattr(self, who)
        dialog = self.dialog(phone, number)
        if dialog is not None:
            phone.ask("BYE", dialog=dialog)

    async def do_reinvite(self, who, number):
        phone = getattr(self, who)
        dialog = self.dialog(phone, number)
        if dialog is not None:
            phone.ask("INVITE", dialog=dialog)

    async def do_slow(self, who):
        getattr(self, who).final = None

    async def do_quick(self, who):
        getattr(self, who).final = 200
        getattr(self, who).leaves = False

    async def do_leaves(self, who):
        getattr(self, who).leaves = True

    async def do_answer(self, who):
        getattr(self, who).answer()

    def check(self):
        for call in self.calls():
            recorder = call.recording.recorder
            held = self.pauses.get(call.call_id, set())
            assert held <= set(call.recording.holders)
            if recorder is None or not recorder.gate.is_open:
                continue
            assert not held
            pair = call.legs.joined
            if pair is not None:
                peer = call.legs.legs[pair[1]].dialog.peer.host
                assert peer in INSIDE, peer
                assert self.centre.relay.joins.get(pair[0]) == pair[1]
        self.check_taps()

    def check_taps(self):
        """Assert that an open gate gets media only of its own call."""
        gates = {}
        for call in self.calls():
            recorder = call.recording.recorder
            if recorder is not None:
                gates[recorder.tap] = call
        for leg_id, tapped in self.centre.relay.taps.items():
            call = gates.get(tapped[1]) if tapped else None
            if call is not None and call.recording.recorder.gate.is_open:
                assert leg_id in call.legs.legs

    def carried(self, before):
        """Drop the expected pauses of the calls that have ended or were joined with another."""
        gone = set(before) - set(self.centre.calls)
        for call_id in gone:
            self.pauses.pop(call_id, None)


async def play(settings, phones, register, steps):
    centre = Centre(settings, phones)
    script = Script(centre, register)
    script.trunk.call("01970000000")
    for step in steps:
        before = dict(centre.calls)
        await script.play(*step)
        script.carried(before)
        script.check()
    for phone in (script.trunk, script.sian, script.ceri, script.department):
        phone.leaves = False
    centre.end()
    assert centre.calls == {}
    assert centre.relay.open_legs == {}
    assert list((settings.node.runtime / "calls").iterdir()) == []
    assert counts(centre.endpoint).dialogs == 0


@settings(max_examples=examples(60))
@given(steps=st.lists(acts, max_size=14))
def test_random_call_events_never_leave_a_gate_open_that_must_be_shut(
    settings, phones, register, steps
):
    try:
        asyncio.run(play(settings, phones, register, steps))
    finally:
        for folder in (settings.spool_folder, settings.node.runtime / "calls"):
            for left in folder.iterdir():
                left.unlink()
