"""Two calls through Galwad that a PBX joins without a REFER: it only names the new parties."""

import asyncio
import time

import pytest

from callerid.number import WITHHELD
from config.values import Pattern, Peer
from galwad.calls.live_calls import presented_by
from galwad.settings.switch import Route, Trunk
from galwad.switch.call.checkpoints import CallPause
from helpers.recording.states import state_of
from helpers.switch import SDP, asserted, record_events, sdp
from recording.policy import RecordingState, Trigger

CITIZEN = "01632960001"


def name(user, *more):
    return (asserted(user), *more)


@pytest.fixture
def settings(settings):
    """The settings of the centre, with its PBX as a trunk that can reach two other parties."""
    pbx = Trunk(name="pbx", peers=(Peer.parse("192.0.2.20"),), trusted=True)
    routes = (
        Route(called=Pattern.parse("202"), ring=("202",)),
        Route(called=Pattern.parse("3001"), target=("sip:192.0.2.30",)),
        Route(called=Pattern.parse("201"), target=("sip:201@192.0.2.20",)),
        *settings.routes,
    )
    return settings.model_copy(update={"trunks": (*settings.trunks, pbx), "routes": routes})


class Pbx:
    """A PBX at which 201 talks with a citizen and consults another party through Galwad."""

    def __init__(self, centre, register, citizen=CITIZEN):
        self.centre = centre
        self.phone = centre.phone("192.0.2.20", "201")
        self.trunk = centre.phone("192.0.2.1", citizen)
        self.colleague = centre.phone("192.0.2.202", "202", register)
        self.department = centre.phone("192.0.2.30", "3001")
        self.trunk.call("01970000200")
        (self.first,) = centre.calls.values()
        (self.first_leg,) = self.phone.dialogs
        self.phone.ask("UPDATE", *name("201"))

    def consult(self, number="202"):
        """Let 201 call another party, and return the call."""
        self.second_leg = self.phone.call(number)
        return next(call for call in self.centre.calls.values() if call is not self.first)

    def name_on_first(self, user):
        self.phone.ask("UPDATE", *name(user), dialog=self.first_leg)

    def name_on_second(self, user, *more):
        self.phone.ask("UPDATE", *name(user, *more), dialog=self.second_leg)

    def shown(self):
        """Return the calls that the desk shows."""
        links = self.centre.links
        return {call_id: s for call_id, s in links.shown.items() if call_id not in links.ended}


@pytest.fixture
async def pbx(centre, register):
    return Pbx(centre, register)


async def test_a_consultation_of_an_advisor_at_a_pbx_is_never_recorded(pbx, centre):
    second = pbx.consult()
    assert second.join_state.consults == pbx.first.call_id
    assert not second.admission.recorded
    assert second.recording.state is RecordingState.NOT_STARTED
    assert state_of(pbx.first.recording) is RecordingState.RECORDING
    pbx.phone.ask("BYE", dialog=pbx.second_leg)
    assert list(centre.calls.values()) == [pbx.first]
    assert second.call_id not in centre.links.closed
    assert second.call_id not in centre.links.for_ledger


@pytest.mark.parametrize("caller", ["203", "01970000200", "600"])
async def test_another_call_of_the_pbx_is_recorded_as_usual(pbx, centre, caller):
    pbx.phone.user = caller
    second = pbx.consult()
    assert second.join_state.consults == ""
    assert state_of(second.recording) is RecordingState.RECORDING


async def test_a_call_by_the_same_extension_from_another_trunk_is_recorded_as_usual(pbx, centre):
    centre.phone("192.0.2.2", "201").call("202")
    second = next(call for call in centre.calls.values() if call is not pbx.first)
    assert second.join_state.consults == ""
    assert state_of(second.recording) is RecordingState.RECORDING


async def test_two_calls_are_not_joined_because_both_have_an_anonymous_party(pbx):
    pbx.department.names = {180: "202"}
    pbx.department.forks, pbx.department.fork = {"other": None}, "other"
    second = pbx.consult("3001")
    assert second.advisor_side.identity == "anonymous"
    pbx.name_on_first("anonymous")
    assert second.join_state.kept_by == ""
    assert state_of(pbx.first.recording) is RecordingState.CEASED


