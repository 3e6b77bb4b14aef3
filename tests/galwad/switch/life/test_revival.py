"""Calls that the next switch process continues after a crash.

Covers `galwad/switch/call/switch_call.py` and `galwad/switch/call/clocks.py`.
"""

import asyncio
import json
import re
import shutil
import struct
import time
from pathlib import Path

import pytest

from galwad.switch.call.checkpoints import CallPause
from galwad.switch.call.switch_call import SwitchCall
from galwad.switch.life import revival
from galwad.switch.life.revival import MOST_AGE_S
from recording.policy import RecordingState, Trigger


@pytest.fixture
async def talk(centre, register):
    """The trunk has called, and 201 has answered."""
    centre.trunk = centre.phone("192.0.2.1", "01632960001")
    centre.sian = centre.phone("192.0.2.201", "201", register)
    centre.trunk.call("01970000000")
    (call,) = centre.calls.values()
    assert call.recording.state is RecordingState.RECORDING
    return call


@pytest.fixture
async def ringing(centre, register):
    """The trunk has called, and 201 rings until `centre.sian.final` is a status."""
    centre.trunk = centre.phone("192.0.2.1", "01632960001")
    centre.sian = centre.phone("192.0.2.201", "201", register)
    centre.sian.final = None
    centre.trunk.call("01970000000")
    (call,) = centre.calls.values()
    return call


@pytest.mark.parametrize("holder", ["page:sian", "page", "phone:201", "payment:crm-3f2a91bc"])
async def test_a_pause_survives_two_restarts_and_its_holder_can_end_it(centre, talk, holder):
    """Earlier versions have the one holder `page` for all pages."""
    talk.recording.shut(CallPause(holder, Trigger.PAGE, "user:sian"))
    for _ in range(2):
        centre.revive()
        (call,) = centre.calls.values()
        assert call.recording.state is RecordingState.PAUSED
        assert call.recording.holders == (holder,)
    assert call.recording.lives == 3
    states = []
    for each in ("page:huw", holder):
        await call.pauses.resume(each, "user:sian")
        states.append(call.recording.state)
    assert states == [RecordingState.PAUSED, RecordingState.RECORDING]


async def test_a_pause_is_saved_without_writing_the_legs_again(centre, talk, monkeypatch):
    monkeypatch.setattr(talk.legs, "checkpoint", None)
    talk.recording.shut(CallPause("page:sian", Trigger.PAGE, "user:sian"))
    centre.revive()
    (call,) = centre.calls.values()
    assert call.recording.holders == ("page:sian",)
    centre.trunk.ask("BYE")
    assert centre.sian.methods[-1] == "BYE"


async def test_a_pause_and_a_transfer_after_it_both_survive_a_restart(centre, talk):
    talk.recording.shut(CallPause("page:sian", Trigger.PAGE, "user:sian"))
    centre.phone("192.0.2.30", "3001")
    centre.sian.ask("REFER", ("Refer-To", "<sip:3001@192.0.2.9>"))
    centre.revive()
    (call,) = centre.calls.values()
    assert call.recording.state is RecordingState.CEASED
    assert call.recording.holders == ("page:sian",)
    assert call.legs.legs[call.legs.joined[1]].dialog.peer.host == "192.0.2.30"


async def test_the_start_time_of_a_pause_survives_restarts_and_ends_with_the_pause(centre, talk):
    talk.recording.shut(CallPause("page:sian", Trigger.PAGE, "user:sian"))
    began = talk.recording.since
    await asyncio.sleep(0.02)
    for _ in range(2):
        centre.revive()
        (call,) = centre.calls.values()
        assert call.recording.since == began
    await call.pauses.resume("page:sian", "user:sian")
    assert call.recording.since >= began + 0.02


def packet(number):
    """Return the packet that a phone sends `number` times 20 ms after its first packet."""
    fields = 0x80, 0, number & 0xFFFF, number * 160 & 0xFFFFFFFF, 7
    return struct.pack("!BBHII", *fields) + bytes(160)


