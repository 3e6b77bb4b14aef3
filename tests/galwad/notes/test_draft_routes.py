"""Drafts of contact notes: who may store one, who sees it, and when it disappears.

Covers `galwad/calls/routes.py`.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from callerid.person import Person
from galwad.messages import Party
from galwad.notes.bodies import ContactDraft
from galwad.notes.open_notes import DRAFTS
from helpers.desk import until

CALL = "20261125-101500-aaaaaaaa"
URL = f"/api/v1/calls/{CALL}/contact/draft"
ONE, TWO = "a" * 16, "b" * 16
ELIN = Person("crm:1", "Elin")


async def put(page, window=ONE, edit=1, version=0, **fields):
    body = {"window": window, "edit": edit, "version": version, **fields}
    return await page.http.put(URL, json=body)


async def typed(page, **body):
    reply = await put(page, **body)
    assert reply.status_code == 200, reply.text
    return reply.json()["version"]


async def pop_of(page):
    return (await page.http.get(f"/api/v1/calls/{CALL}")).json()


async def draft_of(page):
    return (await pop_of(page))["draft"]


async def test_a_draft_is_in_the_pop_of_its_author_only(running):
    sian = await running.answered(CALL)
    version = await typed(sian, notes="Bin ddu", caller_type="family", language="cy")
    draft = await draft_of(sian)
    assert (draft["notes"], draft["version"], draft["window"]) == ("Bin ddu", version, ONE)
    assert (draft["purpose"], draft["caller_type"], draft["language"]) == ("", "family", "cy")
    mair = await running.page("mair")
    assert await draft_of(mair) is None
    (seen,) = (await mair.open())["calls"]
    assert seen["draft"] is None
    huw = await running.page("huw")
    assert (await put(huw)).status_code == 404


async def test_a_signed_out_user_and_a_machine_cannot_store_a_draft(running):
    await running.answered(CALL)
    body = {"window": ONE, "edit": 1}
    assert (await running.client().put(URL, json=body)).status_code == 401
    machine = await running.machine("pay", "payments")
    assert (await machine.put(URL, json=body)).status_code == 403


async def test_an_advisor_whose_phone_only_rings_cannot_store_a_draft(running):
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL)
    await sian.filled(CALL)
    assert (await put(sian)).status_code == 409


async def test_a_draft_survives_a_restart_of_the_desk(running):
    sian = await running.answered(CALL)
    version = await typed(sian, notes="Bin ddu")
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    for _ in range(2):
        await running.stop()
        await running.start()
        sian = await running.page("sian")
        (pop,) = (await sian.open())["calls"]
        assert (pop["draft"]["notes"], pop["draft"]["version"]) == ("Bin ddu", version)


async def test_a_draft_of_a_call_in_progress_survives_a_restart_of_the_desk(running):
    sian = await running.answered(CALL)
    await typed(sian, notes="Bin ddu")
    await running.stop()
    await running.start()
    sian = await running.page("sian")
    pop = await sian.first(lambda pop: pop["state"] == "answered")
    assert pop["draft"]["notes"] == "Bin ddu"


@pytest.mark.parametrize("ending", ["saved", "not needed"])
async def test_a_draft_disappears_when_its_note_is_saved_or_not_needed(running, ending):
    sian = await running.answered(CALL)
    await typed(sian, purpose="Waste", notes="Bin ddu")
    if ending == "saved":
        body = {"purpose": "Waste"}
        saved = await sian.http.put(f"/api/v1/calls/{CALL}/contact", json=body)
        assert (saved.status_code, await draft_of(sian)) == (200, None)
    else:
        running.switch.hang_up(CALL)
        await sian.event("call", lambda pop: pop["state"] == "wrapup")
        url = f"/api/v1/calls/{CALL}/contact/not-needed"
        assert (await sian.http.put(url, json={"reason": "test"})).status_code == 200
    assert await database_text(running) == ""


async def database_text(running):
    async with running.desk.host.engine.connect() as connection:
        rows = await connection.exec_driver_sql("SELECT fields FROM contact_drafts")
        return "".join(str(row) for row in rows)


async def test_a_draft_reaches_the_authors_other_window_and_not_the_stream_of_a_supervisor(running):
    sian = await running.answered(CALL)
    other, mair = await running.page("sian"), await running.page("mair")
    await other.open()
    await mair.open()
    before = running.desk.page.hub.last
    await typed(sian, notes="Bin ddu")
    # The presence of the users whose pages have just opened may become an event meanwhile.
    news = running.desk.page.hub.since(before)
    assert news is not None
    assert [each for each in news if each.presence is None] == []
    pop = await other.event("call", lambda pop: pop["draft"] is not None)
    assert pop["draft"]["notes"] == "Bin ddu"
    running.switch.change(CALL, recording="paused")
    seen = await mair.event("call", lambda pop: pop["recording"] == "paused")
    assert seen["draft"] is None
    mine = await sian.event("call", lambda pop: pop["recording"] == "paused")
    assert mine["draft"]["notes"] == "Bin ddu"


async def test_a_stream_that_continues_gets_the_draft_that_it_missed(running):
    sian = await running.answered(CALL)
    last = sian.seen[-1][1]
    await sian.close()
    await typed(sian, notes="Bin ddu")
    await sian.open(last)
    pop = await sian.event("call", lambda pop: pop["draft"] is not None)
    assert pop["draft"]["notes"] == "Bin ddu"


async def test_a_window_that_has_not_seen_the_newest_draft_is_refused_with_a_reason(running):
    sian = await running.answered(CALL)
    await typed(sian, notes="one")
    refused = await put(sian, window=TWO, notes="two")
    assert (refused.status_code, refused.json()["reason"]) == (409, "draft_conflict")
    assert (await draft_of(sian))["notes"] == "one"
    version = (await draft_of(sian))["version"]
    await typed(sian, window=TWO, edit=2, version=version, notes="two")
    assert (await draft_of(sian))["notes"] == "two"


async def test_a_card_number_is_refused_and_nothing_of_the_draft_is_stored(running):
    sian = await running.answered(CALL)
    await typed(sian, notes="before")
    refused = await put(sian, edit=2, purpose="Waste", notes="pays by 4111 1111 1111 1111")
    assert (refused.status_code, refused.json()["reason"]) == (422, "card_number")
    assert "4111" not in refused.text
    assert (await draft_of(sian))["notes"] == "before"
    assert "4111" not in await database_text(running)


async def test_too_many_drafts_are_refused_with_a_time_to_wait(running):
    sian = await running.answered(CALL)
    for _ in range(DRAFTS.most):
        running.desk.notes.open.limit.take("sian")
    refused = await put(sian, notes="x")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= DRAFTS.window_s


async def test_a_draft_has_no_audit_entry(running):
    sian = await running.answered(CALL)
    before = (await running.desk.host.audit.head()).seq
    await typed(sian, notes="Bin ddu")
    assert (await running.desk.host.audit.head()).seq == before


async def test_a_colleague_who_takes_the_call_sees_no_draft_of_the_first_advisor(running):
    sian = await running.answered(CALL)
    await typed(sian, notes="of sian")
    huw = await running.page("huw")
    await huw.open()
    running.switch.answer(CALL, "202", "huw")
    pop = await huw.event("call", lambda pop: pop["mine"])
    assert pop["draft"] is None
    assert (await put(sian, edit=2, notes="late")).status_code == 404
    await typed(huw, window=TWO, notes="of huw")
    assert (await draft_of(huw))["notes"] == "of huw"
    running.switch.answer(CALL, "201", "sian")
    await sian.event("call", lambda pop: pop["mine"] and pop["advisor"] == "sian")
    assert (await draft_of(sian))["notes"] == "of sian"
    await sian.http.put(f"/api/v1/calls/{CALL}/contact", json={"purpose": "Waste"})
    assert await draft_of(sian) is None
    running.switch.answer(CALL, "202", "huw")
    await huw.event("call", lambda pop: pop["mine"] and pop["advisor"] == "huw")
    assert await draft_of(huw) is None


async def test_users_of_a_group_each_see_only_their_own_draft(running):
    sian, huw = await running.page("sian"), await running.page("huw")
    await sian.open()
    await huw.open()
    running.switch.ring(CALL, at=("600",))
    group = (Party("201", "sian"), Party("202", "huw"))
    running.switch.change(CALL, state="answered", ringing=(), advisor=Party("600"), group=group)
    await sian.event("call", lambda pop: pop["state"] == "answered")
    await huw.event("call", lambda pop: pop["state"] == "answered")
    await typed(sian, notes="of sian")
    await typed(huw, window=TWO, notes="of huw")
    running.switch.change(CALL, recording="paused")
    for page, text in ((sian, "of sian"), (huw, "of huw")):
        pop = await page.event("call", lambda pop: pop["recording"] == "paused")
        assert pop["draft"]["notes"] == text


async def test_an_unsaved_change_of_a_note_keeps_the_ended_call_open_until_it_is_saved(running):
    sian = await running.answered(CALL)
    url = f"/api/v1/calls/{CALL}/contact"
    await sian.http.put(url, json={"purpose": "Waste"})
    await typed(sian, purpose="Waste", notes="More")
    running.switch.hang_up(CALL)
    pop = await sian.event("call", lambda pop: pop["state"] == "wrapup")
    assert (pop["contact"]["notes"], pop["draft"]["notes"]) == ("", "More")
    refused = await sian.http.put(f"{url}/not-needed", json={"reason": "test"})
    assert (refused.status_code, refused.json()["error"]) == (409, "the call has a contact note")
    await running.stop()
    await running.start()
    sian = await running.page("sian")
    (pop,) = (await sian.open())["calls"]
    assert (pop["contact_saved"], pop["draft"]["notes"]) == (True, "More")
    await sian.http.put(url, json={"purpose": "Waste", "notes": "More"})
    await sian.event("closed")


async def test_a_draft_of_a_note_that_was_saved_meanwhile_is_not_kept(running, monkeypatch):
    sian = await running.answered(CALL)
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    store = running.desk.notes.contacts.save
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*of):
        begun.set()
        await go_on.wait()
        return await store(*of)

    monkeypatch.setattr(running.desk.notes.contacts, "save", slow)
    body = {"purpose": "Waste"}
    saving = asyncio.create_task(sian.http.put(f"/api/v1/calls/{CALL}/contact", json=body))
    await begun.wait()
    drafting = asyncio.create_task(put(sian, notes="late"))
    await until(lambda: "sian" in running.desk.notes.open.limit._times)
    go_on.set()
    assert (await saving).status_code == 200
    assert (await drafting).status_code == 404
    assert await running.desk.notes.contacts.open_notes() == []


async def test_a_confirmed_name_is_shown_after_a_restart_although_no_directory_has_it(running):
    sian = await running.answered(CALL)
    await running.desk.notes.contacts.save_confirmation(CALL, ELIN, "confirmed", 1_800_000_010.0)
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    await running.stop()
    await running.start()
    sian, mair = await running.page("sian"), await running.page("mair")
    pop = await sian.first(lambda pop: pop["caller"]["status"] == "not_found")
    assert (pop["caller"]["name"], pop["caller"]["number_display"]) == ("Elin", "01632 960001")
    assert (pop["since"], pop["wrap_up_until"]) == (1_800_000_065.0, 1_800_000_185.0)
    assert (pop["caller"]["confirmed"], pop["caller"]["details"]) == (False, {})
    assert (await pop_of(mair))["caller"]["name"] is None


@given(
    st.fixed_dictionaries(
        {"window": st.just(ONE), "edit": st.integers(1, 2**31 - 1)},
        optional={
            name: st.text(max_size=6000)
            for name in ("purpose", "outcome", "on_behalf_of", "authority", "notes")
        }
        | {"version": st.integers(), "language": st.sampled_from(["en", "cy", "fr"])},
    )
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_body_is_refused_or_keeps_its_notes_as_they_were_typed(body):
    try:
        draft = ContactDraft.model_validate(body)
    except ValidationError:
        event("refused")
        return
    assert draft.notes == body.get("notes", "")
    assert draft.purpose == body.get("purpose", "").strip()
    assert len(draft.notes) <= 4000
    assert len(draft.purpose) <= 200