async def test_a_call_that_a_pbx_names_by_its_main_number_is_not_a_consultation(pbx, centre):
    pbx.name_on_first("01632960555")
    pbx.name_on_first("01632960555")
    pbx.phone.user = "01632960555"
    assert pbx.consult().join_state.consults == ""


@pytest.mark.parametrize("sides", ["first", "second", "first second", "second first"])
async def test_calls_joined_by_a_pbx_go_on_as_the_first_call_with_its_caller_and_the_pauses_of_both(
    pbx, centre, sides
):
    second = pbx.consult()
    pbx.first.recording.shut(CallPause("user:sian", Trigger.PAGE, "user:sian"))
    second.recording.shut(CallPause("user:ceri", Trigger.PAGE, "user:ceri"))
    events = record_events(pbx.first)
    for side in sides.split():
        if side == "first":
            pbx.name_on_first("202")
        else:
            pbx.name_on_second(CITIZEN)
    (state,) = pbx.shown().values()
    assert state.call_id == pbx.first.call_id
    assert state.advisor.extension == "202"
    assert str(presented_by(state.caller).number) == "+441632960001"
    assert (state.state, state.recording, state.callers) == ("answered", "paused", 1)
    assert state.holders == ("user:sian", "user:ceri")
    assert [kind for kind, _, _ in events if kind.startswith("gap")] == []
    for holder in state.holders:
        await pbx.first.recording.resume(holder, holder)
    assert state_of(pbx.first.recording) is RecordingState.RECORDING


async def test_a_join_within_the_centre_begins_one_new_segment(pbx):
    pbx.consult()
    events = record_events(pbx.first)
    pbx.name_on_first("202")
    assert [kind for kind, _, _ in events].count("segment") == 1
    assert state_of(pbx.first.recording) is RecordingState.RECORDING


@pytest.mark.parametrize("side", ["first", "second"])
async def test_a_join_with_a_department_ceases_the_recording(pbx, side):
    pbx.consult("3001")
    if side == "first":
        pbx.name_on_first("3001")
    else:
        pbx.name_on_second(CITIZEN)
    assert state_of(pbx.first.recording) is RecordingState.CEASED
    pbx.name_on_first("201")
    # Only a new name on the first call shows that the call is back.
    back = RecordingState.RECORDING if side == "first" else RecordingState.CEASED
    assert state_of(pbx.first.recording) is back


async def test_a_join_by_a_pbx_with_a_consultation_transferred_outside_ceases_the_recording(pbx):
    second = pbx.consult()
    pbx.colleague.ask("REFER", ("Refer-To", "<sip:3001@192.0.2.9>"))
    assert second.transfer_state.outside
    pbx.name_on_first("202")
    assert state_of(pbx.first.recording) is RecordingState.CEASED


async def test_after_a_join_the_colleagues_phone_controls_the_recording_of_the_first_call(pbx):
    pbx.consult()
    pbx.name_on_second(CITIZEN)
    pbx.colleague.ask("INFO", ("Record", "off"))
    assert state_of(pbx.first.recording) is RecordingState.PAUSED
    (pause,) = pbx.first.recording.pauses
    assert (pause.holder, pause.actor) == ("phone:202", "phone:202")
    pbx.colleague.ask("INFO", ("Record", "on"))
    calls = pbx.centre.calls.values()
    await asyncio.gather(*(task for call in calls for task in call.pauses.tasks))
    assert state_of(pbx.first.recording) is RecordingState.RECORDING


async def test_a_transfer_by_the_colleague_after_a_join_ceases_the_recording(pbx):
    pbx.consult()
    pbx.name_on_first("202")
    pbx.colleague.ask("REFER", ("Refer-To", "<sip:3001@192.0.2.9>"))
    assert state_of(pbx.first.recording) is RecordingState.CEASED