async def test_with_a_restart_in_a_pause_only_packets_sent_after_the_pause_are_stored(centre, talk):
    """The clock of the caller's stream is known from before the pause."""
    began = time.monotonic()
    for number in range(5):
        talk.recording.recorder.tap(0, packet(number), began + number * 0.02, False)
    await asyncio.sleep(0.1)
    talk.recording.shut(CallPause("page:sian", Trigger.PAGE, "user:sian"))
    centre.revive()
    (call,) = centre.calls.values()
    await call.pauses.resume("page:sian", "user:sian")
    recorder = call.recording.recorder
    assert recorder.gate.stored == 0
    since = time.monotonic()
    now = round((since - began) / 0.02)
    late, punctual = now - 10, now + 10
    recorder.tap(0, packet(late), since + 1.0, False)
    assert recorder.gate.stored == 0
    recorder.tap(0, packet(punctual), since + 0.2, False)
    assert recorder.gate.stored == 1


async def test_pause_holders_of_a_call_without_a_recording_survive_a_restart(
    centre, register, talk
):
    """A paused consultation passes its pause holders to the call that it is joined with."""
    centre.phone("192.0.2.202", "202", register)
    centre.sian.call("202")
    (call,) = (call for call in centre.calls.values() if call is not talk)
    call.recording.shut(CallPause("user:sian", Trigger.PAGE, "user:sian"))
    centre.revive()
    again = centre.calls[call.call_id]
    assert (again.recording.holders, again.recording.lives) == (("user:sian",), 0)


async def test_an_empty_spool_of_an_earlier_life_does_not_prevent_the_recording(centre, talk):
    folder = centre.settings.spool_folder
    (folder / f"{talk.call_id}.2.spool").write_bytes(b"")
    centre.revive()
    (call,) = centre.calls.values()
    assert call.recording.state is RecordingState.RECORDING
    assert (folder / f"{talk.call_id}.3.spool").exists()


async def test_the_talk_time_is_right_after_a_restart_and_a_clock_jump(centre, talk, monkeypatch):
    began = time.monotonic()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    centre.revive()
    monkeypatch.setattr(time, "monotonic", lambda: began + 100.0)
    centre.end()
    assert centre.links.lasted[talk.call_id] == pytest.approx(100e6, rel=0.1)


async def test_a_checkpoint_without_an_answer_time_gives_no_talk_time(centre, talk):
    spoil(centre, talk.call_id, lambda checkpoint: checkpoint["talk"].pop("answered"))
    centre.revive()
    centre.end()
    assert centre.links.lasted == {talk.call_id: None}


def spoil(centre, call_id, change):
    path = centre.settings.node.runtime / "calls" / f"{call_id}.call"
    checkpoint = json.loads(path.read_bytes())
    change(checkpoint)
    path.write_text(json.dumps(checkpoint))


@pytest.mark.parametrize(
    "change",
    [
        lambda checkpoint: checkpoint["talk"]["target"].pop("uri"),
        lambda checkpoint: checkpoint["talk"]["target"].update(uri="no uri"),
        lambda checkpoint: checkpoint["legs"].update(legs=None),
        lambda checkpoint: checkpoint["legs"].update(legs=[None]),
        lambda checkpoint: checkpoint["legs"].update(version="another"),
        lambda checkpoint: checkpoint.update(legs={}),
    ],
)
async def test_a_call_that_cannot_be_continued_does_not_prevent_the_start(centre, talk, change):
    spoil(centre, talk.call_id, change)
    revived = centre.revive()
    assert (revived.going_on, revived.cut_off) == (0, 1)
    assert centre.calls == {}
    assert centre.relay.open_legs == {}
    assert list((centre.settings.node.runtime / "calls").iterdir()) == []


async def test_the_end_of_a_call_that_cannot_be_continued_reaches_the_ledger(centre, talk):
    began = time.time()
    spoil(
        centre, talk.call_id, lambda checkpoint: checkpoint["talk"]["target"].update(uri="no uri")
    )
    centre.revive()
    told = centre.links.for_ledger[talk.call_id]
    assert (told.answered, told.talk_us) == (True, None)
    assert began - 5 < told.since <= told.ended


