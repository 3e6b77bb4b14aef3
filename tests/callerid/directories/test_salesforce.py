"""People are found in a stand-in of Salesforce, in which simple-salesforce has entered them."""

from __future__ import annotations

import asyncio
import re
import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.directories.salesforce import (
    SalesforceApi,
    SalesforceDirectory,
    SalesforceDirectorySection,
    check_token,
    search_text,
    search_words,
)
from callerid.limited_source import LimitedSource, SourceLimits
from callerid.number import PhoneNumber
from callerid.person import Person
from callerid.source import AnswerState
from config.section import TlsSection
from helpers.http_server import answer
from helpers.salesforce import CLIENT_ID, SECRET, Salesforce, parsed_search
from helpers.salesforce_client import certified, session, signed_in
from net.authentication import ClientCredentials
from net.errors import ServerBusyError, ServerError
from net.json_client import JsonClient

NUMBER = PhoneNumber("+441632960001")
LONDON = PhoneNumber("+442079460000")
CARDIFF = PhoneNumber("+442920180000")
FIELDS = {
    "numbers": ["Phone", "MobilePhone"],
    "language": "Language__c",
    "do_not_pop": "No_Pop__c",
    "details": {"email": "Email", "employer": "account.name"},
}


def settings(fields=FIELDS, url="https://council.my.salesforce.com", **more):
    known = {
        "name": "crm",
        "kind": "salesforce",
        "url": url,
        "client_id": CLIENT_ID,
        "secret_file": "/run/secret",
    }
    return SalesforceDirectorySection.model_validate({**known, "fields": fields, **more})


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
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


@pytest.fixture
async def directory(organisation, certificates, secret):
    """Return a function that makes a directory of the organisation."""
    made = []

    def directory(fields=FIELDS, **more):
        url, tls = organisation.url, TlsSection(ca=certificates[0]).context()
        credentials = ClientCredentials(
            *(tls, f"{url}/services/oauth2/token", CLIENT_ID, secret),
            check=partial(check_token, url=url),
        )
        client = JsonClient(credentials, tls, connections=2)
        section = settings(fields, url, **more)
        made.append(SalesforceDirectory(section, SalesforceApi(client, url, "65.0")))
        return made[-1]

    yield directory
    for each in made:
        await each.close()


async def test_a_person_entered_with_simple_salesforce_is_found(
    directory, organisation, certificates
):
    def enter():
        with session(organisation.url, certificates[0]) as made:
            client = signed_in(made)
            account = client.Account.create({"Name": "Council"})["id"]
            elin = {"FirstName": "Elin", "LastName": "Fictitious", "AccountId": account}
            more = {"MobilePhone": "+44 (0)1632 960001", "Email": "elin@example.org"}
            return client.Contact.create({**elin, **more, "Language__c": "Welsh"})["id"]

    record_id = await asyncio.to_thread(enter)
    assert await directory().find(NUMBER) == [
        Person(
            f"crm:{record_id}",
            "Elin Fictitious",
            language="cy",
            details=(("email", "elin@example.org"), ("employer", "Council")),
            numbers=("+44 (0)1632 960001",),
        )
    ]


async def test_the_number_is_in_the_body_of_one_request_and_in_no_address(directory, organisation):
    await directory().find(NUMBER)
    token, search = organisation.received
    assert (token.target, search.target) == (
        "/services/oauth2/token",
        "/services/data/v65.0/parameterizedSearch",
    )
    assert "1632960001" in search.json["q"]
    assert (search.json["in"], search.json["spellCorrection"]) == ("PHONE", False)