async def test_a_code_of_the_consulting_advisor_at_a_pbx_pauses_the_first_call(pbx):
    pbx.consult()
    for key in "*71":
        body = f"Signal={key}\r\n".encode()
        kind = ("Content-Type", "application/dtmf-relay")
        pbx.phone.ask("INFO", kind, dialog=pbx.second_leg, body=body)
    assert pbx.first.recording.holders == ("phone:201",)


async def test_a_consultation_that_ends_without_a_join_leaves_the_first_call_as_it_was(pbx):
    pbx.consult()
    pbx.phone.ask("BYE", dialog=pbx.second_leg)
    (state,) = pbx.shown().values()
    assert (state.advisor.extension, state.recording) == ("201", "recording")


async def test_two_joined_calls_end_with_one_recording(pbx, centre):
    second = pbx.consult()
    pbx.name_on_first("202")
    pbx.trunk.ask("BYE")
    assert second.recording.state is RecordingState.NOT_STARTED
    pbx.colleague.ask("INFO", ("Record", "off"))
    pbx.phone.ask("BYE", dialog=pbx.second_leg)
    assert centre.links.closed == [pbx.first.call_id]
    assert list(centre.links.for_ledger) == [pbx.first.call_id]


async def test_a_call_that_returns_to_the_first_advisor_is_separated_from_the_consultation(pbx):
    second = pbx.consult()
    pbx.name_on_first("202")
    pbx.name_on_first("201")
    assert second.join_state.kept_by == ""
    pbx.colleague.ask("INFO", ("Record", "off"))
    assert pbx.first.recording.holders == ()
    assert pbx.shown()[pbx.first.call_id].advisor.extension == "201"


async def test_a_join_survives_a_restart(pbx, centre):
    second = pbx.consult()
    pbx.name_on_first("202")
    centre.revive()
    first, second = centre.calls[pbx.first.call_id], centre.calls[second.call_id]
    assert second.hidden
    assert not second.admission.recorded
    assert second.join_state.kept_by == first.call_id
    pbx.colleague.ask("REFER", ("Refer-To", "<sip:3001@192.0.2.9>"))
    assert state_of(first.recording) is RecordingState.CEASED


async def test_a_transfer_completed_in_the_pbx_while_the_colleague_rings_joins_at_the_answer(
    pbx, centre
):
    pbx.colleague.final = None
    pbx.phone.call("202")
    second = next(call for call in centre.calls.values() if call is not pbx.first)
    early = next(d for d in pbx.phone.endpoint.agent.dialogs if d is not pbx.first_leg)
    pbx.second_leg = early
    pbx.name_on_second(CITIZEN)
    shown = pbx.shown()[second.call_id]
    assert (shown.state, str(presented_by(shown.caller).number)) == ("ringing", "+441632960001")
    pbx.colleague.answer()
    (state,) = pbx.shown().values()
    assert (state.call_id, state.advisor.extension) == (pbx.first.call_id, "202")


@pytest.mark.parametrize("number", ["202", "3001"])
async def test_a_call_not_known_as_a_consultation_is_no_longer_recorded_once_it_names_a_citizen(
    pbx, centre, number
):
    household = centre.phone("192.0.2.3", CITIZEN)
    household.call("01970000200")
    other = next(call for call in centre.calls.values() if call is not pbx.first)
    pbx.phone.user = "01632960777"
    pbx.second_leg = pbx.phone.call(number)
    second = next(call for call in centre.calls.values() if call not in {pbx.first, other})
    outside = number == "3001"
    recorded = not outside
    assert (state_of(second.recording) is RecordingState.RECORDING) is recorded
    pbx.name_on_second(CITIZEN)
    assert state_of(second.recording) is RecordingState.CEASED
    expected = RecordingState.CEASED if outside else RecordingState.RECORDING
    assert [state_of(call.recording) for call in (pbx.first, other)] == [expected, expected]


async def test_when_a_pbx_names_a_colleague_their_unrecognised_consultation_is_no_longer_recorded(
    pbx, centre
):
    pbx.phone.user = "01632960777"
    second = pbx.consult()
    pbx.name_on_first("202")
    assert state_of(second.recording) is RecordingState.CEASED
    assert state_of(pbx.first.recording) is RecordingState.RECORDING
    assert len(pbx.shown()) == 2


