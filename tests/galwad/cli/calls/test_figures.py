"""`galwad calls figures`: the figures of a period as a table and as a CSV file, on a real desk."""

from __future__ import annotations

import asyncio

import pytest

from galwad.desk.call_log.logged_call import LoggedCall
from helpers.desk import Running
from recording.audit.log import AuditFilter

NOON = 1_794_744_000.0  # 15 November 2026, 12:00


def ended(name, outcome, hour=0, **more):
    started = NOON + 3600 * hour
    answered = started + 10.0 if outcome == "answered" else 0.0
    return LoggedCall(
        f"call-{name}",
        started,
        answered=answered,
        ended=started + 100.0,
        outcome=outcome,
        talk_us=90_000_000 if answered else 0,
        **{"line": "Council Tax", **more},
    )


@pytest.fixture
async def desk(tmp_path):
    """A desk with four calls of 15 November 2026 in its log."""
    running = Running(tmp_path)
    await running.switch.start()
    await running.start()
    await running.add("mair", "supervisor")
    await running.add("sian", "advisor", extension="201")
    rows = [
        ended(1, "answered", language="cy", pauses=1, gaps=1),
        ended(2, "answered", hour=1),
        ended(3, "missed", line="Housing"),
        ended(4, "abandoned", line="\x1b[31mred"),
    ]
    calls = {each.call_id: each for each in rows}
    await running.desk.call_log.store.change(calls, lambda known: known.update(calls))
    yield running
    await running.stop()
    await running.switch.stop()


@pytest.fixture
async def galwad(desk, run, monkeypatch):
    """Return a function that runs `galwad calls figures` as a user."""
    monkeypatch.setenv("GALWAD_SERVER", desk.url)

    async def galwad(*words, user="mair"):
        monkeypatch.setenv("GALWAD_TOKEN", await desk.desk.sessions.open(user, "cli"))
        return await asyncio.to_thread(run, "calls", "figures", *words)

    return galwad


def rows(done):
    assert done.status == 0, done.err
    return [line.split() for line in done.out.splitlines()]


async def test_the_table_has_a_row_for_each_line_and_one_for_all(galwad):
    heads, *lines = rows(await galwad("--date", "2026-11-15"))
    assert heads[:3] == ["LINE", "CALLS", "ANSWERED"]
    assert ["Council", "Tax", "2", "2", "0", "0", "0", "0:10", "1:30", "1", "1"] in lines
    assert ["Housing", "1", "0", "1", "0", "0", "0:00", "0:00", "0", "0"] in lines
    assert lines[-1] == ["all", "4", "2", "1", "1", "0", "0:10", "1:30", "1", "1"]


async def test_the_rows_can_be_hours_or_languages(galwad):
    hours = rows(await galwad("--date", "2026-11-15", "--by", "hour"))
    assert [line[:2] for line in hours[1:]] == [["12:00", "3"], ["13:00", "1"], ["all", "4"]]
    languages = rows(await galwad("--date", "2026-11-15", "--by", "language"))
    assert ["Welsh", "1"] in [line[:2] for line in languages]
    assert ["not", "known", "3"] in [line[:3] for line in languages]


async def test_a_control_character_in_the_name_of_a_line_is_not_printed(galwad):
    done = await galwad("--date", "2026-11-15")
    assert "\x1b" not in done.out


async def test_a_period_without_calls_is_one_sentence(galwad):
    done = await galwad("--date", "2026-11-14")
    assert (done.status, done.out) == (0, "No call ended in this period.\n")


async def test_the_csv_file_is_that_of_the_desk_and_its_export_is_audited(galwad, desk, tmp_path):
    path = tmp_path / "figures.csv"
    done = await galwad("--date", "2026-11-15", "-o", path)
    assert (done.status, done.out) == (0, f"{path}\n")
    first, total, *_ = path.read_text("utf-8-sig").splitlines()
    assert first.startswith("group,name,calls,answered")
    assert total.startswith("total,,4,2,1,1,0")
    (entry,) = await desk.desk.audit.search(AuditFilter(kind="figures.exported"), limit=5)
    assert entry.values["actor"][1] == "user:mair"
    again = await galwad("--date", "2026-11-15", "-o", path)
    assert again.status == 1
    assert str(path) in again.err
    assert (await galwad("--date", "2026-11-15", "-o", path, "--force")).status == 0


async def test_an_advisor_is_refused_and_no_file_is_left(galwad, tmp_path):
    path = tmp_path / "figures.csv"
    done = await galwad("-o", path, user="sian")
    assert done.status == 1
    assert done.err.startswith("error: ")
    assert list(tmp_path.glob("*figures*")) == []


async def test_words_that_name_no_period_are_refused_before_the_server_is_asked(galwad):
    done = await galwad("--date", "someday")
    assert done.status == 2
    assert '"someday"' in done.err
