"""Transfers: what is recorded of them, and how a consultation joins a call.

Covers `galwad/switch/call/switch_call.py`, `galwad/switch/call/pauses.py` and
`galwad/switch/call/context.py`.
"""

import asyncio
import time
from dataclasses import replace

import pytest

from galwad.switch.call.checkpoints import CallPause
from galwad.switch.call.clocks import read_clocks
from galwad.switch.call.switch_call import call_of_leg
from helpers.recording.states import state_of
from helpers.switch import Centre, record_events, replaces
from recording.archive.call_facts import CallFacts
from recording.policy import RecordingState, Trigger
from recording.spool import EventRecord


@pytest.fixture
async def talk(centre, register):
    """The trunk has called, and 201 has answered."""
    centre.trunk = centre.phone("192.0.2.1", "01632960001")
    centre.sian = centre.phone("192.0.2.201", "201", register)
    centre.trunk.call("01970000000")
    (call,) = centre.calls.values()
    return call


@pytest.fixture
async def consultation(centre, talk, register):
    """201 consults 202, a colleague."""
    centre.ceri = centre.phone("192.0.2.202", "202", register)
    centre.department = centre.phone("192.0.2.30", "3001")
    centre.sian.call("202")
    return next(call for call in centre.calls.values() if call is not talk)


@pytest.mark.parametrize("leaver", ["trunk", "sian"])
async def test_media_that_arrived_before_a_bye_is_stored_when_the_bye_is_read_first(
    centre, talk, leaver
):
    gate = talk.recording.recorder.gate
    packet = bytes([0x80]) + bytes(171)
    centre.relay.arrive(talk.legs.legs, [packet] * 50)
    getattr(centre, leaver).ask("BYE")
    assert centre.calls == {}
    assert gate.stored == 100


async def test_media_of_a_pause_that_is_read_after_the_resume_is_not_stored(centre, talk):
    talk.recording.shut(CallPause("user:sian", Trigger.PAGE, "user:sian"))
    secret = bytes([0x80]) + bytes(171)
    centre.relay.arrive(talk.legs.legs, [secret] * 50)
    await talk.recording.resume("user:sian", "user:sian")
    assert state_of(talk.recording) is RecordingState.RECORDING
    centre.relay.drain(*talk.legs.legs)
    assert talk.recording.recorder.gate.stored == 0


async def test_media_that_arrives_while_the_disk_confirms_a_resume_is_not_stored(centre, talk):
    talk.recording.shut(CallPause("user:sian", Trigger.PAGE, "user:sian"))
    releasing = asyncio.create_task(talk.recording.resume("user:sian", "user:sian"))
    await asyncio.sleep(0)
    assert state_of(talk.recording) is RecordingState.PAUSED
    secret = bytes([0x80]) + bytes(171)
    centre.relay.arrive(talk.legs.legs, [secret] * 50)
    await releasing
    assert state_of(talk.recording) is RecordingState.RECORDING
    centre.relay.drain(*talk.legs.legs)
    assert talk.recording.recorder.gate.stored == 0


async def test_a_transfer_to_a_consulted_colleague_continues_the_recording(
    centre, talk, consultation
):
    first, second = centre.sian.dialogs
    centre.sian.ask("REFER", replaces(second, "202"), dialog=first)
    assert state_of(talk.recording) is RecordingState.RECORDING
    assert list(centre.calls.values()) == [talk]
    assert len(centre.relay.open_legs) == 2


@pytest.mark.parametrize("on_the_first", [True, False])
async def test_joining_a_consultation_that_was_transferred_outside_ceases_the_recording(
    centre, talk, consultation, on_the_first
):
    first, second = centre.sian.dialogs
    holder = consultation.legs.legs[consultation.legs.joined[1]]
    assert holder.target.name == "202"
    centre.ceri.ask("REFER", ("Refer-To", "<sip:3001@192.0.2.9>"))
    assert consultation.transfer_state.outside
    if on_the_first:
        centre.sian.ask("REFER", replaces(second, "202"), dialog=first)
    else:
        centre.sian.ask("REFER", replaces(first, "202"), dialog=second)
    assert list(centre.calls.values()) == [talk]
    assert state_of(talk.recording) is RecordingState.CEASED
    assert talk.transfer_state.outside


