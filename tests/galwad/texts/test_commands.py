"""`galwad texts`: show, replace and reset the lists of texts; on a real desk."""

from __future__ import annotations

import asyncio
import json

import pytest

from helpers.desk import Running

TEA = {"code": "tea", "en": "Tea", "cy": "Te"}


@pytest.fixture
async def desk(tmp_path):
    running = Running(tmp_path)
    await running.switch.start()
    await running.start()
    await running.add("gwen", "admin")
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
        return await asyncio.to_thread(run, "texts", *words)

    return galwad


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file."""

    def write(content):
        path = tmp_path / "entries.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


async def test_a_list_is_replaced_shown_and_reset(desk, galwad, file):
    assert (await galwad("set", "breaks", file([TEA]))).out == "breaks: 1 entries\n"
    assert [each.code for each in desk.desk.texts.lists.get("breaks").entries] == ["tea"]
    shown = await galwad("list", "breaks")
    assert shown.out.splitlines()[1].split()[:4] == ["breaks", "tea", "Tea", "Te"]
    assert "gwen" in shown.out
    every = await galwad("list")
    assert "no_note_reasons" in every.out
    assert "breaks" in every.out
    reset = await galwad("reset", "breaks", "--json")
    assert reset.json()["from_settings"] is True
    assert (await galwad("reset", "breaks")).out == "breaks: 5 entries are in force again\n"


async def test_an_edited_listing_can_be_set_once_and_is_refused_the_second_time(desk, galwad, file):
    printed = (await galwad("list", "breaks", "--json")).json()
    path = file({**printed, "entries": [*printed["entries"], TEA]})
    done = await galwad("set", "breaks", path, "--json")
    assert done.json()["entries"][-1] == TEA
    again = await galwad("set", "breaks", path)
    assert again.status == 1
    assert "the list was changed meanwhile" in again.err
    assert len(desk.desk.texts.lists.get("breaks").entries) == 6


async def test_a_list_with_a_fault_is_refused_with_the_entry(desk, galwad, file):
    done = await galwad("set", "breaks", file([TEA, TEA]))
    assert done.status == 2
    assert "entry 2: another entry has the same `code`" in done.err
    assert len(desk.desk.texts.lists.get("breaks").entries) == 5


@pytest.mark.parametrize(
    ("content", "error"),
    [("no json", "is not JSON in UTF-8"), ({"a": 1}, "has no list of entries"), ('"a"', "has no")],
)
async def test_a_file_without_entries_is_refused_with_an_example(galwad, file, content, error):
    done = await galwad("set", "breaks", file(content))
    assert (done.status, done.out) == (1, "")
    assert error in done.err
    assert "Missed collection" in done.err


async def test_a_missing_file_is_named(galwad, tmp_path):
    done = await galwad("set", "breaks", str(tmp_path / "none.json"))
    assert done.status == 1
    assert "none.json: No such file" in done.err


@pytest.mark.parametrize("words", [("list", "colours"), ("reset", "colours")])
async def test_an_unknown_list_is_refused_with_the_names(galwad, words):
    done = await galwad(*words)
    assert (done.status, done.out) == (2, "")
    assert 'there is no list "colours"' in done.err
    assert "lines, purposes, breaks, no_note_reasons, teams" in done.err
