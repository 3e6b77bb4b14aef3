"""Parties whom a PBX names before the answer, in it or after it, and targets outside the centre.

Covers `galwad/switch/call/advisor_side.py`, `galwad/switch/call/switch_call.py` and
`galwad/switch/call/pbx.py`. The settings say: 201 and 202 are in the centre, 3* are departments,
299 takes payments, and the PBX has 0197*.
"""

import asyncio

import pytest

from galwad.settings.switch import Destination, Route
from galwad.switch.call.clocks import read_clocks
from helpers.recording.states import state_of
from helpers.switch import Centre, asserted, replaces
from recording.archive.accounting import ignored_triggers
from recording.archive.call_facts import CallFacts
from recording.policy import RecordingState
from recording.spool import EventRecord
from recording.spool.outbox import SpoolOutbox

LINE = "01970000200"
RECORDING, CEASED = RecordingState.RECORDING, RecordingState.CEASED
PAUSED = RecordingState.PAUSED
PACKET = bytes([0x80]) + bytes(171)


@pytest.fixture
def pbx(centre):
    return centre.phone("192.0.2.20", "600")


@pytest.fixture
def ring(centre):
    """A function that lets the trunk call, and returns the call."""

    def ring(called=LINE):
        centre.trunk = centre.phone("192.0.2.1", "01632960001")
        centre.trunk.call(called)
        return next(iter(centre.calls.values()))

    return ring


def stored(centre, call):
    """Let packets of both parties arrive, and return how many of them are stored."""
    gate = call.recording.recorder.gate
    before = gate.stored
    centre.relay.arrive(call.legs.joined, [PACKET] * 5)
    centre.relay.drain(*call.legs.joined)
    return gate.stored - before


@pytest.fixture(params=[(180,), (200,), (180, 200)], ids=["in 180", "in 200", "in both"])
def naming_pbx(pbx, request):
    """A function that makes the PBX name a party in these responses."""
    return lambda name: pbx.names.update(dict.fromkeys(request.param, name))


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("201", RECORDING),
        ("600", RECORDING),
        (LINE, RECORDING),
        ("+441970000200", RECORDING),
        ("3001", CEASED),
        ("299", PAUSED),
        ("0911", CEASED),
        ("anonymous", CEASED),
    ],
)
async def test_a_party_that_is_named_at_the_answer_has_its_class_from_the_first_packet_on(
    centre, naming_pbx, ring, name, state
):
    naming_pbx(name)
    call = ring()
    assert state_of(call.recording) is state
    assert stored(centre, call) == (10 if state is RECORDING else 0)


@pytest.mark.parametrize("name", ["3001", "0911"])
async def test_a_department_that_is_named_while_it_rings_is_not_recorded(centre, pbx, ring, name):
    pbx.final = None
    call = ring()
    (early,) = pbx.endpoint.agent.dialogs
    pbx.ask("UPDATE", asserted(name), dialog=early)
    pbx.answer()
    assert (state_of(call.recording), stored(centre, call)) == (CEASED, 0)


async def test_the_newest_name_at_the_answer_decides_the_class_of_the_party(centre, pbx, ring):
    pbx.names = {180: "201", 200: "3001"}
    assert state_of(ring().recording) is CEASED


@pytest.mark.parametrize(
    ("names", "fork", "state"),
    [
        (["201", "3001", None], "second", CEASED),
        (["3001", "201", None], "second", RECORDING),
        (["3001", "201", None], "", CEASED),
        (["201", "3001", None], "", RECORDING),
        (["201", None, None], "second", CEASED),
        (["201", None, "202"], "second", RECORDING),
        ([None, None, None], "second", RECORDING),
    ],
)
async def test_only_the_name_of_the_fork_that_answers_decides(pbx, ring, names, fork, state):
    first, second, final = names
    pbx.names = {180: first, 200: final}
    pbx.forks, pbx.fork = {"second": second}, fork
    call = ring()
    assert state_of(call.recording) is state
    assert stored(pbx.centre, call) == (10 if state is RECORDING else 0)


async def test_voicemail_is_neither_recorded_nor_filed_under_the_advisor_who_did_not_answer(
    centre, pbx, ring, written
):
    pbx.names = {180: "201", 200: "201"}
    pbx.final_headers = (("Diversion", "<sip:201@192.0.2.20>;reason=no-answer"),)
    call = ring()
    assert (state_of(call.recording), stored(centre, call)) == (CEASED, 0)
    assert not call.concerns(extension="201", user="sian")
    await asyncio.sleep(0.001)
    centre.end()
    facts = facts_of(written)
    assert [(gap.trigger, gap.actor) for gap in facts.gaps] == [("unnamed", "pbx")]
    assert [(each.trigger, each.actor) for each in facts.triggers] == [("unnamed", "pbx")]
    personal = facts.personal
    assert (personal.advisor, personal.later_advisors) == ("", ())
    assert personal.extension != "201"


