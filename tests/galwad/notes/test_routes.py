"""Contact notes on their way from the page to a CRM, and the decisions about those that fail.

Covers `galwad/notes/bodies.py`.
"""

from __future__ import annotations

import pytest

from callerid.directories.http import HttpDirectorySection
from galwad.settings.desk import ContactNotesSection
from helpers.desk import Running, changed, until
from helpers.http_server import HttpServer, answer
from recording.audit.log import AuditFilter

CALL = "20261125-101500-aaaaaaaa"
ELIN = {"id": 7, "name": "Elin Fictitious", "phones": ["01632 960001"], "reference": "C-1"}
PURPOSES = [{"en": "Missed collection", "cy": "Casgliad a fethwyd", "code": "waste-1"}]


class Crm(HttpServer):
    """A CRM that finds Elin, and keeps notes, unless it has a `notes_answer`."""

    def __init__(self):
        super().__init__()
        self.notes: dict[str, dict] = {}
        self.notes_answer: bytes | None = None
        self.handler = self.serve

    async def serve(self, request, _writer):
        if request.path == "/people":
            return answer({"items": [ELIN]})
        if self.notes_answer is not None:
            return self.notes_answer
        self.notes[request.path] = request.json
        return answer({})

    @property
    def section(self):
        return HttpDirectorySection.model_validate(
            {
                "name": "crm",
                "kind": "http",
                "url": f"{self.url}/people",
                "people": "items",
                "fields": {
                    "id": "id",
                    "name": "name",
                    "numbers": "phones",
                    "details": {"reference": "reference"},
                },
                "contact_notes": {
                    "url": f"{self.url}/notes/{{note_id}}",
                    "method": "PUT",
                    "body": {
                        "contact": "{person_id}",
                        "version": "{version}",
                        "code": "{purpose_code}",
                        "text": "{text}",
                    },
                },
            }
        )


@pytest.fixture
async def crm():
    crm = Crm()
    await crm.start()
    yield crm
    await crm.stop()


@pytest.fixture
async def connected(running: Running, crm):
    """The running desk, started again with the CRM in its settings."""
    await running.stop()
    running.settings = changed(
        running.settings,
        directories=(crm.section,),
        contact_notes=ContactNotesSection.model_validate({"purposes": PURPOSES}),
    )
    await running.start()
    return running


async def save(page, **changes):
    body = {"purpose": "Casgliad a fethwyd", "language": "cy", **changes}
    reply = await page.http.put(f"/api/v1/calls/{CALL}/contact", json=body)
    assert reply.status_code == 200, reply.text


async def test_a_saved_note_reaches_the_crm_under_the_confirmed_person(connected, crm):
    sian = await connected.answered(CALL)
    await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "confirmed"})
    await save(sian, notes="Bin ddu")
    await until(lambda: len(crm.notes) == 1)
    (note,) = crm.notes.values()
    assert (note["contact"], note["version"], note["code"]) == ("7", "1", "waste-1")
    assert "Bin ddu" in note["text"]
    assert "Recording" not in note["text"]
    await save(sian, notes="Bin glas")
    await until(lambda: [each["version"] for each in crm.notes.values()] == ["2"])


async def test_the_note_of_a_caller_who_is_not_the_found_person_has_no_person(connected, crm):
    sian = await connected.answered(CALL)
    await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "not_them"})
    await save(sian)
    await until(lambda: len(crm.notes) == 1)
    (note,) = crm.notes.values()
    assert "contact" not in note


async def test_a_note_that_was_saved_while_the_crm_was_down_arrives_after_a_restart(connected, crm):
    crm.notes_answer = answer({}, "503 Service Unavailable")
    sian = await connected.answered(CALL)
    await save(sian)
    await until(lambda: any(each.path.startswith("/notes/") for each in crm.received))
    await connected.stop()
    crm.notes_answer = None
    await connected.start()
    await until(lambda: len(crm.notes) == 1)


