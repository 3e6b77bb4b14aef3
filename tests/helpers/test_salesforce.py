"""simple-salesforce, a client of the real Salesforce, works with the stand-in in this folder."""

from __future__ import annotations

import asyncio

import pytest
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from helpers.salesforce import EXTERNAL_ID, Salesforce
from helpers.salesforce_client import certified, session, signed_in

NOTE = f"{EXTERNAL_ID}/2dc9f63f-12d1-5fd8-b7a1-6b6312f57176"
CALL = {"Subject": "Call: Bins", "Status": "Completed", "TaskSubtype": "Call"}


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
def made(organisation, certificates):
    with session(organisation.url, certificates[0]) as made:
        yield made


@pytest.fixture
async def client(made):
    return await asyncio.to_thread(signed_in, made)


def search(client, q, *fields, **more):
    body = {"q": q, "sobjects": [{"name": "Contact", "fields": [*fields], "limit": 5}], **more}
    found = client.restful("parameterizedSearch", method="POST", json=body)
    return found["searchRecords"]


async def test_wrong_credentials_get_no_token(made):
    for wrong in ({"client_id": "another"}, {"secret": "another"}):
        with pytest.raises(SalesforceAuthenticationFailed, match="invalid"):
            await asyncio.to_thread(signed_in, made, **wrong)


async def test_a_record_is_created_changed_found_by_soql_and_deleted(client):
    def work():
        made = client.Contact.create({"LastName": "Fictitious", "Phone": "01632 960001"})
        assert made["success"] is True
        assert client.Contact.update(made["id"], {"FirstName": "Elin"}) == 204
        assert client.Contact.get(made["id"])["Name"] == "Elin Fictitious"
        query = "SELECT Id, Name FROM Contact WHERE LastName = 'Fictitious'"
        assert client.query(query)["records"][0]["Name"] == "Elin Fictitious"
        assert client.Contact.delete(made["id"]) == 204
        assert client.query(query)["totalSize"] == 0
        with pytest.raises(SalesforceResourceNotFound):
            client.Contact.get(made["id"])

    await asyncio.to_thread(work)


async def test_a_phone_search_finds_the_words_of_a_number_only_in_the_fields_for_numbers(client):
    def work():
        account = client.Account.create({"Name": "Council"})["id"]
        client.Contact.create(
            {"LastName": "One", "Phone": "+44 (0)1632 960001", "AccountId": account}
        )
        client.Contact.create({"LastName": "01632 960001", "Phone": "020 7946 0000"})
        (found,) = search(client, '"1632 960001"', "name", "Account.Name", **{"in": "PHONE"})
        assert (found["Name"], found["Account"]["Name"]) == ("One", "Council")
        assert search(client, '"01632 960002" OR 79460000', "Id", **{"in": "PHONE"}) == []
        assert len(search(client, '"1632 960001" OR "7946 0000"', "Id")) == 2
        assert len(search(client, '"1632 96*"', "Id")) == 1

    await asyncio.to_thread(work)


async def test_an_organisation_that_joins_digits_finds_a_number_without_its_separators(
    certificates,
):
    ca, tls = certificates
    organisation = Salesforce(joins_digits=True)
    await organisation.start(tls)
    organisation.add("Contact", LastName="One", Phone="(01632) 960 001")
    with session(organisation.url, ca) as made:
        client = await asyncio.to_thread(signed_in, made)
        assert len(await asyncio.to_thread(search, client, "01632960001", "Id")) == 1
    await organisation.stop()


@pytest.mark.parametrize(
    ("q", "code"),
    [
        ("1", "INVALID_SEARCH"),
        ("", "MALFORMED_SEARCH"),
        ("+441632960001", "MALFORMED_SEARCH"),
        ("01632960001}", "MALFORMED_SEARCH"),
        ('"(01632) 960001"', "MALFORMED_SEARCH"),
        ('"01632', "MALFORMED_SEARCH"),
        ("01632960001 OR", "MALFORMED_SEARCH"),
        ("*01632", "MALFORMED_SEARCH"),
        ("1*", "INVALID_SEARCH"),
    ],
)
async def test_a_search_that_salesforce_does_not_accept_is_refused(client, q, code):
    with pytest.raises(SalesforceMalformedRequest, match=code):
        await asyncio.to_thread(search, client, q, "Id")


