"""The generated part of docs/performance.md: how cost grows, from the results of report.py.

Each figure of the tables is from a stored result; nothing is computed here but units and the memory
of a call.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from _picture import Row

Result = Mapping[str, Any]
Results = Mapping[str, Result]
Cell = Callable[[Row], str]
RESULTS = ("media", "rates", "long")
"""The names of the stored results."""
PICTURE = Path("docs/images/growth.svg")
BEGIN = (
    "<!-- Written by benchmarks/report.py from docs/performance/*.json, as is all up to END. -->"
)
END = "<!-- END -->"
COLUMNS = 120
"""The longest line of a document."""
QUIET_CORES = 0.2
"""The use of the processor by other programs up to which a machine counts as quiet."""


def figure(value: float | None) -> str:
    """Return a number with three significant digits, and thousands set apart; a dash for None."""
    if value is None:
        return "-"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def figures(row: Row, name: str, *parts: str) -> str:
    """Return some figures of a row, such as `delay_ms_p50` and `delay_ms_p99`, in one cell."""
    return " / ".join(figure(row.get(f"{name}_{part}")) for part in parts)


def table(rows: Sequence[Row], columns: Mapping[str, Cell]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(cell(row) for cell in columns.values())} |" for row in rows]
    return "\n".join(lines)


def growth_table(result: Result) -> str:
    """Return the table of calls in progress."""
    columns: dict[str, Cell] = {
        "recorded calls": lambda row: figure(row["calls"]),
        "µs a packet": lambda row: figure(row["us_per_packet"]),
        "cores": lambda row: f"{row['cores']:.3f}",
        "delay of packets, ms: median / p99 / longest": lambda row: figures(
            row, "delay_ms", "p50", "p99", "max"
        ),
        "lost": lambda row: f"{row['lost']:,.0f} of {row['sent']:,.0f}",
        "not sent": lambda row: figure(row["unsent"]),
        "memory, MB": lambda row: f"{row['resident_kb'] / 1024:.0f}",
        "kB a call": lambda row: figure(
            (row["resident_kb"] - row["resident_kb_before"]) / row["calls"]
        ),
    }
    return table(result["growth"], columns)


def answers_table(result: Result) -> str:
    """Return the table of the calls that were set up."""
    columns: dict[str, Cell] = {
        "set-ups a second": rate,
        "answered": lambda row: f"{row['answered']:,} of {row['offered']:,}",
        "refused": refused,
        "no answer": lambda row: f"{row['unanswered']:,}",
        "sent again": lambda row: f"{row['retransmitted']:,}",
        "ms until the 200: median / p99": lambda row: figures(row, "setup_ms", "p50", "p99"),
        "CPU ms a set-up": cost,
    }
    return table([row for row in result["rows"] if row["rate"]], columns)


def lateness_table(result: Result) -> str:
    """Return the table of the switch and of the calls in progress meanwhile."""
    columns: dict[str, Cell] = {
        "set-ups a second": rate,
        "loop late, ms: median / p99 / p99.9 / longest": lambda row: figures(
            row, "lag_ms", "p50", "p99", "p99.9", "max"
        ),
        "packets late, ms: median / p99 / longest": lambda row: figures(
            row, "delay_ms", "p50", "p99", "max"
        ),
        "packets lost": lambda row: f"{row['rtp_lost']:,} of {row['rtp_sent']:,}",
        "not sent": lambda row: f"{row['rtp_unsent']:,}",
        "memory, MB: before / most / after": lambda row: figures(
            row, "resident_mb", "before", "peak", "after"
        ),
    }
    return table(result["rows"], columns)


def rate(row: Row) -> str:
    """Return the rate; if SIPp could not place it, also the rate that it placed."""
    if row["generator_limited"]:
        return f"{row['rate']}, but SIPp placed only {row['offered_a_second']:.0f}"
    return str(row["rate"])


def cost(row: Row) -> str:
    """Return the CPU time of a set-up in ms and its error; a dash if it is not known."""
    if row["cpu_us_per_setup"] is None:
        return figure(None)
    us, error_us = row["cpu_us_per_setup"], row["cpu_us_per_setup_error"]
    return f"{us / 1e3:.1f} ± {error_us / 1e3:.1f}"


def refused(row: Row) -> str:
    """Return the refused calls, by status."""
    by_status = row["refused_by_status"]
    return ", ".join(f"{count:,} ({status})" for status, count in by_status.items()) or "0"


def circumstances(results: Results) -> str:
    """Return the machine, the programs and the date of the results, and what spoils them."""
    machines = {
        f"{of['cpu']}, {of['cores']} cores, Linux {of['kernel']}, Python {of['python']}"
        for result in results.values()
        for of in [result["machine"]]
    }
    dates = sorted({result["date"] for result in results.values()})
    links = ", ".join(f"[{name}.json](performance/{name}.json)" for name in results)
    busy = max(result["busy_before"] for result in results.values())
    parts = [f"Measured on {' to '.join(dates)}: {'; '.join(sorted(machines))}. Results: {links}."]
    if any(result["quick"] for result in results.values()):
        parts.append(
            "**These are runs with `--quick`, of a few seconds and few calls. They show the form of"
            " the tables, and are no measure of the program.**"
        )
    if busy > QUIET_CORES:
        parts.append(
            f"**Other programs used up to {busy:g} cores of the machine when a run began, so the"
            " times are too long.**"
        )
    return "\n\n".join(
        fill(part, COLUMNS, break_long_words=False, break_on_hyphens=False) for part in parts
    )


def generated(results: Results) -> str:
    """Return the part of the page that is made from the results, with its marker comments."""
    media, rates, long = (results[name] for name in RESULTS)
    alt = "Charts of cost, delay and memory; the tables have the same figures"
    parts = (
        BEGIN,
        circumstances(results),
        f"![{alt}](images/{PICTURE.name})",
        (
            f"Recorded calls in progress, {media['seconds']:g} s a row"
            " (`benchmarks/media.py --growth`):"
        ),
        growth_table(media),
        (
            f"Set-ups beside {rates['calls']} recorded calls, {rates['seconds']:g} s a row"
            " (`benchmarks/rates.py`):"
        ),
        answers_table(rates),
        "Meanwhile, in the switch and in the calls in progress:",
        lateness_table(rates),
        (
            f"The same beside {long['calls']} recorded calls for {long['seconds']:g} s"
            f" (`benchmarks/{' '.join(long['command'])}`):"
        ),
        answers_table(long),
        lateness_table(long),
        END,
    )
    return "\n\n".join(parts)


def about(results: Results) -> str:
    """Return the line at the top of the picture."""
    of = results["rates"]["machine"]
    quick = "a quick run, no measure; " if results["rates"]["quick"] else ""
    date = results["rates"]["date"]
    return f"Galwad, {quick}{of['cpu']}, {of['cores']} cores, Python {of['python']}, {date}"
