"""The incidents of card numbers that were keyed outside a pause."""

import pytest
from sqlalchemy import text

from recording.archive.manifest import Interval
from recording.archive.summary import RecordingSummary
from recording.errors import CatalogueError
from recording.index.catalogue import Catalogue
from recording.index.custody import CapturedCard, CapturedCards, enter_new

FIRST, SECOND = "20260301-090000-abcdefgh", "20260301-091000-bcdefghi"


@pytest.fixture
async def cards(engine):
    """The incidents of a node with two recordings."""
    for call_id in (FIRST, SECOND):
        row = RecordingSummary(
            call_id=call_id,
            folder="2026/03/01",
            started=1.0,
            talk_us=9_000_000,
            interrupted=False,
            number=None,
            line="main",
            advisor="sian",
            extension="201",
            payload_size=1,
            payload_sha256="a" * 64,
            manifest_sha256="b" * 64,
        )
        await Catalogue(engine).add(row)
    return CapturedCards(engine)


async def enter(cards, call_id, gaps, now):
    async with cards._writer.begin() as connection:
        return await enter_new(connection, {call_id: gaps}, now)


async def test_an_incident_is_open_until_it_is_closed_with_its_prevention_record(cards):
    await enter(cards, FIRST, [Interval(5, 9), Interval(20, 30)], 100.0)
    await enter(cards, SECOND, [Interval(7, 8)], 101.0)
    opened = CapturedCard(FIRST, 5, 9, 100.0)
    assert (await cards.of([FIRST]))[FIRST] == [opened, CapturedCard(FIRST, 20, 30, 100.0)]
    assert opened.state == "open"
    await cards.close(FIRST, "no key", "a key", 200.0)
    closed = CapturedCard(FIRST, 5, 9, 100.0, 200.0, "no key", "a key")
    assert (await cards.all())[0] == closed
    assert closed.state == "closed"
    assert await cards.all(only_open=True) == [CapturedCard(SECOND, 7, 8, 101.0)]


async def test_closing_again_keeps_the_first_prevention_record(cards):
    await enter(cards, FIRST, [Interval(5, 9)], 100.0)
    await cards.close(FIRST, "no key", "a key", 200.0)
    await cards.close(FIRST, "other", "other", 300.0)
    assert (await cards.all())[0].changed == "a key"


async def test_a_gap_that_already_has_an_incident_gets_no_second_incident(cards):
    gaps = [Interval(5, 9), Interval(20, 30)]
    assert await enter(cards, FIRST, gaps[:1], 100.0) == [CapturedCard(FIRST, 5, 9, 100.0)]
    assert await enter(cards, FIRST, gaps, 101.0) == [CapturedCard(FIRST, 20, 30, 101.0)]
    assert await enter(cards, FIRST, gaps, 102.0) == []
    assert await cards.of([SECOND]) == {}


async def test_a_broken_database_raises_a_catalogue_error(cards, engine):
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE captured_cards"))
    with pytest.raises(CatalogueError):
        await cards.all()
    with pytest.raises(CatalogueError):
        await cards.close(FIRST, "no key", "a key", 1.0)
