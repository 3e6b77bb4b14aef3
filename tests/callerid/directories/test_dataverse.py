"""People in Dataverse: found by exact spellings in a batch, at the stand-in for the service."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from azure.core.credentials import AccessToken, TokenCredential
from hypothesis import given
from hypothesis import strategies as st
from PowerPlatform.Dataverse.client import DataverseClient

from callerid.directories.dataverse import DataverseDirectory, DataverseSection, _refusal
from callerid.number import PhoneNumber
from callerid.person import PersonKind
from callerid.written_numbers import matching
from config.section import TlsSection
from helpers.dataverse import CLIENT, FORMATTED, SECRET, TENANT, dataverse
from net.authentication import ClientCredentials
from net.errors import ServerBusyError, ServerError
from net.json_client import HttpAnswer, JsonClient

__all__ = ["dataverse"]

NUMBER = PhoneNumber("+441632960001")
ELIN = {"firstname": "Elin", "lastname": "Fictitious", "telephone1": "01632 960001"}


def settings(**more):
    """Return the settings of a directory in contacts, with the usual columns."""
    known = {
        "name": "dynamics",
        "kind": "dataverse",
        "url": "https://council.crm11.dynamics.com",
        "tenant_id": TENANT,
        "client_id": CLIENT,
        "secret_file": "/run/secret",
        "phones": ["telephone1", "mobilephone"],
        "language": "cc_language",
        "do_not_pop": "cc_donotpop",
        "shared": "donotphone",
        "details": {
            "postcode": "address1_postalcode",
            "birth": "birthdate",
            "tongue": "cc_language",
        },
    }
    return DataverseSection.model_validate({**known, **more})


CONTACTS = settings()
ACCOUNTS = settings(
    table="accounts", phones=["telephone1"], language=None, do_not_pop=None, shared=None, details={}
)


@pytest.fixture
async def directory(dataverse, tmp_path):
    """Return a function that makes a directory of the environment."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    tls = TlsSection(ca=dataverse.ca).context()
    token_url = f"{dataverse.url}/{TENANT}/oauth2/v2.0/token"
    credentials = ClientCredentials(
        tls, token_url, CLIENT, secret, scope=f"{dataverse.url}/.default"
    )
    client = JsonClient(credentials, tls, connections=2)

    def directory(section=CONTACTS, url=dataverse.url):
        return DataverseDirectory(section.model_copy(update={"url": url}), client)

    yield directory
    await client.close()


class Token(TokenCredential):
    """A token that the environment accepts."""

    def get_token(self, *_scopes, **_more):
        return AccessToken("vendor", 9_000_000_000)


async def test_a_contact_written_by_microsofts_client_is_found(dataverse, directory, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(dataverse.ca))
    dataverse.tokens["vendor"] = 9e12

    def write():
        with DataverseClient(dataverse.url, Token()) as client:
            return client.records.create("contact", {**ELIN, "cc_language": "Cymraeg"})

    key = await asyncio.to_thread(write)
    (person,) = await directory().find(NUMBER)
    assert (person.person_id, person.name, person.language) == (
        f"dynamics:{key}",
        "Elin Fictitious",
        "cy",
    )
    assert person.numbers == ("01632 960001",)


@pytest.mark.parametrize(
    "spelling",
    [
        "+441632960001",
        "01632960001",
        "01632 960001",
        "(01632) 960001",
        "+44 1632 960001",
        "441632960001",
        "00441632960001",
        "+44 (0)1632 960001",
    ],
)
async def test_each_usual_spelling_of_a_number_is_found_in_each_configured_column(
    dataverse, directory, spelling
):
    ids = {
        f"dynamics:{dataverse.add('contacts', firstname='Elin', **{column: spelling})}"
        for column in ("telephone1", "mobilephone")
    }
    dataverse.add("contacts", firstname="Other", telephone1=f"{spelling}2", telephone2=spelling)
    found = await directory().find(NUMBER)
    assert {person.person_id for person in found} == ids
    assert len(matching(found, NUMBER)) == 2