async def test_only_calls_that_should_be_recorded_reach_the_ledger(centre, register, talk):
    """One is a call whose spool the disk refuses; a consultation between phones is not one."""
    folder = centre.settings.spool_folder
    folder.rename(folder.with_name("away"))
    folder.write_bytes(b"")
    centre.trunk.call("01970000000")
    refused = next(call for call in centre.calls.values() if call is not talk)
    centre.phone("192.0.2.202", "202", register)
    centre.sian.call("202")
    consultation = list(centre.calls.values())[-1]
    assert consultation not in {talk, refused}
    centre.end()
    assert refused.recording.recorder.writer is None
    assert set(centre.links.lasted) == {talk.call_id, refused.call_id, consultation.call_id}
    assert set(centre.links.for_ledger) == {talk.call_id, refused.call_id}
    assert centre.links.for_ledger[refused.call_id].answered is False


async def reboot(centre):
    """Write what the thread writes in time, and lose the runtime folder."""
    await centre.lasting.write()
    shutil.rmtree(centre.settings.node.runtime)
    return centre.revive()


async def test_both_sides_of_a_call_get_one_bye_after_a_reboot(centre, talk):
    began = time.time()
    assert str(await reboot(centre)) == "0 calls continue, 1 were cut off"
    for phone in (centre.trunk, centre.sian):
        (bye,) = phone.requests
        assert bye.method == "BYE"
        assert bye.headers.get("Reason") == 'SIP;cause=500;text="Restarted"'
    assert centre.calls == {}
    told = centre.links.for_ledger[talk.call_id]
    assert (told.answered, told.talk_us) == (True, None)
    assert began - 5 < told.since <= told.ended
    assert await reboot(centre) is None
    assert (centre.trunk.methods, centre.sian.methods) == (["BYE"], ["BYE"])


async def test_the_bye_after_a_reboot_has_a_higher_cseq_than_requests_not_yet_on_the_disk(
    centre, talk
):
    await centre.lasting.write()
    centre.sian.ask("INVITE", direction="sendonly")
    (cseq,) = [request.cseq.number for request in centre.trunk.requests]
    shutil.rmtree(centre.settings.node.runtime)
    centre.revive()
    assert centre.trunk.methods[-1] == "BYE"
    assert centre.trunk.requests[-1].cseq.number > cseq


async def test_a_call_that_was_answered_long_before_the_reboot_gets_no_bye(
    centre, talk, monkeypatch
):
    day_later = time.time() + MOST_AGE_S + 60
    monkeypatch.setattr(time, "time", lambda: day_later)
    assert (await reboot(centre)).cut_off == 1
    assert (centre.trunk.methods, centre.sian.methods) == ([], [])
    assert centre.links.ended == [talk.call_id]
    assert await reboot(centre) is None


async def test_a_dialog_that_cannot_be_read_does_not_prevent_the_bye_to_the_other_side(
    centre, talk
):
    await centre.lasting.write()
    shutil.rmtree(centre.settings.node.runtime)
    path = centre.settings.node.state / "switch" / "dialogs.jsonl"
    call = json.loads(path.read_bytes())
    call["dialogs"][0]["remote"] = 7
    path.write_text(json.dumps(call))
    centre.revive()
    assert (centre.trunk.methods, centre.sian.methods) == ([], ["BYE"])


async def test_a_party_that_cannot_be_reached_does_not_prevent_the_bye_to_the_other_party(
    centre, talk
):
    del centre.nodes[centre.sian.address]
    assert (await reboot(centre)).cut_off == 1
    assert (centre.trunk.methods, centre.sian.methods) == (["BYE"], [])


async def test_both_sides_get_a_bye_if_nothing_of_a_checkpoint_can_be_read(centre, talk):
    await centre.lasting.write()
    path = centre.settings.node.runtime / "calls" / f"{talk.call_id}.call"
    path.write_bytes(path.read_bytes()[:200])
    assert str(centre.revive()) == "0 calls continue, 1 were cut off"
    assert (centre.trunk.methods, centre.sian.methods) == (["BYE"], ["BYE"])