@pytest.mark.parametrize("on_the_first", [True, False])
async def test_pauses_of_both_calls_stay_in_force_after_a_join(
    centre, talk, consultation, on_the_first
):
    talk.recording.shut(CallPause("user:sian", Trigger.PAGE, "user:sian"))
    consultation.recording.shut(CallPause("user:ceri", Trigger.PAGE, "user:ceri"))
    first, second = centre.sian.dialogs
    if not on_the_first:
        first, second = second, first
    centre.sian.ask("REFER", replaces(second, "202"), dialog=first)
    assert state_of(talk.recording) is RecordingState.PAUSED
    assert talk.recording.holders == ("user:sian", "user:ceri")
    centre.revive()
    (call,) = centre.calls.values()
    assert call.recording.holders == ("user:sian", "user:ceri")


async def test_a_transfer_to_an_ended_consultation_is_refused_and_changes_nothing(
    centre, talk, consultation
):
    first, second = centre.sian.dialogs
    centre.ceri.ask("BYE")
    centre.sian.ask("REFER", replaces(second, "3001"), dialog=first)
    assert centre.sian.statuses[-1] == 603
    assert centre.department.invites == []
    assert state_of(talk.recording) is RecordingState.RECORDING
    assert talk.state().ringing == ()


async def test_a_consultation_is_not_joined_while_another_transfer_rings(
    centre, talk, consultation
):
    first, second = centre.sian.dialogs
    centre.department.final = None
    centre.sian.ask("REFER", ("Refer-To", "<sip:3001@192.0.2.9>"), dialog=first)
    centre.sian.ask("REFER", replaces(first, "202"), dialog=second)
    assert centre.sian.statuses[-1] == 603
    assert consultation.legs.joined is not None
    assert centre.ceri.invites[0].answered
    assert len(centre.ceri.invites) == 1
    assert state_of(talk.recording) is RecordingState.RECORDING


async def test_joining_a_consultation_with_a_new_outside_identity_ceases_the_recording(
    centre, talk, consultation
):
    first, second = centre.sian.dialogs
    leg = consultation.legs.legs[consultation.legs.joined[1]]
    leg.target = consultation.advisor_side.target = replace(leg.target, is_phone=False)
    for name in ("202", "3001"):
        centre.ceri.ask("UPDATE", ("P-Asserted-Identity", f"<sip:{name}@192.0.2.9>"))
    centre.sian.ask("REFER", replaces(second, "202"), dialog=first)
    assert state_of(talk.recording) is RecordingState.CEASED


async def test_a_transfer_to_a_ringing_consultation_rings_the_consulted_phone_for_the_caller(
    centre, talk, register
):
    centre.ceri = centre.phone("192.0.2.202", "202", register)
    centre.ceri.final = None
    centre.sian.call("202")
    (held,) = centre.sian.dialogs
    early = next(d for d in centre.sian.endpoint.agent.dialogs if d is not held)
    centre.sian.ask("REFER", replaces(early, "202"), dialog=held)
    assert [invite.cancelled for invite in centre.ceri.invites] == [True, False]
    assert list(centre.calls.values()) == [talk]
    assert state_of(talk.recording) is RecordingState.RECORDING


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_refer_in_the_dialog_of_the_consultation_continues_the_recorded_call(
    centre, talk, register, leaves
):
    ceri = centre.phone("192.0.2.202", "202", register)
    huw = centre.phone("192.0.2.203", "202", register)
    huw.final = 486
    huw.user = "201"  # another phone at her extension
    register("201", "sip:201@192.0.2.203", time.monotonic(), source=huw.address)
    ceri.call("201")
    first, second = centre.sian.dialogs
    centre.sian.leaves = leaves
    centre.sian.ask("REFER", replaces(first, "01970000000"), dialog=second)
    assert list(centre.calls.values()) == [talk]
    assert state_of(talk.recording) is RecordingState.RECORDING
    assert talk.state().advisor.extension == "202"
    caller, moved = talk.legs.joined
    assert centre.relay.joins[caller] == moved
    assert call_of_leg(centre.calls, moved) is talk
    assert call_of_leg(centre.calls, caller) is talk
    assert call_of_leg(centre.calls, "another/a") is None


