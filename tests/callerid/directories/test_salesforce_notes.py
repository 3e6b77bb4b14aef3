"""Contact notes are written to a stand-in of Salesforce, and simple-salesforce reads them."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.directories.salesforce import SalesforceApi, SalesforceNotes, SalesforceNotesSection
from callerid.errors import NoteRefusedError
from callerid.note import EarlierDelivery, OutgoingNote
from config.section import TlsSection
from helpers.http_server import answer
from helpers.salesforce import CLIENT_ID, EXTERNAL_ID, SECRET, Salesforce
from helpers.salesforce_client import certified, session, signed_in
from net.authentication import ClientCredentials
from net.errors import ServerBusyError, ServerError
from net.json_client import JsonClient

NOTE = OutgoingNote(
    call_id="20261125-014106-n23icn7w",
    version=1,
    started=1_782_862_200.0,  # 2026-06-30 23:30 UTC, which is 1 July in London
    line="Council Tax",
    advisor="sian",
    person_id="",
    reference="C-1024",
    purpose="Bins",
    purpose_code="B1",
    language="cy",
    outcome="Booked",
    caller_type="self",
    on_behalf_of="",
    authority="",
    notes="Two bags.\nRing back.",
    recording_url="https://galwad.example/recordings/20261125-014106-n23icn7w",
)
SETTINGS = SalesforceNotesSection(external_id=EXTERNAL_ID)
NEW = EarlierDelivery()
UNCERTAIN = EarlierDelivery(uncertain=True)


@pytest.fixture
def certificates(tmp_path):
    return certified(tmp_path)


@pytest.fixture
async def organisation(certificates):
    organisation = Salesforce()
    await organisation.start(certificates[1])
    yield organisation
    await organisation.stop()


@pytest.fixture
async def notes(organisation, certificates, tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    url, tls = organisation.url, TlsSection(ca=certificates[0]).context()
    token_url = f"{url}/services/oauth2/token"
    credentials = ClientCredentials(tls, token_url, CLIENT_ID, tmp_path / "secret")
    client = JsonClient(credentials, tls, connections=1)
    api = SalesforceApi(client, url, "65.0")
    notes = SalesforceNotes("crm", SETTINGS, api, ZoneInfo("Europe/London"))
    yield notes
    await notes.close()


@pytest.fixture
def read(organisation, certificates):
    """Return a function that returns the task of the call, as simple-salesforce reads it."""

    async def read():
        def work():
            with session(organisation.url, certificates[0]) as made:
                client = signed_in(made)
                assert client.query("SELECT Id FROM Task")["totalSize"] == 1
                return client.Task.get_by_custom_id(EXTERNAL_ID, NOTE.call_id)

        return await asyncio.to_thread(work)

    return read


def delivered(record_id, version=1):
    return EarlierDelivery(version, record_id)


async def test_simple_salesforce_reads_the_completed_task_of_a_note(notes, organisation, read):
    elin = organisation.add("Contact", LastName="Fictitious")
    record_id = await notes.deliver(replace(NOTE, person_id=elin), NEW)
    task = await read()
    assert task["Id"] == record_id
    assert (task["Subject"], task["WhoId"], task["WhatId"]) == (NOTE.subject, elin, None)
    assert (task["Status"], task["ActivityDate"]) == ("Completed", "2026-07-01")
    assert (task["CallType"], task["TaskSubtype"]) == ("Inbound", "Call")
    assert task["Description"] == NOTE.text


async def test_the_task_of_a_call_without_a_note_says_why_none_was_needed(notes, read):
    empty: dict = {each.name: "" for each in fields(NOTE) if each.type == "str"}
    call = {"call_id": NOTE.call_id, "line": "Council Tax", "caller_type": "self"}
    note = replace(NOTE, **{**empty, **call, "no_note_reason": "wrong_number"})
    await notes.deliver(note, NEW)
    task = await read()
    assert task["Subject"] == note.subject
    assert "No note needed: wrong number" in task["Description"]


async def test_an_account_becomes_the_what_id_of_the_task(notes, organisation, read):
    account = organisation.add("Account", Name="Elin Fictitious")
    await notes.deliver(replace(NOTE, person_id=account), NEW)
    task = await read()
    assert (task["WhoId"], task["WhatId"]) == (None, account)


async def test_a_later_version_changes_the_text_of_the_task_and_removes_the_person(
    notes, organisation, read
):
    elin = organisation.add("Contact", LastName="Fictitious")
    first = await notes.deliver(replace(NOTE, person_id=elin), NEW)
    later = replace(NOTE, version=2, notes="Three bags.")
    assert await notes.deliver(later, delivered(first)) == first
    task = await read()
    assert task["Description"].endswith("\n\nThree bags.")
    assert (task["WhoId"], task["TaskSubtype"]) == (None, "Call")


@pytest.mark.parametrize("earlier", [NEW, UNCERTAIN])
async def test_a_version_that_is_delivered_twice_becomes_one_task(notes, read, earlier):
    first = await notes.deliver(NOTE, NEW)
    assert await notes.deliver(NOTE, earlier) == first
    assert (await read())["Id"] == first


async def test_a_note_is_written_if_an_uncertain_earlier_attempt_wrote_nothing(notes, read):
    assert await notes.deliver(NOTE, UNCERTAIN) == (await read())["Id"]


async def test_a_version_that_was_delivered_is_not_sent_again(notes, organisation):
    assert await notes.deliver(NOTE, delivered("00T1")) == "00T1"
    assert organisation.received == []


async def test_a_later_version_does_not_create_a_deleted_task_again(notes, organisation):
    first = await notes.deliver(NOTE, NEW)
    organisation.delete(first)
    with pytest.raises(NoteRefusedError, match="the task was deleted in Salesforce"):
        await notes.deliver(replace(NOTE, version=2), delivered(first))
    assert organisation.records["Task"] == {}


async def test_a_404_that_is_not_from_salesforce_does_not_mean_that_the_task_was_deleted(
    notes, organisation
):
    organisation.failures = [answer(b"<html>No such page", "404 Not Found")]
    with pytest.raises(ServerError, match=r"answers 404$"):
        await notes.deliver(replace(NOTE, version=2), delivered("00T1"))


async def test_a_note_about_a_deleted_person_is_refused_with_only_the_error_code(
    notes, organisation
):
    elin = organisation.add("Contact", LastName="Fictitious")
    organisation.delete(elin)
    with pytest.raises(NoteRefusedError) as caught:
        await notes.deliver(replace(NOTE, person_id=elin), NEW)
    assert str(caught.value) == "Salesforce does not accept the note (ENTITY_IS_DELETED)"


async def test_a_note_with_a_field_that_the_user_may_not_write_is_refused(notes, organisation):
    refused = [{"errorCode": "INVALID_FIELD_FOR_INSERT_UPDATE", "message": "CallType"}]
    organisation.failures = [answer(refused, "400 Bad Request")]
    with pytest.raises(NoteRefusedError, match=r"\(INVALID_FIELD_FOR_INSERT_UPDATE\)"):
        await notes.deliver(NOTE, NEW)
    assert organisation.records["Task"] == {}


async def test_a_note_is_refused_if_several_tasks_have_the_id_of_the_call(notes, organisation):
    found = ["/services/data/v65.0/sobjects/Task/00T1", "/services/data/v65.0/sobjects/Task/00T2"]
    organisation.failures = [answer(found, "300 Multiple Choices")]
    with pytest.raises(NoteRefusedError, match="several tasks of this call"):
        await notes.deliver(NOTE, NEW)


async def test_a_note_is_not_refused_if_the_field_for_the_id_of_the_call_is_missing(notes):
    notes._external_id = "Missing__c"
    with pytest.raises(ServerError, match=r"answers 404 \(NOT_FOUND\)"):
        await notes.deliver(NOTE, NEW)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        ("400 Bad Request", "UNABLE_TO_LOCK_ROW", r"answers 400 \(UNABLE_TO_LOCK_ROW\)"),
        ("400 Bad Request", "STORAGE_LIMIT_EXCEEDED", r"answers 400 \(STORAGE_LIMIT_EXCEEDED\)"),
        ("400 Bad Request", "DUPLICATE_VALUE", r"answers 400 \(DUPLICATE_VALUE\)"),
        ("400 Bad Request", "Elin", "answers 400$"),
        ("401 Unauthorized", "INVALID_SESSION_ID", r"refuses the credentials \(401\)"),
        ("403 Forbidden", "INSUFFICIENT_ACCESS", r"answers 403 \(INSUFFICIENT_ACCESS\)"),
        ("500 Oops", "UNKNOWN_EXCEPTION", r"answers 500 \(UNKNOWN_EXCEPTION\)"),
        ("503 Unavailable", "SERVER_UNAVAILABLE", r"answers 503 \(SERVER_UNAVAILABLE\)"),
    ],
)
async def test_a_note_is_not_refused_after_an_error_that_may_be_temporary(
    notes, organisation, status, code, reason
):
    organisation.failures = [answer([{"errorCode": code}], status)] * 2
    with pytest.raises(ServerError, match=reason):
        await notes.deliver(NOTE, NEW)


async def test_a_used_up_daily_request_limit_raises_server_busy_error(notes, organisation):
    organisation.requests_left = 0
    with pytest.raises(ServerBusyError):
        await notes.deliver(NOTE, NEW)


async def test_a_call_id_with_special_characters_changes_no_other_part_of_the_address(
    notes, organisation
):
    call_id = "../Contact?a=b#c d%2f"
    record_id = await notes.deliver(replace(NOTE, call_id=call_id), NEW)
    assert organisation.records["Task"][record_id][EXTERNAL_ID] == call_id


@pytest.mark.parametrize("document", [{}, {"id": 7}, {"id": "../x"}, [], "00T000000000001AAA"])
async def test_a_note_is_not_refused_after_an_answer_without_the_id_of_a_task(
    notes, organisation, document
):
    organisation.failures = [answer(document, "201 Created")]
    with pytest.raises(ServerError, match="no id of a task"):
        await notes.deliver(NOTE, NEW)


async def test_a_change_answered_without_a_document_keeps_the_id_of_the_task(notes, organisation):
    organisation.failures = [answer(b"", "204 No Content")]
    assert await notes.deliver(replace(NOTE, version=2), delivered("00T1")) == "00T1"


class Answering:
    """An API that answers with a document, whatever is sent."""

    def __init__(self, document):
        self._document = document

    async def send(self, *_):
        return self._document


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "success"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_answer_to_a_delivery_gives_a_plain_id_or_raises_server_error(document):
    notes = SalesforceNotes("crm", SETTINGS, Answering(document))  # type: ignore[arg-type]
    try:
        record_id = asyncio.run(notes.deliver(NOTE, NEW))
    except ServerError:
        return
    assert not record_id or record_id.isalnum()
