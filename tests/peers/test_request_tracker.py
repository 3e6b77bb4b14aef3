"""Callers are looked up in a real Request Tracker 5, by the example of docs/crm.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.peers.request_tracker import PASSWORD, RequestTracker
from helpers.peers.service import CALLER
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

CRM = (Path(__file__).parents[2] / "docs/crm.md").read_text(encoding="utf-8")
LOCAL = f"({CALLER[:5]}) {CALLER[5:]}"
"""The caller's number, as a clerk wrote it."""


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    """A Request Tracker with the caller, a person with the same last digits, and others."""
    tracker = RequestTracker(tmp_path_factory.mktemp("rt"))
    tracker.add_user(
        *("elin",),
        RealName="Elin Fictitious",
        HomePhone=f"{LOCAL} (gyda'r nos)",
        Lang="cy",
        Address1="1 Heol Fawr",
    )
    tracker.add_user("eve", RealName="Eve Suffix", WorkPhone=f"01970 {CALLER[5:]}")
    for number in range(30):
        tracker.add_user(f"other{number}", RealName="Other", MobilePhone=f"07700 9001{number:02}")
    yield tracker
    tracker.end()


def settings(tracker, tmp_path):
    """Return the example of the documentation, with this Request Tracker and its password."""
    (tmp_path / "rt-password").write_text(PASSWORD)
    example = re.search(r"```toml\n(.*?rt\.example.*?)```", CRM, re.DOTALL)
    assert example is not None
    text = example[1].replace("https://rt.example/REST/2.0", tracker.url)
    text = re.sub(r'kind = "bearer"\nscheme = "token"', 'kind = "basic"\nuser = "root"', text)
    text = text.replace('kind = "http"', 'kind = "http"\ntimeout = 9.0')  # for a busy machine
    text = re.sub(r'secret_file = ".*"', f'secret_file = "{tmp_path}/rt-password"', text)
    return text.replace("{", "{{").replace("}", "}}")


@pytest.fixture
def service(start, tracker, tmp_path):
    return start("switch", "desk", "finaliser", users=True, more=settings(tracker, tmp_path))


def pop(page, call):
    return page.get(f"/api/v1/calls/{call.call_id}").json()


def test_the_caller_is_found_by_the_exact_number_and_details_wait_for_the_confirmation(
    service, place_call, tracker
):
    call = place_call("uas_plain")
    with service.sign_in() as page:
        wait_until(lambda: pop(page, call)["caller"]["status"] == "found")
        caller = pop(page, call)["caller"]
        assert [one["name"] for one in caller["candidates"]] == ["Elin Fictitious"]
        assert caller["candidates"][0]["language"] == "cy"
        assert caller["details"] == {}
        answer = page.post(f"/api/v1/calls/{call.call_id}/confirm", json={"outcome": "confirmed"})
        caller = answer.json()["caller"]
        assert caller["details"] == {"reference": "elin", "address": "1 Heol Fawr"}
        (link,) = caller["pages"]
    call.hang_up()
    assert link["directory"] == "request-tracker"
    assert "Elin Fictitious" in tracker.page(link["url"].removeprefix("https://rt.example"))


def test_a_call_does_not_wait_for_a_tracker_that_stands_still_and_shows_its_late_answer(
    service, place_call, tracker
):
    with service.sign_in() as page:
        tracker.stop()
        try:
            call = place_call("uas_plain")
            wait_until(lambda: pop(page, call)["caller"]["status"] == "unavailable")
            states = pop(page, call)["caller"]["directories"]
            assert {"name": "request-tracker", "answer": "asking"} in states
        finally:
            tracker.go_on()
        wait_until(lambda: pop(page, call)["caller"]["status"] == "found")
    call.hang_up()
    assert [each["status"] for each in service.log.events("lookup.more")] == ["found"]


def test_a_tracker_that_refuses_the_password_is_unavailable_and_the_log_says_why(
    service, place_call, tmp_path
):
    (tmp_path / "rt-password").write_text("wrong")
    call = place_call("uas_plain")
    with service.sign_in() as page:
        wait_until(lambda: pop(page, call)["caller"]["status"] == "unavailable")
    call.hang_up()
    failure = service.log.wait("lookup.source_failed")
    assert failure["reason"] == "the server refuses the credentials (401)"


