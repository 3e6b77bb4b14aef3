"""`galwad cases`: the register of requests by people, and the search for their calls.

Covers `galwad/cases/commands/register.py`, `galwad/cases/routes.py`, `galwad/cases/scope.py`,
`galwad/cases/store.py` and `galwad/cases/subject.py`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import text

from callerid.lookup import SearchResult
from callerid.person import Person
from galwad.cases import subject
from galwad.cases.store import StoredStep, add_step
from helpers.house import House
from helpers.notes import written
from helpers.site import NUMBER, Site

CALLS = [f"20260301-09{minute:02}00-abcdefgh" for minute in range(3)]
FIRST, SECOND, THIRD = CALLS
SAR = ("open", "access", "--reference", "SAR 4", "--name", "Mair Evans", "--language", "cy")
TODAY = datetime.now(UTC).date()
BY_LETTER = ("--received", str(TODAY), "--channel", "letter")
PEOPLE = (
    "reference,name,numbers,language\n"
    "CT-1,Mair Evans,020 7946 0123 | 01970 000001,cy\n"
    "CT-2,Owen Evans,020 7946 0123,en\n"
)


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory):
    """Three recordings, and an embedded directory."""
    with House(Site(tmp_path_factory.mktemp("node"))) as house:
        house.record(*CALLS)
        yield house


@pytest.fixture
def house(shared_house, run, monkeypatch):
    """The house without cases, with the administrator gwen signed in."""
    del run  # it clears the environment first
    monkeypatch.setenv("GALWAD_SERVER", shared_house.url)
    monkeypatch.setenv("GALWAD_TOKEN", token_of(shared_house, "gwen"))
    return shared_house


TOKENS: dict[str, str] = {}


def token_of(house, name, role="admin"):
    """Return the token of a user, who is made first if the house does not have them."""
    if name not in TOKENS:
        TOKENS[name] = house.token(name, role)
    return TOKENS[name]


def opened(run, *words):
    """Open a case and return its number."""
    done = run("cases", *SAR, *words, "--json")
    assert done.status == 0, done.err
    return str(done.json()["case"]["case_id"])


def shown(run, case):
    return run("cases", "show", case, "--json").json()


def found(run, case):
    rows = run("cases", "calls", case, "--json").json()["rows"]
    return {row["call_id"]: row for row in rows}


def test_the_clock_of_a_request_in_a_call_starts_on_the_day_of_the_call(run, house):
    done = run("cases", *SAR, "--call", SECOND)
    assert done.status == 0, done.err
    assert "due 2026-04-01" in done.out
    (case,) = [
        each["case_id"]
        for each in run("cases", "list", "--json").json()["rows"]
        if each["call_id"] == SECOND
    ]
    page = run("cases", "show", case).out
    assert "received: 2026-03-01, by telephone " + SECOND in page
    assert "answer by: 2026-04-01\n" in page
    assert "state: overdue\n" in page
    assert "overdue" in run("cases", "list").out
    assert f'linked call, as "{SECOND}": 1' in page
    assert list(found(run, str(case))) == [SECOND]
    kinds = [kind for kind, _ in house.audit()]
    assert {"case.opened", "cases.listed", "case.shown", "case.calls-shown"} <= set(kinds)


def test_a_question_stops_the_clock_and_a_mistake_can_be_withdrawn(run, house):
    case = opened(run, *BY_LETTER)
    due = shown(run, case)["case"]["answer_by"]
    done = run("cases", "step", case, "scope-asked", "--note", "which calls?\nsince when?")
    assert done.out == f"Case {case}: waits for a clarification.\n"
    assert f"answer by: {due}, if the person answered today\n" in run("cases", "show", case).out
    undone = run("cases", "undo", case, "1", "--reason", "wrong case")
    assert undone.out == f"Case {case}: due {due}.\n"
    page = run("cases", "show", case).out
    assert f"step 1: {TODAY} scope-asked (user:gwen): which calls?\n  since when?; wi" in page
    again = run("cases", "undo", case, "1", "--reason", "once more")
    assert again.err.startswith("error: the case has no such step\n")
    run("cases", "step", case, "closed", "--outcome", "granted")
    assert shown(run, case)["case"]["state"] == "closed"
    assert int(case) not in [
        row["case_id"] for row in run("cases", "list", "--json").json()["rows"]
    ]
    every = run("cases", "list", "--all", "--json").json()["rows"]
    assert int(case) in [row["case_id"] for row in every]
    refused = run("cases", "search", case, "--number", NUMBER)
    assert refused.err.startswith("error: the case is closed\n")
    steps = [facts for kind, facts in house.audit() if kind.startswith("case.step")]
    assert [facts["kind"] for facts in steps[-3:]] == ["scope-asked", "scope-asked", "closed"]


def test_a_number_finds_calls_in_each_place_whatever_its_spelling(run, house):
    case = opened(run, *BY_LETTER)
    done = run("cases", "search", case, "--number", "(020) 7946 0123")
    assert f'recordings, as "{NUMBER}": 3\n' in done.out
    assert f'open notes, as "{NUMBER}": 3\n' in done.out
    assert done.out.endswith("Calls added to the case: 3\n")
    again = run("cases", "search", case, "--number", NUMBER)
    assert again.out.endswith("Calls added to the case: 0\n")
    calls = found(run, case)
    assert sorted(calls) == CALLS
    assert calls[FIRST]["searches"] == [1, 2]
    assert (calls[FIRST]["recording"], calls[FIRST]["advisor"]) == ("recorded", "sian")
    nothing = run("cases", "search", case, "--number", "01970 999999")
    assert nothing.out.endswith("Calls added to the case: 0\n")
    assert len(shown(run, case)["searches"]) == 3
    searched = [facts for kind, facts in house.audit() if kind.startswith("case.search")]
    assert searched[-2]["by"] == "number"
    assert "01970 999999" not in str(searched)


def test_a_name_finds_people_and_the_chosen_person_their_calls_and_numbers(run, house, tmp_path):
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE)
    imported = run("directory", "import", file, "--config", house.site.config)
    assert imported.status == 0, imported.err
    case = opened(run, *BY_LETTER)
    listed = run("cases", "search", case, "--text", "evans", "--json").json()
    people = {each["reference"]: each for each in listed["people"]}
    assert sorted(people) == ["CT-1", "CT-2"]
    assert sorted(people["CT-1"]["numbers"]) == ["01970 000001", "020 7946 0123"]
    assert listed["new"] == 0
    mair, owen = people["CT-1"]["person"], people["CT-2"]["person"]
    notes, now = house.desk.notes.contacts, time.time()
    house.do(notes.save_confirmation(FIRST, Person(mair, "Mair Evans"), "confirmed", now))
    house.do(notes.save_confirmation(SECOND, Person(owen, "Owen Evans"), "confirmed", now))
    house.do(notes.save(FIRST, written("Council Tax", "cy"), now))
    done = run("cases", "search", case, "--text", "evans", "--person", mair)
    assert f'notes of person, as "{mair}": 1\n' in done.out
    assert f'recordings, as "{NUMBER}": 3\n' in done.out
    assert 'recordings, as "+441970000001": 0\n' in done.out
    assert 'notes by reference, as "CT-1": 0\n' in done.out
    # The number is shared, so the calls of the other person are excluded, for a reason.
    assert {call: row["person"] for call, row in found(run, case).items()} == {
        FIRST: mair,
        SECOND: owen,
        THIRD: "",
    }
    why = ("--reason", "a call of Owen Evans")
    assert run("cases", "exclude", case, SECOND, *why).out == "Calls excluded: 1\n"
    assert found(run, case)[SECOND]["excluded"] == "a call of Owen Evans"
    page = run("cases", "show", case).out
    assert "calls found: 3, of which excluded: 1\n" in page
    assert run("cases", "include", case, SECOND).out == "Calls included: 1\n"
    assert shown(run, case)["excluded"] == 0
    missing = run("cases", "exclude", case, "20260301-100000-abcdefgh", *why)
    assert missing.err.startswith("error: the case does not have the call 20260301-100000")
    run("cases", "exclude", case, SECOND, *why)
    assert run("cases", "search", case, "--remove", "2").out == "Search 2 is removed.\n"
    assert (found(run, case), shown(run, case)["excluded"]) == ({}, 0)
    again = run("cases", "search", case, "--number", NUMBER, "--json").json()
    assert (again["search"]["position"], again["new"]) == (3, 3)
    assert found(run, case)[SECOND]["excluded"] == "a call of Owen Evans"
    gone = run("cases", "search", case, "--text", "evans", "--person", "directory:999")
    assert gone.err.startswith("error: the directories do not find this person by the text\n")


def test_calls_on_behalf_of_the_person_and_by_their_reference_are_found(run, house):
    notes, now = house.desk.notes.contacts, time.time()
    child = Person("crm:9", "Child", details=(("reference", "CT-9"),))
    house.do(notes.save_confirmation(THIRD, child, "confirmed", now))
    family = written(
        "Council Tax",
        "en",
        caller_type="family",
        on_behalf_of="Mrs Siân 100% Pugh",
        authority="daughter",
    )
    house.do(notes.save(THIRD, family, now))
    case = opened(run, *BY_LETTER)
    for words in ("sian 100% PUGH", "SIÂN", "CT-9"):
        done = run("cases", "search", case, "--text", words, "--json").json()
        assert done["search"]["found"] == 1
    assert list(found(run, case)) == [THIRD]
    assert run("cases", "search", case, "--text", "Siân %", "--json").json()["new"] == 0
    short = run("cases", "search", case, "--text", "Pu").out
    assert 'notes on behalf, as "Pu": the text is too short for this\n' in short


def test_a_person_who_is_never_popped_is_found_by_each_of_their_entries(run, house, monkeypatch):
    """A number that cannot be read, and a directory that knows too many people, are named."""
    hidden = Person(
        "crm:77",
        "Hidden",
        do_not_pop=True,
        numbers=("01970 000077 or 62",),
        same_as=("hr:5",),
    )

    async def answer(*_, hidden=False):
        return SearchResult(people if hidden else (), ())

    people: tuple[Person, ...] = (hidden,)
    monkeypatch.setattr(type(house.desk.directories.lookup), "search", answer)
    notes, now = house.desk.notes.contacts, time.time()
    colleague = Person("other:1", "Hidden", same_as=("hr:5",))
    house.do(notes.save_confirmation(THIRD, colleague, "confirmed", now))
    case = opened(run, *BY_LETTER)
    done = run("cases", "search", case, "--text", "hidden", "--person", "crm:77").out
    assert 'notes of person, as "crm:77, hr:5": 1\n' in done
    assert 'recordings, as "+441970000077": 0\n' in done
    assert "a number of the person cannot be read, and was not searched for\n" in done
    assert list(found(run, case)) == [THIRD]
    people = (hidden,) * 50
    done = run("cases", "search", case, "--text", "hidden").out
    assert 'directory: directory, as "hidden": too many people; give a longer text\n' in done


def test_a_call_whose_places_disagree_about_its_start_is_listed_once(run, house):
    case = opened(run, *BY_LETTER)
    run("cases", "search", case, "--number", NUMBER)

    async def moved():
        async with house.desk.host.engine.begin() as connection:
            await connection.execute(text("UPDATE recordings SET started = started + 3"))

    house.do(moved())
    run("cases", "search", case, "--number", NUMBER)
    rows = run("cases", "calls", case, "--json").json()["rows"]
    assert [row["call_id"] for row in rows] == CALLS[::-1]
    assert {tuple(row["searches"]) for row in rows} == {(1, 2)}


def test_a_case_that_is_closed_during_a_search_gets_no_calls(run, house, monkeypatch):
    case, searcher = opened(run, *BY_LETTER), house.desk.cases.searcher
    by_number = searcher.by_number
    closing = StoredStep(1, "closed", TODAY, "", "withdrawn", "user:nia", 1.0, "")

    async def slow(number):
        async with house.desk.host.engine.begin() as connection:
            await add_step(connection, int(case), closing)
        return await by_number(number)

    monkeypatch.setattr(searcher, "by_number", slow)
    done = run("cases", "search", case, "--number", NUMBER)
    assert done.err.startswith("error: the case is closed\n")
    assert (found(run, case), shown(run, case)["searches"]) == ({}, [])


def test_a_search_that_finds_the_calls_of_more_than_one_person_is_refused(run, house, monkeypatch):
    case = opened(run, *BY_LETTER)
    monkeypatch.setattr("galwad.cases.scope.MOST_CALLS", 2)
    done = run("cases", "search", case, "--number", NUMBER)
    assert done.err.startswith("error: more than 2 calls match, so this is not one person\n")
    assert found(run, case) == {}


def test_a_directory_that_cannot_be_searched_by_text_is_named(run, house, monkeypatch):
    lookup = house.desk.directories.lookup
    case = opened(run, *BY_LETTER)
    monkeypatch.setattr(type(lookup), "names", {"directory": True, "HR": False})
    done = run("cases", "search", case, "--text", "nobody of this name")
    assert 'directory: directory, as "nobody of this name": 0\n' in done.out
    assert "directory: HR" in done.out
    assert "this directory cannot be searched by a text\n" in done.out


def test_a_change_of_the_receipt_moves_the_deadline_unless_a_step_is_earlier(run, house):
    case = opened(run, *BY_LETTER)
    earlier = TODAY - timedelta(days=10)
    assert run("cases", "change", case, "--received", str(earlier), "--owner", "gwen").status == 0
    assert shown(run, case)["case"]["received"] == str(earlier)
    run("cases", "step", case, "noted", "--note", "called back", "--day", str(earlier))
    refused = run("cases", "change", case, "--received", str(TODAY))
    assert refused.err.startswith(f'error: the step "noted" of {earlier} does not fit')
    run("cases", "step", case, "scope-asked")
    refused = run("cases", "change", case, "--kind", "erasure")
    assert "only a request for access can wait for a clarification" in refused.err
    run("cases", "undo", case, "2", "--reason", "mistake")
    done = run("cases", "change", case, "--kind", "complaint").out
    assert done == f"Case {case}: due {earlier + timedelta(days=30)}.\n"


def test_the_recordings_of_a_case_are_restricted_and_released_but_not_the_excluded(run, house):
    case = opened(run, *BY_LETTER)
    run("cases", "search", case, "--number", NUMBER)
    run("cases", "exclude", case, SECOND, "--reason", "another person")
    assert run("cases", "restrict", case).out == "Recordings restricted: 2\n"
    assert run("cases", "restrict", case).out == "Recordings restricted: 0\n"
    rows = found(run, case)
    assert [rows[call]["flags"] for call in CALLS] == [["restricted"], [], ["restricted"]]
    assert run("cases", "restrict", case, "--remove").out == "Recordings no longer restricted: 2\n"
    assert [each["flags"] for each in found(run, case).values()] == [[], [], []]


def test_a_case_that_is_due_in_a_week_raises_an_alarm(run, house):
    soon = opened(run, "--received", str(TODAY - timedelta(days=40)), "--channel", "email")
    later = opened(run, *BY_LETTER)
    house.do(house.desk.cases.warn())
    details = [a.detail for a in house.desk.calls.alarms.open() if a.kind == subject.DUE]
    waits = ("--received", str(TODAY - timedelta(days=31)), "--channel", "email")
    waiting = opened(run, *waits)
    run("cases", "step", waiting, "identity-asked", "--day", waits[1])
    house.do(house.desk.cases.warn())
    reminders = [a.detail for a in house.desk.calls.alarms.open() if a.kind == subject.DUE]
    assert f"{waiting}: gwen waits since {waits[1]}" in reminders
    (mine,) = [each for each in details if each.startswith(f"{soon}: ")]
    assert mine.startswith(f"{soon}: gwen must act by ")
    assert not [each for each in details if each.startswith(f"{later}: ")]


def test_a_change_of_a_version_that_another_person_has_changed_is_refused(run, house):
    case = opened(run, *BY_LETTER)
    headers = {"Authorization": f"Bearer {token_of(house, 'nia')}"}
    with httpx2.Client(base_url=f"{house.url}/api/v1", headers=headers) as client:
        step = {"kind": "noted", "note": "a note"}
        assert client.post(f"/cases/{case}/steps", json={**step, "version": 1}).status_code == 200
        for method, path, body in (
            ("POST", "/steps", step),
            ("PUT", "", {"reference": "other"}),
        ):
            reply = client.request(method, f"/cases/{case}{path}", json={**body, "version": 1})
            assert reply.status_code == 409, path
            assert reply.json()["error"] == "the case was changed meanwhile"
    assert len(shown(run, case)["steps"]) == 1


def test_only_administrators_may_use_the_register(run, house):
    opened(run, *BY_LETTER)
    headers = {"Authorization": f"Bearer {token_of(house, 'siwan', 'supervisor')}"}
    with httpx2.Client(base_url=f"{house.url}/api/v1", headers=headers) as client:
        assert client.get("/cases").status_code == 403
        assert client.get("/cases/1/calls").status_code == 403
        assert client.post("/cases/1/searches", json={"number": NUMBER}).status_code == 403


def test_a_list_of_many_calls_is_read_page_by_page(run, house, monkeypatch):
    case = opened(run, *BY_LETTER)
    run("cases", "search", case, "--number", NUMBER)
    monkeypatch.setattr("galwad.cases.commands.register._PAGE", 2)
    assert sorted(found(run, case)) == CALLS


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("show", "999"), "no case has this number"),
        (SAR, "the receipt is not known"),
        ((*SAR, "--received", "soon", "--channel", "letter"), 'cannot read --received "soon"'),
        ((*SAR, "--received", "2099-01-01", "--channel", "letter"), "the day of receipt is in"),
        ((*SAR, "--received", "0202-01-01", "--channel", "letter"), "the day of receipt is before"),
        ((*SAR, "--call", "20260301-100000-abcdefgh"), "there is no call with this id"),
        ((*SAR, *BY_LETTER, "--owner", "siwan"), "the owner is not an administrator"),
        ((*SAR, *BY_LETTER, "--representative", "Ann"), "a representative needs an authority"),
        ((*SAR[:-1], "fr", *BY_LETTER), 'cannot read --language "fr"'),
        (("step", "1", "closed"), '"closed" and --outcome belong together'),
        (("step", "1", "closed", "--outcome", "refused"), "this step needs a note"),
        (("search", "1", "--number", "12", "--text", "Ann"), "the search is not clear"),
        (("search", "1", "--number", "twelve"), "`number` is not a telephone number"),
        (("search", "1", "--remove", "99"), "the case has no such search"),
        (("exclude", "1", FIRST), "--reason is empty"),
        (("change", "1"), "nothing changes"),
    ],
)
def test_words_that_cannot_be_used_give_one_error_and_change_nothing(run, house, words, error):
    opened(run, *BY_LETTER)
    before = run("cases", "list", "--json").json()["rows"]
    done = run("cases", *words)
    assert done.status != 0
    assert error in done.err.splitlines()[0]
    assert run("cases", "list", "--json").json()["rows"] == before