async def test_a_consulted_party_that_has_the_advisors_name_is_not_joined_at_its_answer(pbx):
    pbx.department.final = None
    pbx.phone.call("3001")
    (invite,) = pbx.department.invites
    name_of_advisor = ("P-Asserted-Identity", "<sip:201@192.0.2.30>")
    invite.respond(
        200, headers=(name_of_advisor, *SDP), body=sdp("192.0.2.30"), now=time.monotonic()
    )
    pbx.centre.run()
    assert len(pbx.shown()) == 2
    assert state_of(pbx.first.recording) is RecordingState.RECORDING


async def test_a_citizen_who_withholds_the_number_is_recognised_after_a_consultation(
    centre, register
):
    pbx = Pbx(centre, register, citizen="anonymous")
    pbx.consult()
    pbx.name_on_second("anonymous", ("Privacy", "id"))
    (state,) = pbx.shown().values()
    assert (state.advisor.extension, presented_by(state.caller)) == ("202", WITHHELD)


@pytest.mark.parametrize(
    ("number", "name", "goes_on"),
    [
        ("202", "01632960444", True),
        ("3001", "01632960444", False),
        ("3001", "202", True),  # another advisor has taken over the consultation
    ],
)
async def test_a_consultation_whose_caller_gets_another_name_is_not_joined(
    pbx, number, name, goes_on
):
    pbx.consult(number)
    pbx.name_on_second(name)
    assert len(pbx.shown()) == 2
    assert pbx.shown()[pbx.first.call_id].advisor.extension == "201"
    expected = RecordingState.RECORDING if goes_on else RecordingState.CEASED
    assert state_of(pbx.first.recording) is expected


async def test_a_colleague_whom_the_pbx_names_while_they_ring_takes_over_at_the_answer(pbx, centre):
    pbx.colleague.final = None
    pbx.phone.call("202")
    events = record_events(pbx.first)
    pbx.name_on_first("202")
    assert pbx.first.state().advisor.extension == "202"
    assert [kind for kind, _, _ in events].count("segment") == 1
    pbx.colleague.answer()
    assert list(pbx.shown()) == [pbx.first.call_id]
    assert pbx.first.state().transfers > 0


async def test_a_call_by_an_advisor_whose_extension_was_dialled_is_a_consultation(centre, register):
    pbx = centre.phone("192.0.2.20", "201")
    centre.phone("192.0.2.202", "202", register)
    centre.phone("192.0.2.1", CITIZEN).call("201")  # a route of its own leads to this extension
    (first,) = centre.calls.values()
    assert first.state().advisor.extension == "201"
    pbx.call("202")
    second = next(call for call in centre.calls.values() if call is not first)
    assert second.join_state.consults == first.call_id


async def test_a_consultation_whose_caller_is_the_advisor_again_is_separated(pbx):
    second = pbx.consult()
    for _ in range(2):  # the advisor swaps back and forth
        pbx.name_on_second(CITIZEN)
        assert pbx.first.state().advisor.extension == "202"
        assert second.hidden
        pbx.name_on_second("201")
        assert pbx.first.state().advisor.extension == "201"
        assert not second.hidden
    pbx.colleague.ask("INFO", ("Record", "off"))
    assert pbx.first.recording.holders == ()
    assert state_of(pbx.first.recording) is RecordingState.RECORDING


async def test_a_second_consultation_that_is_joined_separates_the_first(pbx, centre):
    second = pbx.consult()
    pbx.name_on_first("202")
    pbx.name_on_first("201")
    third = pbx.phone.call("3001")
    assert third
    pbx.name_on_first("3001")
    kept = [call.join_state.kept_by for call in centre.calls.values() if call is not pbx.first]
    assert sorted(kept) == ["", pbx.first.call_id]
    assert second.join_state.kept_by == ""
    assert state_of(pbx.first.recording) is RecordingState.CEASED