async def test_a_person_has_the_values_of_all_configured_columns(dataverse, directory):
    dataverse.add(
        "contacts",
        **ELIN,
        mobilephone=None,
        cc_language=100000000,
        cc_donotpop=True,
        donotphone=True,
        address1_postalcode="CF10 1AA",
        birthdate="1950-02-01",
    )
    (person,) = await directory().find(NUMBER)
    assert (person.language, person.do_not_pop, person.shared) == ("en", True, True)
    assert person.details == (
        ("postcode", "CF10 1AA"),
        ("birth", "01/02/1950"),
        ("tongue", "English"),
    )
    assert person.kind is PersonKind.PERSON


async def test_empty_columns_give_a_person_the_defaults(dataverse, directory):
    dataverse.add("contacts", **ELIN)
    dataverse.add("contacts", **ELIN, cc_donotpop=False, donotphone=False)
    for person in await directory().find(NUMBER):
        assert (person.language, person.do_not_pop, person.shared) == ("", False, False)
        assert person.details == ()


async def test_a_person_who_was_deactivated_is_not_found(dataverse, directory):
    key = dataverse.add("contacts", **ELIN)
    dataverse.rows["contacts"][key]["statecode"] = 1
    assert await directory().find(NUMBER) == []


async def test_an_account_is_an_organisation(dataverse, directory):
    key = dataverse.add("accounts", name="Fictitious Ltd", telephone1="01632 960001")
    (person,) = await directory(ACCOUNTS).find(NUMBER)
    assert (person.person_id, person.name) == (f"dynamics:{key}", "Fictitious Ltd")
    assert person.kind is PersonKind.ORGANISATION


async def test_a_person_is_found_by_an_internal_extension(dataverse, directory):
    dataverse.add("contacts", firstname="Elin", telephone1="201")
    (person,) = await directory().find(PhoneNumber("", extension="201"))
    assert person.numbers == ("201",)


async def test_the_number_that_is_searched_for_is_in_no_request_url_and_in_no_log(
    dataverse, directory, caplog
):
    caplog.set_level(logging.DEBUG)
    await directory().find(NUMBER)
    (request,) = dataverse.received
    assert (request.method, request.target) == ("POST", "/api/data/v9.2/$batch")
    assert b"960001" in request.body
    assert "960001" not in caplog.text
    assert SECRET not in caplog.text


async def test_a_number_is_compared_only_as_a_whole(dataverse, directory):
    await directory().find(NUMBER)
    (request,) = dataverse.received
    for function in (b"contains", b"endswith", b"startswith"):
        assert function not in request.body


async def test_a_retry_after_inside_or_outside_a_batch_raises_server_busy_error(
    dataverse, directory
):
    dataverse.throttled_inside = 17
    with pytest.raises(ServerBusyError) as caught:
        await directory().find(NUMBER)
    assert caught.value.seconds == 17
    dataverse.throttled, dataverse.throttled_inside = 23, None
    with pytest.raises(ServerBusyError) as caught:
        await directory().find(NUMBER)
    assert caught.value.seconds == 23


async def test_a_token_that_was_revoked_is_replaced(dataverse, directory):
    dataverse.add("contacts", **ELIN)
    found = directory()
    assert len(await found.find(NUMBER)) == 1
    dataverse.revoke_tokens()
    assert len(await found.find(NUMBER)) == 1
    assert len(dataverse.received) == 3


async def test_missing_privileges_and_unknown_columns_are_errors_with_dataverses_code(
    dataverse, directory
):
    dataverse.denied = {"contacts"}
    with pytest.raises(ServerError, match=r"^the server answers 403 \(0x80040220\)$"):
        await directory().find(NUMBER)
    dataverse.denied = set()
    unknown = settings(phones=["shoesize"])
    with pytest.raises(ServerError, match=r"^the server answers 400 \(0x80060888\)$"):
        await directory(unknown).find(NUMBER)


