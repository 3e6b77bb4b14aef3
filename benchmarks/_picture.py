"""The picture of report.py: how cost, delay and memory grow with calls and with set-ups.

It is an SVG of six small charts, the same bytes for the same results. Each chart has one unit and
one meaning. Lines differ by their form, not only by colour, and the picture has a background of its
own, dark where the reader prefers that, so that it can be read on each page.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import svg

Row = Mapping[str, Any]
WIDTH, HEIGHT = 960, 610
PLOT_WIDTH, PLOT_HEIGHT = 222, 180
LEFT, TOP, ACROSS, DOWN = 64, 74, 310, 284
FORMS = ("p50", "p99", "max")
"""The forms of lines, in the order of a chart's series."""
STYLE = """
.ground{fill:#fff}.text{fill:#1f2328;font:12px system-ui,sans-serif}.head{font-weight:600}
.grid{stroke:#d0d7de}.ideal{stroke:#818b98;stroke-dasharray:2 4;fill:none}
.p50,.p99,.max{fill:none;stroke-width:2}
.p50{stroke:#0550ae;stroke-dasharray:6 3}.p99{stroke:#bc4c00}
.max{stroke:#8250df;stroke-dasharray:2 2}
.dot-p50{fill:#0550ae}.dot-p99{fill:#bc4c00}.dot-max{fill:#8250df}
@media (prefers-color-scheme:dark){
.ground{fill:#0d1117}.text{fill:#e6edf3}.grid{stroke:#30363d}.ideal{stroke:#848d97}
.p50{stroke:#79c0ff}.p99{stroke:#ffa657}.max{stroke:#d2a8ff}
.dot-p50{fill:#79c0ff}.dot-p99{fill:#ffa657}.dot-max{fill:#d2a8ff}}
"""


@dataclass(frozen=True)
class Chart:
    """One chart: values by the number of calls or set-ups."""

    title: str
    across: str
    """The meaning of the horizontal axis."""
    points: Sequence[float]
    series: Mapping[str, Sequence[float | None]]
    """The values of each line at each point, by the line's name; at most three lines.

    A value that was not measured is None, and the line has no point there.
    """
    decades: bool = False
    """If true, the vertical axis is logarithmic, and values below 0.1 are drawn as 0.1."""
    ideal: bool = False
    """If true, a line shows where both values are equal."""


def charts(growth: Sequence[Row], rates: Sequence[Row]) -> list[Chart]:
    """Return the charts of the results."""

    def of(rows: Sequence[Row], **names: str) -> dict[str, list[float | None]]:
        return {name: [row.get(key) for row in rows] for name, key in names.items()}

    def names(prefix: str) -> dict[str, str]:
        return {"median": f"{prefix}_p50", "p99": f"{prefix}_p99", "longest": f"{prefix}_max"}

    calls = [float(row["calls"]) for row in growth]
    offered = [float(row["offered_a_second"]) for row in rates]
    answered = [
        row["offered_a_second"] * row["answered"] / row["offered"] if row["offered"] else 0.0
        for row in rates
    ]
    memory = [row["resident_kb"] / 1024 for row in growth]
    in_progress, a_second = "recorded calls in progress", "set-ups a second"
    return [
        Chart("Cores", in_progress, calls, of(growth, cores="cores")),
        Chart("Delay of packets, ms", in_progress, calls, of(growth, **names("delay_ms")), True),
        Chart("Memory, MB", in_progress, calls, {"memory": memory}),
        Chart("Answered calls a second", a_second, offered, {"answered": answered}, ideal=True),
        Chart("Delay of the event loop, ms", a_second, offered, of(rates, **names("lag_ms")), True),
        Chart("Delay of packets, ms", a_second, offered, of(rates, **names("delay_ms")), True),
    ]


def picture(growth: Sequence[Row], rates: Sequence[Row], about: str) -> str:
    """Return the SVG of `media.py --growth` and `rates.py`; `about` says where they ran."""
    drawn: list[svg.Element] = [
        svg.Title(id="title", text="Cost by calls in progress and by set-ups a second"),
        svg.Desc(id="desc", text=escape(description(growth, rates))),
        svg.Style(text=STYLE),
        svg.Rect(class_=["ground"], width=WIDTH, height=HEIGHT),
        _text(LEFT - 44, 26, about),
    ]
    for number, chart in enumerate(charts(growth, rates)):
        drawn += _drawn(chart, LEFT + number % 3 * ACROSS, TOP + number // 3 * DOWN)
    made = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, WIDTH, HEIGHT),
        elements=drawn,
        extra={"role": "img", "aria-labelledby": "title desc"},
    )
    return f"{made}\n"