async def test_a_fork_that_is_not_named_stays_unrecorded_until_the_pbx_names_an_advisor(
    centre, pbx, ring
):
    pbx.names, pbx.forks, pbx.fork = {180: "201"}, {"other": None}, "other"
    call = ring()
    centre.revive()
    (call,) = centre.calls.values()
    assert state_of(call.recording) is CEASED
    pbx.ask("UPDATE", asserted("201"))
    assert state_of(call.recording) is RECORDING
    assert call.state().advisor.extension == "201"


@pytest.mark.parametrize(("name", "trigger"), [("3001", "identity"), (None, "unnamed")])
async def test_a_transfer_is_judged_by_the_fork_that_answers(
    centre_with, register, written, name, trigger
):
    centre = centre_with(destination("203", "centre", "sip:203@192.0.2.20"))
    pbx = centre.phone("192.0.2.20", "203")
    pbx.names, pbx.forks, pbx.fork = {180: "202"}, {"other": name}, "other"
    sian = centre.phone("192.0.2.201", "201", register)
    centre.phone("192.0.2.1", "01632960001").call("01970000000")
    (call,) = centre.calls.values()
    sian.ask("REFER", ("Refer-To", "<sip:203@192.0.2.9>"))
    assert (state_of(call.recording), stored(centre, call)) == (CEASED, 0)
    (gap,) = [each for each in written if each.kind == "gap-start"]
    assert gap.fields["trigger"] == trigger


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
async def test_the_same_department_named_again_stays_outside_until_an_advisor_is_named(
    centre, pbx, ring, method
):
    pbx.names = {200: "3001"}
    call = ring()
    pbx.ask(method, asserted("3001"), direction="sendrecv")
    assert state_of(call.recording) is CEASED
    pbx.ask(method, asserted("201"), direction="sendrecv")
    assert state_of(call.recording) is RECORDING
    assert call.state().advisor.extension == "201"


@pytest.fixture
def written(monkeypatch):
    """A list that receives each event that any recorder writes."""
    events = []
    put = SpoolOutbox.put

    def note(outbox, kind, fields, at_us):
        events.append(EventRecord(at_us, kind, fields))
        put(outbox, kind, fields, at_us)

    monkeypatch.setattr(SpoolOutbox, "put", note)
    return events


def facts_of(written):
    """Return the facts that the finaliser would find in these events."""
    facts = CallFacts(0)
    for event in written:
        facts.event(event.at_us, event)
    facts.finish()
    return facts


async def test_a_call_that_a_department_answers_is_one_gap_from_its_answer_on(
    centre, pbx, ring, written
):
    pbx.names = {200: "3001"}
    ring()
    await asyncio.sleep(0.001)
    centre.end()
    facts = facts_of(written)
    (gap,) = facts.gaps
    assert (gap.reason, gap.trigger, gap.actor) == ("transfer", "identity", "phone:3001")
    assert facts.segments == []
    ((trigger, actor),) = [(each.trigger, each.actor) for each in facts.triggers]
    assert (trigger, actor) == ("identity", "phone:3001")
    assert facts.ended_us is not None
    assert ignored_triggers(facts.triggers, facts.gaps, facts.segments, facts.ended_us) == []
    assert facts.unexplained == []


@pytest.fixture
def centre_with(settings, phones):
    """A function that makes a centre with more routes and destinations."""
    made = []

    def centre_with(*more):
        routes = tuple(each for each in more if isinstance(each, Route))
        destinations = tuple(each for each in more if isinstance(each, Destination))
        changed = {
            "routes": (*routes, *settings.routes),
            "destinations": (*destinations, *settings.destinations),
        }
        made.append(Centre(settings.model_copy(update=changed), phones))
        return made[0]

    yield centre_with
    made[0].end()


def destination(match, class_, target=None):
    return Destination.model_validate({"match": match, "class": class_, "target": target})


def route(called, **fields):
    return Route.model_validate({"called": called, **fields})