@pytest.mark.parametrize("joins_digits", [False, True])
@pytest.mark.parametrize(
    ("number", "written"),
    [
        (NUMBER, "01632960001"),
        (NUMBER, "01632 960001"),
        (NUMBER, "01632 960 001"),
        (NUMBER, "(01632) 960001"),
        (NUMBER, "01632-960-001"),
        (NUMBER, "+441632960001"),
        (NUMBER, "+44 1632960001"),
        (NUMBER, "+44 (0)1632 960001"),
        (NUMBER, "+44(0)1632960001"),
        (NUMBER, "0044 1632 960 001"),
        (NUMBER, "00441632960001"),
        (NUMBER, "441632960001"),
        (NUMBER, "Mam: 01632 960001 x12"),
        (LONDON, "020 7946 0000"),
        (LONDON, "0207 946 0000"),
        (LONDON, "+44 20 79460000"),
        (LONDON, "02079 460000"),
        (CARDIFF, "029 20 180000"),
        (CARDIFF, "02920 180 000"),
        (PhoneNumber("+12025550123"), "(202) 555-0123"),
        (PhoneNumber("+353861234567"), "+353 86 123 4567"),
        (PhoneNumber("", "201"), "ext 201"),
    ],
)
async def test_a_number_is_found_in_each_usual_form_however_it_is_indexed(
    directory, organisation, joins_digits, number, written
):
    organisation.joins_digits = joins_digits
    organisation.add("Contact", LastName="Fictitious", Phone=written)
    organisation.add("Contact", LastName="Other", Phone="01632 960002")
    found = await directory().find(number)
    assert [person.numbers for person in found] == [(written,)]


async def test_only_the_exact_number_is_kept_of_what_salesforce_finds(directory, organisation):
    organisation.add("Contact", LastName="Right", Phone="01632 960001")
    organisation.add("Contact", LastName="Abroad", Phone="+353 1632 960001")
    organisation.add("Contact", LastName="Longer", Phone="01632 960001 7")
    limited = LimitedSource(directory(), SourceLimits())
    found = await limited.ask(NUMBER)
    assert [person.name for person in found.people] == ["Right"]


async def test_fields_of_a_lead_are_read_regardless_of_the_case_of_their_names(
    directory, organisation
):
    organisation.add("Lead", LastName="Fictitious", Phone="01632 960001", No_Pop__c=True)
    fields = {"name": "NAME", "numbers": ["phone", "MOBILEPHONE"], "do_not_pop": "no_pop__C"}
    (person,) = await directory(fields, object="Lead").find(NUMBER)
    assert (person.name, person.do_not_pop) == ("Fictitious", True)


async def test_a_token_for_another_server_is_sent_nowhere(directory, organisation):
    organisation.instance_url = "https://evil.example"
    with pytest.raises(ServerError, match='set "url" to your My Domain'):
        await directory().find(NUMBER)
    assert [request.path for request in organisation.received] == ["/services/oauth2/token"]


async def test_the_token_of_an_ended_session_is_replaced_by_a_new_token(directory, organisation):
    people = directory()
    await people.find(NUMBER)
    organisation.tokens.clear()
    assert await people.find(NUMBER) == []
    assert len(organisation.tokens) == 1


async def test_a_used_up_daily_request_limit_makes_the_directory_busy(directory, organisation):
    organisation.requests_left = 0
    limited = LimitedSource(directory(), SourceLimits())
    assert (await limited.ask(NUMBER)).state is AnswerState.BUSY


@pytest.mark.parametrize(
    ("sent", "error", "reason"),
    [
        (answer(b"", "429 Slow Down", Retry_After="9"), ServerBusyError, "for 9 s"),
        (answer(b"", "503 Unavailable", Retry_After="7"), ServerBusyError, "for 7 s"),
        (
            answer([{"errorCode": "SERVER_UNAVAILABLE"}], "503 Unavailable"),
            ServerError,
            r"answers 503 \(SERVER_UNAVAILABLE\)",
        ),
        (
            answer([{"errorCode": "API_DISABLED_FOR_ORG"}], "403 Forbidden"),
            ServerError,
            r"answers 403 \(API_DISABLED_FOR_ORG\)",
        ),
        (answer({"searchRecords": {}}), ServerError, "no list of records"),
        (answer([]), ServerError, "no list of records"),
        (answer(b"", "204 No Content"), ServerError, "no list of records"),
        (answer({"searchRecords": [{}] * 501}), ServerError, "more than 500 people"),
    ],
)
async def test_an_unusable_answer_to_a_search_is_an_error(
    directory, organisation, sent, error, reason
):
    organisation.failures = [sent]
    with pytest.raises(error, match=reason):
        await directory().find(NUMBER)


