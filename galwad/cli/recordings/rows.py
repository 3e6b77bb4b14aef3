"""Makes the timeline of a recording from the recording's index row, which the server sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from galwad.cli.support import timeline
from galwad.cli.support.timeline import TimelineSpan

_US: Final = 1_000_000


def spans_of_row(
    row: dict[str, Any], begins: Iterable[int] = (), partly: Iterable[TimelineSpan] = ()
) -> list[TimelineSpan]:
    """Return the timeline of the whole call: its recorded periods and its gaps, sorted by time.

    `row` is the recording's row from the server. `begins` are the times at which the segments in
    the manifest begin, in microseconds since the recording's start. If a segment begins inside a
    recorded period, the period is divided there. `partly` are the stretches in which a voice is
    missing.
    """
    gaps = [
        TimelineSpan(
            gap["reason"], gap["from_us"], gap["to_us"], _why(gap["trigger"], gap["actor"])
        )
        for gap in row["gaps"]
    ]
    return timeline.spans_of([*gaps, *partly], round(row["talk_s"] * _US), begins)


def _why(trigger: str, actor: str) -> str:
    return f"by {trigger}, {actor}" if trigger and actor else trigger or actor