@pytest.mark.parametrize(
    ("fields", "class_"),
    [
        ({"target": "sip:301@192.0.2.20"}, "department"),
        ({"target": "sip:299@192.0.2.20"}, "payment"),
        ({"target": "sip:700@192.0.2.20"}, "external"),
        ({"target": "sip:301@192.0.2.20", "advisors": ["sian"]}, "department"),
        ({"ring": ["201"]}, "department"),
    ],
)
async def test_a_route_whose_target_is_outside_the_centre_is_not_recorded(
    centre_with, register, written, fields, class_
):
    number = "201" if "ring" in fields else fields["target"][4:7]
    centre = centre_with(route("55", **fields), destination(number, class_))
    centre.phone("192.0.2.20", number)
    centre.phone("192.0.2.201", "201", register)
    centre.phone("192.0.2.1", "01632960001").call("55")
    (call,) = centre.calls.values()
    assert stored(centre, call) == 0
    await asyncio.sleep(0.001)
    centre.end()
    (gap,) = facts_of(written).gaps
    reason = "payment" if class_ == "payment" else "transfer"
    assert (gap.reason, gap.trigger) == (reason, "route")


async def test_a_route_with_the_target_of_a_payment_line_is_not_recorded(centre_with):
    target = "sip:77@192.0.2.20"
    centre = centre_with(route("55", target=target), destination("pay", "payment", target))
    centre.phone("192.0.2.20", "77")
    centre.phone("192.0.2.1", "01632960001").call("55")
    (call,) = centre.calls.values()
    assert (state_of(call.recording), stored(centre, call)) == (PAUSED, 0)


async def test_an_advisor_whom_the_pbx_names_on_a_payment_line_is_recorded(centre_with):
    centre = centre_with(route("55", target="sip:299@192.0.2.20"))
    pbx = centre.phone("192.0.2.20", "299")
    centre.phone("192.0.2.1", "01632960001").call("55")
    (call,) = centre.calls.values()
    assert state_of(call.recording) is PAUSED
    pbx.ask("UPDATE", asserted("201"))
    assert state_of(call.recording) is RECORDING


async def test_a_line_in_a_range_of_departments_is_recorded_if_its_route_names_advisors(
    centre_with,
):
    centre = centre_with(
        route("5500", target="sip:192.0.2.20", advisors=["sian"]), destination("55*", "department")
    )
    centre.phone("192.0.2.20", "5500")
    centre.phone("192.0.2.1", "01632960001").call("5500")
    (call,) = centre.calls.values()
    assert state_of(call.recording) is RECORDING


@pytest.mark.parametrize(
    ("name", "state"), [("203", RECORDING), ("202", RECORDING), ("3001", CEASED), ("0911", CEASED)]
)
async def test_a_transfer_to_the_centre_is_judged_by_the_name_of_the_party_that_answers(
    centre_with, register, name, state
):
    centre = centre_with(destination("203", "centre", "sip:203@192.0.2.20"))
    pbx = centre.phone("192.0.2.20", "203")
    pbx.names = {180: name, 200: name}
    sian = centre.phone("192.0.2.201", "201", register)
    centre.phone("192.0.2.1", "01632960001").call("01970000000")
    (call,) = centre.calls.values()
    sian.ask("REFER", ("Refer-To", "<sip:203@192.0.2.9>"))
    assert call.state().advisor.extension == name
    assert state_of(call.recording) is state
    assert stored(centre, call) == (10 if state is RECORDING else 0)


async def test_the_name_of_a_transfer_target_takes_effect_only_when_the_target_answers(
    centre_with, register
):
    centre = centre_with(destination("203", "centre", "sip:203@192.0.2.20"))
    pbx = centre.phone("192.0.2.20", "600")
    pbx.names = {200: "201"}
    centre.phone("192.0.2.1", "01632960001").call(LINE)
    (call,) = centre.calls.values()
    pbx.names, pbx.final = {180: "3001"}, None
    pbx.ask("REFER", ("Refer-To", "<sip:203@192.0.2.9>"))
    assert call.state().advisor.extension == "201"
    assert state_of(call.recording) is RECORDING
    pbx.answer()
    assert call.state().advisor.extension == "3001"
    assert state_of(call.recording) is CEASED


async def test_a_call_that_a_department_answered_stays_outside_after_a_restart(centre, pbx, ring):
    pbx.names = {200: "3001"}
    ring()
    centre.revive()
    (call,) = centre.calls.values()
    assert state_of(call.recording) is CEASED
    pbx.ask("UPDATE", asserted("201"))
    assert state_of(call.recording) is RECORDING


@pytest.mark.parametrize(
    ("name", "alarms"), [("3001", []), ("201", []), ("0911", ["recording.unknown_party"])]
)
async def test_only_an_unknown_party_at_the_answer_raises_an_alarm(centre, pbx, ring, name, alarms):
    pbx.names = {200: name}
    ring()
    assert centre.links.alarms == alarms