async def test_more_than_500_people_with_the_number_are_an_error(directory, organisation):
    for number in range(501):
        organisation.add("Contact", LastName=f"Hostel {number}", Phone="01632 960001")
    with pytest.raises(ServerError, match="more than 500 people"):
        await directory().find(NUMBER)


async def test_a_field_that_does_not_exist_is_named_by_the_code_only(directory):
    fields = {"numbers": ["Telephone__c"]}
    with pytest.raises(ServerError) as caught:
        await directory(fields).find(NUMBER)
    assert str(caught.value) == "the server answers 400 (INVALID_FIELD)"


async def test_an_answer_is_read_outside_the_event_loops_thread(
    directory, organisation, monkeypatch
):
    threads, read = [], SalesforceDirectory._people

    def recorded(*arguments):
        threads.append(threading.get_ident())
        return read(*arguments)

    monkeypatch.setattr(SalesforceDirectory, "_people", recorded)
    await directory().find(NUMBER)
    assert threads
    assert threading.get_ident() not in threads


@pytest.mark.parametrize(
    "text",
    [
        "Elin O'Brien",
        "o'brien SY23 3BL",
        "obrien@example.org",
        "C-1024",
        "  Elin\tSY23 ",
        "elin J",
        "Eli o'bri",
    ],
)
async def test_a_person_is_found_by_name_postcode_or_reference(directory, organisation, text):
    elin = {"FirstName": "Elin", "LastName": "O'Brien", "MailingPostalCode": "SY23 3BL"}
    organisation.add("Contact", **elin, Email="obrien@example.org", Language__c="C-1024")
    organisation.add("Contact", FirstName="Mair", LastName="Evans", MailingPostalCode="SY24 5AA")
    (person,) = await directory().search(text)
    assert person.name == "Elin O'Brien"
    sent = organisation.received[-1]
    assert sent.target == "/services/data/v65.0/parameterizedSearch"
    assert sent.json["in"] == "ALL"


@pytest.mark.parametrize("text", ["", " ", "a b", "* ?", "}", "\x00"])
async def test_a_search_text_without_a_word_finds_no_people_and_is_not_sent(
    directory, organisation, text
):
    assert await directory().search(text) == []
    assert organisation.received == []


async def test_a_search_for_a_frequent_name_returns_the_first_fifty(directory, organisation):
    for _ in range(60):
        organisation.add("Contact", LastName="Jones")
    assert len(await directory().search("Jones")) == 50


async def test_operators_in_a_search_text_are_searched_for_as_words(directory, organisation):
    organisation.add("Contact", FirstName="Mair", LastName="Evans")
    assert await directory().search("Mair OR Evans") == []
    assert await directory().search("Mair AND NOT Evans") == []
    assert await directory().search("M* vans") == []


@given(st.text(max_size=300) | st.text(st.sampled_from("ab \"'}\\{()*?&|!+-"), max_size=40))
def test_any_text_becomes_a_valid_salesforce_search_for_all_its_words(text):
    sought = search_words(text)
    assert len(sought) < 4000
    if sought:
        (every,) = parsed_search(sought)
        assert len(every) == sought.count('" AND "') + 1


@given(st.text(max_size=20) | st.text(st.sampled_from('019"}\\{()*?&|!+-'), max_size=20))
def test_no_extension_changes_the_meaning_of_a_search(extension):
    phrase = r'"[0-9]{2,}( [0-9]{2,})*"'
    assert re.fullmatch(rf"({phrase}( OR {phrase})*)?", search_text(PhoneNumber("", extension)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["Id", "id", "Name", "Phone", "MobilePhone", "Account", "Email"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(JSON | st.fixed_dictionaries({"searchRecords": JSON | st.lists(JSON, max_size=5)}))
def test_any_answer_gives_people_or_raises_server_error(document):
    directory = SalesforceDirectory(settings(), None)  # type: ignore[arg-type]
    try:
        people = directory._people(document)
    except ServerError:
        return
    assert all(person.person_id.startswith("crm:") and person.name for person in people)
