"""Contact notes over HTTP: created once, changed later, never created again after a deletion."""

from __future__ import annotations

import ssl
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.directories.http_notes import (
    HttpNotes,
    HttpNotesSection,
    NoteSearchSection,
    _Search,
)
from callerid.errors import NoteRefusedError
from callerid.note import EarlierDelivery
from helpers.http_server import HttpServer, answer
from helpers.notes import NOTE
from net.errors import ServerBusyError, ServerError
from net.json_client import Authentication, JsonClient

FIRST = EarlierDelivery()
REPEATED = EarlierDelivery(uncertain=True)
SECOND = replace(NOTE, version=2, notes="Rang again.")


@pytest.fixture
async def server():
    server = HttpServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def notes(server):
    """A system like Request Tracker: it gives ids to records, and has comments on a record."""
    section = HttpNotesSection.model_validate(
        {
            "url": f"{server.url}/ticket",
            "body": {"Subject": "{subject}", "Content": "{text}", "Customer": "{person_id}"},
            "record_id": "id",
            "find": search(f"{server.url}/tickets"),
            "change": {
                "url": f"{server.url}/ticket/{{record_id}}/comment",
                "body": {"Subject": "{version_id}", "Content": "{text}"},
                "find": search(f"{server.url}/ticket/{{record_id}}/history"),
            },
        }
    )
    client = JsonClient(Authentication(), ssl.create_default_context(), connections=2)
    notes = HttpNotes("crm", section, client)
    yield notes
    await notes.close()


def search(url):
    query = {"query": "Subject LIKE '{call_id}'"}
    return {"url": url, "records": "items", "id": "id", "text": "text", "query": query}


async def test_the_first_version_of_a_note_creates_a_record(notes, server):
    server.answers = [answer({"id": 12}, "201 Created")]
    assert await notes.deliver(NOTE, FIRST) == "12"
    (request,) = server.received
    assert (request.method, request.path) == ("POST", "/ticket")
    assert request.json["Subject"].endswith("[20261125-093000-abcdefgh]")
    assert "Customer" not in request.json
    assert request.headers["idempotency-key"] == "20261125-093000-abcdefgh/1"


async def test_a_later_version_of_a_note_changes_the_record(notes, server):
    server.answers = [answer(b"not json")]
    assert await notes.deliver(SECOND, EarlierDelivery(1, "12")) == "12"
    (request,) = server.received
    assert request.path == "/ticket/12/comment"
    assert "Rang again." in request.json["Content"]


async def test_a_repeated_first_version_is_searched_for_before_it_is_written(notes, server):
    found = [{"id": 9, "text": "another call"}, {"id": 12, "text": f"Waste [{NOTE.call_id}]"}]
    server.answers = [answer({"items": found})]
    assert await notes.deliver(NOTE, REPEATED) == "12"
    (request,) = server.received
    assert request.query == [("query", f"Subject LIKE '{NOTE.call_id}'")]


async def test_a_note_is_written_if_the_search_for_it_returns_only_other_notes(notes, server):
    server.answers = [
        answer({"items": [{"id": 9, "text": "20261125-093000-zzzzzzzz"}]}),
        answer({"id": 13}, "201 Created"),
    ]
    assert await notes.deliver(NOTE, REPEATED) == "13"
    assert [each.path for each in server.received] == ["/tickets", "/ticket"]


async def test_a_repeated_second_version_is_searched_for_by_the_id_of_that_version(notes, server):
    first = {"id": 1, "text": "20261125-093000-abcdefgh/1"}
    server.answers = [answer({"items": [first]}), answer({})]
    await notes.deliver(SECOND, EarlierDelivery(1, "12", uncertain=True))
    assert [each.path for each in server.received] == ["/ticket/12/history", "/ticket/12/comment"]
    server.answers = [answer({"items": [first, {"text": "20261125-093000-abcdefgh/2"}]})]
    await notes.deliver(SECOND, EarlierDelivery(1, "12", uncertain=True))
    assert len(server.received) == 3


@pytest.mark.parametrize("status", ["400 Bad Request", "409 Conflict", "422 Unprocessable"])
async def test_a_note_that_the_server_refuses_is_refused_without_the_text_of_the_answer(
    notes, server, status
):
    server.answers = [answer({"error": "Siân Jones is unknown"}, status)]
    with pytest.raises(NoteRefusedError, match=f"refuses it .{status[:3]}.") as refused:
        await notes.deliver(NOTE, FIRST)
    assert "Jones" not in str(refused.value)


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
async def test_a_later_version_does_not_create_a_deleted_record_again(notes, server, status):
    server.answers = [answer({}, status)]
    with pytest.raises(NoteRefusedError, match="its record was deleted"):
        await notes.deliver(SECOND, EarlierDelivery(1, "12"))
    assert [each.path for each in server.received] == ["/ticket/12/comment"]


@pytest.mark.parametrize(
    "status", ["401 No", "403 No", "404 No", "408 Timeout", "500 No", "502 No", "301 Moved"]
)
async def test_a_note_is_not_refused_after_a_status_that_may_be_temporary(notes, server, status):
    server.answers = [answer({}, status)]
    with pytest.raises(ServerError):
        await notes.deliver(NOTE, FIRST)


async def test_a_retry_after_raises_server_busy_error_with_its_seconds(notes, server):
    server.answers = [answer({}, "429 Too Many Requests", Retry_After="17")]
    with pytest.raises(ServerBusyError) as busy:
        await notes.deliver(NOTE, FIRST)
    assert busy.value.seconds == 17


@pytest.mark.parametrize(
    "body", [{}, {"id": None}, {"id": ""}, {"id": ".."}, {"id": "x" * 201}, [1], b"<"]
)
async def test_a_delivery_answered_without_a_usable_record_id_raises_server_error(
    notes, server, body
):
    server.answers = [answer(body, "201 Created")]
    with pytest.raises(ServerError):
        await notes.deliver(NOTE, FIRST)


async def test_a_search_that_is_answered_with_404_has_found_nothing(notes, server):
    server.answers = [answer({}, "404 Not Found"), answer({"id": 13}, "201 Created")]
    assert await notes.deliver(NOTE, REPEATED) == "13"
    server.answers = [answer({}, "404 Not Found"), answer({}, "404 Not Found")]
    with pytest.raises(NoteRefusedError, match="its record was deleted"):
        await notes.deliver(SECOND, EarlierDelivery(1, "12", uncertain=True))


@pytest.mark.parametrize("body", [{}, {"items": {}}, {"items": 7}, b"", b"{", [[]]])
async def test_a_search_whose_answer_cannot_be_read_writes_nothing(notes, server, body):
    server.answers = [answer(body)]
    with pytest.raises(ServerError):
        await notes.deliver(NOTE, REPEATED)
    assert [each.path for each in server.received] == ["/tickets"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["items", "id", "text"]), inner)
    ),
)


@given(JSON)
def test_any_answer_to_a_search_gives_an_id_or_none_or_raises_server_error(document):
    found = _Search("find", NoteSearchSection.model_validate(search("https://crm.example")))
    try:
        assert isinstance(found.read(document, NOTE.call_id), str | None)
    except ServerError:
        return
