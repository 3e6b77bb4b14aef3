"""The index of recordings: rows, search filters and pages, each within a database index.

Covers `recording/index/search.py`, `recording/index/catalogue.py`, `recording/index/tables.py` and
`recording/archive/summary.py`.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from helpers.examples import long_after
from recording.archive.manifest import Gap
from recording.archive.summary import LaterAdvisor, LaterCaller, PartyNetwork, RecordingSummary
from recording.errors import CatalogueError
from recording.index.catalogue import (
    Catalogue,
    Cursor,
    Filters,
    KnownRow,
    add_fetch_reference,
    known_rows,
    write_rows,
)
from recording.index.custody import Custodian, Custody, Flag
from recording.index.holds import open_hold, release, retain
from recording.index.search import search_statement
from recording.index.tables import recordings


def row(letter="a", **fields):
    values = {
        "call_id": f"20261125-101500-{letter * 8}",
        "folder": "2026/11/25",
        "started": 1000.0,
        "talk_us": 60_000_000,
        "interrupted": False,
        "number": "+441632960001",
        "line": "Council Tax",
        "advisor": "sian",
        "extension": "201",
        "payload_size": 10,
        "payload_sha256": "a" * 64,
        "manifest_sha256": "b" * 64,
    }
    return RecordingSummary(**{**values, **fields})


async def test_a_search_by_number_finds_calls_of_first_and_of_later_callers(catalogue):
    for letter, started, own, other in (
        ("a", 1.0, "+441632960001", ()),
        ("b", 2.0, "+441632960912", ("+441632960001",)),
        ("c", 3.0, "+441632960912", ("+441632960002", "+441632960001")),
        ("d", 4.0, "+441632960912", ()),
    ):
        callers = tuple(LaterCaller(at, number) for at, number in enumerate(other))
        fields = {"started": started, "number": own, "later_callers": callers}
        await catalogue.add(row(letter, **fields))
        await catalogue.add(row(letter, **fields))
    assert await found(catalogue, number="+441632960001") == ["c", "b", "a"]
    assert await found(catalogue, number="+441632960002") == ["c"]
    assert await found(catalogue, number="+441632960912") == ["d", "c", "b"]
    first = await catalogue.search(Filters(number="+441632960001"), 2)
    rest = await catalogue.search(Filters(number="+441632960001"), 2, first.after)
    assert [len(page.rows) for page in (first, rest)] == [2, 1]


async def test_a_search_by_advisor_or_extension_finds_calls_of_first_and_of_later_advisors(
    catalogue,
):
    for letter, started, own, other in (
        ("a", 1.0, ("sian", "201"), ()),
        ("b", 2.0, ("", "600"), (("sian", "201"),)),
        ("c", 3.0, ("ceri", "202"), (("gwen", "203"), ("sian", "201"))),
        ("d", 4.0, ("ceri", "202"), (("", "301"),)),
    ):
        later = tuple(LaterAdvisor(at, *each) for at, each in enumerate(other))
        fields = {"started": started, "later_advisors": later}
        whole = row(letter, **fields, advisor=own[0], extension=own[1])
        await catalogue.add(whole)
        assert await catalogue.get(whole.call_id) == whole
    assert await found(catalogue, advisor="sian") == ["c", "b", "a"]
    assert await found(catalogue, advisor="ceri") == ["d", "c"]
    assert await found(catalogue, extension="301") == ["d"]
    assert await found(catalogue, extension="600", advisor="sian") == ["b"]


PAYMENT = Gap(1_000_000, 2_000_000, "payment", "page", "user:sian")
FAULT = Gap(3_000_000, 4_000_000, "fault", "storage", "system")


async def test_a_row_written_again_after_its_loss_has_only_its_new_gaps(catalogue, engine):
    await catalogue.add(row("a", gaps=(PAYMENT, FAULT)))
    with contextlib.closing(sqlite3.connect(engine.url.database)) as database:
        database.execute("DELETE FROM recordings")
        database.commit()
    again = row("a", gaps=(FAULT,))
    assert await catalogue.add(again)
    assert await catalogue.get(again.call_id) == again


async def test_without_parts_returns_a_row_without_gaps_and_later_callers(catalogue):
    whole = row("a", gaps=(PAYMENT,), later_callers=(LaterCaller(1, "+441632960002"),))
    await catalogue.add(whole)
    assert await catalogue.without_parts(whole.call_id) == row("a")
    assert await catalogue.without_parts(row("b").call_id) is None


@pytest.fixture
def catalogue(engine):
    return Catalogue(engine)


async def found(catalogue, **filters):
    page = await catalogue.search(Filters(**filters))
    return [recording.call_id[-1] for recording in page.rows]


async def test_a_row_is_read_back_unchanged(catalogue):
    later = LaterCaller(2_000_000, "+441632960002"), LaterCaller(5_000_000, None, True)
    recording = row(gaps=(PAYMENT, FAULT), later_callers=later)
    assert await catalogue.add(recording)
    assert await catalogue.get(recording.call_id) == recording
    assert await catalogue.get("20261125-101500-zzzzzzzz") is None


async def test_writing_a_row_again_replaces_it(catalogue):
    await catalogue.add(row(gaps=(PAYMENT, FAULT)))
    again = row(gaps=(FAULT,), interrupted=True)
    assert not await catalogue.add(again)
    assert await catalogue.get(again.call_id) == again


CALLER = PartyNetwork("caller", 2900, 100, 3, 2, 60, 7, 4200, 31_000, 3.87)
ADVISOR = PartyNetwork("advisor", 3000, 0, 0, 0, 0, 0, 900, 2100, None)


async def test_the_networks_of_both_parties_are_read_back_with_each_row(catalogue):
    measured, old = row(network=(CALLER, ADVISOR), gaps=(FAULT,)), row("b")
    await catalogue.add(measured)
    await catalogue.add(old)
    assert await catalogue.get(measured.call_id) == measured
    assert (await catalogue.search(Filters())).rows == (old, measured)


async def test_the_networks_of_a_row_that_is_written_again_are_replaced(catalogue):
    await catalogue.add(row(network=(CALLER, ADVISOR)))
    again = row(network=(replace(CALLER, lost=5),))
    await catalogue.add(again)
    assert await catalogue.get(again.call_id) == again


NAMELESS = {"line": "", "number": None, "advisor": "", "extension": ""}
LATER = LaterCaller(5_000_000, "+441970000002", withheld=False)


async def known(catalogue, *call_ids):
    async with catalogue._engine.connect() as connection:
        return await known_rows(connection, call_ids)


async def test_known_rows_say_which_recordings_have_facts_about_people(catalogue):
    letters = {
        "a": row("a"),
        "b": row("b", **NAMELESS),
        "c": row("c", **NAMELESS, later_callers=(LATER,)),
        "d": row("d", **{**NAMELESS, "extension": "201"}),
    }
    for each in letters.values():
        await catalogue.add(each)
    found = await known(catalogue, *(each.call_id for each in letters.values()), "missing")
    assert found == {
        each.call_id: KnownRow(each.manifest_sha256, each.has_personal_facts)
        for each in letters.values()
    }
    assert [found[each.call_id].has_personal_facts for each in letters.values()] == [
        *(True, False, True, True)
    ]


async def test_writing_rows_together_gives_the_same_rows_as_writing_them_one_by_one(catalogue):
    kept, old = row("a", gaps=(FAULT,)), row("b", gaps=(PAYMENT, FAULT), network=(CALLER,))
    for each in (kept, old):
        await catalogue.add(each)
    changed = row("b", line="Waste", gaps=(FAULT,), later_callers=(LATER,))
    new = row("c", network=(CALLER, ADVISOR))
    plain = row("d")
    async with catalogue._writer.begin() as connection:
        before = await known_rows(connection, [changed.call_id, new.call_id, plain.call_id])
        await write_rows(connection, [new, changed, plain], before)
    assert list(before) == [old.call_id]
    for each in (kept, changed, new, plain):
        assert await catalogue.get(each.call_id) == each
    by_reason = await catalogue.search(Filters(gap_reason="payment"))
    assert by_reason.rows == ()


async def test_a_line_is_found_regardless_of_case_unless_ambiguous(catalogue):
    for letter, line in zip("abcd", ("Council Tax", "Housing", "Tai", "TAI"), strict=True):
        await catalogue.add(row(letter, line=line))
    for text, line in (
        ("Housing", "Housing"),
        ("hOUSING", "Housing"),
        ("council tax", "Council Tax"),
        ("TAI", "TAI"),
        ("tai", "tai"),  # which of the two?
        ("Waste", "Waste"),
    ):
        assert await catalogue.line_named(text) == line


async def test_a_search_returns_only_recordings_that_match_every_filter(catalogue):
    await catalogue.add(row("a", started=1000.0, gaps=(PAYMENT,)))
    await catalogue.add(row("b", started=2000.0, advisor="huw", talk_us=5_000_000))
    await catalogue.add(row("c", started=3000.0, number=None, line="Waste", gaps=(FAULT,)))
    assert await found(catalogue) == ["c", "b", "a"]
    assert await found(catalogue, number="+441632960001") == ["b", "a"]
    assert await found(catalogue, advisor="huw") == ["b"]
    assert await found(catalogue, line="Waste") == ["c"]
    assert await found(catalogue, since=2000.0) == ["c", "b"]
    assert await found(catalogue, until=2000.0) == ["a"]
    assert await found(catalogue, min_us=6_000_000) == ["c", "a"]
    assert await found(catalogue, max_us=5_000_000) == ["b"]
    assert await found(catalogue, gap_reason="payment") == ["a"]
    assert await found(catalogue, advisor="sian", gap_reason="fault") == ["c"]
    assert await found(catalogue, advisor="huw", gap_reason="fault") == []


async def refer(catalogue, call_id, reference):
    async with catalogue._writer.begin() as connection:
        await add_fetch_reference(connection, call_id, reference)


async def test_a_recording_is_found_by_its_call_id_and_by_its_fetch_references(catalogue):
    for letter in "ab":
        await catalogue.add(row(letter))
    await refer(catalogue, row("b").call_id, "CMP-12")
    await refer(catalogue, row("b").call_id, "CMP-12")
    assert await found(catalogue, reference="CMP-12") == ["b"]
    assert await found(catalogue, reference=row("a").call_id) == ["a"]


async def test_flagged_recordings_are_found_without_a_scan_the_newest_first(catalogue, engine):
    custodian = Custodian(engine)
    for place, letter in enumerate("abc"):
        await catalogue.add(row(letter, started=1000.0 + place))
    for letter in "ac":
        await custodian.flag(row(letter).call_id, "sensitive", "health", 2000.0)
    await custodian.flag(row("b").call_id, "restricted", "asked", 2000.0)
    assert await found(catalogue, flag="sensitive") == ["c", "a"]
    assert await found(catalogue, flag="restricted", since=1002.0) == []
    assert await found(catalogue, flag="sensitive", line=row("a").line) == ["c", "a"]
    assert await found(catalogue, flag="sensitive", reference=row("a").call_id) == ["a"]
    assert await found(catalogue, flag="sensitive", gap_reason="payment") == []
    page = await catalogue.search(Filters(flag="sensitive"), limit=1)
    rest = await catalogue.search(Filters(flag="sensitive"), limit=1, after=page.after)
    assert [each.call_id for each in (*page.rows, *rest.rows)] == [
        row(letter).call_id for letter in "ca"
    ]
    assert rest.after is None
    await plan_is_sorted(engine, Filters(flag="sensitive"), Filters(flag="sensitive", line="W"))


async def plan_is_sorted(engine, *searches):
    """Check that SQLite reads no whole table for these searches, and sorts nothing."""
    for filters in searches:
        statement = search_statement(filters, Cursor(1001.0, "x")).limit(3)
        text = statement.compile(engine.sync_engine, compile_kwargs={"literal_binds": True})
        async with engine.connect() as connection:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")
            steps = [each[3] for each in plan]
        assert not [step for step in steps if step.startswith("SCAN") or "TEMP B-TREE" in step]


async def test_the_recordings_of_a_hold_are_found_without_a_scan_the_newest_first(
    catalogue, engine
):
    for place, letter in enumerate("abcd"):
        await catalogue.add(row(letter, started=1000.0 + place))
    facts: dict[str, Any] = {"reason": "a fall", "owner": "gwen", "review": "2099-01-01"}
    async with engine.begin() as connection:
        hold = await open_hold(connection, reference="Claim 17", number=None, now=2.0, **facts)
        await retain(connection, hold, [row(letter).call_id for letter in "adc"], 2000.0)
        await release(connection, hold, row("d").call_id, 2001.0, 2002.0)
    assert await found(catalogue, hold=hold) == ["c", "a"]
    assert await found(catalogue, hold=hold, since=1001.0) == ["c"]
    assert await found(catalogue, hold=hold, number=row("a").number) == ["c", "a"]
    assert await found(catalogue, hold=hold, flag="sensitive") == []
    assert await found(catalogue, hold=hold + 1) == []
    page = await catalogue.search(Filters(hold=hold), limit=1)
    rest = await catalogue.search(Filters(hold=hold), limit=1, after=page.after)
    assert ([each.call_id for each in rest.rows], rest.after) == ([row("a").call_id], None)
    await plan_is_sorted(engine, Filters(hold=hold), Filters(hold=hold, line="W", flag="sensitive"))
    await catalogue.add(row("a", started=1009.0))  # indexed again
    assert await found(catalogue, hold=hold) == ["a", "c"]


async def test_a_flagged_recording_that_is_indexed_again_with_another_start_is_still_found(
    catalogue, engine
):
    await catalogue.add(row("a", started=1000.0))
    await Custodian(engine).flag(row("a").call_id, "sensitive", "health", 2000.0)
    await catalogue.add(row("a", started=1001.0))
    assert await found(catalogue, flag="sensitive") == ["a"]
    assert await found(catalogue, flag="sensitive", number=row("a").number) == ["a"]


async def test_a_recording_keeps_its_other_custody_when_a_flag_is_set_or_removed(catalogue, engine):
    custodian, call_id = Custodian(engine), row("a").call_id
    await catalogue.add(row("a"))
    for flag in ("third-party", "sensitive"):
        await custodian.flag(call_id, flag, "first", 1.0)
    await custodian.flag(call_id, "sensitive", "second", 2.0)
    await custodian.disposed(call_id, "order", 3.0)
    found = Flag("sensitive", "second", 2.0), Flag("third-party", "first", 1.0)
    assert await custodian.one(call_id) == Custody((), 3.0, "order", found)
    await custodian.unflag(call_id, "third-party")
    assert (await custodian.one(call_id)).flag_names == ("sensitive",)


LINES, ADVISORS, NUMBERS = ("Waste", "Housing"), ("sian", "huw", "mair"), ("+441", "+442", None)
REASONS = ((), (PAYMENT,), (FAULT, PAYMENT), (FAULT,), (PAYMENT, PAYMENT))


def many():
    """Return recordings that differ in every field; some begin at the same time."""
    return [
        row(
            "abcdefghijklmnopqrstuvwxyz"[n],
            started=1000.0 + n // 3 / 7,
            talk_us=n * 7 % 5 * 1_000_000,
            line=LINES[n % 2],
            advisor=ADVISORS[n % 3],
            number=NUMBERS[n * 5 % 3],
            gaps=REASONS[n % 5],
        )
        for n in range(26)
    ]


def fits(recording, filters):
    """Return whether a recording matches the filters."""
    return all(
        (
            filters.number in {None, recording.number},
            filters.advisor in {None, recording.advisor},
            filters.line in {None, recording.line},
            filters.since is None or recording.started >= filters.since,
            filters.until is None or recording.started < filters.until,
            filters.min_us is None or recording.talk_us >= filters.min_us,
            filters.max_us is None or recording.talk_us <= filters.max_us,
            filters.gap_reason is None or filters.gap_reason in {g.reason for g in recording.gaps},
            filters.reference is None or recording.call_id[-1] in "cdefgxyz",
        )
    )


VALUES: dict[str, Any] = {
    "number": "+441",
    "advisor": "sian",
    "extension": "201",
    "line": "Waste",
    "since": 1000.0 + 2 / 7,
    "until": 1001.0,
    "min_us": 2_000_000,
    "max_us": 3_000_000,
    "gap_reason": "payment",
    "reference": "CMP-12",
}


@pytest.mark.parametrize("rare", long_after(1, [1, 2000]))
async def test_pages_of_any_filters_contain_each_matching_recording_once(
    catalogue, monkeypatch, rare
):
    """`rare` is the number of recordings up to which a length counts as rare."""
    monkeypatch.setattr("recording.index.catalogue.RARE_BELOW", rare)
    monkeypatch.setattr("recording.index.search.RARE_BELOW", rare)
    rows = many()
    for recording in rows:
        await catalogue.add(recording)
        if recording.call_id[-1] in "cdefgxyz":
            await refer(catalogue, recording.call_id, "CMP-12")
    for names in (*itertools.combinations(VALUES, 1), *itertools.combinations(VALUES, 2), ()):
        filters = Filters(**{name: VALUES[name] for name in names})
        wanted = [r for r in rows if fits(r, filters)]
        wanted.sort(key=lambda r: (r.started, r.call_id), reverse=True)
        page = await catalogue.search(filters, 2)
        found = list(page.rows)
        while page.after is not None:
            page = await catalogue.search(filters, 2, Cursor.parse(str(page.after)))
            assert len(page.rows) == min(2, len(wanted) - len(found)), names
            found += page.rows
        assert found == wanted, names


NARROW = ("number", "advisor", "extension", "reference")


async def plan_of(engine, names, **how):
    """Return the steps of SQLite's query plan, and check that none scans a table."""
    filters = Filters(**{name: VALUES[name] for name in names})
    statement = search_statement(filters, Cursor(1001.0, "x"), **how).limit(3)
    text = statement.compile(engine.sync_engine, compile_kwargs={"literal_binds": True})
    async with engine.connect() as connection:
        plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")
        steps = [row[3] for row in plan]
    assert [step for step in steps if step.startswith("SCAN") and "CONSTANT" not in step] == []
    return steps