@pytest.mark.parametrize(
    ("name", "state"), [("01632960777", RECORDING), ("3001", CEASED), ("299", PAUSED)]
)
async def test_a_citizen_whom_an_advisor_calls_is_recorded_and_a_department_is_not(
    centre_with, name, state
):
    centre = centre_with(route("9*", target="sip:192.0.2.1"))
    centre.phone("192.0.2.1", "pstn").names = {200: name}
    centre.phone("192.0.2.20", "switchboard").call("901632960776", asserted("201"))
    (call,) = centre.calls.values()
    assert state_of(call.recording) is state


def answered_calls(centre, pbx, *names):
    """Let the PBX answer a call for each name; None means that it sends no name."""
    for number, name in enumerate(names, 1):
        pbx.names = {} if name is None else {200: name}
        centre.phone(f"192.0.2.1{number}", f"0163296000{number}").call("0800")
        for call in list(centre.calls.values()):
            call.hangup("SIP;cause=200", read_clocks())
        centre.run()
    return centre.links.alarms


@pytest.mark.parametrize(
    ("names", "alarms"),
    [
        ([None, "0800", "600"], ["pbx.no_names"]),
        ([None, None], []),
        ([None, None, "201", None, None], []),
        ([None] * 6, ["pbx.no_names"]),
        (["3001", None, None, None], ["pbx.no_names"]),
    ],
)
async def test_a_trusted_pbx_without_names_in_three_calls_in_a_row_raises_an_alarm(
    centre_with, names, alarms
):
    centre = centre_with(route("0800", target="sip:600@192.0.2.20", advisors=["sian"]))
    assert answered_calls(centre, centre.phone("192.0.2.20", "600"), *names) == alarms
    assert centre.context.naming.states().get("pbx") is (False if alarms else None)


@pytest.mark.parametrize(
    ("trusted", "advisors"), [(False, ["sian"]), (True, [])], ids=["untrusted", "no advisors"]
)
async def test_missing_names_raise_no_alarm_for_an_untrusted_pbx_or_a_pbx_without_advisors(
    centre_with, trusted, advisors
):
    host = "192.0.2.20" if trusted else "192.0.2.2"
    centre = centre_with(route("0800", target=f"sip:600@{host}", advisors=advisors))
    assert answered_calls(centre, centre.phone(host, "600"), *[None] * 4) == []


async def test_an_asserted_name_counts_although_a_contact_had_the_same_name_before(
    centre, pbx, ring
):
    pbx.contact = "3001"
    call = ring()
    assert state_of(call.recording) is RECORDING
    pbx.ask("UPDATE", asserted("3001"))
    assert state_of(call.recording) is CEASED


async def test_a_contact_does_not_make_the_dialled_number_a_new_party(centre, pbx, ring):
    pbx.contact = "switchboard"
    call = ring()
    pbx.ask("UPDATE", asserted("600"))
    assert state_of(call.recording) is RECORDING


async def test_another_form_of_the_same_number_names_no_new_party(centre, pbx, ring):
    pbx.names = {200: LINE}
    call = ring()
    pbx.ask("UPDATE", asserted("+441970000200"))
    assert state_of(call.recording) is RECORDING


@pytest.fixture
async def transferred(centre_with, register):
    """A function that lets 201 transfer a caller to 203, at which the PBX names this party."""

    def transferred(name, waiting=()):
        centre = centre_with(destination("203", "centre", "sip:203@192.0.2.20"))
        pbx = centre.phone("192.0.2.20", "203")
        pbx.final = None
        sian = centre.phone("192.0.2.201", "201", register)
        centre.phone("192.0.2.1", "01632960001").call("01970000000")
        (call,) = centre.calls.values()
        sian.ask("REFER", ("Refer-To", "<sip:203@192.0.2.9>"))
        (leg,) = [leg for leg in call.legs.legs.values() if leg.target and leg.target.name == "203"]
        centre.relay.arrive([leg.id], waiting)
        pbx.names = {200: name}
        pbx.answer()
        return centre, call, pbx, sian

    return transferred


@pytest.mark.parametrize(("name", "stored_packets"), [("3001", 0), ("203", 5)])
async def test_packets_that_wait_at_the_answer_are_stored_for_a_colleague_and_not_for_a_department(
    transferred, name, stored_packets
):
    centre, call, _, _ = transferred(name, [PACKET] * 5)
    centre.relay.drain(*call.legs.joined)
    assert call.recording.recorder.gate.stored == stored_packets


