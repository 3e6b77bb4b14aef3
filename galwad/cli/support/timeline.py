"""The timeline: a row of characters in the terminal that shows which parts of a call were recorded.

The timeline consists of spans, which are stretches of the call. A span is recorded, recorded
without one or both voices ("partly"), a gap with a reason, or unexplained. Each kind of span has
its own character, so that the timeline can be read without colour.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from galwad.cli.support.console import clock

_US = 1_000_000
_MAX_WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class SpanStyle:
    """The style of one kind of span.

    `glyph` is the character that draws the span, and `plain` is the character that draws it in
    ASCII output. `style` is the colour.
    """

    name: str
    glyph: str
    plain: str
    style: str


_UNEXPLAINED: Final = SpanStyle("unexplained", "?", "?", "bold red")
RECORDED: Final = SpanStyle("recorded", "━", "=", "green")
PARTLY: Final = SpanStyle("partly", "╌", "-", "yellow")
"""The style of a stretch in which a voice is missing, after the end of a gap.

Late packets of this voice were dropped, because they may have sound from the gap.
"""
STYLES: Final = {
    kind.name: kind
    for kind in (
        RECORDED,
        PARTLY,
        SpanStyle("payment", "▒", "P", "yellow"),
        SpanStyle("transfer", "→", ">", "cyan"),
        SpanStyle("fault", "✖", "X", "bold red"),
        SpanStyle("erased", "◌", "o", "magenta"),
        SpanStyle("captured-card", "■", "C", "bold red"),
        _UNEXPLAINED,
    )
}


@dataclass(frozen=True, slots=True)
class TimelineSpan:
    """A stretch of a call, with its start and end in microseconds since the recording's start.

    `kind` is a key of `STYLES`, or an unknown reason of a gap. `why` is a text for the user, or "".
    """

    kind: str
    from_us: int
    to_us: int
    why: str = ""


def spans_of(
    gaps: Iterable[TimelineSpan], talk_us: int, begins: Iterable[int] = ()
) -> list[TimelineSpan]:
    """Return the spans of the whole call, sorted by their start.

    `gaps` has all spans except the recorded ones. Where an unexplained span overlaps a gap, the gap
    is cut. All other time is recorded, and divided at `begins`, where segments start. Times are in
    microseconds since the recording's start.
    """
    return list(_divided(_covered(_visible(list(gaps)), talk_us), sorted(begins)))


def spans_of_row(
    row: dict[str, Any], begins: Iterable[int] = (), partly: Iterable[TimelineSpan] = ()
) -> list[TimelineSpan]:
    """Return the spans of a recording from its row in the server's index, sorted by their start.

    `begins` are as in `spans_of`. `partly` are the stretches in which a voice is missing.
    """
    gaps = [
        TimelineSpan(
            gap["reason"], gap["from_us"], gap["to_us"], _why(gap["trigger"], gap["actor"])
        )
        for gap in row["gaps"]
    ]
    unexplained = [
        TimelineSpan(_UNEXPLAINED.name, part["from_us"], part["to_us"])
        for part in row.get("unexplained", ())
    ]
    return spans_of([*unexplained, *gaps, *partly], round(row["talk_s"] * _US), begins)


def _why(trigger: str, actor: str) -> str:
    return f"by {trigger}, {actor}" if trigger and actor else trigger or actor


def _visible(gaps: Sequence[TimelineSpan]) -> Iterable[TimelineSpan]:
    """Yield the unexplained spans in `gaps`, then the gaps without their unexplained parts."""
    unexplained = sorted(
        (gap for gap in gaps if gap.kind == _UNEXPLAINED.name), key=lambda span: span.from_us
    )
    yield from unexplained
    for gap in gaps:
        if gap.kind == _UNEXPLAINED.name:
            continue
        at = gap.from_us
        for span in unexplained:
            if span.to_us > at and span.from_us < gap.to_us:
                yield replace(gap, from_us=at, to_us=max(at, span.from_us))
                at = span.to_us
        yield replace(gap, from_us=at)


def _divided(spans: Iterable[TimelineSpan], begins: Sequence[int]) -> Iterable[TimelineSpan]:
    for span in spans:
        at, why = span.from_us, span.why
        for begin in begins:
            if span.kind == RECORDED.name and at < begin < span.to_us:
                yield TimelineSpan(span.kind, at, begin, why)
                at, why = begin, "a new segment"
        yield TimelineSpan(span.kind, at, span.to_us, why)


def _covered(gaps: Iterable[TimelineSpan], talk_us: int) -> list[TimelineSpan]:
    spans: list[TimelineSpan] = []
    at = 0
    for gap in sorted(gaps, key=lambda gap: (gap.from_us, gap.to_us)):
        start, end = max(gap.from_us, at), min(gap.to_us, talk_us)
        if end <= start:
            continue
        if start > at:
            spans.append(TimelineSpan(RECORDED.name, at, start))
        spans.append(TimelineSpan(gap.kind, start, end, gap.why))
        at = end
    if at < talk_us or not spans:
        spans.append(TimelineSpan(RECORDED.name, at, max(talk_us, at)))
    return spans


def layout(out: Console) -> tuple[int, bool]:
    """Return the width of a timeline on this console, and whether it must be ASCII."""
    plain = not (out.encoding or "").lower().startswith("utf")
    return min(out.width, _MAX_WIDTH) - 2, plain


def draw(spans: Sequence[TimelineSpan], width: int, *, plain: bool) -> Text:
    """Return the timeline as a text of `width` characters, or more if there are more spans.

    A cross marks the start of a span that follows one of the same kind, such as a second segment
    without a gap between. With `plain`, only ASCII is used, and `|` replaces the cross.
    """
    total = max(spans[-1].to_us, 1)
    width = max(width, len(spans))
    cells = _cells(spans, total, width)
    line = Text()
    before = ""
    for span, count in zip(spans, cells, strict=True):
        kind = style_of(span)
        glyph = kind.plain if plain else kind.glyph
        first = ("|" if plain else "┿") if span.kind == before else glyph
        line.append(first + glyph * (count - 1), style=kind.style)
        before = span.kind
    return line


def _cells(spans: Sequence[TimelineSpan], total: int, width: int) -> list[int]:
    cells = [max(1, round((span.to_us - span.from_us) * width / total)) for span in spans]
    while sum(cells) > width:
        cells[cells.index(max(cells))] -= 1
    while sum(cells) < width:
        cells[cells.index(max(cells))] += 1
    return cells


def scale(spans: Sequence[TimelineSpan], width: int) -> str:
    """Return the row of times below a timeline: its end, and each span's start that fits."""
    total = max(spans[-1].to_us, 1)
    end = clock(total / _US)
    row = [" "] * max(width, len(end) + 2)
    row[-len(end) :] = end
    for span in spans:
        text = clock(span.from_us / _US)
        at = round(span.from_us * width / total)
        room = row[max(at - 1, 0) : at + len(text) + 1]
        if len(room) >= len(text) + 1 and not "".join(room).strip():
            row[at : at + len(text)] = text
    return "".join(row)


