"""A card number keyed outside a pause is an incident, until `recordings purge --captured-card`.

Covers `galwad/archive/commands/recordings.py`, `galwad/archive/indexer.py`,
`galwad/archive/custody.py` and `galwad/archive/routes.py`.
"""

from __future__ import annotations

import contextlib
import sqlite3

import httpx2
import numpy as np
import pytest

from helpers.cli import index_agrees
from helpers.house import House
from helpers.recording.tones import CARDS, keyed, packets, silence
from helpers.site import Site
from recording.archive.disposal import CERTIFICATE

FIRST, SECOND, PLAIN = (f"20260301-09{minute:02}00-abcdefgh" for minute in range(3))
WHY = ("--captured-card", "--reference", "INC-7", "--yes")
PREVENTION = (
    *("--missing-trigger", "no key on the phone"),
    *("--changed", "the page pauses when the form opens"),
)


@pytest.fixture
def house(tmp_path, run, monkeypatch):
    """Two recordings with a captured card and one without; gwen may purge."""
    del run  # it clears the environment first
    with House(Site(tmp_path / "node")) as house:
        for number, call_id in enumerate((FIRST, SECOND)):
            spool = key_a_card(house.site, call_id, CARDS[number])
            house.loop.call_soon_threadsafe(house.look)
            house.do(house.site.gone(spool))
        house.record(PLAIN)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin", "purge"))
        yield house


def key_a_card(site, call_id, number):
    """Write the spool of a call in which the caller keys a card number after two seconds."""
    sound = np.concatenate([silence(2), keyed(number, 60, 60), silence(2)])
    writer = site.writer(call_id)
    writer.event("call", {"number": "+442079460123", "withheld": False, "line": "main"}, 0)
    writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    writer.event("segment", {"class": "centre", "to": ""}, 0)
    for at_us, track, data in packets("PCMA", sound):
        writer.packet(track, at_us, data)
    writer.event("ended", {"cause": "bye"}, len(sound) * 125)
    writer.close(len(sound) * 125)
    return writer.path


def listed(run):
    return {row["call_id"]: row for row in run("recordings", "list", "--json").json()["rows"]}


def test_a_captured_card_is_listed_shown_and_audited_and_raises_an_alarm(run, house):
    rows = listed(run)
    states = {call_id: row["captured_card"] for call_id, row in rows.items()}
    assert states == {FIRST: "open", SECOND: "open", PLAIN: ""}
    assert [gap["reason"] for gap in rows[FIRST]["gaps"]] == ["captured-card"]
    filtered = run("recordings", "list", "--gap", "captured-card", "--json").json()["rows"]
    assert [row["call_id"] for row in filtered] == [SECOND, FIRST]
    text = run("recordings", "list").out
    assert text.count("card incident open") == 2 or text.count("open") == 2
    shown = run("recordings", "show", FIRST).out
    assert "by tones, system" in shown
    assert "! a card number was keyed at 0:01 - 0:04" in shown.replace("\n", " ")
    entries = [facts for kind, facts in house.audit() if kind == "recording.captured-card"]
    assert {entry["call_id"] for entry in entries} == {FIRST, SECOND}
    assert len(entries) == 2
    assert house.desk.host.metrics.alarms.labels("recording.captured_card")._value.get() >= 2
    assert run("calls", "coverage", "--json").json()["orphans"] == []
    assert index_agrees(run("recordings", "verify", FIRST))


def test_neither_the_card_number_nor_its_last_8_digits_are_stored(house):
    for path in (house.site.root / "state").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert CARDS[0].encode() not in data
            assert CARDS[0][-8:].encode() not in data