async def test_an_internal_error_in_a_bye_after_a_reboot_does_not_prevent_the_start(
    centre, talk, monkeypatch
):
    def mistaken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(revival, "bye_in_dialogs", mistaken)
    assert (await reboot(centre)).cut_off == 1
    assert centre.links.ended == [talk.call_id]


async def test_an_answered_call_with_a_checkpoint_is_continued_and_gets_no_bye(centre, talk):
    await centre.lasting.write()
    assert str(centre.revive()) == "1 calls continue, 0 were cut off"
    assert (centre.trunk.methods, centre.sian.methods) == ([], [])


async def test_a_call_whose_checkpoint_is_of_another_boot_is_ended_on_both_sides(
    centre, talk, monkeypatch
):
    """The runtime folder is on a disk, and the clock that counts from the boot is younger."""
    answered = talk._answered_at
    began = time.time()
    monkeypatch.setattr(time, "monotonic", lambda: answered - 1.0)
    assert str(centre.revive()) == "0 calls continue, 1 were cut off"
    assert (centre.trunk.methods, centre.sian.methods) == (["BYE"], ["BYE"])
    assert abs(centre.links.for_ledger[talk.call_id].since - began) < 60


async def test_both_sides_of_a_call_that_cannot_be_continued_get_a_bye(centre, talk):
    spoil(centre, talk.call_id, lambda checkpoint: checkpoint["talk"]["target"].pop("uri"))
    centre.revive()
    assert (centre.trunk.methods, centre.sian.methods) == (["BYE"], ["BYE"])


async def test_an_internal_error_in_a_restore_ends_one_call_and_not_the_switch(
    centre, talk, monkeypatch
):
    def mistaken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(SwitchCall, "_restore", mistaken)
    assert centre.revive().cut_off == 1
    assert (centre.trunk.methods, centre.sian.methods) == (["BYE"], ["BYE"])
    assert centre.relay.open_legs == {}


async def test_a_caller_who_waits_for_a_transfer_is_cut_off_if_no_phone_can_be_rung_after_a_restart(
    centre, talk
):
    centre.sian.final = None
    refer = ("Refer-To", "<sip:3001@192.0.2.9>")
    centre.sian.ask("REFER", refer)
    centre.sian.ask("BYE")
    assert talk.legs.joined is None
    begin = centre.begin

    def without_room():
        begin()
        centre.relay.full = True

    centre.begin = without_room
    revived = centre.revive()
    assert (revived.going_on, revived.cut_off) == (0, 1)
    assert centre.calls == {}


async def test_an_unreadable_ringing_call_is_cancelled(centre, ringing):
    spoil(centre, ringing.call_id, lambda checkpoint: checkpoint.pop("admission"))
    assert centre.revive().cut_off == 1
    assert centre.sian.invites[0].cancelled


async def test_a_pause_while_ringing_survives_restarts_and_the_answer(centre, ringing):
    ringing.recording.shut(CallPause("user:sian", Trigger.PAGE, "user:sian"))
    centre.sian.final = 200
    centre.revive()
    (call,) = centre.calls.values()
    assert centre.trunk.statuses == [200]
    assert call.recording.state is RecordingState.PAUSED
    centre.revive()
    (call,) = centre.calls.values()
    assert call.recording.holders == ("user:sian",)


async def test_a_ringing_call_is_not_recorded_into_the_spool_of_a_process_that_died_at_its_answer(
    centre, ringing
):
    """The process had created the spool, and had not saved the answer yet."""
    left = centre.settings.spool_folder / f"{ringing.call_id}.1.spool"
    left.write_bytes(b"left behind")
    centre.sian.final = 200
    centre.revive()
    (call,) = centre.calls.values()
    assert call.recording.state is RecordingState.RECORDING
    assert (call.recording.lives, left.read_bytes()) == (2, b"left behind")


OLD_FILES = Path(__file__).with_name("checkpoints")
"""Files as switches of earlier releases left them; they must stay readable."""