async def test_an_unknown_field_object_or_parameter_of_a_search_is_refused(client):
    for body, code in (
        ({"q": "960001", "sobjects": [{"name": "Contact", "fields": ["Pone"]}]}, "INVALID_FIELD"),
        ({"q": "960001", "sobjects": [{"name": "Kontakt"}]}, "INVALID_TYPE"),
        ({"q": "960001", "sobjects": [], "where": "Id != null"}, "JSON_PARSER_ERROR"),
        ({"q": "960001", "sobjects": [{"name": "Lead", "limit": 2001}]}, "INVALID_SEARCH"),
    ):
        with pytest.raises(SalesforceMalformedRequest, match=code):
            await asyncio.to_thread(client.restful, "parameterizedSearch", method="POST", json=body)


async def test_an_upsert_creates_a_task_and_then_changes_it(client):
    def work():
        assert client.Task.upsert(NOTE, CALL) == 201
        assert client.Task.upsert(NOTE, {"Subject": "Call: Parking"}) == 200
        task = client.Task.get_by_custom_id(*NOTE.split("/"))
        assert (task["Subject"], task["TaskSubtype"]) == ("Call: Parking", "Call")
        assert client.query("SELECT Id FROM Task")["totalSize"] == 1

    await asyncio.to_thread(work)


@pytest.mark.parametrize(("version", "creates"), [("65.0", False), ("60.0", True)])
async def test_an_upsert_with_update_only_creates_nothing_from_version_61(made, version, creates):
    def work():
        client = signed_in(made, version=version)
        if creates:
            assert client.Task.upsert(f"{NOTE}?updateOnly=true", CALL) == 201
            return
        with pytest.raises(SalesforceResourceNotFound):
            client.Task.upsert(f"{NOTE}?updateOnly=true", CALL)
        assert client.query("SELECT Id FROM Task")["totalSize"] == 0

    await asyncio.to_thread(work)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({EXTERNAL_ID: "x"}, "INVALID_FIELD"),
        ({"Sbject": "x"}, "INVALID_FIELD"),
        ({"Subject": "x" * 256}, "STRING_TOO_LONG"),
        ({"Description": "x" * 32_001}, "STRING_TOO_LONG"),
        ({"TaskSubtype": "Phone"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"ActivityDate": "29/11/2026"}, "JSON_PARSER_ERROR"),
        ({"Status": ""}, "REQUIRED_FIELD_MISSING"),
        ({"WhoId": "7"}, "MALFORMED_ID"),
        ({"WhoId": "003000000000099AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
    ],
)
async def test_a_task_that_salesforce_does_not_accept_is_refused(client, change, code):
    with pytest.raises(SalesforceMalformedRequest, match=code):
        await asyncio.to_thread(client.Task.upsert, NOTE, {**CALL, **change})


async def test_the_subtype_of_a_task_cannot_be_changed(client):
    await asyncio.to_thread(client.Task.upsert, NOTE, CALL)
    with pytest.raises(SalesforceMalformedRequest, match="INVALID_FIELD_FOR_INSERT_UPDATE"):
        await asyncio.to_thread(client.Task.upsert, NOTE, CALL)


async def test_a_used_up_limit_refuses_requests_and_an_ended_session_gets_a_new_token(
    client, organisation
):
    organisation.tokens.clear()
    await asyncio.to_thread(client.query, "SELECT Id FROM Task")
    organisation.requests_left = 0
    with pytest.raises(SalesforceRefusedRequest, match="REQUEST_LIMIT_EXCEEDED"):
        await asyncio.to_thread(client.query, "SELECT Id FROM Task")


async def test_a_session_that_no_token_can_replace_is_refused(client, organisation):
    client._salesforce_login_partial = None
    organisation.tokens.clear()
    with pytest.raises(SalesforceExpiredSession, match="INVALID_SESSION_ID"):
        await asyncio.to_thread(client.query, "SELECT Id FROM Task")