def description(growth: Sequence[Row], rates: Sequence[Row]) -> str:
    """Return the picture's content in words, for readers who do not see it."""
    first, last = growth[0], growth[-1]
    grown = (
        f"From {first['calls']:g} to {last['calls']:g} recorded calls, the use of the processor"
        f" grows from {first['cores']:.2f} to {last['cores']:.2f} cores, the 99th percentile of the"
        f" delay of packets from {_ms(first)} to {_ms(last)} and the"
        f" memory from {first['resident_kb'] / 1024:.0f} to {last['resident_kb'] / 1024:.0f} MB."
    )
    lines = [
        f"At {row['offered_a_second']:.0f} set-ups a second, {row['answered']} of {row['offered']}"
        f" were answered, and the event loop was late by {row['lag_ms_p99']:g} ms"
        " (99th percentile)."
        for row in rates
        if row["offered"]
    ]
    return " ".join((grown, *lines))


def _ms(row: Row) -> str:
    """Return the 99th percentile of the delay of packets, in words."""
    delay = row.get("delay_ms_p99")
    return "an unknown time" if delay is None else f"{delay:g} ms"


def _text(x: float, y: float, text: str, anchor: str = "start", *more: str) -> svg.Text:
    return svg.Text(
        x=x, y=y, text=escape(text), class_=["text", *more], extra={"text-anchor": anchor}
    )


def ticks(highest: float) -> list[float]:
    """Return three to six round values, from 0 to the first that is not below `highest`."""
    size = 10.0 ** math.floor(math.log10(max(highest, 1e-3) / 5))
    step = next(size * part for part in (1, 2, 5, 10) if size * part * 5 >= highest)
    return [round(step * number, 6) for number in range(math.ceil(highest / step) + 1)]


def decades(highest: float) -> list[float]:
    """Return powers of ten from 0.1 to the first that is not below `highest`."""
    top = max(math.ceil(math.log10(max(highest, 1e-9))), 1)
    return [10.0**power for power in range(-1, top + 1)]


def _drawn(chart: Chart, left: float, top: float) -> list[svg.Element]:
    """Return a chart whose plot has this top left corner."""
    values = [value for line in chart.series.values() for value in line if value is not None]
    across = ticks(max(chart.points))
    highest = max((*values, *(chart.points if chart.ideal else ())), default=0.0)
    up = decades(highest) if chart.decades else ticks(highest)

    def x(value: float) -> float:
        return round(left + PLOT_WIDTH * value / across[-1], 1)

    def y(value: float) -> float:
        if chart.decades:
            span = math.log10(up[-1] / up[0])
            part = math.log10(max(value, up[0]) / up[0]) / span
        else:
            part = value / up[-1]
        return round(top + PLOT_HEIGHT * (1 - part), 1)

    drawn: list[svg.Element] = [_text(left - 44, top - 14, chart.title, "start", "head")]
    for value in up:
        drawn += [
            svg.Line(class_=["grid"], x1=left, y1=y(value), x2=left + PLOT_WIDTH, y2=y(value)),
            _text(left - 6, y(value) + 4, f"{value:g}", "end"),
        ]
    drawn += [_text(x(value), top + PLOT_HEIGHT + 18, f"{value:g}", "middle") for value in across]
    drawn.append(_text(left + PLOT_WIDTH, top + PLOT_HEIGHT + 38, chart.across, "end"))
    if chart.ideal:
        end = min(across[-1], up[-1])
        drawn.append(svg.Line(class_=["ideal"], x1=x(0), y1=y(0), x2=x(end), y2=y(end)))
    for form, line in zip(_forms(len(chart.series)), chart.series.values(), strict=True):
        measured = [(at, v) for at, v in zip(chart.points, line, strict=True) if v is not None]
        drawn += _line(form, [(x(at), y(v)) for at, v in measured])
    return drawn + _legend(chart, left, top)


def _forms(lines: int) -> Sequence[str]:
    return FORMS[:lines] if lines > 1 else ("p99",)


def _line(form: str, points: Sequence[tuple[float, float]]) -> list[svg.Element]:
    along = [svg.Point(*point) for point in points]
    return [
        svg.Polyline(class_=[form], points=along),
        *(svg.Circle(class_=[f"dot-{form}"], cx=cx, cy=cy, r=2.5) for cx, cy in points),
    ]


def _legend(chart: Chart, left: float, top: float) -> list[svg.Element]:
    """Return the names of the lines, below the plot's left end; nothing for one line."""
    drawn: list[svg.Element] = []
    if len(chart.series) > 1:
        below = top + PLOT_HEIGHT + 56
        for number, (form, name) in enumerate(zip(FORMS, chart.series, strict=False)):
            at = left + number * 78
            drawn += [
                svg.Line(class_=[form], x1=at, y1=below - 4, x2=at + 22, y2=below - 4),
                _text(at + 27, below, name),
            ]
    return drawn