def leave(centre, call_id):
    """Put a file of an earlier release where the next process finds it, as if written just now."""
    text = (OLD_FILES / f"{call_id}.call").read_text()
    folder = centre.settings.node.runtime / "calls"
    answered = str(time.monotonic() - 10.0)
    (folder / f"{call_id}.call").write_text(re.sub(r"\b3307\.84[0-9]+\b", answered, text))
    return text


async def test_an_answered_call_in_a_file_of_an_earlier_release_is_continued(centre, register):
    call_id = "20261127-014121-ywq655e7"
    centre.phone("192.0.2.1", "01632960001")
    centre.phone("192.0.2.201", "201", register)
    text = leave(centre, call_id)
    assert str(centre.revive()) == "1 calls continue, 0 were cut off"
    call = centre.calls[call_id]
    assert call.state().state == "answered"
    assert call.recording.holders == ("user:sian",)
    assert call.recording.state is RecordingState.PAUSED
    assert call.recording.lives == 2
    saved = json.loads((centre.settings.node.runtime / "calls" / f"{call_id}.call").read_bytes())
    before = json.loads(text)
    assert saved.keys() == before.keys() | {"caller", "callers", "consults", "kept_by"}
    added = {"destination", "lateness", "recording", "recording_since", "transfers"}
    assert saved["talk"].keys() == before["talk"].keys() | added
    assert saved["legs"].keys() == before["legs"].keys()
    assert saved["talk"]["target"] == before["talk"]["target"]
    assert saved["talk"]["standing"] == before["talk"]["standing"]
    centre.end()
    assert 10e6 < centre.links.lasted[call_id] < 60e6


async def test_a_ringing_call_in_a_file_of_an_earlier_release_rings_again_and_stays_paused(
    centre, register
):
    call_id = "20261127-014121-cu3f4lzk"
    centre.phone("192.0.2.1", "01632960001")
    centre.phone("192.0.2.201", "201", register)
    leave(centre, call_id)
    centre.revive()
    call = centre.calls[call_id]
    assert call.recording.state is RecordingState.PAUSED
    assert call.recording.holders == ("api:till",)


@pytest.mark.parametrize("dies_at", ["recorder", "checkpoint"])
async def test_a_call_that_has_ended_is_not_continued_wherever_the_process_dies(
    centre, talk, monkeypatch, dies_at
):
    """It dies before the spool is closed, or after this and before the checkpoint is removed."""

    class KilledError(BaseException):
        pass

    def die(*_args, **_named):
        raise KilledError

    recorder = talk.recording.recorder
    if dies_at == "recorder":
        monkeypatch.setattr(recorder, "close", die)
    else:
        monkeypatch.setattr(centre.context.checkpoints, "remove", die)
    talk.recording.shut(CallPause("page:sian", Trigger.PAGE, "user:sian"))
    with pytest.raises(KilledError):
        centre.end()
    monkeypatch.undo()
    assert str(centre.revive()) == "0 calls continue, 1 were cut off"
    assert centre.calls == {}
    assert not list((centre.settings.node.runtime / "calls").glob("*.call"))


async def test_a_ringing_call_that_was_cancelled_does_not_ring_again(centre, ringing):
    centre.context.checkpoints.mark_ended(ringing.call_id)
    assert str(centre.revive()) == "0 calls continue, 1 were cut off"
    assert centre.calls == {}


@pytest.mark.parametrize("lives", [True, False])
async def test_a_continued_call_ends_within_seconds_if_no_party_answers(
    centre, talk, monkeypatch, lives
):
    monkeypatch.setattr(revival, "SILENT_S", 0.05)
    monkeypatch.setattr(revival, "UNANSWERED_S", 0.2)
    centre.revive()
    if not lives:
        for phone in (centre.trunk, centre.sian):
            del centre.nodes[phone.address]
    for _ in range(4):
        await asyncio.sleep(0.1)
        centre.run()
    assert bool(centre.calls) == lives
    assert centre.sian.methods.count("OPTIONS") == lives
