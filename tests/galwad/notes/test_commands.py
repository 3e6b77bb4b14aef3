"""`galwad contacts`: list undelivered notes, deliver them again, discard them; on a real desk."""

from __future__ import annotations

import asyncio

import pytest

from galwad.notes.rules import OpenNote
from helpers.desk import Running
from helpers.notes import written

ONE, TWO = "20261125-101500-aaaaaaaa", "20261125-101600-bbbbbbbb"


@pytest.fixture
async def desk(tmp_path):
    """A desk with the notes of two calls, of which one was refused."""
    running = Running(tmp_path)
    await running.switch.start()
    await running.start()
    await running.add("gwen", "admin")
    contacts, outbox = running.desk.notes.contacts, running.desk.notes.delivery.outbox
    for call_id in (ONE, TWO):
        await contacts.open_note(OpenNote(call_id, 1000.0, "Waste", "sian", "201"))
        await contacts.save(call_id, written("Missed collection", "cy"), 1_800_000_000.0)
    version = await outbox.next_version(1_800_000_001.0)
    assert version is not None
    await outbox.refused(version, "the server refuses it (422)")
    yield running
    await running.stop()
    await running.switch.stop()


@pytest.fixture
async def galwad(desk, run, monkeypatch):
    """Return a function that runs a command as the administrator gwen."""
    token = await desk.desk.people.sessions.open("gwen", "cli")
    monkeypatch.setenv("GALWAD_SERVER", desk.url)
    monkeypatch.setenv("GALWAD_TOKEN", token)

    async def galwad(*words):
        return await asyncio.to_thread(run, "contacts", *words)

    return galwad


async def test_the_list_shows_state_and_reason_but_no_text(galwad):
    done = await galwad("list", "--undelivered")
    assert done.status == 0
    first, second = done.out.splitlines()[1:]
    assert first.split()[:3] == [ONE, "1", "refused"]
    assert "the server refuses it (422)" in first
    assert second.split()[:3] == [TWO, "1", "waiting"]
    assert "Missed" not in done.out
    assert [
        each["call_id"] for each in (await galwad("list", "--undelivered", "--json")).json()
    ] == [
        ONE,
        TWO,
    ]


async def test_list_without_undelivered_is_wrong_usage_and_names_the_option(galwad):
    done = await galwad("list")
    assert (done.status, done.out) == (2, "")
    assert "--undelivered" in done.err


async def test_a_refused_note_waits_again_after_retry(galwad, desk):
    assert (await galwad("retry", ONE)).out == f"{ONE}\n"
    assert (await desk.desk.notes.delivery.outbox.backlog()).refused == 0


async def test_retry_lists_the_calls_that_it_handled_before_an_unknown_one(galwad):
    done = await galwad("retry", ONE, "20261125-101700-cccccccc", TWO, "--json")
    assert (done.status, done.json()) == (1, [ONE])


async def test_several_notes_are_discarded_with_one_reason(galwad):
    done = await galwad("discard", ONE, TWO, "--reason", "made for a test")
    assert (done.status, done.out) == (0, f"{ONE}\n{TWO}\n")
    assert (await galwad("list", "--undelivered")).out == "All contact notes are delivered.\n"


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (("discard", ONE), 2, "--reason"),
        (("discard", ONE, "--reason", " "), 2, "--reason is empty"),
        (("retry", "../audit"), 2, "is not a call id"),
        (("retry", "20261125-101700-cccccccc"), 1, "no undelivered contact note"),
    ],
)
async def test_wrong_use_is_one_error_and_changes_nothing(galwad, desk, words, status, error):
    done = await galwad(*words)
    assert (done.status, done.out) == (status, "")
    assert error in done.err
    assert (await desk.desk.notes.delivery.outbox.backlog()).refused == 1