async def test_a_wrong_secret_is_an_error(dataverse, directory, tmp_path):
    (tmp_path / "secret").write_text("wrong")
    with pytest.raises(ServerError, match="no token is issued: the server answers 401"):
        await directory().find(NUMBER)


@pytest.mark.parametrize("text", ["Elin Fic", " fictitious ", "CF10", "CT-7"])
async def test_a_search_finds_the_beginning_of_a_name_postcode_or_reference(
    dataverse, directory, text
):
    more = {"address1_postalcode": "CF10 1AA", "governmentid": "CT-77"}
    key = dataverse.add("contacts", **ELIN, **more)
    dataverse.add("contacts", firstname="Ann", lastname="Other", governmentid="X CT-77")
    section = settings(details={"reference": "governmentid"})
    (person,) = await directory(section).search(text)
    assert person.person_id == f"dynamics:{key}"


async def test_a_search_in_accounts_finds_an_account_number(dataverse, directory):
    dataverse.add("accounts", name="Fictitious Ltd", accountnumber="A-7")
    assert len(await directory(ACCOUNTS).search("a-7")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "%%",
        "__",
        "E%",
        "[A-Z]",
        "Elin' or statecode ge 0 or lastname eq '",
        "x') or startswith(lastname,'F",
        "' or '1' eq '1",
        "E\r\nGET /x HTTP/1.1",
        "&$top=1&$filter=",
        "E",
        "E" * 101,
        "\ud800\ud800",
    ],
)
async def test_no_search_text_changes_the_query(dataverse, directory, text):
    dataverse.add("contacts", **ELIN)
    assert await directory().search(text) == []


@pytest.mark.parametrize("name", ["O'Neill", "100% Ltd", "a_b", "[x]", "Siân & Co", "C++ [%]_'"])
async def test_a_name_with_special_characters_is_found(dataverse, directory, name):
    dataverse.add("contacts", lastname=name)
    dataverse.add("contacts", lastname="100 Ltd ab x O Neill")
    (person,) = await directory().search(name)
    assert person.name == name


async def test_a_search_finds_at_most_50_people(dataverse, directory):
    for _ in range(60):
        dataverse.add("contacts", **ELIN)
    assert len(await directory().search("Fictitious")) == 50


async def test_a_search_text_is_not_in_the_request_url(dataverse, directory):
    await directory().search("Fictitious")
    (request,) = dataverse.received
    assert request.target == "/api/data/v9.2/$batch"


def test_only_the_code_of_a_dataverse_error_is_repeated():
    body = {"error": {"code": "0x80040220", "message": "Elin Fictitious"}}
    assert _refusal(403, json.dumps(body).encode()) == "the server answers 403 (0x80040220)"
    for code in ("Elin Fictitious", "", None, 7, "0x80040220\n"):
        assert _refusal(400, json.dumps({"error": {"code": code}}).encode()) == (
            "the server answers 400"
        )
    for other in (b"", b"<html>", b"[]", b'{"error": []}', b'{"error": "x"}'):
        assert _refusal(404, other) == "the server answers 404"


HEAD = b"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
COLUMNS = [*CONTACTS.selected.split(","), f"cc_language@{FORMATTED}"]
ROWS = st.lists(VALUES | st.dictionaries(st.sampled_from(COLUMNS), VALUES), max_size=4)


@given(VALUES | st.fixed_dictionaries({"value": VALUES | ROWS}))
def test_any_document_in_a_batch_gives_people_or_raises_server_error(document):
    directory = DataverseDirectory(CONTACTS, client=None)  # type: ignore[arg-type]
    body = HEAD + json.dumps(document).encode() + b"\r\n--b--\r\n"
    try:
        people = directory._read(HttpAnswer(200, "multipart/mixed; boundary=b", body))
    except ServerError:
        return
    assert all(person.name and person.person_id != "d:" for person in people)