def press(phone, *keys, dialog=None):
    """Press keys of a phone that sends each key in an INFO."""
    for key in keys:
        body = f"Signal={key}\r\nDuration=160\r\n".encode()
        kind = ("Content-Type", "application/dtmf-relay")
        phone.ask("INFO", kind, dialog=dialog, body=body)


async def settled():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_code_in_a_consultation_pauses_the_consultation_and_the_held_call(
    centre, talk, register
):
    centre.phone("192.0.2.202", "202", register)
    first = centre.sian.dialogs[0]
    centre.sian.ask("INVITE", dialog=first)  # a hold
    second = centre.sian.call("202")
    consultation = next(call for call in centre.calls.values() if call is not talk)
    press(centre.sian, "*", "7", "1", dialog=second)
    await settled()
    assert consultation.recording.holders == ("phone:201",)
    assert talk.recording.holders == ("phone:201",)
    assert state_of(talk.recording) is RecordingState.PAUSED
    centre.sian.ask("REFER", replaces(second, "202"), dialog=first)
    assert state_of(talk.recording) is RecordingState.PAUSED
    (cause,) = talk.recording.shut_causes.pauses
    assert cause[1].trigger is Trigger.DTMF
    assert cause[1].actor == "phone:201"


async def test_the_resume_code_in_the_consultation_resumes_the_held_call(centre, talk, register):
    centre.phone("192.0.2.202", "202", register)
    centre.sian.ask("INVITE")
    second = centre.sian.call("202")
    press(centre.sian, "*", "7", "1", dialog=second)
    await settled()
    press(centre.sian, "*", "7", "2", dialog=second)
    consultation = next(call for call in centre.calls.values() if call is not talk)
    await asyncio.gather(*consultation.callers_pauses.tasks)
    assert consultation.recording.holders == talk.recording.holders == ()
    assert state_of(talk.recording) is RecordingState.RECORDING


async def test_a_code_in_a_consultation_does_not_pause_a_call_that_is_not_held(
    centre, talk, consultation
):
    press(centre.sian, "*", "7", "1")
    await settled()
    assert consultation.recording.holders == ("phone:201",)
    assert talk.recording.holders == ()


async def test_a_code_of_a_caller_outside_the_centre_changes_nothing(centre, talk):
    press(centre.trunk, "*", "7", "1")
    await settled()
    assert talk.recording.holders == ()


async def test_the_record_key_works_in_a_consultation_for_the_phone_that_made_the_consultation(
    centre, talk, consultation
):
    centre.sian.ask("INFO", ("Record", "off"))
    await settled()
    assert consultation.recording.holders == ("phone:201",)
    centre.trunk.ask("INFO", ("Record", "off"))
    await settled()
    assert talk.recording.holders == ()


async def test_a_pause_that_a_join_carries_over_names_the_person_who_paused(
    centre, talk, consultation
):
    consultation.recording.shut(CallPause("user:ceri", Trigger.PAGE, "user:ceri"))
    first, second = centre.sian.dialogs
    centre.sian.ask("REFER", replaces(second, "202"), dialog=first)
    (pause,) = talk.recording.pauses
    assert (pause.holder, pause.trigger, pause.actor) == ("user:ceri", Trigger.PAGE, "user:ceri")


@pytest.fixture
def department(centre):
    """A department whose phone rings until the test lets it answer or refuse."""
    phone = centre.phone("192.0.2.30", "3001")
    phone.final = None
    return phone


DEPARTMENT = "Refer-To", "<sip:3001@192.0.2.9>"


@pytest.fixture
def events(talk):
    """The events that the recorder of the call writes from now on."""
    return record_events(talk)


def facts_of(events):
    """Return the segments and gaps in these events, as far as the call has come."""
    facts = CallFacts(0)
    facts.event(0, EventRecord(0, "segment", {"class": "centre", "to": ""}))
    for kind, fields, at_us in events:
        facts.event(at_us, EventRecord(at_us, kind, fields))
    facts.reached(facts.last_us + 1)
    facts.finish()
    return facts