@pytest.mark.parametrize("names", [(), *((name,) for name in VALUES if name not in NARROW)])
@pytest.mark.parametrize("length", ["min_us", "max_us"])
async def test_a_search_for_rare_lengths_uses_the_length_index(engine, length, names):
    steps = await plan_of(engine, {length, *names}, rare=True)
    assert any("recordings_by_length (talk_us" in step for step in steps)


@pytest.mark.parametrize(
    "names", [(), *itertools.combinations(VALUES, 1), *itertools.combinations(VALUES, 2)]
)
async def test_only_a_search_by_reference_sorts_and_a_search_by_one_filter_uses_its_index(
    engine, names
):
    """By SQLite's query plan, only the few recordings of a reference are sorted."""
    steps = await plan_of(engine, names)
    if "reference" not in names:
        assert not any("TEMP B-TREE" in step for step in steps)
    for name in NARROW[:3]:
        if name in names and not {*names} & {*NARROW} - {name}:
            assert any(f"recordings_by_{name} ({name}=?" in step for step in steps)


async def test_a_page_begins_after_the_previous_page_although_rows_were_added_and_deleted(
    catalogue, engine
):
    for letter in "abcd":
        await catalogue.add(row(letter))
    first = await catalogue.search(Filters(), limit=2)
    await catalogue.add(row("z", started=2000.0))
    async with engine.begin() as connection:
        gone = recordings.c.call_id == row("c").call_id
        await connection.execute(recordings.delete().where(gone))
    second = await catalogue.search(Filters(), limit=2, after=first.after)
    assert [r.call_id[-1] for r in second.rows] == ["b", "a"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
async def test_the_folders_of_all_recordings_are_read_completely_in_batches(
    catalogue, monkeypatch, count
):
    monkeypatch.setattr("recording.index.catalogue._BATCH", 2)
    rows = many()[:count]
    for recording in rows:
        await catalogue.add(recording)
    assert await catalogue.folders() == {r.call_id: r.folder for r in rows}


@pytest.mark.parametrize("text", ["", "1", "1/", "/a", "1/A", "nan/a", "1e9/a", "-1/a", "1/a b"])
def test_a_malformed_cursor_is_refused(text):
    with pytest.raises(ValueError, match="place"):
        Cursor.parse(text)


async def test_a_broken_database_raises_catalogue_error_without_personal_values(catalogue, engine):
    async with engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE gaps")
    with pytest.raises(CatalogueError) as error:
        await catalogue.add(msgspec.structs.replace(row(), gaps=(PAYMENT,)))
    assert "01632" not in str(error.value)
    with pytest.raises(CatalogueError):
        await catalogue.search(Filters(number="+441632960001"))
