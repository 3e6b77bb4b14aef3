"""The wrap-up of a call: its contact note stays open, even if the desk is restarted.

Covers `galwad/calls/live_calls.py` and `galwad/calls/routes.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from galwad.messages import CallEnded
from helpers.desk import until
from helpers.directory import import_people

CALL = "20261125-101500-aaaaaaaa"
PEOPLE = """reference,name,numbers,language,shared,address,notes
C-1,Elin Fictitious,01632 960001,cy,no,1 Example Street,Prefers letters
"""
SEVERAL = PEOPLE + "C-2,Owen Fictitious,01632 960001,en,no,1 Example Street,\n"


async def test_a_call_stays_in_wrapup_until_its_contact_is_saved(running):
    sian = await running.answered(CALL)
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    url = f"/api/v1/calls/{CALL}/contact"
    lacking = await sian.http.put(url, json={"purpose": "Council Tax", "caller_type": "councillor"})
    assert lacking.status_code == 409
    saved = await sian.http.put(url, json={"purpose": "Council Tax", "language": "cy"})
    assert saved.json() == {"call_id": CALL, "version": 1}
    assert await sian.event("closed") == {"call_id": CALL}
    assert len(await running.desk.notes.delivery.outbox.undelivered(10)) == 1


async def test_a_call_in_wrapup_is_not_counted_as_live(running):
    sian = await running.answered(CALL)
    assert (await sian.http.get("/api/v1/health")).json()["live_calls"] == 1
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    assert (await sian.http.get("/api/v1/health")).json()["live_calls"] == 0


async def test_a_wrapup_survives_a_restart_of_the_desk(running):
    sian = await running.answered(CALL)
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    await running.stop()
    await running.start()
    sian = await running.page("sian")
    snapshot = await sian.open()
    assert [(pop["call_id"], pop["state"]) for pop in snapshot["calls"]] == [(CALL, "wrapup")]


async def test_number_and_name_in_wrapup_survive_a_restart_of_the_desk(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.answered(CALL)
    await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "confirmed"})
    running.switch.hang_up(CALL)
    before = await sian.event("call", lambda pop: pop["state"] == "wrapup")
    for _ in range(2):
        await running.stop()
        await running.start()
        sian = await running.page("sian")
        pop = await sian.first(lambda pop: pop["caller"]["status"] == "found")
        assert (pop["state"], pop["mine"]) == ("wrapup", True)
        caller = pop["caller"]
        for name in ("number_display", "candidates", "chosen"):
            assert caller[name] == before["caller"][name]
        assert (caller["confirmed"], caller["details"]) == (False, {})


async def test_the_person_whom_the_advisor_confirmed_is_chosen_again_after_a_restart(running):
    import_people(running.settings.directory_file, SEVERAL)
    sian = await running.answered(CALL)
    person_id = (await sian.first(lambda pop: pop["caller"]["candidates"]))["caller"]["candidates"][
        1
    ]["person_id"]
    body = {"outcome": "confirmed", "person_id": person_id}
    assert (await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json=body)).status_code == 200
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    await running.stop()
    await running.start()
    sian = await running.page("sian")
    pop = await sian.first(lambda pop: pop["caller"]["chosen"])
    assert (pop["state"], pop["caller"]["chosen"]) == ("wrapup", person_id)


async def test_a_withheld_number_is_still_shown_as_withheld_after_a_restart(running):
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL, number="anonymous")
    running.switch.answer(CALL, "201", "sian")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    await running.stop()
    await running.start()
    sian = await running.page("sian")
    pop = await sian.first(lambda pop: pop["caller"]["status"] != "looking_up")
    assert pop["caller"]["status"] == "withheld"


async def test_a_wrapup_ends_with_a_reason_and_stays_ended_after_a_restart(running):
    sian = await running.answered(CALL)
    url = f"/api/v1/calls/{CALL}/contact/not-needed"
    early = await sian.http.put(url, json={"reason": "wrong_number"})
    assert (early.status_code, early.json()["error"]) == (409, "the call has not ended")
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    assert (await sian.http.put(url, json={"reason": "tired"})).status_code == 422
    huw = await running.page("huw")
    assert (await huw.http.put(url, json={"reason": "silent"})).status_code == 404
    ended = await sian.http.put(url, json={"reason": "wrong_number"})
    assert ended.json() == {"call_id": CALL, "version": 1}
    assert await sian.event("closed") == {"call_id": CALL}
    await running.stop()
    await running.start()
    sian = await running.page("sian")
    assert (await sian.open())["calls"] == []
    assert len(await running.desk.notes.delivery.outbox.undelivered(10)) == 1


async def test_an_advisor_who_transferred_the_call_can_end_the_wrapup_with_a_reason(running):
    sian = await running.answered(CALL)
    running.switch.answer(CALL, "301")
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    url = f"/api/v1/calls/{CALL}/contact/not-needed"
    assert (await sian.http.put(url, json={"reason": "repeated"})).status_code == 200
    assert await sian.event("closed") == {"call_id": CALL}


async def test_a_call_in_progress_stays_live_after_a_restart_of_the_desk(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.answered(CALL)
    running.switch.change(CALL, recording="paused", holders=("page",))
    await running.stop()
    await running.start()
    sian = await running.page("sian")
    pop = await sian.first(lambda pop: pop["caller"]["status"] == "found")
    assert (pop["state"], pop["recording"], pop["mine"]) == ("answered", "paused", True)
    assert pop["caller"]["details"] == {}
    resumed = await sian.http.request("DELETE", f"/api/v1/calls/{CALL}/payment")
    assert resumed.json()["state"] == "recording"
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")


async def test_after_a_desk_restart_the_note_stays_with_the_advisor_who_transferred(running):
    sian = await running.answered(CALL)
    running.switch.answer(CALL, "301")
    await sian.event("call", lambda pop: pop["extension"] == "301")
    await running.stop()
    await running.start()
    mair = await running.page("mair")
    await mair.first(lambda pop: pop["state"] == "answered")
    (open_contact,) = await running.desk.notes.contacts.open_notes()
    assert (open_contact.advisor, open_contact.extension) == ("sian", "201")


async def test_a_restart_of_the_desk_requires_the_caller_to_be_confirmed_again(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.answered(CALL)
    await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "confirmed"})
    await running.stop()
    await running.start()
    again = await running.page("sian")
    pop = await again.first(lambda pop: pop["caller"]["status"] == "found")
    assert (pop["mine"], pop["caller"]["confirmed"], pop["caller"]["details"]) == (True, False, {})


async def test_an_unanswered_call_leaves_no_open_note(running):
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL)
    await sian.filled(CALL)
    running.switch.hang_up(CALL)
    assert await sian.event("closed") == {"call_id": CALL}
    assert await running.desk.notes.contacts.open_notes() == []


async def test_an_advisor_who_transferred_to_a_department_still_has_the_note(running):
    import_people(running.settings.directory_file, PEOPLE)
    sian = await running.answered(CALL)
    await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "confirmed"})
    running.switch.answer(CALL, "301")
    pop = await sian.event("call", lambda pop: pop["extension"] == "301")
    assert (pop["advisor"], pop["mine"], pop["caller"]["confirmed"]) == ("sian", True, True)
    assert pop["state"] == "wrapup"
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    (open_contact,) = await running.desk.notes.contacts.open_notes()
    assert (open_contact.advisor, open_contact.extension) == ("sian", "201")


async def test_saving_the_note_after_a_transfer_closes_the_screen_pop(running):
    sian, mair = await running.page("sian"), await running.page("mair")
    await sian.open()
    running.switch.ring(CALL)
    running.switch.answer(CALL, "201", "sian")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    running.switch.answer(CALL, "301")
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    (seen,) = (await mair.open())["calls"]
    assert (seen["state"], seen["extension"]) == ("answered", "301")
    url = f"/api/v1/calls/{CALL}/contact"
    assert (await sian.http.put(url, json={"purpose": "Housing"})).status_code == 200
    assert await sian.event("closed") == {"call_id": CALL}
    running.switch.hang_up(CALL)
    assert await mair.event("closed") == {"call_id": CALL}


async def test_a_supervisor_can_write_the_note_of_another_advisors_call(running):
    mair = await running.page("mair")
    await mair.open()
    running.switch.ring(CALL)
    running.switch.answer(CALL, "201", "sian")
    await mair.event("call", lambda pop: pop["state"] == "answered")
    running.switch.hang_up(CALL)
    await mair.event("call", lambda pop: pop["state"] == "wrapup")
    huw = await running.page("huw")
    url = f"/api/v1/calls/{CALL}/contact"
    assert (await huw.http.put(url, json={"purpose": "Waste"})).status_code == 404
    assert (await mair.http.put(url, json={"purpose": "Waste"})).status_code == 200
    assert await mair.event("closed") == {"call_id": CALL}


async def test_the_end_of_a_wrapups_limit_is_the_same_after_a_restart_of_the_desk(running):
    sian = await running.answered(CALL)
    running.switch.hang_up(CALL)
    before = await sian.event("call", lambda pop: pop["state"] == "wrapup")
    assert before["wrap_up_until"] == 1_800_000_065.0 + 120
    await running.stop()
    await running.start()
    sian = await running.page("sian")
    (after,) = (await sian.open())["calls"]
    assert (after["since"], after["wrap_up_until"]) == (before["since"], before["wrap_up_until"])


async def test_a_call_that_ended_while_the_desk_was_down_gets_the_time_of_its_end(running):
    await running.answered(CALL)
    await running.stop()
    ended = CallEnded(CALL, 1_800_000_500.0, answered=True)
    running.switch.calls.clear()
    await running.start()
    sian = await running.page("sian")
    (pop,) = (await sian.open())["calls"]
    assert (pop["state"], pop["wrap_up_until"]) == ("wrapup", 1_800_000_120.0)
    running.switch.link.send(ended)
    pop = await sian.event("call", lambda pop: pop["since"] == 1_800_000_500.0)
    assert pop["wrap_up_until"] == 1_800_000_620.0


async def close_open_notes(running):
    """Let the desk close the notes that are open, as if their time were over."""
    notes = running.desk.notes.open
    notes.clock = lambda: 1_800_000_065.0 + running.settings.contact_notes.close_after
    await until(
        lambda: running.desk.host.switch.connected and not running.desk.host.background.tasks
    )
    return await notes.close_due()


async def test_a_closed_note_stays_closed_after_a_late_seal_and_a_restart(running, sealed):
    sian, mair = await running.answered(CALL), await running.page("mair")
    await mair.open()
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    assert await close_open_notes(running) == 1
    assert await sian.event("closed") == {"call_id": CALL}
    await mair.event("alarm", lambda alarm: alarm["kind"] == "notes.not_written")
    metrics = running.desk.host.metrics.text()
    assert b'galwad_desk_notes_closed_total{outcome="not_written"} 1.0' in metrics
    await running.seal(replace(sealed, call_id=CALL, advisor="sian", extension="201"))
    assert running.desk.calls.live.get(CALL) is None
    await running.stop()
    await running.start()
    sian = await running.page("sian")
    assert (await sian.open())["calls"] == []


async def test_supervisors_see_how_many_notes_of_each_advisor_were_closed(running):
    call_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-aaaaaaaa"
    sian = await running.answered(call_id)
    running.switch.hang_up(call_id)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    assert await close_open_notes(running) == 1
    url = "/api/v1/contacts/closed"
    assert (await sian.http.get(url)).status_code == 403
    machine = await running.machine("pay", "payments")
    assert (await machine.get(url)).status_code == 403
    assert (await running.client().get(url)).status_code == 401
    mair = await running.page("mair")
    counted = [{"advisor": "sian", "not_written": 1, "unfinished": 0}]
    assert (await mair.http.get(url)).json() == counted