async def test_caller_and_advisor_are_recorded_while_the_target_of_a_transfer_rings(
    centre, talk, department
):
    centre.sian.ask("REFER", DEPARTMENT)
    assert department.invites
    assert state_of(talk.recording) is RecordingState.RECORDING
    department.answer()
    assert state_of(talk.recording) is RecordingState.CEASED
    assert talk.transfer_state.outside


def transfers(call):
    return call.state().transfers, call.state().destination


async def test_the_desk_gets_the_number_of_transfers_and_the_class_of_the_last_transfer(
    centre, talk, department
):
    assert transfers(talk) == (0, "")
    centre.sian.ask("REFER", DEPARTMENT)
    assert transfers(talk) == (0, "")  # the target still rings
    department.answer()
    assert transfers(talk) == (1, "department")
    centre.revive()
    (call,) = centre.calls.values()
    assert transfers(call) == (1, "department")


async def test_the_desk_gets_the_class_of_a_destination_only_while_it_rings(
    centre, talk, department
):
    assert talk.state().transferring == ""
    centre.sian.ask("REFER", DEPARTMENT)
    assert talk.state().transferring == "department"
    department.answer()
    assert talk.state().transferring == ""


async def test_an_advisor_who_is_rung_again_is_not_shown_as_the_destination_of_a_transfer(
    centre, talk, department
):
    centre.sian.ask("REFER", DEPARTMENT)
    centre.sian.final = None
    centre.sian.ask("BYE")
    department.invites[0].respond(486, now=time.monotonic())
    centre.run()
    assert [party.extension for party in talk.state().ringing] == ["201"]
    assert talk.state().transferring == ""


async def test_a_transfer_that_fails_is_not_counted(centre, talk, department):
    centre.sian.ask("REFER", DEPARTMENT)
    department.invites[0].respond(486, now=time.monotonic())
    centre.run()
    assert transfers(talk) == (0, "")


async def test_a_consultation_is_outgoing_and_its_join_counts_as_a_transfer_within_the_centre(
    centre, talk, consultation
):
    assert (talk.state().outgoing, consultation.state().outgoing) == (False, True)
    first, second = centre.sian.dialogs
    centre.sian.ask("REFER", replaces(second, "202"), dialog=first)
    assert transfers(talk) == (1, "centre")


async def test_a_transfer_inside_a_pbx_is_counted_with_the_class_of_the_new_name(pbx_talk):
    call, pbx = pbx_talk
    before, _ = transfers(call)
    pbx.ask("UPDATE", ("P-Asserted-Identity", "<sip:202@192.0.2.20>"))
    assert transfers(call) == (before + 1, "centre")
    pbx.ask("UPDATE", ("P-Asserted-Identity", "<sip:3001@192.0.2.20>"))
    assert transfers(call) == (before + 2, "department")


async def test_a_recording_ceases_when_the_advisor_hangs_up_while_the_target_rings(
    centre, talk, department
):
    centre.sian.ask("REFER", DEPARTMENT)
    centre.sian.ask("BYE")
    assert state_of(talk.recording) is RecordingState.CEASED
    centre.sian.final = None  # she is rung again after the restart
    centre.revive()
    (call,) = centre.calls.values()
    assert state_of(call.recording) is RecordingState.CEASED
    centre.sian.answer()
    assert state_of(call.recording) is RecordingState.RECORDING


@pytest.mark.parametrize("ceases", ["answer", "BYE"])
async def test_media_from_before_the_point_of_transfer_is_stored_when_it_is_read_later(
    centre, talk, department, ceases
):
    centre.sian.ask("REFER", DEPARTMENT)
    gate = talk.recording.recorder.gate
    centre.relay.arrive(talk.legs.joined, [bytes([0x80]) + bytes(171)] * 50)
    if ceases == "answer":
        department.answer()
    else:
        centre.sian.ask("BYE")
    assert state_of(talk.recording) is RecordingState.CEASED
    assert gate.stored == 100


async def test_media_after_the_point_of_transfer_is_dropped_if_the_transfer_is_read_later(
    centre, talk, department
):
    centre.sian.ask("REFER", DEPARTMENT)
    gate = talk.recording.recorder.gate
    answered_at = time.monotonic()
    centre.relay.arrive(talk.legs.joined, [bytes([0x80]) + bytes(171)] * 50)
    talk.transfers._reached(read_clocks(answered_at))
    assert state_of(talk.recording) is RecordingState.CEASED
    assert gate.stored == 0