def table(spans: Sequence[TimelineSpan], *, plain: bool) -> list[Text]:
    """Return one line of text for each span: its glyph, times, kind and reason."""
    lines = []
    for span in spans:
        kind = style_of(span)
        start, end = clock(span.from_us / _US), clock(span.to_us / _US)
        line = Text(f"{kind.plain if plain else kind.glyph}  ", style=kind.style)
        line.append(f"{start:>7} - {end:<7}  ", style="default")
        line.append(f"{kind.name:<13}  ", style=kind.style)
        line.append(span.why, style="default")
        lines.append(line)
    return lines


def style_of(span: TimelineSpan) -> SpanStyle:
    """Return the style of a span; an unknown kind is drawn as unexplained."""
    return STYLES.get(span.kind, _UNEXPLAINED)


def recorded_us(spans: Iterable[TimelineSpan]) -> int:
    """Return the total length of the recorded spans, in microseconds."""
    return sum(span.to_us - span.from_us for span in spans if span.kind == RECORDED.name)


def reasons(spans: Iterable[TimelineSpan]) -> str:
    """Return the kinds of all spans but the recorded ones, with counts: `payment, 2 transfer`."""
    names = sorted(span.kind for span in spans if span.kind != RECORDED.name)
    counted = [(name, len(list(group))) for name, group in itertools.groupby(names)]
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in counted)
