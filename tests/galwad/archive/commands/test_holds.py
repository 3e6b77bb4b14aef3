"""`galwad holds`: legal holds, their recordings, and their release by two administrators.

Covers `galwad/archive/commands/holds.py`, `galwad/archive/hold_routes.py`,
`recording/index/holds.py` and `galwad/archive/custody.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time

import httpx2
import pytest

from galwad.archive.clock import ClockWatch
from helpers.house import House
from helpers.site import Site

CALLS = [f"20260301-09{minute:02}00-abcdefgh" for minute in range(3)]
FIRST, SECOND, THIRD = CALLS
LATER = "20260302-090000-abcdefgh"
CALLER = "+442079460123"
REFERENCE = ("--reference", "Claim 2026/17", "--review", "2099-06-01")
WHY = ("--reason", "a fall in Bridge Street")
SETTLED = ("--reason", "settled", "--yes")
OUTDATED = ("--reason", "retention", "--reference", "R-2026", "--yes")
ORDERED = ("--reason", "order", "--reference", "R-2026", "--yes")
DAY_S = 86_400


@pytest.fixture
def house(tmp_path, run, monkeypatch):
    """Three recordings, and the administrator gwen, who may dispose of recordings."""
    del run  # it clears the environment first
    with House(Site(tmp_path / "node")) as house:
        house.record(*CALLS)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin", "purge"))
        set_clock(house, time.time)
        yield house


@pytest.fixture
def second(house, run, monkeypatch):
    """A function that runs a command as the administrator nia."""
    token = house.token("nia", "admin", "purge")

    def as_second(*words):
        with monkeypatch.context() as patch:
            patch.setenv("GALWAD_TOKEN", token)
            return run(*words)

    return as_second


def open_hold(run, *which):
    done = run("holds", "open", *which, *REFERENCE, *WHY)
    assert done.status == 0, done.err
    return done.out


def set_clock(house, clock, is_synchronised=lambda: True):
    retention = house.desk.archive.retention
    retention.clock = clock
    retention.watch = ClockWatch(
        house.desk.host.audit, clock=clock, is_synchronised=is_synchronised
    )
    return retention


def of(house, *kinds):
    return [(kind, facts) for kind, facts in house.audit() if kind in kinds]


def held(run, hold):
    """Return the ids of the recordings that a hold retains."""
    rows = run("recordings", "list", "--hold", str(hold), "--json").json()["rows"]
    return sorted(row["call_id"] for row in rows)


def test_a_retained_recording_cannot_be_disposed_of_before_two_administrators_release_it(
    run, house, second
):
    assert open_hold(run, FIRST) == "Legal hold 1 is open. Recordings retained for it: 1.\n"
    refused = run("recordings", "purge", FIRST, *ORDERED)
    assert refused.err == (
        "error: the recording is retained\n"
        "hint: release it first; its legal holds: 1 (Claim 2026/17)\n"
    )
    shown = run("recordings", "show", FIRST).out
    assert "retained for legal hold 1: Claim 2026/17" in shown
    first = run("holds", "release", "1", *SETTLED)
    assert first.out.endswith(
        "Legal hold 1 is released when a second administrator runs this command too.\n"
    )
    assert "gwen asks to release it" in run("holds", "list").out
    again = run("holds", "release", "1", *SETTLED)
    assert again.err.startswith("error: you have asked for this release already\n")
    assert run("recordings", "purge", FIRST, *ORDERED).status == 1
    agreed = second("holds", "release", "1", *SETTLED).out
    assert "state: gwen asks to release it\nreason for the release: settled\n" in agreed
    assert agreed.endswith("Legal hold 1 is released.\n")
    assert "There are no legal holds." in run("holds", "list").out
    assert "released" in run("holds", "list", "--all").out
    assert run("recordings", "purge", FIRST, *ORDERED).status == 0
    assert run("holds", "open", FIRST, *REFERENCE, *WHY).err.startswith(
        f"error: the recording {FIRST} was disposed of\n"
    )
    kinds = [kind for kind, _ in of(house, "recording.held", "hold.release-asked", "hold.released")]
    assert kinds == ["recording.held", "hold.release-asked", "hold.released"]
    ((_, released),) = of(house, "hold.released")
    assert (released["actor"], released["asked_by"]) == ("user:nia", "gwen")


def test_after_a_release_the_night_keeps_a_due_recording_for_the_time_of_grace(
    run, house, second, monkeypatch
):
    text = house.site.config.read_text()
    keep = 'keep = "1 day"\ncounted_from = "call"'
    house.site.config.write_text(text.replace('keep = "by hand"', keep))
    house.restart()
    monkeypatch.setenv("GALWAD_SERVER", house.url)
    run("retention", "approve", "2", "--yes")
    open_hold(run, FIRST)
    assert second("retention", "approve", "2", "--yes").status == 0
    retention = set_clock(house, time.time)
    assert house.do(retention.nightly()).disposed == 2
    run("holds", "release", "1", *SETTLED)
    second("holds", "release", "1", *SETTLED)
    assert house.do(retention.nightly()).disposed == 0
    assert run("retention", "plan", "--json").json()["due"][0]["retained"] == 0
    assert "released; kept at least until" in run("recordings", "show", FIRST).out
    refused = run("recordings", "purge", FIRST, *OUTDATED)
    assert "it was retained for a legal hold) as outdated before" in refused.err
    days = (13, 16)
    due = [house.do(retention.terms.is_due(FIRST, time.time() + day * DAY_S)) for day in days]
    assert due == [False, True]


@pytest.mark.parametrize("first", ["gwen", "other", "gwen, and a third account between"])
def test_two_accounts_cannot_release_if_one_has_made_the_other(run, house, monkeypatch, first):
    open_hold(run, FIRST)
    gwen = os.environ["GALWAD_TOKEN"]
    maker = house.account_made_by(gwen, "third") if "third" in first else gwen
    tokens = [gwen, house.account_made_by(maker)]
    for token in tokens[::-1] if first == "other" else tokens:
        monkeypatch.setenv("GALWAD_TOKEN", token)
        done = run("holds", "release", "1", *SETTLED)
    assert " do not count as two people: one account has made or changed the other" in done.err
    assert held(run, 1) == [FIRST]


def test_requests_for_two_recordings_wait_beside_each_other(run, house, second):
    open_hold(run, FIRST, SECOND)
    requests = [
        ("holds", "release", "1", "--recording", each, *SETTLED) for each in (FIRST, SECOND)
    ]
    for request in requests:
        assert run(*request).status == 0
    for request in requests:
        assert second(*request).out.endswith(" is released.\n")
    assert held(run, 1) == []


def test_a_release_waits_while_the_clock_is_in_doubt(run, house, second):
    open_hold(run, FIRST)
    set_clock(house, time.time, is_synchronised=lambda: False)
    run("holds", "release", "1", *SETTLED)
    done = second("holds", "release", "1", *SETTLED)
    assert done.err.startswith("error: this machine's clock is in doubt: ")
    assert held(run, 1) == [FIRST]


def test_a_query_without_a_filter_and_a_huge_number_are_refused(house):
    headers = {"Authorization": f"Bearer {house.token('rhys', 'admin')}"}
    hold = {"reference": "C", "reason": "C", "review": "2099-01-01"}
    with httpx2.Client(base_url=f"{house.url}/api/v1", headers=headers) as client:
        for query in ({}, {"number": ""}, {"when": ""}):
            assert client.post("/holds", json={**hold, "query": query}).status_code == 422
        assert client.get(f"/holds/{10**20}").status_code == 422
        assert client.get("/holds").json()["rows"] == []


def test_a_recording_with_two_holds_stays_retained_when_one_is_released(run, house, second):
    open_hold(run, FIRST, SECOND)
    open_hold(run, FIRST)
    for as_user in (run, second):
        assert as_user("holds", "release", "1", *SETTLED).status == 0
    assert (held(run, 1), held(run, 2)) == ([], [FIRST])
    assert "its legal holds: 2" in run("recordings", "purge", FIRST, *ORDERED).err
    assert run("recordings", "purge", SECOND, *ORDERED).status == 0


def test_one_recording_of_a_hold_is_released_by_two_and_the_others_stay(run, house, second):
    open_hold(run, FIRST, SECOND)
    one = ("holds", "release", "1", "--recording", FIRST, *SETTLED)
    assert run(*one).status == 0
    assert f"gwen asks to release {FIRST}: settled" in run("holds", "show", "1").out
    assert run("recordings", "purge", FIRST, *ORDERED).status == 1
    assert second(*one).out.endswith(f"{FIRST} is released.\n")
    assert held(run, 1) == [SECOND]
    assert second(*one).err.startswith("error: the hold does not retain this recording\n")
    assert "Recordings retained for it: 1." in run("holds", "add", "1", FIRST).out
    assert held(run, 1) == [FIRST, SECOND]


def test_a_hold_retains_what_a_query_finds_and_each_later_call_of_its_number(run, house, second):
    run("recordings", "purge", THIRD, *ORDERED)
    out = open_hold(run, "--number", CALLER, "--until", "2026-03-02", "--future")
    assert out.endswith("retained for it: 2; disposed of, so not retained: 1.\n")
    run("holds", "release", "1", *SETTLED)
    house.record(LATER)
    assert held(run, 1) == [FIRST, SECOND, LATER]
    assert run("holds", "show", "1", "--json").json()["hold"]["asked_by"] == ""
    assert f"of {CALLER}" in run("holds", "show", "1").out
    again = run("holds", "add", "1", "--number", CALLER)
    assert "retained for it: 0; before: 3; disposed of, so not retained: 1." in again.out
    for as_user in (run, second):
        as_user("holds", "release", "1", *SETTLED)
    house.record("20260303-090000-abcdefgh")  # after the release
    shown = run("holds", "show", "1", "--json").json()["hold"]
    assert (shown["recordings"], shown["number"]) == (0, None)
    entries = [facts for _, facts in of(house, "recording.held")]
    assert [(each["call_id"], each["hold"]) for each in entries] == [
        *((each, 1) for each in (SECOND, FIRST)),
        (LATER, 1),
    ] or {each["call_id"] for each in entries} == {FIRST, SECOND, LATER}


def test_a_later_caller_of_the_number_is_retained_too(run, house):
    open_hold(run, "--number", "+441632960002", "--future")
    house.record(LATER, later_caller="+441632960002")
    assert held(run, 1) == [LATER]


def test_a_change_withdraws_the_request_to_release_and_needs_the_newest_version(run, house, second):
    open_hold(run, FIRST)
    run("holds", "release", "1", *SETTLED)
    done = second("holds", "change", "1", "--review", "2098-01-01", "--owner", "nia")
    assert done.out == "Legal hold 1 is changed.\n"
    shown = run("holds", "show", "1", "--json").json()["hold"]
    assert (shown["owner"], shown["review"], shown["asked_by"]) == ("nia", "2098-01-01", "")
    headers = {"Authorization": f"Bearer {house.token('bryn', 'admin')}"}
    with httpx2.Client(base_url=f"{house.url}/api/v1", headers=headers) as client:
        old = {"version": shown["version"] - 1}
        for method, path, body in (
            ("PUT", "/holds/1", {"reason": "other", **old}),
            ("POST", "/holds/1/release", {"reason": "settled", **old}),
        ):
            reply = client.request(method, path, json=body)
            assert reply.status_code == 409
            assert reply.json()["error"] == "the hold was changed or released meanwhile"
        assert client.put("/holds/1", json={"version": shown["version"]}).status_code == 422


def test_the_night_raises_an_alarm_about_holds_whose_review_has_come(run, house):
    open_hold(run, FIRST)
    retention = set_clock(house, time.time)
    house.do(retention.nightly())
    assert "hold.review" not in [each.kind for each in house.desk.calls.alarms.open()]
    with contextlib.closing(sqlite3.connect(house.site.settings.database)) as database, database:
        database.execute("UPDATE legal_holds SET review = date('now')")
    house.do(retention.nightly())
    (alarm,) = [a for a in house.desk.calls.alarms.open() if a.kind == "hold.review"]
    assert alarm.detail == "1"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("show", "7"), "no legal hold has this number"),
        (("open", *REFERENCE, *WHY), "no recordings are named"),
        (("open", FIRST, *WHY, "--reference", "C"), "--review is empty"),
        (("open", FIRST, *WHY, *REFERENCE[:2], "--review", "soon"), 'cannot read --review "soon"'),
        (
            ("open", FIRST, *WHY, *REFERENCE[:2], "--review", "2020-01-01"),
            "the date of review is not after today",
        ),
        (("open", FIRST, *WHY, *REFERENCE, "--owner", "nobody"), "the owner is not an administ"),
        (("open", "20260301-090000-zzzzzzzz", *WHY, *REFERENCE), "no recording has this id"),
        (("open", "--line", "Waste", "--future", *WHY, *REFERENCE), "--future needs --number"),
    ],
)
def test_a_hold_that_cannot_be_opened_or_shown_is_refused_with_one_error(run, house, words, error):
    done = run("holds", *words)
    assert done.err.startswith(f"error: {error}")
    assert run("holds", "list", "--json").json()["rows"] == []


def test_if_a_recording_is_retained_and_purged_at_the_same_time_one_request_is_refused(house):
    async def both():
        headers = {"Authorization": f"Bearer {house.token('rhys', 'admin', 'purge')}"}
        hold = {"reference": "C", "reason": "C", "review": "2099-01-01", "call_ids": [FIRST]}
        async with httpx2.AsyncClient(base_url=f"{house.url}/api/v1", headers=headers) as client:
            body = {"reason": "order", "reference": "R-2026"}
            return await asyncio.gather(
                client.post(f"/recordings/{FIRST}/purge", json=body, timeout=30),
                client.post("/holds", json=hold, timeout=30),
            )

    purged, opened = asyncio.run(both())
    if purged.status_code == 200:
        assert opened.status_code == 409 or opened.json()["disposed"] == 1
    else:
        assert (purged.status_code, opened.json()["retained"]) == (409, 1)
    assert house.path(FIRST, "header").exists() is (purged.status_code == 409)
