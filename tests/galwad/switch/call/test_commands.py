"""Commands of the desk to the switch: pause and resume calls, name an advisor, replace phones."""

import asyncio
from functools import partial

import msgspec
import pytest

from galwad.messages import ClaimCall, Party, Pause, PauseReply, PhoneCredentials, Resume
from galwad.switch.call.clocks import read_clocks
from galwad.switch.call.commands import DeskCommands
from galwad.switch.edge.routing import KEPT_S, AwayUsers
from recording.policy import RecordingState
from recording.recorder import Recorder


@pytest.fixture
async def talk(centre, register, monkeypatch):
    """A recorded call that the trunk made and 201 answered. Its disk may be slow."""
    monkeypatch.setattr(Recorder.make_durable, "__defaults__", (60.0,))
    centre.phone("192.0.2.201", "201", register)
    centre.trunk = centre.phone("192.0.2.1", "01632960001")
    centre.trunk.call("01970000000")
    (call,) = centre.calls.values()
    assert call.recording.state is RecordingState.RECORDING
    return call


@pytest.fixture
def commands(centre, phones):
    return DeskCommands(centre.calls, phones, AwayUsers())


@pytest.mark.parametrize("by", ["call_id", "extension", "user"])
async def test_a_call_is_paused_and_resumed_by_its_id_its_phone_or_its_user(commands, talk, by):
    meant = {by: {"call_id": talk.call_id, "extension": "201", "user": "sian"}[by]}
    paused = await commands.pause(Pause(1, "payment", "api", "pay", **meant))
    assert paused == PauseReply(1, (talk.call_id,), "paused", durable=True)
    assert talk.recording.holders == ("payment",)
    resumed = await commands.resume(Resume(2, "payment", "api", "pay", **meant))
    assert resumed == PauseReply(2, (talk.call_id,), "recording", durable=True)
    assert talk.recording.holders == ()


async def test_a_pause_shuts_the_gate_before_the_disk_has_answered(commands, talk):
    asked = asyncio.create_task(
        commands.pause(Pause(1, "payment", "page", "user:sian", user="sian"))
    )
    await asyncio.sleep(0)
    assert talk.recording.state is RecordingState.PAUSED
    assert not asked.done()
    assert (await asked).durable


@pytest.mark.parametrize("meant", [{"call_id": "none"}, {"extension": "202"}, {"user": "nobody"}])
async def test_a_pause_that_matches_no_call_is_reported_as_not_started(commands, talk, meant):
    reply = await commands.pause(Pause(1, "payment", "api", "pay", **meant))
    assert reply == PauseReply(1, (), "not_started", durable=True)
    assert talk.recording.state is RecordingState.RECORDING


async def test_each_live_call_is_in_the_snapshot(commands, talk):
    (state,) = commands.live_calls()
    assert (state.call_id, state.recording, state.advisor.extension) == (
        talk.call_id,
        "recording",
        "201",
    )


async def test_a_group_advisors_claim_counts_for_a_live_call_and_is_ignored_for_an_unknown_call(
    commands, talk
):
    talk.advisor_side.advisor = Party("")
    talk.advisor_side.group = (Party("201", "sian"), Party("202", "ceri"))
    commands.claim(ClaimCall("over", Party("202", "ceri")))
    assert talk.advisor_side.advisor == Party("")
    commands.claim(ClaimCall(talk.call_id, Party("202", "ceri")))
    assert talk.advisor_side.advisor == Party("202", "ceri")


async def test_new_phone_accounts_of_the_desk_replace_the_earlier_ones(commands, phones):
    commands.set_phones((PhoneCredentials("203", "gwen", ha1_md5="2" * 32),))
    assert phones.user_of("203") == "gwen"
    commands.set_phones(())
    assert phones.user_of("203") == ""


async def test_a_pause_shuts_the_gate_of_each_call_once_before_any_disk_is_awaited(
    centre, commands, talk, monkeypatch
):
    centre.trunk.call("01970000000")
    done = []

    def noted(what, real, *arguments):
        done.append(what)
        return real(*arguments)

    for call in centre.calls.values():
        for name, what in (("shut", "shut"), ("make_durable", "disk")):
            real = getattr(call.recording, name)
            monkeypatch.setattr(call.recording, name, partial(noted, what, real))
    reply = await commands.pause(Pause(1, "payment", "api", "pay", extension="201"))
    assert done == ["shut", "shut", "disk", "disk"]
    assert (set(reply.calls), reply.state) == (set(centre.calls), "paused")


async def test_a_pause_that_the_disk_does_not_confirm_shuts_the_gate(commands, talk, monkeypatch):
    async def refuse():
        return False

    monkeypatch.setattr(talk.recording, "make_durable", refuse)
    reply = await commands.pause(Pause(1, "payment", "api", "pay", call_id=talk.call_id))
    assert (reply.state, reply.durable) == ("paused", False)
    assert talk.recording.state is RecordingState.PAUSED


@pytest.mark.parametrize("by", ["extension", "user"])
async def test_a_pause_for_a_phone_reaches_the_consultation_that_it_has_made(
    commands, talk, centre, by, register
):
    sian = next(node for node in centre.nodes.values() if getattr(node, "user", "") == "201")
    centre.phone("192.0.2.202", "202", register)
    sian.call("202")
    value = {"extension": "201", "user": "sian"}[by]
    request = msgspec.structs.replace(Pause(1, "payment", "api", "pay"), **{by: value})
    paused = await commands.pause(request)
    assert len(paused.calls) == 2
    assert (paused.state, paused.durable) == ("paused", True)
    ending = msgspec.structs.replace(Resume(2, "payment", "api", "pay"), **{by: value})
    resumed = await commands.resume(ending)
    assert resumed.state == "recording"


async def test_a_report_about_users_who_are_away_replaces_the_earlier_report(centre, phones):
    away = AwayUsers()
    commands = DeskCommands(centre.calls, phones, away)
    commands.set_away(("sian",))
    assert away.has("sian", 0.0)
    commands.set_away(())
    assert not away.has("sian", 0.0)


async def test_the_last_report_of_users_who_are_away_counts_for_a_limited_time_without_the_desk(
    centre, phones
):
    away = AwayUsers()
    commands = DeskCommands(centre.calls, phones, away)
    commands.set_away(("sian",))
    commands.desk_lost()
    now = read_clocks().mono
    assert (away.has("sian", now), away.has("sian", now + KEPT_S + 60)) == (True, False)
