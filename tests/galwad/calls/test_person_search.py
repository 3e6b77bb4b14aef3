"""The search for a caller by a text, for an unknown number or a wrong match.

Covers `galwad/calls/live_calls.py` and `galwad/calls/routes.py`.
"""

from __future__ import annotations

import pytest

from callerid.limited_source import SourceLimits
from callerid.person import Person
from galwad.calls.live_calls import SEARCHES
from helpers.fake_directory import SearchableDirectory
from recording.audit.log import AuditFilter

CALL = "20261125-101500-aaaaaaaa"
ELIN = Person("crm:1", "Elin Fictitious", numbers=("01632 960001",), details=(("address", "1"),))
HUW = Person("crm:2", "Huw Fictitious", details=(("address", "2"),))


@pytest.fixture
async def crm(running):
    """A CRM that finds Elin by her number, and everybody by the name; the desk uses it alone."""
    crm = SearchableDirectory("crm", people=[ELIN, HUW])
    await running.stop()
    await running.start([(crm, SourceLimits())])
    return crm


async def search(page, text="fictitious"):
    return await page.http.post(f"/api/v1/calls/{CALL}/search", json={"text": text})


async def caller_of(page):
    return (await page.http.get(f"/api/v1/calls/{CALL}")).json()["caller"]


async def test_another_person_is_found_chosen_and_confirmed(running, crm):
    sian = await running.answered(CALL)
    reply = await search(sian)
    assert reply.json() == {"found": 2, "failed": []}
    caller = await caller_of(sian)
    assert [each["name"] for each in caller["candidates"]] == ["Elin Fictitious", "Huw Fictitious"]
    assert (caller["status"], caller["searched"], caller["details"]) == ("several", True, {})
    body = {"outcome": "confirmed", "person_id": "crm:2"}
    confirmed = await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json=body)
    assert confirmed.json()["caller"]["details"] == {"address": "2"}
    assert (await search(sian)).status_code == 409
    (entry,) = await running.desk.host.audit.search(AuditFilter(kind="caller.searched"), limit=10)
    assert entry.facts == {"call_id": CALL}
    assert entry.values["text"][1] == "fictitious"


async def test_the_note_is_filed_under_the_person_found_by_the_search(running, crm):
    sian = await running.answered(CALL)
    await search(sian)
    body = {"outcome": "volunteered", "person_id": "crm:2"}
    await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json=body)
    await sian.http.put(f"/api/v1/calls/{CALL}/contact", json={"purpose": "Bins"})
    version = await running.desk.notes.delivery.outbox.next_version(2e9)
    assert version.entries == ["crm:2"]


async def test_the_note_of_a_new_person_is_filed_under_no_entry(running, crm):
    sian = await running.answered(CALL)
    reply = await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "new_person"})
    assert (reply.json()["caller"]["outcome"], reply.json()["caller"]["chosen"]) == (
        "new_person",
        None,
    )
    await sian.http.put(f"/api/v1/calls/{CALL}/contact", json={"purpose": "Bins"})
    version = await running.desk.notes.delivery.outbox.next_version(2e9)
    assert (version.entries, version.fields["confirmation"]) == ([], "new_person")


async def test_only_the_advisor_of_the_call_may_search(running, crm):
    await running.answered(CALL)
    huw, mair = await running.page("huw"), await running.page("mair")
    assert (await search(huw)).status_code == 404
    assert (await search(mair)).status_code == 403
    assert crm.texts == []


async def test_an_unsuitable_search_text_is_refused(running, crm):
    sian = await running.answered(CALL)
    for text in ("", " ", "a", "x" * 101, "4111 1111 1111 1111", "a\nb"):
        assert (await search(sian, text)).status_code == 422, text
    assert crm.texts == []


async def test_a_user_who_searches_too_often_must_wait(running, crm):
    sian = await running.answered(CALL)
    for _ in range(SEARCHES.most):
        assert (await search(sian)).status_code == 200
    refused = await search(sian)
    assert (refused.status_code, len(crm.texts)) == (429, SEARCHES.most)
    assert 0 < int(refused.headers["Retry-After"]) <= 300


async def test_a_directory_that_fails_is_named_in_the_result(running, crm):
    sian = await running.answered(CALL)
    crm.error = ValueError("Elin Jones")
    reply = await search(sian)
    assert reply.json() == {"found": 0, "failed": ["crm"]}


async def test_the_page_learns_that_a_search_is_possible(running, crm):
    sian = await running.page("sian")
    assert (await sian.open())["searchable"] is True
