"""The earlier contacts of a confirmed caller: who gets them, when, and what is audited.

Covers `galwad/calls/routes.py` and `galwad/notes/earlier.py`.
"""

from __future__ import annotations

import pytest

from callerid.directories.embedded import LIMITS
from callerid.earlier_contacts import DirectoryContact
from callerid.person import Person
from helpers.desk import Running
from helpers.directory import import_people
from helpers.fake_directory import DirectoryWithContacts
from net.errors import ServerError
from recording.audit.log import AuditFilter

CALL, EARLIER = "20261125-101500-aaaaaaaa", "20261125-091500-bbbbbbbb"
PEOPLE = """reference,name,numbers,language,shared,address,notes
C-1,Elin Fictitious,01632 960001,cy,no,1 Example Street,Prefers letters
C-2,Owen Fictitious,01632 960002,en,no,1 Example Street,
"""
URL = f"/api/v1/calls/{CALL}/earlier"


async def contact(running: Running, call_id, note, number="+441632960001"):
    """Have a whole call with a contact note, as sian."""
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(call_id, number=number)
    await sian.filled(call_id)
    running.switch.answer(call_id, "201", "sian")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    path = f"/api/v1/calls/{call_id}"
    await sian.http.post(f"{path}/confirm", json={"outcome": "confirmed"})
    body = {"purpose": note, "language": "en", "notes": f"text of {note}"}
    assert (await sian.http.put(f"{path}/contact", json=body)).status_code == 200
    running.switch.hang_up(call_id)
    await sian.event("closed")


@pytest.fixture
async def sian(running):
    """Sian's page: Elin and Owen have called before, and Elin calls again."""
    import_people(running.settings.directory_file, PEOPLE)
    await contact(running, EARLIER, "Bins")
    await contact(running, "20261125-091600-cccccccc", "Owens rates", "+441632960002")
    return await running.answered(CALL)


async def contacts(page, call_id=CALL):
    reply = await page.http.get(f"/api/v1/calls/{call_id}/earlier")
    assert reply.status_code == 200, reply.text
    return reply.json()["contacts"]


async def confirm(page, outcome="confirmed"):
    path = f"/api/v1/calls/{CALL}/confirm"
    assert (await page.http.post(path, json={"outcome": outcome})).status_code == 200


async def test_the_advisor_gets_the_confirmed_callers_earlier_notes_and_it_is_audited(
    running, sian
):
    await confirm(sian)
    (found,) = await contacts(sian)
    assert (found["call_id"], found["purpose"]) == (EARLIER, "Bins")
    assert (found["notes"], found["line"]) == ("text of Bins", "Council Tax")
    (entry,) = await running.desk.host.audit.search(AuditFilter(kind="contacts.read"), limit=9)
    assert entry.facts == {"call_id": CALL, "notes": 1, "records": 0}
    personal = {name: value for name, (_, value) in entry.values.items()}
    assert personal == {"actor": "user:sian", "person_id": "directory:1"}


async def test_the_note_of_the_present_call_is_not_an_earlier_one(sian):
    await confirm(sian)
    note = {"purpose": "Now", "language": "en"}
    await sian.http.put(f"/api/v1/calls/{CALL}/contact", json=note)
    assert [each["purpose"] for each in await contacts(sian)] == ["Bins"]


async def test_no_more_earlier_notes_than_the_limit_are_returned(running, sian, monkeypatch):
    monkeypatch.setattr("galwad.notes.earlier.MOST_NOTES", 1)
    running.switch.hang_up(CALL)
    await contact(running, "20261125-101600-dddddddd", "Later")
    again = "20261125-101700-eeeeeeee"
    page = await running.answered(again)
    await page.http.post(f"/api/v1/calls/{again}/confirm", json={"outcome": "confirmed"})
    assert len(await contacts(page, again)) == 1


@pytest.mark.parametrize("outcome", [None, "not_them", "new_person"])
async def test_no_earlier_note_is_sent_before_the_caller_is_confirmed(running, sian, outcome):
    if outcome:
        await confirm(sian, outcome)
    assert (await sian.http.get(URL)).status_code == 409
    assert await running.desk.host.audit.search(AuditFilter(kind="contacts.read"), limit=9) == []


async def test_only_the_advisor_of_the_call_gets_its_callers_notes(running, sian):
    await confirm(sian)
    statuses = {}
    for name in ("huw", "mair", "gwen"):
        statuses[name] = (await (await running.page(name)).http.get(URL)).status_code
    assert statuses == {"huw": 404, "mair": 403, "gwen": 403}
    machine = await running.machine("pay", "payments")
    assert (await machine.get(URL)).status_code == 403
    assert (await running.client().get(URL)).status_code == 401


class Crm(DirectoryWithContacts):
    """A CRM that has Elin, with a contact."""

    async def find(self, number):
        await super().find(number)
        return [Person("crm:7", "Elin Fictitious", numbers=("01632 960001",))]


@pytest.fixture
def crm():
    light = DirectoryContact(1_700_000_000.0, "Street light", "solved", "It is dark.", "4711")
    return Crm("crm", contacts={"7": [light]})


@pytest.fixture
async def elin(running, crm):
    """Sian's page: Elin, whom only the CRM has, has called before, and calls again."""
    await running.stop()
    await running.start([(crm, LIMITS)])
    await contact(running, EARLIER, "Bins")
    return await running.answered(CALL)


async def test_contacts_of_a_directory_are_listed_beside_our_notes_and_audited(running, elin):
    await confirm(elin)
    reply = (await elin.http.get(URL)).json()
    found = [(each["directory"], each["purpose"], each["outcome"]) for each in reply["contacts"]]
    assert found == [("", "Bins", ""), ("crm", "Street light", "solved")]
    assert reply["failed"] == []
    (entry,) = await running.desk.host.audit.search(AuditFilter(kind="contacts.read"), limit=9)
    assert entry.facts == {"call_id": CALL, "notes": 1, "records": 1}
    assert "Street light" not in str(entry)


async def test_a_directory_whose_contacts_cannot_be_read_is_named_beside_our_notes(elin, crm):
    await confirm(elin)
    crm.error = ServerError("down")
    reply = (await elin.http.get(URL)).json()
    assert [each["purpose"] for each in reply["contacts"]] == ["Bins"]
    assert reply["failed"] == ["crm"]


async def test_no_directory_is_asked_for_contacts_before_the_confirmation(elin, crm):
    assert (await elin.http.get(URL)).status_code == 409
    assert crm.contacts_asked == []
