"""Ended calls leave no circles of references, so no garbage collection is needed to free them.

A full collection stops the switch for a tenth of a second or longer: media and pauses wait for it.
Covers `galwad/switch/call/switch_call.py`, `galwad/switch/call/pauses.py`,
`galwad/switch/call/call_recording.py` and `recording/recorder.py`.
"""

import asyncio
import gc
import time

import pytest

from config.values import Pattern, Peer
from galwad.settings.switch import Route, Trunk
from galwad.switch.call.checkpoints import CallPause
from galwad.switch.call.clocks import read_clocks
from helpers.core_counts import counts
from helpers.garbage import kept_by, unreachable, without_collections
from helpers.switch import replaces
from recording.policy import Trigger
from telephony.b2bua.leg_media import LegMedia
from telephony.sip.message.messages import Response
from telephony.sip.ua.server_request import ServerRequest

pytestmark = pytest.mark.usefixtures("old_objects_ignored")

PAUSE = CallPause("user:sian", Trigger.PAGE, "user:sian")
LONGEST_WAIT_S = 600.0
"""A time after which no transaction and no timer of an ended call is left, in seconds."""


@pytest.fixture
def settings(settings):
    """The settings of the centre, with a PBX as a trunk."""
    pbx = Trunk(name="pbx", peers=(Peer.parse("192.0.2.20"),), trusted=True)
    routes = (
        Route(called=Pattern.parse("202"), ring=("202",)),
        Route(called=Pattern.parse("209"), ring=("209",)),
        *settings.routes,
    )
    return settings.model_copy(update={"trunks": (*settings.trunks, pbx), "routes": routes})


class Parties:
    """The parties of the calls, and all kinds of calls that they make."""

    def __init__(self, centre, register):
        self.centre = centre
        self.trunk = centre.phone("192.0.2.1", "01632960001")
        self.sian = centre.phone("192.0.2.201", "201", register)
        self.ceri = centre.phone("192.0.2.202", "202", register)
        self.department = centre.phone("192.0.2.30", "3001")
        self.pbx = centre.phone("192.0.2.20", "201")

    def talk(self):
        self.trunk.call("01970000000")
        (call,) = self.centre.calls.values()
        return call

    async def that_the_caller_ends(self):
        self.talk()
        self.trunk.ask("BYE")

    async def that_the_advisor_ends(self):
        self.talk()
        self.sian.ask("BYE")

    async def that_the_switch_ends(self):
        self.talk()

    async def of_phones(self):
        self.sian.call("202")
        self.sian.ask("BYE")

    async def that_the_caller_abandons(self):
        self.sian.final = self.ceri.final = None
        self.trunk.call("01970000000")
        self.trunk.client.cancel(now=time.monotonic())
        self.centre.run()

    async def that_nobody_answers(self):
        self.sian.final = self.ceri.final = None
        self.trunk.call("01970000000")
        (call,) = self.centre.calls.values()
        call.legs.handle_timer(time.monotonic() + LONGEST_WAIT_S)
        call.settle(read_clocks())

    async def that_is_refused(self):
        self.sian.final = self.ceri.final = 486
        self.trunk.call("01970000000")

    async def without_targets(self):
        self.trunk.call("209")

    async def that_is_redirected(self):
        self.sian.final = self.ceri.final = None
        self.trunk.call("01970000000")
        to = (("Contact", "<sip:3001@192.0.2.9>"),)
        self.sian.invites[-1].respond(302, headers=to, now=time.monotonic())
        self.centre.run()

    async def that_is_held(self):
        self.talk()
        self.sian.ask("INVITE")
        self.trunk.ask("INVITE")
        self.sian.ask("INVITE", direction="sendrecv")

    async def that_is_paused_and_resumed(self):
        call = self.talk()
        assert await call.pauses.pause(PAUSE)
        assert await call.pauses.resume("user:sian", "user:sian")
        for value in ("off", "on", "perhaps"):
            self.sian.ask("INFO", ("Record", value))
        for key in "*71*72":
            kind = ("Content-Type", "application/dtmf-relay")
            self.sian.ask("INFO", kind, body=f"Signal={key}\r\n".encode())
        await asyncio.gather(*call.pauses.tasks)

    async def that_ends_while_a_pause_waits_for_the_disk(self):
        call = self.talk()
        self.sian.ask("INFO", ("Record", "off"))
        waiting = call.pauses.pause(PAUSE)
        tasks = list(call.pauses.tasks)
        del call
        self.trunk.ask("BYE")
        await asyncio.gather(waiting, *tasks)

    async def that_is_transferred_within_the_centre(self):
        self.talk()
        self.sian.ask("REFER", ("Refer-To", "<sip:202@192.0.2.9>"))

    async def that_is_transferred_outside(self):
        self.talk()
        self.sian.ask("REFER", ("Refer-To", "<sip:3001@192.0.2.9>"))

    async def whose_transfer_fails(self):
        self.talk()
        self.department.final = 486
        self.sian.ask("REFER", ("Refer-To", "<sip:3001@192.0.2.9>"))
        self.sian.ask("REFER", ("Refer-To", "<sip:4@192.0.2.9>"))

    async def whose_advisor_is_rung_again(self):
        self.talk()
        self.department.final = 486
        self.sian.leaves = True
        self.sian.ask("REFER", ("Refer-To", "<sip:3001@192.0.2.9>"))

    async def that_is_transferred_after_a_consultation(self):
        self.talk()
        (first,) = self.sian.dialogs
        self.sian.ask("INVITE")
        second = self.sian.call("202")
        self.sian.ask("INFO", ("Record", "off"), dialog=second)
        self.sian.ask("REFER", replaces(second, "202"), dialog=first)

    async def whose_consultation_still_rings_at_the_transfer(self):
        self.talk()
        (first,) = self.sian.dialogs
        self.ceri.final = None
        self.sian.call("202")
        early = next(each for each in self.sian.endpoint.agent.dialogs if each is not first)
        self.sian.ask("REFER", replaces(early, "202"), dialog=first)

    async def that_a_phone_picks_up(self):
        self.talk()
        call_id, ours, theirs = self.sian.dialogs[-1].id
        self.ceri.call("201", ("Replaces", f"{call_id};to-tag={theirs};from-tag={ours}"))
        assert self.ceri.statuses == [200]

    async def that_a_pbx_joins_with_a_consultation(self):
        self.trunk.call("01970000200")
        (first,) = self.pbx.dialogs
        name = "P-Asserted-Identity", "<sip:201@192.0.2.20>"
        self.pbx.ask("UPDATE", name)
        self.pbx.call("202")
        self.pbx.ask("UPDATE", (name[0], "<sip:202@192.0.2.20>"), dialog=first)
        assert any(call.hidden for call in self.centre.calls.values())

    async def that_continues_after_a_restart(self):
        self.talk()
        self.sian.ask("REFER", ("Refer-To", "<sip:202@192.0.2.9>"))
        assert self.centre.revive().going_on == 1
        gc.collect()  # what the process before has left

    async def forget(self):
        """End all calls, and let all their transactions, timers and tasks end."""
        self.centre.end()
        for phone in (self.trunk, self.sian, self.ceri, self.department, self.pbx):
            phone.final, phone.leaves, phone.client = 200, False, None
            for each in (phone.dialogs, phone.invites, phone.requests, phone.statuses):
                each.clear()
        for later in (1.0, 2.0, 3.0):
            for node in self.centre.nodes.values():
                node.endpoint.handle_timer(time.monotonic() + later * LONGEST_WAIT_S)
            self.centre.run()
            await asyncio.sleep(0)