def test_purging_a_captured_card_leaves_a_certificate_and_the_prevention_record(run, house):
    done = run("recordings", "purge", FIRST, *WHY, *PREVENTION)
    assert done.status == 0, done.err
    assert f"{FIRST}  disposed of " in done.out
    assert "(captured-card) by user:gwen" in done.out
    assert not house.path(FIRST, "header").exists()
    certificate = CERTIFICATE.read(house.path(FIRST, "disposal").read_bytes())
    assert certificate.reason == "captured-card"
    entries = house.audit()[-3:]
    assert [kind for kind, _ in entries] == [
        "captured-card.prevention",
        "recording.purge-ordered",
        "recording.purged",
    ]
    assert entries[0][1] == {
        "call_id": FIRST,
        "actor": "user:gwen",
        "missing_trigger": "no key on the phone",
        "changed": "the page pauses when the form opens",
    }
    shown = run("recordings", "show", FIRST, "--json").json()
    (incident,) = shown["captured_cards"]
    assert (incident["state"], incident["missing_trigger"], incident["changed"]) == (
        "closed",
        "no key on the phone",
        "the page pauses when the form opens",
    )
    text = run("recordings", "show", FIRST).out
    assert "missing trigger: no key on the phone" in text
    assert "changed: the page pauses when the form opens" in text
    assert listed(run)[FIRST]["captured_card"] == "closed"
    assert listed(run)[SECOND]["captured_card"] == "open"
    assert house.path(SECOND, "header").exists()
    archive = house.site.settings.archive
    assert run("recordings", "verify", archive, "--node-key", archive / "galwad.pub").status == 0
    assert run("audit", "verify", "--recordings", archive).status == 0


def test_without_ids_every_recording_with_an_open_incident_is_purged(run, house):
    done = run("recordings", "purge", *WHY, *PREVENTION, "--json").json()
    assert [each["call_id"] for each in done] == [FIRST, SECOND]
    headers = [house.path(call_id, "header").exists() for call_id in (FIRST, SECOND, PLAIN)]
    assert headers == [False, False, True]
    again = run("recordings", "purge", *WHY, *PREVENTION)
    assert (again.status, again.out) == (0, "No card incident is open.\n")


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        (PREVENTION[:2], "--changed is empty"),
        (PREVENTION[2:], "--missing-trigger is empty"),
        ((*PREVENTION[:2], "--changed", "  "), "--changed is empty"),
        ((*PREVENTION, "--reason", "mistake"), "--captured-card is a reason itself"),
        ((*PREVENTION, "-o", "certificate.json"), "--output needs exactly one id"),
    ],
)
def test_a_purge_of_captured_cards_with_wrong_options_destroys_nothing(
    run, house, left_out, message
):
    done = run("recordings", "purge", *WHY, *left_out)
    assert (done.status, done.err.splitlines()[0]) == (2, f"error: {message}")
    assert house.path(FIRST, "header").exists()
    assert not [kind for kind, _ in house.audit() if "purge" in kind or "prevention" in kind]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FIRST, "--reference", "R", *PREVENTION), "belong to --captured-card"),
        ((FIRST, "--reference", "R"), "--reason is missing"),
        ((FIRST, SECOND, "--reference", "R", "--reason", "mistake"), "give exactly one id"),
        (("--reference", "R", "--reason", "mistake"), "give exactly one id"),
        ((FIRST, "--reference", "R", "--reason", "captured-card"), "captured-card"),
    ],
)
def test_a_purge_for_another_reason_takes_exactly_one_id_and_no_prevention_record(
    run, house, arguments, message
):
    done = run("recordings", "purge", *arguments, "--yes")
    assert done.status == 2
    assert message in done.err
    assert house.path(FIRST, "header").exists()


def test_a_recording_without_a_captured_card_is_not_purged_for_that_reason(run, house):
    done = run("recordings", "purge", PLAIN, *WHY, *PREVENTION)
    assert done.err.startswith("error: no card number was keyed in this recording\n")
    assert house.path(PLAIN, "header").exists()


def test_a_retained_recording_keeps_its_incident_open_until_its_release(run, house, monkeypatch):
    case = ("--reference", "C-17", "--reason", "claim", "--review", "2099-01-01")
    run("holds", "open", FIRST, *case)
    done = run("recordings", "purge", FIRST, *WHY, *PREVENTION)
    assert done.err.startswith("error: the recording is retained\n")
    assert listed(run)[FIRST]["captured_card"] == "open"
    run("retention", "confirm-clock", "--reason", "a test")
    release = ("holds", "release", "1", "--reason", "settled", "--yes")
    run(*release)
    with monkeypatch.context() as patch:
        patch.setenv("GALWAD_TOKEN", house.token("nia", "admin"))
        run(*release)
    assert run("recordings", "purge", FIRST, *WHY, *PREVENTION).status == 0
    assert listed(run)[FIRST]["captured_card"] == "closed"