def test_a_caller_with_an_unknown_number_is_found_by_name(service, place_call):
    call = place_call("uas_plain")
    with service.sign_in() as page:
        wait_until(lambda: pop(page, call)["caller"]["status"] == "found")
        found = page.post(f"/api/v1/calls/{call.call_id}/search", json={"text": "eve suf"})
        assert found.json() == {"found": 1, "failed": []}
        caller = pop(page, call)["caller"]
        eve = next(one for one in caller["candidates"] if one["name"] == "Eve Suffix")
        answer = {"outcome": "confirmed", "person_id": eve["person_id"]}
        page.post(f"/api/v1/calls/{call.call_id}/confirm", json=answer)
        assert pop(page, call)["caller"]["details"] == {"reference": "eve"}
    call.hang_up()


def tickets(tracker):
    """Return the subjects of the texts of each ticket, the ticket's own subject first."""
    found = tracker.http.get("/tickets", params={"query": "id > 0", "per_page": 100}).json()[
        "items"
    ]
    return [texts(tracker, each["id"]) for each in found]


def texts(tracker, ticket_id):
    ticket = tracker.http.get(f"/ticket/{ticket_id}").json()
    history = tracker.http.get(
        f"/ticket/{ticket_id}/history", params={"fields": "Type,Data", "per_page": 100}
    ).json()["items"]
    comments = [each["Data"].strip() for each in history if each["Type"] == "Comment"]
    return [ticket["Subject"], *comments]


def test_a_contact_note_becomes_one_ticket_of_the_confirmed_person(service, place_call, tracker):
    call = place_call("uas_plain")
    url = f"/api/v1/calls/{call.call_id}"
    with service.sign_in() as page:
        wait_until(lambda: pop(page, call)["caller"]["status"] == "found")
        page.post(f"{url}/confirm", json={"outcome": "confirmed"})
        tracker.stop()
        try:
            for outcome in ("ordered", "ordered, comes on Monday"):
                note = {"purpose": "Bin newydd", "language": "cy", "outcome": outcome}
                assert page.put(f"{url}/contact", json=note).status_code == 200
        finally:
            tracker.go_on()
        wait_until(lambda: f"{call.call_id}/2" in str(tickets(tracker)))
    call.hang_up()
    (ticket,) = [each for each in tickets(tracker) if call.call_id in each[0]]
    assert ticket == [f"Main number: Bin newydd [{call.call_id}]", f"{call.call_id}/2"]
    (found,) = tracker.http.get(
        "/tickets", params={"query": f"Subject LIKE '{call.call_id}'"}
    ).json()["items"]
    requestors = tracker.http.get(f"/ticket/{found['id']}").json()["Requestor"]
    assert [each["id"] for each in requestors] == ["elin"]


def earlier(page, call):
    """Return the subjects and directories of the caller's earlier contacts, and what failed."""
    answer = page.get(f"/api/v1/calls/{call.call_id}/earlier").json()
    contacts = [(each["directory"], each["purpose"]) for each in answer["contacts"]]
    return contacts, answer["failed"]


def test_the_earlier_tickets_of_the_confirmed_person_are_shown_without_the_note_of_this_call(
    service, place_call, tracker
):
    for requestor, subject in (("elin", "Street light"), ("eve", "Something private")):
        ticket = {"Queue": "General", "Subject": subject, "Requestor": requestor}
        assert tracker.http.post("/ticket", json=ticket).status_code == 201
    call = place_call("uas_plain")
    url = f"/api/v1/calls/{call.call_id}"
    with service.sign_in() as page:
        wait_until(lambda: pop(page, call)["caller"]["status"] == "found")
        page.post(f"{url}/confirm", json={"outcome": "confirmed"})
        page.put(f"{url}/contact", json={"purpose": "Bin newydd", "language": "cy"})
        wait_until(lambda: call.call_id in str(tickets(tracker)))
        # The ticket is there a moment before the desk has stored the tracker's answer.
        wait_until(lambda: call.call_id not in str(earlier(page, call)))
        contacts, failed = earlier(page, call)
        assert failed == []
        assert ("request-tracker", "Street light") in contacts
        assert "Something private" not in str(contacts)
        tracker.stop()
        try:
            assert earlier(page, call) == ([], ["request-tracker"])
        finally:
            tracker.go_on()
    call.hang_up()


def test_a_note_that_the_tracker_may_not_take_waits_until_it_may(service, place_call, tracker):
    tracker.http.put("/queue/1", json={"Disabled": 1})
    call = place_call("uas_plain")
    with service.sign_in() as page:
        note = {"purpose": "Bin newydd", "language": "cy"}
        assert page.put(f"/api/v1/calls/{call.call_id}/contact", json=note).status_code == 200
        failure = service.log.wait("note.attempted")
        assert (failure["outcome"], failure["reason"]) == ("failed", "the server answers 403")
        tracker.http.put("/queue/1", json={"Disabled": 0})
        wait_until(lambda: call.call_id in str(tickets(tracker)))
    call.hang_up()
