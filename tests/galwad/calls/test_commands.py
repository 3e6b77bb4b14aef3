"""`galwad calls coverage` and `figures`."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.calls.commands import _sentence
from galwad.calls.log.logged_call import LoggedCall
from helpers.desk import Running
from helpers.followed_calls import log_calls
from recording.audit.log import AuditFilter

CALL = "20261125-093000-abcdefgh"


US = 1_000_000


CLEAN = {
    "calls": 2,
    "in_progress": 0,
    "talk_us": 100 * US,
    "recorded_us": 90 * US,
    "gap_us": 10 * US,
    "unexplained_us": 0,
    "amiss": [],
    "orphans": [],
}


AMISS: dict[str, Any] = {
    **CLEAN,
    "in_progress": 1,
    "recorded_us": 70 * US,
    "unexplained_us": 20 * US,
    "amiss": [
        {
            "call_id": CALL,
            "started": 1_795_599_000.0,
            "talk_us": 100 * US,
            "gaps": [{"from_us": 10 * US, "to_us": 20 * US, "reason": "payment"}],
            "unexplained": [{"from_us": 80 * US, "to_us": 100 * US, "reason": ""}],
            "problems": ["index and manifest do not agree on its length: report it"],
        }
    ],
    "orphans": [
        {
            "kind": "row without files",
            "name": f"2026/11/25/{CALL}",
            "call_id": CALL,
            "text": "the index has it, but the archive has none of its three files",
            "fix": "restore the files from a copy of the archive",
        }
    ],
}


@pytest.mark.usefixtures("server")
def test_a_day_without_unexplained_time_is_one_line(run, archive):
    archive.coverage = CLEAN
    done = run("calls", "coverage", "--date", "2026-11-24")
    assert done.status == 0
    assert done.out == (
        "2 answered calls: 1:40.0 of talk, 1:30.0 recorded, 0:10.0 in gaps, 0.0 s unexplained\n"
    )
    assert archive.asked[-1][1] == "/coverage?when=2026-11-24"


@pytest.mark.usefixtures("server")
def test_unexplained_time_is_drawn_in_its_place_with_status_1(run, archive):
    archive.coverage = AMISS
    done = run("calls", "coverage", "--date", "yesterday")
    assert done.status == 1
    lines = done.out.splitlines()
    assert lines[0].startswith(CALL)
    drawn = lines[1]
    assert drawn.count("▒") == pytest.approx(10, abs=1)
    assert drawn.count("?") == pytest.approx(20, abs=1)
    assert drawn.endswith("?")
    assert any(
        line.split() == ["?", "1:20", "-", "1:40", "unexplained", "20.0", "s"] for line in lines
    )
    assert "!  index and manifest do not agree on its length: report it" in lines
    assert f"row without files: 2026/11/25/{CALL}" in lines
    assert "    to do: restore the files from a copy of the archive" in lines
    assert "(and 1 in progress or not yet archived)" in lines[-1]
    assert lines[-1].endswith("20.0 s unexplained")
    assert done.err.startswith("error: 1 call and 1 orphan not explained\nhint: ")


@pytest.mark.usefixtures("server")
def test_time_covered_by_both_a_segment_and_a_gap_is_drawn_as_unexplained(run, archive):
    call = {
        **AMISS["amiss"][0],
        "gaps": [{"from_us": 50 * US, "to_us": 80 * US, "reason": "payment"}],
        "unexplained": [{"from_us": 60 * US, "to_us": 80 * US, "reason": ""}],
    }
    archive.coverage = {**AMISS, "amiss": [call]}
    lines = run("calls", "coverage").out.splitlines()
    assert lines[1].count("▒") == pytest.approx(10, abs=1)
    assert lines[1].count("?") == pytest.approx(20, abs=1)
    assert any(line.split()[:5] == ["?", "1:00", "-", "1:20", "unexplained"] for line in lines)


@pytest.mark.usefixtures("server")
def test_silent_parties_are_listed_and_counted_with_status_0(run, archive):
    silent = {
        "call_id": CALL,
        "started": 1_795_599_000.0,
        "channel": "caller",
        "from_us": 0,
        "to_us": 12 * US,
        "text": "600 packets received",
    }
    archive.coverage = {**CLEAN, "silent": [silent]}
    done = run("calls", "coverage")
    lines = done.out.splitlines()
    assert done.status == 0
    assert lines[0] == f"{CALL}   the caller is silent from 0:00 to 0:12: 600 packets received"
    assert lines[-1].endswith("0.0 s unexplained, 1 silent party")
    archive.coverage = {**CLEAN, "silent": [silent], "more_silent": 4}
    lines = run("calls", "coverage").out.splitlines()
    assert lines[1] == "and 4 more calls with a silent party"
    assert lines[-1].endswith("0.0 s unexplained, 5 silent parties")


@pytest.mark.usefixtures("server")
def test_orphans_beyond_the_listed_ones_are_counted(run, archive):
    archive.coverage = {**AMISS, "more_orphans": 500}
    done = run("calls", "coverage")
    assert "and 500 more" in done.out.splitlines()
    assert done.err.startswith("error: 1 call and 501 orphans not explained\n")


@pytest.mark.usefixtures("server")
def test_coverage_as_json_prints_the_servers_answer_with_the_same_status(run, archive):
    archive.coverage = AMISS
    done = run("calls", "coverage", "--json")
    assert done.status == 1
    assert done.json() == AMISS


@pytest.mark.usefixtures("server")
def test_an_unreadable_date_is_wrong_usage(run):
    done = run("calls", "coverage", "--date", "sometime")
    assert done.status == 2
    assert "error: cannot read --date" in done.err


def tenths(text):
    """Return a duration such as `1:02:03.4` or `5.0 s` in tenths of a second."""
    total = 0.0
    for part in text.removesuffix(" s").split(":"):
        total = total * 60 + float(part)
    return round(total * 10)


SPANS = st.integers(0, 10**10)


@given(SPANS, SPANS, st.just(0) | st.integers(1, 10**8))
def test_the_figures_of_the_totals_add_up_exactly(recorded, gap, unexplained):
    talk = recorded + gap + unexplained
    facts = {"talk_us": talk, "recorded_us": recorded, "gap_us": gap}
    told = _sentence({**CLEAN, **facts, "unexplained_us": unexplained, "silent": []})
    found = re.fullmatch(
        r".*: (\S+) of talk, (\S+) recorded, (\S+) in gaps, (\S+ s) unexplained", told
    )
    assert found is not None, told
    shown = [tenths(each) for each in found.groups()]
    assert shown[0] == sum(shown[1:])
    for figure, real in zip(shown, (talk, recorded, gap, unexplained), strict=True):
        assert abs(figure - real / 100_000) <= 1.5
    assert (shown[3] == 0) == (unexplained == 0)


def test_totals_that_contradict_each_other_say_by_how_much():
    facts = {"talk_us": 100 * US, "recorded_us": 90 * US, "gap_us": 12 * US}
    told = _sentence({**CLEAN, **facts, "unexplained_us": 2 * US, "silent": []})
    assert told.endswith(
        "2.0 s unexplained (+4.000 s, because segments and gaps contradict each other)"
    )


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
    await log_calls(running.desk.host.engine, *rows)
    yield running
    await running.stop()
    await running.switch.stop()


@pytest.fixture
async def galwad(desk, run, monkeypatch):
    """Return a function that runs `galwad calls figures` as a user."""
    monkeypatch.setenv("GALWAD_SERVER", desk.url)

    async def galwad(*words, user="mair"):
        monkeypatch.setenv("GALWAD_TOKEN", await desk.desk.people.sessions.open(user, "cli"))
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
    assert (done.status, done.out) == (0, "No call of this period has ended.\n")


async def test_the_csv_file_has_the_figures_of_the_desk_and_the_export_is_audited(
    galwad, desk, tmp_path
):
    path = tmp_path / "figures.csv"
    done = await galwad("--date", "2026-11-15", "-o", path)
    assert (done.status, done.out) == (0, f"{path}\n")
    first, total, *_ = path.read_text("utf-8-sig").splitlines()
    assert first.startswith("group,name,calls,answered")
    assert total.startswith("total,,4,2,1,1,0")
    (entry,) = await desk.desk.host.audit.search(AuditFilter(kind="figures.exported"), limit=5)
    assert entry.values["actor"][1] == "user:mair"
    again = await galwad("--date", "2026-11-15", "-o", path)
    assert again.status == 1
    assert str(path) in again.err
    assert (await galwad("--date", "2026-11-15", "-o", path, "--force")).status == 0


async def test_figures_refuses_an_advisor_and_leaves_no_file(galwad, tmp_path):
    path = tmp_path / "figures.csv"
    done = await galwad("-o", path, user="sian")
    assert done.status == 1
    assert done.err.startswith("error: ")
    assert list(tmp_path.glob("*figures*")) == []


async def test_an_unreadable_period_of_the_figures_is_wrong_usage(galwad):
    done = await galwad("--date", "someday")
    assert done.status == 2
    assert '"someday"' in done.err