async def test_a_transfer_to_a_busy_target_leaves_no_gap(centre, talk, department, events):
    centre.sian.ask("REFER", DEPARTMENT)
    department.invites[0].respond(486, now=time.monotonic())
    centre.run()
    assert state_of(talk.recording) is RecordingState.RECORDING
    facts = facts_of(events)
    assert facts.gaps == []
    assert [segment.destination for segment in facts.segments] == ["centre"]


async def test_a_payment_target_shuts_the_gate_before_it_rings(centre, talk, register):
    payment = centre.phone("192.0.2.203", "299", register)
    payment.final = None
    centre.sian.ask("REFER", ("Refer-To", "<sip:299@192.0.2.9>"))
    assert state_of(talk.recording) is RecordingState.PAUSED


async def test_with_the_setting_request_a_recording_ceases_when_the_transfer_is_requested(
    settings, phones, register
):
    recording = settings.recording.model_copy(update={"point_of_transfer": "request"})
    centre = Centre(settings.model_copy(update={"recording": recording}), phones)
    sian = centre.phone("192.0.2.201", "201", register)
    centre.phone("192.0.2.30", "3001").final = None
    centre.phone("192.0.2.1", "01632960001").call("01970000000")
    (call,) = centre.calls.values()
    sian.ask("REFER", DEPARTMENT)
    assert state_of(call.recording) is RecordingState.CEASED
    centre.end()


async def test_a_transfer_rings_as_long_as_the_settings_say(settings, phones, register):
    sip = settings.sip.model_copy(update={"transfer_timeout": 7})
    centre = Centre(settings.model_copy(update={"sip": sip}), phones)
    sian = centre.phone("192.0.2.201", "201", register)
    centre.phone("192.0.2.30", "3001").final = None
    centre.phone("192.0.2.1", "01632960001").call("01970000000")
    (call,) = centre.calls.values()
    sian.ask("REFER", DEPARTMENT)
    due = call.legs._transfers.next_timer()
    assert due is not None
    assert 6 < due - time.monotonic() <= 7
    call.legs.handle_timer(due)
    call.settle(read_clocks())
    assert call.legs.joined is not None
    assert not call.legs.transferring
    centre.end()


@pytest.fixture
async def pbx_talk(centre):
    """A call that a PBX has answered and whose advisor is 201 by name of the PBX."""
    pbx = centre.phone("192.0.2.20", "600")
    centre.trunk = centre.phone("192.0.2.1", "01632960001")
    centre.trunk.call("01970000200")
    (call,) = centre.calls.values()
    pbx.ask("UPDATE", ("P-Asserted-Identity", "<sip:201@192.0.2.20>"))
    return call, pbx


async def test_a_pause_is_one_gap_across_a_transfer_within_the_centre(pbx_talk):
    call, pbx = pbx_talk
    events = record_events(call)
    call.recording.shut(CallPause("user:sian", Trigger.PAGE, "user:sian"))
    pbx.ask("UPDATE", ("P-Asserted-Identity", "<sip:202@192.0.2.20>"))
    assert call.state().advisor.extension == "202"
    gaps = [gap for gap in facts_of(events).gaps if gap.reason != "erased"]  # before the pause
    assert [(gap.reason, gap.trigger) for gap in gaps] == [("payment", "page")]


async def test_a_transfer_within_the_centre_begins_a_segment_and_leaves_no_gap(pbx_talk):
    call, pbx = pbx_talk
    events = record_events(call)
    pbx.ask("UPDATE", ("P-Asserted-Identity", "<sip:202@192.0.2.20>"))
    kinds = [kind for kind, _, _ in events]
    assert kinds.count("segment") == 1
    assert "gap-start" not in kinds
    pbx.ask("UPDATE", ("P-Asserted-Identity", "<sip:3001@192.0.2.20>"))
    assert state_of(call.recording) is RecordingState.CEASED
    pbx.ask("UPDATE", ("P-Asserted-Identity", "<sip:201@192.0.2.20>"))
    assert state_of(call.recording) is RecordingState.RECORDING
    assert [gap.trigger for gap in facts_of(events).gaps] == ["identity"]