KINDS = [name for name in vars(Parties) if name.startswith(("that_", "of_", "without_", "whose_"))]


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_of_an_ended_call_is_left_to_the_garbage_collector(centre, register, kind):
    parties = Parties(centre, register)
    await getattr(parties, kind)()
    await parties.forget()
    left = {}
    for _ in range(3):  # on a busy machine, a timer of the process before can end in one round
        with without_collections():
            for _ in range(3):
                await getattr(parties, kind)()
                await parties.forget()
            left = unreachable("galwad", "telephony", "recording")
        if not left:
            break
    assert left == {}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_legs_of_an_ended_call_keep_no_session_descriptions(centre, register, kind):
    """The transactions of a call refer to its legs for half a minute after its end."""
    parties = Parties(centre, register)
    await getattr(parties, kind)()
    with without_collections():
        centre.end()
        legs = [each for each in gc.get_objects() if isinstance(each, LegMedia)]
    kept = [(leg.last_sent, leg.local_description, leg.remote_description) for leg in legs]
    assert kept == [(None, None, None)] * len(legs)


KEPT = {
    "that_is_held": {"Response": 2},
    "that_is_transferred_after_a_consultation": {"Response": 2, "ServerRequest": 1},
}
"""Kinds of calls with a re-INVITE of the switch, which refers to its 2xx."""


@pytest.mark.parametrize("kind", KINDS)
async def test_the_transactions_of_an_ended_call_keep_no_received_messages_but_those_of_a_re_invite(
    centre, register, kind
):
    """They answer repeated requests for half a minute, and need only the bytes of a response."""
    parties = Parties(centre, register)
    await getattr(parties, kind)()
    centre.end()
    found = counts(centre.endpoint)
    assert found.client_transactions + found.server_transactions > 0
    assert kept_by(centre.endpoint, ServerRequest, Response) == KEPT.get(kind, {})