async def test_a_refused_note_is_an_alarm_and_can_be_delivered_again(connected, crm):
    crm.notes_answer = answer({}, "422 Unprocessable Content")
    mair, gwen = await connected.page("mair"), await connected.page("gwen")
    await mair.open()
    sian = await connected.answered(CALL)
    await save(sian)
    alarm = await mair.event("alarm", lambda alarm: alarm["kind"] == "note.refused")
    assert alarm["call_id"] == CALL
    (note,) = (await gwen.http.get("/api/v1/contacts/undelivered")).json()
    assert (note["state"], note["reason"]) == ("refused", "the server refuses it (422)")
    assert (note["line"], note["advisor"], note["attempts"]) == ("Council Tax", "sian", 1)
    assert not {"purpose", "notes"} & set(note)
    crm.notes_answer = None
    assert (await gwen.http.post(f"/api/v1/contacts/{CALL}/retry")).status_code == 204
    await until(lambda: len(crm.notes) == 1)
    reply = await gwen.http.post(f"/api/v1/contacts/{CALL}/retry")
    assert reply.status_code == 404


async def test_a_note_is_discarded_with_a_reason_in_the_audit(connected, crm):
    crm.notes_answer = answer({}, "422 Unprocessable Content")
    gwen = await connected.page("gwen")
    sian = await connected.answered(CALL)
    await save(sian)
    await until(lambda: len(crm.received) > 1)
    url = f"/api/v1/contacts/{CALL}/discard"
    assert (await gwen.http.post(url, json={"reason": " "})).status_code == 422
    assert (await gwen.http.post(url, json={"reason": "a test call"})).status_code == 204
    assert (await gwen.http.get("/api/v1/contacts/undelivered")).json() == []
    assert (await gwen.http.post(url, json={"reason": "again"})).status_code == 404
    (entry,) = await connected.desk.host.audit.search(
        AuditFilter(kind="contact.discarded"), limit=10
    )
    assert entry.facts["call_id"] == CALL
    assert entry.values["reason"][1] == "a test call"


@pytest.mark.parametrize("user", ["sian", "mair"])
async def test_only_an_administrator_decides_about_undelivered_notes(connected, user):
    page = await connected.page(user)
    assert (await page.http.get("/api/v1/contacts/undelivered")).status_code == 403
    assert (await page.http.post(f"/api/v1/contacts/{CALL}/retry")).status_code == 403
    body = {"reason": "x"}
    assert (await page.http.post(f"/api/v1/contacts/{CALL}/discard", json=body)).status_code == 403


async def test_the_purposes_are_offered_in_both_languages(connected):
    sian = await connected.page("sian")
    offered = (await sian.http.get("/api/v1/contacts/purposes")).json()
    assert offered == {
        "purposes": [{"en": "Missed collection", "cy": "Casgliad a fethwyd"}],
        "free_text": True,
    }


async def test_only_listed_purposes_are_accepted_if_the_settings_say_so(running):
    await running.stop()
    listed = ContactNotesSection.model_validate({"purposes": PURPOSES, "free_text": False})
    running.settings = changed(running.settings, contact_notes=listed)
    await running.start()
    sian = await running.answered(CALL)
    url = f"/api/v1/calls/{CALL}/contact"
    refused = await sian.http.put(url, json={"purpose": "Other"})
    assert refused.status_code == 409
    assert refused.json()["error"] == "the purpose is not in the list of purposes: choose one"
    assert (await sian.http.put(url, json={"purpose": "Missed collection"})).status_code == 200


async def test_the_link_to_the_recording_is_sent_if_the_settings_say_so(connected, crm):
    await connected.stop()
    linked = ContactNotesSection(recording_link=True)
    connected.settings = changed(connected.settings, contact_notes=linked)
    await connected.start()
    sian = await connected.answered(CALL)
    await save(sian)
    await until(lambda: len(crm.notes) == 1)
    (note,) = crm.notes.values()
    assert f"Recording: http://127.0.0.1:0/api/v1/recordings/{CALL}" in note["text"]


async def test_the_metrics_count_attempts_and_undelivered_notes(connected, crm):
    crm.notes_answer = answer({}, "422 Unprocessable Content")
    sian = await connected.answered(CALL)
    await save(sian)
    metrics = connected.desk.host.metrics
    await until(lambda: b'notes_undelivered{state="refused"} 1.0' in metrics.text())
    assert b'galwad_desk_note_attempts_total{outcome="refused"} 1.0' in metrics.text()
    assert b"galwad_desk_oldest_note_seconds 0.0" in metrics.text()