def test_a_recording_that_was_disposed_of_before_still_needs_its_prevention_record(run, house):
    ordinary = ("--reason", "retention", "--reference", "R", "--yes")
    first = run("recordings", "purge", FIRST, *ordinary)
    assert listed(run)[FIRST]["captured_card"] == "open"
    done = run("recordings", "purge", FIRST, *WHY, *PREVENTION)
    assert (done.status, done.out) == (0, first.out)
    assert listed(run)[FIRST]["captured_card"] == "closed"


def test_an_incident_stays_open_when_the_finaliser_cannot_dispose_of_the_recording(run, house):
    house.do(house.desk.archive.socket.stop())
    done = run("recordings", "purge", FIRST, *WHY, *PREVENTION)
    assert done.err.startswith("error: the finaliser cannot be reached\n")
    assert listed(run)[FIRST]["captured_card"] == "open"


def test_the_api_requires_a_prevention_record_for_a_captured_card_and_refuses_it_otherwise(house):
    headers = {"Authorization": f"Bearer {house.token('nia', 'admin', 'purge')}"}
    texts = {"missing_trigger": "none", "changed": "a key"}
    with httpx2.Client(base_url=f"{house.url}/api/v1", headers=headers) as client:
        for body in (
            {"reason": "captured-card"},
            {"reason": "captured-card", "missing_trigger": "none"},
            {"reason": "captured-card", **texts, "changed": " "},
            {"reason": "mistake", **texts},
        ):
            reply = client.post(f"/recordings/{FIRST}/purge", json={"reference": "R", **body})
            assert reply.status_code == 422
        rows = client.get("/captured-cards", params={"only_open": True}).json()["rows"]
        assert [row["call_id"] for row in rows] == [FIRST, SECOND]
        assert {row["state"] for row in rows} == {"open"}
    assert house.path(FIRST, "header").exists()
    advisor = {"Authorization": f"Bearer {house.token('sian', 'advisor')}"}
    reply = httpx2.get(f"{house.url}/api/v1/captured-cards", headers=advisor)
    assert reply.status_code == 403


def test_a_reindexed_recording_gets_its_incident_again(run, house, monkeypatch):
    settings = house.site.settings
    house.__exit__()
    settings.database.unlink()
    house.__enter__()
    monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin", "purge"))
    done = run("recordings", "reindex", FIRST, "--reference", "R-1", "--server", house.url)
    assert done.status == 0, done.err
    incidents = house.do(house.desk.archive.captured_cards.all())
    assert [(each.call_id, each.state) for each in incidents] == [(FIRST, "open")]


def test_audit_verify_names_an_incident_that_sql_has_changed_deleted_or_closed(run, house):
    path = house.site.settings.database

    def sql(statement):
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.execute(statement)
            connection.commit()

    def named(words):
        done = run("audit", "verify")
        lines = [line for line in done.out.splitlines() if words in line]
        return done.status, [line.partition(":")[0] for line in lines]

    assert run("audit", "verify").status == 0
    sql(f"UPDATE captured_cards SET to_us = to_us + 1 WHERE call_id = '{SECOND}'")
    assert named("do not agree on the end of a captured card") == (1, [SECOND])
    sql(f"DELETE FROM captured_cards WHERE call_id = '{SECOND}'")
    assert named("its incident is gone") == (1, [SECOND])
    assert "its incident is gone" in run("recordings", "verify", SECOND).out
    sql(f"UPDATE captured_cards SET closed = 5, changed = '', missing_trigger = '{FIRST}'")
    assert named("no audit entry has its prevention") == (1, [FIRST])
    sql("UPDATE captured_cards SET closed = NULL, changed = NULL, missing_trigger = NULL")
    assert run("recordings", "purge", FIRST, *WHY, *PREVENTION).status == 0
    assert named("prevention") == (1, [])
    sql("UPDATE captured_cards SET changed = 'nothing'")
    assert named("no audit entry has its prevention") == (1, [FIRST])
