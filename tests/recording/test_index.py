from __future__ import annotations

from dataclasses import replace

import pytest

from recording.errors import CatalogueError
from recording.index import Catalogue, Filters, GapRow, Recording


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
    return Recording(**{**values, **fields})


PAYMENT = GapRow("payment", "page", "user:sian", 1_000_000, 2_000_000)
FAULT = GapRow("fault", "storage", "system", 3_000_000, 4_000_000)


@pytest.fixture
def catalogue(engine):
    return Catalogue(engine)


async def found(catalogue, **filters):
    page = await catalogue.search(Filters(**filters))
    return [recording.call_id[-1] for recording in page.rows]


async def test_a_row_comes_back_as_it_was_written(catalogue):
    recording = row(gaps=(PAYMENT, FAULT))
    assert await catalogue.add(recording)
    assert await catalogue.get(recording.call_id) == recording
    assert await catalogue.get("20261125-101500-zzzzzzzz") is None


async def test_writing_a_row_again_replaces_it(catalogue):
    await catalogue.add(row(gaps=(PAYMENT, FAULT)))
    again = row(gaps=(FAULT,), interrupted=True)
    assert not await catalogue.add(again)
    assert await catalogue.get(again.call_id) == again


async def test_each_filter_finds_what_it_names_and_all_must_fit(catalogue):
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


async def test_a_recording_is_found_by_its_id_and_by_its_references(catalogue):
    for letter in "ab":
        await catalogue.add(row(letter))
    await catalogue.refer(row("b").call_id, "CMP-12")
    await catalogue.refer(row("b").call_id, "CMP-12")
    assert await found(catalogue, reference="CMP-12") == ["b"]
    assert await found(catalogue, reference=row("a").call_id) == ["a"]


async def test_pages_follow_each_other_without_overlap(catalogue):
    for letter in "abcde":
        await catalogue.add(row(letter))
    first = await catalogue.search(Filters(), limit=2)
    second = await catalogue.search(Filters(), limit=2, offset=2)
    last = await catalogue.search(Filters(), limit=2, offset=4)
    assert (first.more, second.more, last.more) == (True, True, False)
    letters = [r.call_id[-1] for page in (first, second, last) for r in page.rows]
    assert letters == ["e", "d", "c", "b", "a"]


async def test_a_broken_database_is_an_error_of_ours_without_values(catalogue, engine):
    async with engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE gaps")
    with pytest.raises(CatalogueError) as error:
        await catalogue.add(replace(row(), gaps=(PAYMENT,)))
    assert "01632" not in str(error.value)
    with pytest.raises(CatalogueError):
        await catalogue.search(Filters(number="+441632960001"))