async def test_a_department_that_sends_the_call_back_lets_the_recording_go_on(
    centre, pbx, ring, register
):
    sian = centre.phone("192.0.2.201", "201", register)
    pbx.names = {200: "3001"}
    call = ring()
    assert state_of(call.recording) is CEASED
    pbx.ask("REFER", ("Refer-To", "<sip:201@192.0.2.9>"))
    assert sian.dialogs
    assert state_of(call.recording) is RECORDING


async def test_a_call_that_comes_back_to_another_department_stays_unrecorded(centre_with, register):
    centre = centre_with(destination("203", "centre", "sip:203@192.0.2.20"))
    pbx = centre.phone("192.0.2.20", "600")
    pbx.names = {200: "3001"}
    centre.phone("192.0.2.1", "01632960001").call(LINE)
    (call,) = centre.calls.values()
    pbx.names = {200: "3002"}
    pbx.ask("REFER", ("Refer-To", "<sip:203@192.0.2.9>"))
    assert (state_of(call.recording), stored(centre, call)) == (CEASED, 0)
    pbx.ask("UPDATE", asserted("201"))
    assert state_of(call.recording) is RECORDING


async def test_a_name_from_a_failed_target_does_not_count_for_the_next_target(centre_with):
    payments = destination("299", "payment")
    centre = centre_with(route("55", target=["sip:700@192.0.2.20", "sip:299@192.0.2.21"]), payments)
    first, second = centre.phone("192.0.2.20", "700"), centre.phone("192.0.2.21", "299")
    first.names, first.final = {180: "201"}, 503
    centre.phone("192.0.2.1", "01632960001").call("55")
    (call,) = centre.calls.values()
    assert second.dialogs
    assert state_of(call.recording) is PAUSED


async def test_a_name_from_an_untrusted_peer_does_not_resume_the_recording(centre_with):
    centre = centre_with(route("55", target="sip:299@192.0.2.2"), destination("299", "payment"))
    provider = centre.phone("192.0.2.2", "299")
    centre.phone("192.0.2.1", "01632960001").call("55")
    (call,) = centre.calls.values()
    provider.ask("UPDATE", asserted("201"))
    assert state_of(call.recording) is PAUSED


async def test_a_destination_for_every_number_does_not_stop_the_recording_of_phones_and_routes(
    centre_with, register
):
    everything = destination("*", "external")
    centre = centre_with(route("55", target="sip:800@192.0.2.20"), everything)
    centre.phone("192.0.2.201", "201", register)
    centre.phone("192.0.2.20", "800")
    centre.phone("192.0.2.1", "01632960001").call("01970000000")
    centre.phone("192.0.2.11", "01632960002").call("55")
    assert [state_of(call.recording) for call in centre.calls.values()] == [RECORDING] * 2


async def test_the_recording_of_an_outgoing_call_ceases_when_its_caller_is_no_longer_an_advisor(
    centre_with,
):
    centre = centre_with(route("9*", target="sip:192.0.2.1"))
    centre.phone("192.0.2.1", "pstn").names = {200: "07700900123"}
    switchboard = centre.phone("192.0.2.20", "switchboard")
    switchboard.call("907700900123", asserted("201"))
    (call,) = centre.calls.values()
    assert state_of(call.recording) is RECORDING
    switchboard.ask("UPDATE", asserted("01632960001"))
    assert state_of(call.recording) is CEASED


@pytest.mark.parametrize(("name", "actor"), [("07700900123", "pbx"), ("3001", "phone:3001")])
async def test_the_manifest_has_no_number_that_the_settings_do_not_have(
    pbx, ring, written, name, actor
):
    pbx.names = {200: name}
    ring()
    (gap,) = [each for each in written if each.kind == "gap-start"]
    assert gap.fields["actor"] == actor


async def test_a_party_whom_a_centre_number_forwards_to_is_outside_after_an_attended_transfer(
    centre_with, register
):
    centre = centre_with(destination("850", "centre", "sip:850@192.0.2.20"))
    centre.phone("192.0.2.20", "850").names = {180: "07700900123", 200: "07700900123"}
    sian = centre.phone("192.0.2.201", "201", register)
    centre.phone("192.0.2.1", "01632960001").call("01970000000")
    (call,) = centre.calls.values()
    sian.call("850")
    first, second = sian.dialogs
    sian.ask("REFER", replaces(second, "850"), dialog=first)
    (call,) = centre.calls.values()
    assert state_of(call.recording) is CEASED
