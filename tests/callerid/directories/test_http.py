"""A directory that is asked over HTTP as a template says."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.directories.http import HttpDirectory, HttpDirectorySection
from callerid.number import PhoneNumber
from callerid.people_mapping import PeopleMapping
from helpers.http_server import answer
from net.errors import ServerError

NUMBER = PhoneNumber("+441632960001")
ELIN = {"id": 7, "name": "Elin Fictitious", "work": "01632 960001", "mobile": None}


def settings(url, **more):
    """Return the settings of a directory at a server."""
    known = {"name": "crm", "kind": "http", "url": f"{url}/people", "people": "items"}
    fields = {"id": "id", "name": "name", "numbers": "[work, mobile]"}
    return HttpDirectorySection.model_validate({**known, "fields": fields, **more})


@pytest.fixture
async def directory(server):
    """Return a function that makes a directory of the test's server."""
    made = []

    def directory(**more):
        made.append(settings(server.url, **more).open())
        return made[-1]

    yield directory
    for each in made:
        await each.close()


async def test_the_number_is_sent_in_the_query(directory, server):
    server.answers = [answer({"items": [ELIN]})]
    (person,) = await directory(query={"phone": "{e164}"}).find(NUMBER)
    assert (person.person_id, person.name) == ("crm:7", "Elin Fictitious")
    assert person.numbers == ("01632 960001",)
    assert server.received[0].query == [("phone", "+441632960001")]


async def test_the_number_is_sent_in_the_body_in_several_spellings(directory, server):
    server.answers = [answer({"items": []})]
    body = {"any": [{"field": "phone", "is": "{spelling}"}]}
    assert await directory(method="POST", body=body).find(NUMBER) == []
    sought = [each["is"] for each in server.received[0].json["any"]]
    assert {"+441632960001", "01632960001", "01632 960001"} <= set(sought)
    assert server.received[0].query == []


async def test_a_status_that_means_not_found_finds_no_person(directory, server):
    server.answers = [answer(b"", "404 Not Found")]
    assert await directory().find(NUMBER) == []


async def test_all_pages_are_read(directory, server):
    pages = [
        {"items": [{**ELIN, "id": 1}], "next": "/people?page=2"},
        {"items": [{**ELIN, "id": 2}], "next": f"{server.url}/people?page=3"},
        {"items": [{**ELIN, "id": 3}], "next": None},
    ]
    server.answers = [answer(page) for page in pages]
    people = await directory(next_page="next").find(NUMBER)
    assert [person.person_id for person in people] == ["crm:1", "crm:2", "crm:3"]
    assert [request.target for request in server.received] == [
        "/people",
        "/people?page=2",
        "/people?page=3",
    ]


async def test_an_endless_sequence_of_pages_is_given_up(directory, server):
    server.answers = [answer({"items": [ELIN], "next": "/people"})]
    with pytest.raises(ServerError, match="more than 5 pages"):
        await directory(next_page="next").find(NUMBER)
    assert len(server.received) == 5


@pytest.mark.parametrize(
    "following",
    [
        "http://127.0.0.1:1/people",
        "http://127.0.0.2/people",
        "https://127.0.0.1/people",
        "//evil.example/people",
        "http://[/",
        "http://127.0.0.1:99999999/",
        "http://user:pw@127.0.0.1/people",
        7,
        ["/people"],
        "/people\x00",
        "/" + "x" * 70_000,
    ],
)
async def test_a_next_page_on_another_server_or_without_an_address_is_not_requested(
    directory, server, following
):
    server.answers = [answer({"items": [], "next": following})]
    with pytest.raises(ServerError, match=r"on another server|has no address|cannot be read"):
        await directory(next_page="next").find(NUMBER)
    assert len(server.received) == 1


async def test_an_answer_is_read_outside_the_event_loops_thread(directory, server, monkeypatch):
    threads, read = [], PeopleMapping.read

    def recorded(*arguments):
        threads.append(threading.get_ident())
        return read(*arguments)

    monkeypatch.setattr(PeopleMapping, "read", recorded)
    server.answers = [answer({"items": [ELIN]})]
    assert len(await directory().find(NUMBER)) == 1
    assert threads
    assert threading.get_ident() not in threads


async def test_an_answer_without_a_list_of_people_is_an_error(directory, server):
    server.answers = [answer({"items": "none"})]
    with pytest.raises(ServerError, match="has no list"):
        await directory().find(NUMBER)


@given(st.text(max_size=60) | st.text(st.sampled_from("htps:/@[]?#%.0127\\x"), max_size=40))
def test_any_next_page_is_on_the_same_server_or_raises_server_error(text):
    section = settings("https://crm.example", next_page="next")
    directory = HttpDirectory(section, client=None)  # type: ignore[arg-type]
    try:
        following = directory._following({"next": text})
    except ServerError:
        return
    assert following is None or following.startswith("https://crm.example/")


async def test_a_search_by_text_sends_the_configured_request_and_reads_people_as_usual(
    directory, server
):
    body = {"any": [{"contains": "{text}"}]}
    search = {"url": f"{server.url}/search", "method": "POST", "query": {"limit": 20}, "body": body}
    server.answers = [answer({"items": [ELIN]})]
    (person,) = await directory(search=search).search('Elin "} LL57')
    assert person.person_id == "crm:7"
    (request,) = server.received
    assert (request.method, request.path, request.query) == ("POST", "/search", [("limit", "20")])
    assert request.json == {"any": [{"contains": 'Elin "} LL57'}]}


def contacts_at(url, **more):
    fields = {"time": "when", "subject": "subject", "person": "person"}
    return {"url": url, "contacts": "items", "fields": fields, **more}


BINS = {"when": "2026-11-15T12:00:00Z", "subject": "Bins", "person": "7&all=1"}


async def test_the_contacts_of_a_person_are_requested_by_the_id_of_the_record(directory, server):
    server.answers = [answer({"items": [BINS]})]
    query = {"person": "{id}", "newest": 10}
    contacts = contacts_at(f"{server.url}/contacts", query=query)
    (found,) = await directory(earlier_contacts=contacts).contacts_of("7&all=1")
    assert found.subject == "Bins"
    assert server.received[0].query == [("person", "7&all=1"), ("newest", "10")]


async def test_an_id_in_the_address_or_body_cannot_change_the_rest_of_the_request(
    directory, server
):
    server.answers = [answer({"items": []})]
    body = {"person": ["{id}"]}
    contacts = contacts_at(f"{server.url}/people/{{id}}/contacts", method="POST", body=body)
    assert await directory(earlier_contacts=contacts).contacts_of('../x?"') == []
    (request,) = server.received
    assert request.path == "/people/..%2Fx%3F%22/contacts"
    assert request.json == {"person": ['../x?"']}


async def test_an_id_of_dots_is_not_requested(directory, server):
    contacts = contacts_at(f"{server.url}/people/{{id}}/contacts")
    with pytest.raises(ServerError, match="only dots"):
        await directory(earlier_contacts=contacts).contacts_of("..")
    assert server.received == []


async def test_a_directory_without_earlier_contacts_sends_no_request_for_them(directory, server):
    assert not directory().has_contacts
    assert await directory().contacts_of("7") == []
    assert server.received == []
