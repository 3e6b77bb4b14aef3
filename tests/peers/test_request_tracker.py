"""Callers are looked up in a real Request Tracker 5, by the example of docs/crm.md.

Most tests need more than two seconds of CPU time: the tracker, 0.3 s for each request.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from helpers.peers.request_tracker import PASSWORD, RequestTracker
from helpers.peers.service import CALLER
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

CRM = (Path(__file__).parents[2] / "docs/crm.md").read_text(encoding="utf-8")
GUIDE = CRM.partition("## Request Tracker 5\n")[2].partition("\n## ")[0]
LOCAL = f"({CALLER[:5]}) {CALLER[5:]}"
"""The caller's number, as a clerk wrote it."""
MANY = """
INSERT INTO {table} ({columns})
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2999)
SELECT {values} FROM n
"""
"""A statement for 3,000 further users, none of whom has the caller's number."""
USERS = {
    "id": "100000 + i",
    "Name": "'person' || i",
    "RealName": "'Other ' || i",
    "MobilePhone": "'07700 9' || substr('00000' || i, -5)",
}
PRINCIPALS = {"id": "100000 + i", "PrincipalType": "'User'", "Disabled": "0"}


def block(language):
    """Return the text of a block of the guide."""
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    """A Request Tracker with the caller, a person with the same last digits, and 3,000 others.

    Its user galwad has the rights that the guide names, and there is the view of the guide.
    """
    rights = re.findall(r"`([A-Z][A-Za-z]+)`", GUIDE.partition("no others: ")[2].partition(".")[0])
    assert len(rights) == 5
    tracker = RequestTracker(tmp_path_factory.mktemp("rt"), rights)
    tracker.add_user(
        *("elin",),
        RealName="Elin Fictitious",
        HomePhone=f"{LOCAL} (gyda'r nos)",
        Lang="cy",
        Address1="1 Heol Fawr",
    )
    tracker.add_user("eve", RealName="Eve Suffix", WorkPhone=f"01970 {CALLER[5:]}")
    for table, values in (("Users", USERS), ("Principals", PRINCIPALS)):
        parts = {"columns": ", ".join(values), "values": ", ".join(values.values())}
        tracker.run(MANY.format(table=table, **parts))
    tracker.run(block("sql"))
    yield tracker
    tracker.end()


def settings(tracker, tmp_path):
    """Return the settings of the guide, with this Request Tracker and its database."""
    (tmp_path / "rt-password").write_text(PASSWORD)
    text = block("toml").replace("https://rt.example/REST/2.0", tracker.url)
    text = re.sub(r'kind = "bearer"\nscheme = "token"', 'kind = "basic"\nuser = "galwad"', text)
    text = re.sub(
        r'url = "postgresql.*\npassword_file = .*',
        f'url = "sqlite+aiosqlite:///{tracker.database}"',
        text,
    )
    text = re.sub(r'(kind = "(?:http|sql)")', r"\1\ntimeout = 9.0", text)  # for a busy machine
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


def looked_up(service, number):
    """Return what `galwad directory test` shows of the directory with the view."""
    done = service.galwad("directory", "test", number, "--source", "request-tracker", "--json")
    (found,) = json.loads(done)["directories"]
    assert found["error"] == ""
    return found["people"]


def test_a_lookup_among_3000_users_finds_the_one_with_the_number_and_nobody_without_it(service):
    (elin,) = looked_up(service, CALLER)
    assert (elin["kept"], elin["language"], elin["numbers"] > 0) == (True, "cy", True)
    (other,) = looked_up(service, "07700 902999")
    assert (other["kept"], other["person_id"]) == (True, "request-tracker:102999")
    for number in (f"01995 {CALLER[5:]}", "01632 960999", "07700 903000"):
        assert looked_up(service, number) == []


def test_the_caller_is_shown_while_the_tracker_stands_still(service, place_call, tracker):
    def states():
        return pop(page, call)["caller"]["directories"]

    with service.sign_in() as page:
        tracker.stop()
        try:
            call = place_call("uas_plain")
            wait_until(lambda: pop(page, call)["caller"]["status"] == "found")
            assert {"name": "tickets", "answer": "asking"} in states()
        finally:
            tracker.go_on()
        wait_until(lambda: {"name": "tickets", "answer": "not_found"} in states())
    call.hang_up()


def test_the_log_says_that_the_tracker_refuses_the_password(service, place_call, tmp_path):
    (tmp_path / "rt-password").write_text("wrong")
    call = place_call("uas_plain")
    failure = service.log.wait("lookup.source_failed")
    call.hang_up()
    assert (failure["source"], failure["reason"]) == (
        "tickets",
        "the server refuses the credentials (401)",
    )


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


def tickets(tracker, call):
    """Return the ids of the tickets of this call's note. The tracker takes 0.3 s for a request."""
    query = {"query": f"Subject LIKE '{call.call_id}'"}
    return [each["id"] for each in tracker.http.get("/tickets", params=query).json()["items"]]


def texts(tracker, ticket_id):
    """Return the subject of a ticket, and of each of its comments."""
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
        service.log.wait("note.attempted", outcome="delivered", version=2)
    call.hang_up()
    (ticket,) = tickets(tracker, call)
    told = [f"Main number: Bin newydd [{call.call_id}]", f"{call.call_id}/2"]
    assert texts(tracker, ticket) == told
    requestors = tracker.http.get(f"/ticket/{ticket}").json()["Requestor"]
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
        (known,) = pop(page, call)["caller"]["candidates"]
        assert page.post(f"{url}/search", json={"text": "elin fict"}).json()["found"] == 1
        found = [each["person_id"] for each in pop(page, call)["caller"]["candidates"]]
        (elin,) = [each for each in found if each != known["person_id"]]
        answer = {"outcome": "confirmed", "person_id": elin}
        page.post(f"{url}/confirm", json=answer)
        page.put(f"{url}/contact", json={"purpose": "Bin newydd", "language": "cy"})
        service.log.wait("note.attempted", outcome="delivered")
        assert len(tickets(tracker, call)) == 1
        contacts, failed = earlier(page, call)
        assert failed == []
        assert ("tickets", "Street light") in contacts
        assert call.call_id not in str(contacts)
        assert "Something private" not in str(contacts)
        tracker.stop()
        try:
            assert earlier(page, call) == ([], ["tickets"])
        finally:
            tracker.go_on()
    call.hang_up()


@pytest.mark.long
def test_a_note_that_the_tracker_refuses_with_403_waits_until_its_queue_is_enabled(
    service, place_call, tracker
):
    tracker.http.put("/queue/1", json={"Disabled": 1})
    call = place_call("uas_plain")
    with service.sign_in() as page:
        note = {"purpose": "Bin newydd", "language": "cy"}
        assert page.put(f"/api/v1/calls/{call.call_id}/contact", json=note).status_code == 200
        failure = service.log.wait("note.attempted")
        assert (failure["outcome"], failure["reason"]) == ("failed", "the server answers 403")
        tracker.http.put("/queue/1", json={"Disabled": 0})
        service.log.wait("note.attempted", outcome="delivered")
        assert len(tickets(tracker, call)) == 1
    call.hang_up()
