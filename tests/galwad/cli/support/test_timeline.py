"""A call as a timeline: its gaps, and the recorded stretches between them."""

from __future__ import annotations

import pytest

from galwad.cli.support.timeline import TimelineSpan, draw, scale, spans_of, spans_of_row

US = 1_000_000


@pytest.mark.parametrize("width", [10, 40, 98])
def test_the_timeline_is_exactly_as_wide_as_requested(width):
    spans = spans_of(
        [TimelineSpan("payment", 10 * US, 11 * US), TimelineSpan("fault", 90 * US, 95 * US)],
        100 * US,
    )
    line = draw(spans, width, plain=True).plain
    assert len(line) == width
    assert "P" in line
    assert "X" in line
    assert len(scale(spans, width)) == width


def test_overlapping_and_overlong_gaps_are_cut_to_fit():
    gaps = [TimelineSpan("payment", 2 * US, 6 * US), TimelineSpan("transfer", 5 * US, 20 * US)]
    assert [(s.kind, s.from_us // US, s.to_us // US) for s in spans_of(gaps, 10 * US)] == [
        ("recorded", 0, 2),
        ("payment", 2, 6),
        ("transfer", 6, 10),
    ]


@pytest.mark.parametrize(
    ("unexplained", "shown"),
    [
        ([(6, 8)], [("recorded", 0, 5), ("payment", 5, 6), ("unexplained", 6, 8)]),
        ([(4, 6)], [("recorded", 0, 4), ("unexplained", 4, 6), ("payment", 6, 8)]),
        ([(4, 9)], [("recorded", 0, 4), ("unexplained", 4, 9)]),
        (
            [(7, 8), (5, 6)],
            [("recorded", 0, 5), ("unexplained", 5, 6), ("payment", 6, 7), ("unexplained", 7, 8)],
        ),
    ],
)
def test_unexplained_time_takes_precedence_over_a_gap(unexplained, shown):
    pause = {"reason": "payment", "trigger": "page", "actor": "user:sian"}
    parts = [{"from_us": start * US, "to_us": end * US} for start, end in unexplained]
    row = {
        "gaps": [{**pause, "from_us": 5 * US, "to_us": 8 * US}],
        "unexplained": parts,
        "talk_s": 10,
    }
    spans = [(s.kind, s.from_us // US, s.to_us // US) for s in spans_of_row(row)]
    assert spans == [*shown, ("recorded", shown[-1][2], 10)]
