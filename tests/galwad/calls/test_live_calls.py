"""Screen-pops over the HTTP API: lookup, choice, confirmation and the event stream.

Covers `galwad/desk.py`, `galwad/host/switch_client.py`,
`galwad/calls/bodies.py`, `galwad/people/access.py`, `galwad/calls/routes.py` and
`galwad/page/stream.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import select, update

from callerid.limited_source import SourceLimits
from galwad.messages import CallerFacts, ClaimCall, Party
from galwad.notes.store import notes
from galwad.page.stream import events
from galwad.people.sessions import Session
from galwad.people.store import sessions
from helpers.desk import changed
from helpers.directory import import_people
from helpers.fake_directory import Directory

CALL = "20261125-101500-aaaaaaaa"
OTHER = "20261125-101600-bbbbbbbb"
PEOPLE = """reference,name,numbers,language,shared,address,notes
C-1,Elin Fictitious,01632 960001,cy,no,1 Example Street,Prefers letters
C-2,Household One,01632 960002,en,yes,2 Example Street,
C-3,Household Two,01632 960002,en,no,2 Example Street,
"""


async def test_a_screen_pop_shows_the_lookup_and_then_the_person(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.page("sian")
    assert (await sian.open())["calls"] == []
    running.switch.ring(CALL)
    first = await sian.event("call")
    assert first["state"] == "ringing"
    assert first["mine"]
    assert first["caller"]["status"] == "looking_up"
    caller = (await sian.filled(CALL))["caller"]
    assert caller["status"] == "found"
    assert caller["candidates"][0]["name"] == "Elin Fictitious"
    assert caller["candidates"][0]["language"] == "cy"
    assert caller["number_display"] == "01632 960001"


async def test_the_api_withholds_details_until_the_advisor_has_confirmed(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL)
    before = await sian.filled(CALL)
    running.switch.answer(CALL, "201")
    answered = await sian.event("call", lambda pop: pop["state"] == "answered")
    assert answered["caller"]["details"] == {}
    assert not any("Example Street" in str(event) for event in sian.seen)
    reply = await sian.http.post(
        f"/api/v1/calls/{CALL}/confirm",
        json={"outcome": "confirmed", "person_id": before["caller"]["chosen"]},
    )
    assert reply.json()["caller"]["details"]["address"] == "1 Example Street"
    entries = await running.desk.host.audit.entries()
    assert [entry.facts["call_id"] for entry in entries if entry.kind == "caller.confirmed"] == [
        CALL
    ]


async def test_a_supervisor_sees_the_call_but_not_the_confirmed_details(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian, mair = await running.page("sian"), await running.page("mair")
    await sian.open()
    await mair.open()
    running.switch.ring(CALL)
    await sian.filled(CALL)
    running.switch.answer(CALL, "201")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "volunteered"})
    pop = await mair.event("call", lambda pop: pop["caller"]["confirmed"])
    assert pop["caller"]["details"] == {}
    assert not pop["mine"]
    refused = await mair.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "confirmed"})
    assert refused.status_code == 403


async def test_a_number_with_several_people_has_none_preselected(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL, number="+441632960002")
    caller = (await sian.filled(CALL))["caller"]
    assert caller["status"] == "several"
    assert caller["chosen"] is None
    assert all(candidate["shared_warning"] for candidate in caller["candidates"])
    running.switch.answer(CALL, "201")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    url = f"/api/v1/calls/{CALL}"
    nobody = await sian.http.post(f"{url}/confirm", json={"outcome": "confirmed"})
    assert nobody.status_code == 409
    person = caller["candidates"][1]["person_id"]
    chosen = await sian.http.post(f"{url}/choose", json={"person_id": person})
    assert chosen.json()["caller"]["chosen"] == person
    assert chosen.json()["caller"]["details"] == {}


async def test_a_ring_groups_screen_pop_closes_for_those_who_did_not_answer(running):
    sian, huw = await running.page("sian"), await running.page("huw")
    await sian.open()
    await huw.open()
    running.switch.ring(CALL, at=("201", "202"))
    await sian.event("call")
    await huw.event("call")
    running.switch.answer(CALL, "202")
    assert await sian.event("closed") == {"call_id": CALL}
    assert (await huw.event("call", lambda pop: pop["state"] == "answered"))["advisor"] is None


async def test_an_advisor_does_not_see_another_advisors_call(running):
    sian, huw = await running.page("sian"), await running.page("huw")
    await huw.open()
    running.switch.ring(CALL, at=("202",))
    await huw.filled(CALL)
    assert (await sian.open())["calls"] == []
    reply = await sian.http.get(f"/api/v1/calls/{CALL}")
    assert reply.status_code == 404


async def test_a_withheld_number_is_neither_looked_up_nor_shown(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(
        CALL,
        number="anonymous",
        from_host="anonymous.invalid",
        asserted=("+441632960001",),
        privacy=("id",),
        trusted=True,
    )
    caller = (await sian.filled(CALL))["caller"]
    assert caller["status"] == "withheld"
    assert caller["number_display"] is None
    assert caller["candidates"] == []


async def test_a_failing_directory_is_unavailable_rather_than_not_found(running):
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL, number="+441632960777")
    assert (await sian.filled(CALL))["caller"]["status"] == "not_found"
    await running.stop()
    await running.start([(Directory("crm", error=ConnectionRefusedError()), SourceLimits())])
    sian = await running.page("sian")
    snapshot = await sian.open()
    shown = snapshot["calls"] or [await sian.filled(CALL)]
    if shown[0]["caller"]["status"] == "looking_up":
        shown = [await sian.filled(CALL)]
    assert shown[0]["caller"]["status"] == "unavailable"


async def test_a_directory_slower_than_the_lookup_budget_is_unavailable(running):
    running.settings = changed(running.settings, directory={"budget": 0.05})
    await running.stop()
    await running.start([(Directory("crm", hangs=True), SourceLimits())])
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL)
    assert (await sian.filled(CALL))["caller"]["status"] == "unavailable"


async def test_a_reconnecting_page_receives_only_the_events_that_it_missed(running):
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL)
    await sian.filled(CALL)
    last = sian.seen[-1][1]
    await sian.close()
    running.switch.answer(CALL, "201")
    streams = running.desk.host.streams
    async with asyncio.timeout(60):
        while running.desk.calls.live.get(CALL).state.state != "answered":
            await streams.wait(streams.follow("test", "sian"), streams.wake_count, 1)
    await sian.open(last)
    kind, number, pop = await sian.next()
    assert kind == "call"
    assert int(number) > int(last)
    assert pop["state"] == "answered"


async def test_an_unknown_event_position_gets_a_snapshot(running):
    sian = await running.page("sian")
    running.switch.ring(CALL)
    await sian.open("12")
    kind, _, snapshot = await sian.next()
    assert kind == "snapshot"
    assert snapshot["me"]["user"] == "sian"


@pytest.mark.parametrize("position", ["-1", "abc", "9" * 5000])
async def test_an_invalid_event_position_gets_a_snapshot(running, position):
    sian = await running.page("sian")
    await sian.open(position)
    assert (await sian.next())[0] == "snapshot"


@pytest.mark.parametrize("talking", [True, False])
async def test_an_event_stream_extends_a_session_only_during_a_call(running, talking):
    sian = await running.page("sian")
    running.switch.ring(CALL)
    if talking:
        running.switch.answer(CALL, "201", "sian")
    await sian.first(lambda pop: (pop["state"] == "answered") is talking)
    await sian.close()
    seen = select(sessions.c.seen)
    async with running.desk.host.engine.begin() as connection:
        await connection.execute(update(sessions).values(seen=sessions.c.seen - 300))
        before = await connection.scalar(seen)
    running.desk.people.sessions.recheck()
    user = await running.desk.people.users.get("sian")
    async with running.desk.host.engine.connect() as connection:
        key = await connection.scalar(select(sessions.c.token_sha256))
    stream = (await events(running.desk, Session(key, user, "page"))).body_iterator
    assert isinstance(stream, AsyncGenerator)
    await anext(stream)
    await stream.aclose()
    await running.desk.people.sessions.stop()  # a background task stores the use
    async with running.desk.host.engine.connect() as connection:
        assert (await connection.scalar(seen) > before) is talking


async def confirm(page, call_id=CALL, outcome="confirmed"):
    """Confirm the caller; return the status of the answer and the details that are shown then."""
    url = f"/api/v1/calls/{call_id}"
    status = (await page.http.post(f"{url}/confirm", json={"outcome": outcome})).status_code
    return status, (await page.http.get(url)).json()["caller"]["details"]


async def answer_another(running, page):
    running.switch.ring(OTHER)
    running.switch.answer(OTHER, "201", "sian")
    await page.event("call", lambda pop: pop["call_id"] == OTHER and pop["talking_since"])
    await page.filled(OTHER)


async def test_only_the_caller_of_the_call_answered_last_can_be_confirmed(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.answered(CALL)
    await answer_another(running, sian)
    url = f"/api/v1/calls/{CALL}/confirm"
    refused = await sian.http.post(url, json={"outcome": "volunteered"})
    assert (refused.status_code, refused.json()["reason"]) == (409, "not_talking")
    assert await confirm(sian) == (409, {})
    status, details = await confirm(sian, OTHER)
    assert (status, details["address"]) == (200, "1 Example Street")


async def test_the_caller_of_a_held_call_can_be_confirmed_only_after_the_hold(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.answered(CALL)
    running.switch.change(CALL, state="held")
    await sian.event("call", lambda pop: pop["state"] == "held")
    assert await confirm(sian) == (409, {})
    await answer_another(running, sian)
    running.switch.change(CALL, state="answered")
    await sian.event("call", lambda pop: pop["call_id"] == CALL and pop["talking_since"])
    assert (await confirm(sian, OTHER))[0] == 409
    assert (await confirm(sian))[0] == 200


async def test_after_the_call_a_confirmation_is_refused_except_for_a_new_person(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.answered(CALL)
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    assert await confirm(sian) == (409, {})
    await asyncio.gather(*running.desk.host.background.tasks)  # one writes the empty note
    assert await confirmation_of(running) == ""
    assert (await confirm(sian, outcome="new_person"))[0] == 200


async def test_a_supervisor_cannot_confirm_the_caller_of_an_advisor(running):
    import_people(running.settings.directory_file, PEOPLE)
    await running.answered(CALL)
    mair = await running.page("mair")
    (pop,) = (await mair.open())["calls"]
    assert (pop["mine"], pop["talking_since"]) == (False, None)
    assert await confirm(mair) == (403, {})


async def test_a_group_member_who_talks_in_a_later_call_cannot_confirm_the_groups_call(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian, huw = await behind_a_pbx(running, ("sian", "huw"))
    await answer_another(running, sian)
    assert (await confirm(sian))[0] == 409
    assert (await confirm(huw))[0] == 200


async def test_a_transferred_call_must_be_confirmed_again_by_the_new_advisor(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian, huw = await running.page("sian"), await running.page("huw")
    await sian.open()
    await huw.open()
    running.switch.ring(CALL)
    await sian.filled(CALL)
    running.switch.answer(CALL, "201", "sian")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "confirmed"})
    running.switch.answer(CALL, "202", "huw")
    pop = await huw.event("call")
    assert not pop["caller"]["confirmed"]
    assert pop["caller"]["details"] == {}
    await sian.event("closed")


async def test_a_ringing_transfer_opens_a_screen_pop_without_the_confirmed_details(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian, huw = await running.page("sian"), await running.page("huw")
    await sian.open()
    await huw.open()
    running.switch.ring(CALL)
    await sian.filled(CALL)
    running.switch.answer(CALL, "201", "sian")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "confirmed"})
    running.switch.change(CALL, ringing=(Party("202", "huw"),))
    pop = await huw.event("call")
    assert (pop["state"], pop["mine"], pop["caller"]["details"]) == ("ringing", True, {})
    url = f"/api/v1/calls/{CALL}"
    early = await huw.http.post(f"{url}/confirm", json={"outcome": "confirmed"})
    assert early.status_code == 409
    assert (await huw.http.put(f"{url}/payment")).status_code == 403
    assert (await sian.http.get(url)).json()["caller"]["details"]
    running.switch.change(CALL, ringing=())
    await huw.event("closed")


async def test_a_switch_that_reconnects_closes_calls_that_have_ended(running):
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL)
    await sian.filled(CALL)
    await running.switch.stop()
    await sian.event("alarm", lambda alarm: alarm["kind"] == "switch.lost")
    running.switch.calls.clear()
    running.switch.link = None
    await running.switch.start()
    assert await sian.event("closed") == {"call_id": CALL}


async def behind_a_pbx(running, names):
    """Pages of a ring group after its PBX answered without naming an advisor."""
    pages = [await running.page(name) for name in names]
    for page in pages:
        await page.open()
    group = (Party("", "sian"), Party("", "huw"))
    running.switch.ring(CALL, at=("600",))
    running.switch.change(CALL, ringing=(Party("600"), *group))
    for page in pages:
        await page.filled(CALL)
    running.switch.answer(CALL, "600")
    running.switch.change(CALL, group=group)
    for page in pages:
        await page.event("call", lambda pop: pop["state"] == "answered" and pop["mine"])
    return pages


async def test_a_call_that_a_pbx_answered_without_a_name_stays_with_the_group(running):
    sian, huw = await behind_a_pbx(running, ("sian", "huw"))
    for page in (sian, huw):
        reply = await page.http.put(f"/api/v1/calls/{CALL}/payment")
        assert reply.json()["state"] == "paused"
    mair = await running.page("mair")
    refused = await mair.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "confirmed"})
    assert refused.status_code == 403


async def test_the_group_member_who_confirms_gets_the_call_and_the_details(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian, huw = await behind_a_pbx(running, ("sian", "huw"))
    url = f"/api/v1/calls/{CALL}/confirm"
    reply = await huw.http.post(url, json={"outcome": "confirmed"})
    assert reply.json()["advisor"] == "huw"
    assert reply.json()["caller"]["details"]["address"] == "1 Example Street"
    await sian.event("closed")
    assert not any("Example Street" in str(event) for event in sian.seen)
    late = await sian.http.post(url, json={"outcome": "confirmed"})
    assert late.status_code == 404
    (taken,) = await running.switch.until(ClaimCall)
    assert taken == ClaimCall(CALL, Party("202", "huw"))


async def test_a_call_state_sent_before_the_claim_does_not_undo_the_claim(running):
    import_people(running.settings.directory_file, PEOPLE)
    (sian,) = await behind_a_pbx(running, ("sian",))
    url = f"/api/v1/calls/{CALL}/confirm"
    reply = await sian.http.post(url, json={"outcome": "volunteered"})
    assert reply.status_code == 200
    running.switch.change(CALL, state="held")
    pop = await sian.event("call", lambda pop: pop["state"] == "held")
    assert (pop["advisor"], pop["mine"]) == ("sian", True)


async def test_a_new_caller_is_looked_up_and_what_was_confirmed_before_disappears(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL)
    first = await sian.filled(CALL)
    running.switch.answer(CALL, "201")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    url = f"/api/v1/calls/{CALL}"
    answer = {"outcome": "confirmed", "person_id": first["caller"]["chosen"]}
    confirmed = await sian.http.post(f"{url}/confirm", json=answer)
    assert confirmed.json()["caller"]["details"]
    facts = CallerFacts("", "", ("+441632960002",), trusted=True)
    running.switch.change(CALL, caller=facts, callers=2)
    changed = await sian.event("call", lambda pop: pop["caller"]["position"] == 2)
    assert changed["caller"]["status"] == "looking_up"
    assert (changed["caller"]["details"], changed["caller"]["confirmed"]) == ({}, False)
    assert changed["caller"]["number_display"] == "01632 960002"
    found = (await sian.filled(CALL))["caller"]
    assert [one["name"] for one in found["candidates"]] == ["Household One", "Household Two"]
    assert (await sian.http.get(url)).json()["caller"]["details"] == {}
    late = await sian.http.post(f"{url}/confirm", json=answer)
    assert late.status_code == 409
    await asyncio.gather(*running.desk.host.background.tasks)
    assert await confirmation_of(running) == ""


async def confirmation_of(running):
    """Return the confirmed person of the call in the database; "" if there is none."""
    async with running.desk.host.engine.connect() as connection:
        return await connection.scalar(select(notes.c.person_id).where(notes.c.call_id == CALL))


async def test_a_late_lookup_result_of_an_earlier_caller_is_dropped(running):
    import_people(running.settings.directory_file, PEOPLE)
    running.switch.ring(CALL)
    sian = await running.page("sian")
    await sian.first(lambda pop: pop["caller"]["status"] == "found")
    earlier = running.desk.calls.live.get(CALL)
    running.switch.change(CALL, caller=CallerFacts("anonymous", "anonymous.invalid"), callers=2)
    await sian.event("call", lambda pop: pop["caller"]["status"] == "withheld")
    running.desk.calls.live.lookup_result(earlier, earlier.pop.result)
    caller = (await sian.http.get(f"/api/v1/calls/{CALL}")).json()["caller"]
    assert (caller["status"], caller["candidates"]) == ("withheld", [])


async def test_a_confirmation_during_which_the_caller_changes_is_refused(running, monkeypatch):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL)
    first = await sian.filled(CALL)
    running.switch.answer(CALL, "201")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    save = running.desk.notes.contacts.save_confirmation

    async def slow(*args):
        # The new caller has the same number, so the same person is found again.
        if args[1]:
            running.switch.change(CALL, callers=2)
            await sian.event("call", lambda pop: pop["caller"]["position"] == 2)
            await sian.filled(CALL)
        await save(*args)

    monkeypatch.setattr(running.desk.notes.contacts, "save_confirmation", slow)
    answer = {"outcome": "confirmed", "person_id": first["caller"]["chosen"]}
    reply = await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json=answer)
    assert reply.status_code == 409
    assert (await sian.http.get(f"/api/v1/calls/{CALL}")).json()["caller"]["details"] == {}
    assert await confirmation_of(running) == ""
