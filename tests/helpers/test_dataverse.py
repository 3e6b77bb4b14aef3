"""Microsoft's own client of Dataverse works with the stand-in, and is refused as documented."""

from __future__ import annotations

import asyncio
import json
import ssl

import httpx2
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError
from PowerPlatform.Dataverse.models.filters import col

from helpers.dataverse import CLIENT, FORMATTED, ROOT, SECRET, TENANT, dataverse

__all__ = ["dataverse"]

ELIN = {"firstname": "Elin", "lastname": "O'Fictitious", "telephone1": "01632 960001"}


def credential(environment, secret=SECRET):
    """Return what Microsoft's library for Entra ID gets tokens with."""
    return ClientSecretCredential(
        TENANT, CLIENT, secret, authority=environment.url, disable_instance_discovery=True
    )


@pytest.fixture
def run(dataverse, monkeypatch):
    """Return a function that runs `work(client)` in a thread, with Microsoft's client."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(dataverse.ca))

    def in_thread(work, secret):
        with (
            credential(dataverse, secret) as known,
            DataverseClient(dataverse.url, known) as client,
        ):
            return work(client)

    async def run(work, secret=SECRET):
        return await asyncio.to_thread(in_thread, work, secret)

    return run


@pytest.fixture
async def send(dataverse):
    """Return a function that sends one request of its own, with a token."""
    dataverse.tokens["t"] = 9e12
    tls = ssl.create_default_context(cafile=dataverse.ca)
    async with httpx2.AsyncClient(verify=tls, trust_env=False) as client:

        async def send(method, target, body=None, **headers):
            headers = {"Authorization": "Bearer t", "Content-Type": "application/json", **headers}
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            content = body if body is None or isinstance(body, bytes) else json.dumps(body)
            url = f"{dataverse.url}{ROOT}{target}"
            return await client.request(method, url, content=content, headers=headers)

        yield send


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


async def test_the_client_creates_reads_changes_and_deletes_a_contact(dataverse, run):
    def work(client):
        key = client.records.create("contact", {**ELIN, "cc_language": "Cymraeg"})
        created = client.records.retrieve("contact", key)
        client.records.update("contact", key, {"mobilephone": "07700 900123"})
        changed = client.records.retrieve("contact", key, select=["mobilephone"])
        client.records.delete("contact", key)
        return key, created, changed

    key, created, changed = await run(work)
    assert (created["contactid"], created["fullname"]) == (key, "Elin O'Fictitious")
    assert (created["cc_language"], created["telephone2"]) == (100000001, None)
    assert changed["mobilephone"] == "07700 900123"
    assert dataverse.rows["contacts"] == {}


async def test_the_client_finds_people_by_a_filter_of_in_and_or_conditions_in_a_batch(
    dataverse, run
):
    key = dataverse.add("contacts", **ELIN)
    dataverse.add("contacts", firstname="Bob", mobilephone="07700 900123")
    other = dataverse.add("contacts", firstname="Ann", mobilephone="0163 2960001")
    wanted = ["01632 960001", "0163 2960001"]
    sought = (col("telephone1").in_(wanted) | col("mobilephone").in_(wanted)).to_odata()

    def work(client):
        batch = client.batch.new()
        batch.records.list("contact", select=["fullname"], filter=sought, top=5)
        (answer,) = batch.execute().responses
        direct = client.records.list("contact", select=["fullname"], filter=sought)
        return answer, [each["contactid"] for each in direct]

    answer, direct = await run(work)
    assert "Microsoft.Dynamics.CRM.In(" in sought
    assert answer.status_code == 200
    assert [each["contactid"] for each in answer.data["value"]] == [key, other] == direct


async def test_the_client_gets_the_labels_of_choices(dataverse, run):
    dataverse.add("contacts", **ELIN, cc_language=100000001, donotphone=False)

    def work(client):
        return list(client.records.list("contact", include_annotations=FORMATTED))

    (found,) = await run(work)
    assert found[f"cc_language@{FORMATTED}"] == "Cymraeg"
    assert found[f"donotphone@{FORMATTED}"] == "Allow"


async def test_the_client_logs_a_call_from_a_contact_and_completes_it(dataverse, run):
    contact = dataverse.add("contacts", **ELIN)

    def work(client):
        call = {
            "subject": "Bins",
            "directioncode": False,
            "regardingobjectid_contact_phonecall@odata.bind": f"/contacts({contact})",
            "phonecall_activity_parties": [
                {"partyid_contact@odata.bind": f"/contacts({contact})", "participationtypemask": 1}
            ],
        }
        key = client.records.create("phonecall", call)
        client.records.update("phonecall", key, {"statecode": 1, "statuscode": 4})
        with pytest.raises(HttpError, match="Closed or Cancelled"):
            client.records.update("phonecall", key, {"subject": "Trees"})
        return client.records.retrieve("phonecall", key, expand=["phonecall_activity_parties"])

    found = await run(work)
    assert (found["subject"], found["statecode"], found["statuscode"]) == ("Bins", 1, 4)
    assert found["_regardingobjectid_value"] == contact
    assert found["phonecall_activity_parties"] == [
        {"participationtypemask": 1, "_partyid_value": contact}
    ]


async def test_the_client_is_refused_with_a_wrong_secret_or_a_token_that_was_revoked(
    dataverse, run
):
    def read(client):
        client.records.list("contact")
        dataverse.revoke_tokens()
        with pytest.raises(HttpError) as caught:
            client.records.list("contact")
        return caught.value.status_code

    assert await run(read) == 401
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        await run(read, "wrong")


async def test_the_client_is_refused_unknown_columns_and_gets_the_time_to_wait_when_throttled(
    dataverse, run
):
    def work(client):
        with pytest.raises(HttpError, match="Could not find a property named 'shoesize'"):
            client.records.list("contact", filter="shoesize eq 44")
        with pytest.raises(HttpError, match="undeclared property 'shoesize'"):
            client.records.create("contact", {"shoesize": 44})
        dataverse.throttled_inside = 17
        batch = client.batch.new()
        batch.records.list("contact")
        (inner,) = batch.execute(continue_on_error=True).responses
        dataverse.throttled = 17
        with pytest.raises(HttpError) as caught:
            client.records.list("contact")
        return inner.status_code, caught.value.status_code, caught.value.details["retry_after"]

    assert await run(work) == (429, 429, 17)


@pytest.mark.parametrize(
    "sought",
    [
        "lastname eq 'O'Fictitious'",
        "lastname eq 'open",
        "lastname eq 7",
        "lastname like 'x'",
        "lastname eq 'x' or",
        "Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=['O'Brian','x'])",
        "Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=[7])",
        "Microsoft.Dynamics.CRM.In(PropertyName='shoesize',PropertyValues=['x'])",
        "startswith(shoesize,'x')",
    ],
)
async def test_a_filter_that_cannot_be_read_is_refused(send, sought):
    answer = await send("GET", str(httpx2.URL("contacts", params={"$filter": sought})))
    assert code(answer) == (400, "0x80060888")


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("lastname eq 'o''fictitious'", 1),
        ("startswith(lastname,'O''F') and statecode eq 0", 1),
        ("startswith(lastname,'%fict')", 1),
        ("startswith(lastname,'[ON]_fict')", 1),
        ("startswith(lastname,'[%]fict')", 0),
        ("startswith(lastname,'O*')", 0),
        ("not (lastname eq null) and telephone2 eq null", 1),
        ("lastname eq 'x' or contains(telephone1,'960')", 1),
        ("telephone1 eq '01632  960001'", 0),
        ("Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=[\"O'Fictitious\"])", 1),
        ("Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=['x','y'])", 0),
    ],
)
async def test_a_filter_finds_the_described_number_of_records(dataverse, send, sought, found):
    dataverse.add("contacts", **ELIN)
    answer = await send("GET", str(httpx2.URL("contacts", params={"$filter": sought})))
    assert len(answer.json()["value"]) == found


async def test_the_values_of_a_filter_can_be_parameters(dataverse, send):
    dataverse.add("contacts", **ELIN)
    query = {
        "$filter": "Microsoft.Dynamics.CRM.In(PropertyName=@p,PropertyValues=@v)",
        "@p": "'lastname'",
        "@v": '["O\'Fictitious"]',
    }
    answer = await send("GET", str(httpx2.URL("contacts", params=query)))
    assert len(answer.json()["value"]) == 1
    del query["@v"]
    assert code(await send("GET", str(httpx2.URL("contacts", params=query))))[0] == 400


async def test_a_condition_on_the_record_decides_between_create_and_update(send):
    target = "contacts(5c8a1f7e-0000-4000-8000-000000000001)"
    assert code(await send("PATCH", target, ELIN, If_Match="*"))[0] == 404
    assert (await send("PATCH", target, ELIN, If_None_Match="*")).status_code == 204
    assert code(await send("PATCH", target, ELIN, If_None_Match="*"))[0] == 412
    assert (await send("PATCH", target, ELIN, If_Match="*")).status_code == 204


@pytest.mark.parametrize(
    ("method", "target", "body", "refused"),
    [
        ("GET", "contacts?$filter=" + "x" * 40_000, None, (414, "")),
        ("GET", "contacts?$search=x", None, (400, "0x80060888")),
        ("GET", "contacts?$top=many", None, (400, "0x80060888")),
        ("GET", "contacts?$select=shoesize", None, (400, "0x80060888")),
        ("GET", "contacts(7)", None, (400, "0x80060888")),
        ("GET", "leads", None, (404, "0x80060888")),
        ("DELETE", "contacts", None, (405, "")),
        ("POST", "contacts", b"{", (400, "0x80048d19")),
        ("POST", "contacts", {"cc_language": 7}, (400, "0x80048d19")),
        ("POST", "phonecalls", {"subject": "x" * 201}, (400, "0x80044331")),
        ("POST", "phonecalls", {"description": "x" * 2001}, (400, "0x80044331")),
        ("POST", "phonecalls", {"statuscode": 4}, (400, "0x80048408")),
        ("POST", "$batch", b"--x\r\n", (400, "")),
    ],
)
async def test_a_request_that_the_real_dataverse_refuses_gets_its_error_code(
    send, method, target, body, refused
):
    assert code(await send(method, target, body)) == refused


async def test_a_table_without_privileges_is_refused(dataverse, send):
    dataverse.denied = {"contacts"}
    assert code(await send("GET", "contacts")) == (403, "0x80040220")


async def test_the_parties_of_a_phone_call_are_replaced_by_put(dataverse, send):
    contact = dataverse.add("contacts", **ELIN)
    call = dataverse.add("phonecalls", subject="Bins")
    party = {"partyid_contact@odata.bind": f"contacts({contact})", "participationtypemask": 1}
    target = f"phonecalls({call})/phonecall_activity_parties"
    assert (await send("PUT", target, {"value": [party]})).status_code == 204
    assert [each["_partyid_value"] for each in dataverse.parties[call]] == [contact]
    deep = await send("PATCH", f"phonecalls({call})", {"phonecall_activity_parties": [party]})
    assert code(deep)[0] == 400
