"""The caller's lookup on the page while several directories answer, fail or are late.

Covers `galwad/calls/subject.py` and `galwad/directories/subject.py`.
"""

from __future__ import annotations

import asyncio

import pytest
import structlog

from callerid.directories.http import HttpDirectorySection
from callerid.limited_source import SourceLimits
from callerid.person import Person
from helpers.desk import changed
from helpers.directory import import_people
from helpers.fake_directory import Directory
from helpers.http_server import HttpServer, answer
from net.breaker import BreakerLimits
from net.errors import ServerBusyError, ServerError

CALL = "20261125-101500-aaaaaaaa"
URL = f"/api/v1/calls/{CALL}"
NUMBERS = ("01632 960001",)
ELIN = Person("ours:1", "Elin", numbers=NUMBERS, details=(("notes", "hard of hearing"),))
HUW = Person("crm:9", "Huw", numbers=NUMBERS)
LIMITS = SourceLimits(breaker=BreakerLimits(failures=1))


@pytest.fixture
async def ring(running):
    """Return a function that rings at Sian's phone, with these directories in the desk."""

    async def ring(*directories, budget=1.0):
        await running.stop()
        running.settings = changed(running.settings, directory={"budget": budget})
        await running.start([(directory, LIMITS) for directory in directories])
        sian = await running.page("sian")
        await sian.open()
        running.switch.ring(CALL)
        return sian

    return ring


def names(pop):
    return [one["name"] for one in pop["caller"]["candidates"]]


def answers(pop):
    return {each["name"]: each["answer"] for each in pop["caller"]["directories"]}


async def test_a_slow_directory_does_not_delay_the_name_that_another_directory_finds(ring):
    crm = Directory("crm", [HUW], waits=True)
    sian = await ring(Directory("ours", [ELIN]), crm, budget=20.0)
    first = await sian.filled(CALL)
    assert (first["state"], first["caller"]["status"], names(first)) == (
        "ringing",
        "found",
        ["Elin"],
    )
    assert answers(first) == {"ours": "found", "crm": "asking"}
    crm.go.set()
    second = await sian.event("call", lambda pop: answers(pop).get("crm") == "found")
    assert (second["caller"]["status"], names(second)) == ("several", ["Elin", "Huw"])
    assert second["caller"]["chosen"] is None


async def test_a_late_answer_changes_nothing_after_the_advisor_has_confirmed_the_caller(
    running, ring
):
    crm = Directory("crm", [HUW], waits=True)
    sian = await ring(Directory("ours", [ELIN]), crm, budget=0.05)
    await sian.filled(CALL)
    running.switch.answer(CALL, "201", "sian")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    confirmed = await sian.http.post(f"{URL}/confirm", json={"outcome": "confirmed"})
    assert confirmed.json()["caller"]["details"] == {"notes": "hard of hearing"}
    crm.go.set()
    after = await sian.event("call", lambda pop: answers(pop).get("crm") == "found")
    assert (names(after), after["caller"]["chosen"]) == (["Elin"], "ours:1")
    assert after["caller"]["details"] == {"notes": "hard of hearing"}


@pytest.mark.parametrize(
    ("error", "status"),
    [(ServerError("is down"), "unavailable"), (ServerBusyError(17), "busy"), (None, "not_found")],
)
async def test_each_failure_of_a_directory_has_its_own_status_and_is_counted(
    running, ring, error, status
):
    with structlog.testing.capture_logs() as logs:
        sian = await ring(Directory("crm", error=error))
        pop = await sian.filled(CALL)
    assert (pop["caller"]["status"], answers(pop)) == (status, {"crm": status})
    text = (await running.client().get("/api/v1/metrics")).text
    outcome = f'directory="crm",from_memory="no",outcome="{status}"'
    assert f"galwad_desk_directory_searches_total{{{outcome}}} 1.0" in text
    resting = 0.0 if error is None else 1.0
    assert f'galwad_desk_directory_resting{{directory="crm"}} {resting}' in text
    failures = [log for log in logs if log["event"] == "lookup.source_failed"]
    assert [log["reason"] for log in failures] == ([] if error is None else [str(error)])


@pytest.fixture
async def crm(running):
    """A CRM that knows Huw, and whose records have a page; return a function that rings for it."""
    server = HttpServer()
    await server.start()
    record = {"id": "h/9", "name": "Huw", "phone": "01632 960001", "reference": "C-9"}
    server.answers = [answer({"items": [record]})] * 2

    async def crm(**more):
        fields = {"id": "id", "name": "name", "numbers": "phone"}
        section = HttpDirectorySection.model_validate(
            {
                "name": "crm",
                "kind": "http",
                "url": f"{server.url}/people",
                "people": "items",
                "page": "https://crm.example/contact/{id}",
                **more,
                "fields": {**fields, "details": {"reference": "reference"}},
            }
        )
        await running.stop()
        running.settings = changed(running.settings, directories=[section])
        import_people(
            running.settings.directory_file, "reference,name,numbers\nC-9,Huw,01632 960001\n"
        )
        await running.start()
        sian, mair = await running.page("sian"), await running.page("mair")
        await sian.open()
        await mair.open()
        running.switch.ring(CALL)
        found = {"directory": "found", "crm": "found"}
        await sian.event("call", lambda pop: answers(pop) == found)
        running.switch.answer(CALL, "201", "sian")
        pop = await sian.event("call", lambda pop: pop["state"] == "answered")
        return sian, mair, pop

    yield crm
    await running.stop()
    await server.stop()


PAGES = [{"directory": "crm", "url": "https://crm.example/contact/h%2F9", "record_id": "h/9"}]


async def test_the_page_of_the_record_waits_for_the_confirmation_and_only_the_advisor_gets_it(crm):
    sian, mair, answered = await crm()
    assert answered["caller"]["chosen"] == "directory:1"
    assert answered["caller"]["pages"] == []
    confirmed = await sian.http.post(f"{URL}/confirm", json={"outcome": "confirmed"})
    assert confirmed.json()["caller"]["pages"] == PAGES
    pop = await mair.event("call", lambda pop: pop["caller"]["confirmed"])
    assert pop["caller"]["pages"] == []
    refused = await sian.http.post(f"{URL}/confirm", json={"outcome": "not_them"})
    assert refused.json()["caller"]["pages"] == []


async def test_the_page_of_the_record_is_shown_before_the_confirmation_if_the_settings_say_so(crm):
    sian, mair, answered = await crm(page_before_confirmation=True)
    assert answered["caller"]["pages"] == PAGES
    assert not any(
        pop["caller"]["pages"] for _, _, pop in sian.seen if pop.get("state") == "ringing"
    )
    pop = await mair.event("call", lambda pop: pop["state"] == "answered")
    assert pop["caller"]["pages"] == []


async def test_a_directorys_answer_after_the_end_of_the_call_brings_back_no_call(running, ring):
    crm = Directory("crm", waits=True)
    sian = await ring(Directory("ours", [ELIN]), crm, budget=20.0)
    await sian.filled(CALL)
    running.switch.hang_up(CALL)
    await sian.event("closed")
    crm.go.set()
    await asyncio.gather(*running.desk.host.background.tasks)
    assert running.desk.calls.live.all() == []
