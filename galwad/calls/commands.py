"""`galwad calls`: list calls in progress, show figures, and check that calls are fully explained.

Each second of an answered call must be explained: it is recorded, or there is a reason why it is
not recorded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

import typer

from galwad.cli.support import timeline
from galwad.cli.support.archive_client import not_committed_note
from galwad.cli.support.client import ask, check_response, http_errors, open_client
from galwad.cli.support.console import (
    CliError,
    centre_zone,
    clock,
    console,
    date_and_time,
    one_line,
    print_json,
    print_table,
)
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Days, Json, Server, checked_period
from galwad.cli.support.output_file import atomic_file
from galwad.cli.support.timeline import TimelineSpan

app = new_command()
_US: Final = 1_000_000
_TENTH_US: Final = 100_000
_COVERAGE_TIMEOUT_S: Final = 900.0
"""The longest time in seconds to wait for the server, which reads a manifest for each call."""
Group = Literal["line", "hour", "language"]
_LANGUAGES: Final = {"en": "English", "cy": "Welsh", "": "not known"}
_FIGURES_TIMEOUT_S: Final = 120.0
"""The longest time in seconds to wait for the figures of a long period."""


@app.command("list", epilog="Example: galwad calls list")
def list_(*, server: Server = "", json: Json = False) -> None:
    """List the calls in progress and in wrap-up, with their state, advisor and recording state.

    Only the calls that you have permission to see are listed.

    The column RECORDING shows the state that the recorder itself reports. "(not yet durable)" means
    that the disk has not yet confirmed the newest pause or resume.
    """
    pops = ask(server, "GET", "/calls")
    if json:
        print_json(pops)
        return
    now = time.time()
    print_table(
        ("CALL", "LINE", "STATE", "FOR", "ADVISOR", "RECORDING"),
        (
            (
                pop["call_id"],
                pop["line"],
                pop["state"],
                clock(max(0.0, now - pop["since"])),
                pop["advisor"] or "",
                pop["recording"] + ("" if pop["durable"] else " (not yet durable)"),
            )
            for pop in pops
        ),
        empty="No calls in progress.",
    )


@app.command(epilog="Example: galwad calls coverage --date yesterday")
def coverage(
    *,
    date: Days = "today",
    server: Server = "",
    json: Json = False,
) -> None:
    """Check each second of each answered call: recorded, or not recorded for a known reason.

    Shows a timeline of each call that has unexplained seconds, and names each row of the index or
    the ledger that contradicts its signed manifest or the audit. Names each party of a call whose
    packets do not add up: those received, stored, dropped for a reason, and lost. Names each gap of
    a payment or transfer in which packets were stored, and each trigger without effect, also in
    calls that are in progress or not sealed yet. Lists each party of which nothing is heard in a
    segment although it sent packets. Prints each orphan in the whole archive: a file, row or spool
    whose counterpart is missing, such as a recording without its database row. Nothing is deleted.
    The exit status is 1 if there is a finding other than a silent party, or if the spools of calls
    in progress could not be checked. Otherwise it is 0. The server makes the same check every
    night, and raises an alarm for each new finding.
    """
    found = _fetch_coverage(date, server)
    if json:
        print_json(found)
    else:
        _show_coverage(found)
    failure = _failure(found)
    if failure is not None:
        raise failure


def _fetch_coverage(words: str, server: str) -> dict[str, Any]:
    path = f"/coverage?{urlencode({'when': checked_period(words, '--date')})}"
    answer: dict[str, Any] = ask(server, "GET", path, timeout_s=_COVERAGE_TIMEOUT_S)
    return answer


def _show_coverage(found: dict[str, Any]) -> None:
    out = console()
    for call in found["amiss"]:
        _show_call(call)
    for orphan in found["orphans"]:
        out.print(one_line(f"{orphan['kind']}: {orphan['name']}"), style="bold")
        out.print(one_line(f"    {orphan['text']}"))
        out.print(f"    to do: {orphan['fix']}")
    if found.get("more_orphans"):
        out.print(f"and {found['more_orphans']} more", style="bold")
    if found["orphans"]:
        out.print()
    for party in found.get("silent", ()):
        out.print(one_line(_silent(party)))
    if found.get("more_silent"):
        out.print(f"and {found['more_silent']} more calls with a silent party")
    if found.get("spools_unread"):
        out.print(one_line(f"!  {found['spools_unread']}"), style="bold red")
    out.print(_sentence(found))
    if found.get("not_committed"):
        out.print(not_committed_note(found["not_committed"]))


def _show_call(call: dict[str, Any]) -> None:
    out = console()
    spans = _spans(call)
    width, plain = timeline.layout(out)
    # A call id that another program wrote into the database may have any characters.
    out.print(one_line(f"{call['call_id']}   {date_and_time(call['started'])}"), style="bold")
    if call["talk_us"]:
        out.print(timeline.draw(spans, width, plain=plain))
        out.print(timeline.scale(spans, width), style="dim")
        for text in timeline.table(spans, plain=plain):
            out.print(text)
    for problem in call["problems"]:
        out.print(one_line(f"!  {problem}"), style="bold red")
    out.print()


def _spans(call: dict[str, Any]) -> list[TimelineSpan]:
    """Return the call's timeline. The time where a segment and a gap overlap is unexplained."""
    unexplained = [
        TimelineSpan("unexplained", part["from_us"], part["to_us"], _length(part))
        for part in call["unexplained"]
    ]
    gaps = [TimelineSpan(gap["reason"], gap["from_us"], gap["to_us"]) for gap in call["gaps"]]
    return timeline.spans_of([*unexplained, *gaps], call["talk_us"])


def _silent(party: dict[str, Any]) -> str:
    start, end = (clock(party[name] / _US) for name in ("from_us", "to_us"))
    who = f"the {party['channel']} is silent from {start} to {end}"
    return f"{party['call_id']}   {who}: {party['text']}"


def _length(part: dict[str, Any]) -> str:
    return f"{(part['to_us'] - part['from_us']) / _US:.1f} s"


def _sentence(found: dict[str, Any]) -> str:
    count = found["calls"]
    text = f"{count} answered call{'' if count == 1 else 's'}"
    if found["in_progress"]:
        text += f" (and {found['in_progress']} in progress or not yet archived)"
    talk_us = found["talk_us"]
    parts = [found[key] for key in ("recorded_us", "gap_us", "unexplained_us")]
    more = sum(parts) - talk_us
    kept, gaps, unexplained = _tenths(parts)
    talk = kept + gaps + unexplained if not more else round(talk_us / _TENTH_US)
    text += f": {_clock(talk)} of talk, {_clock(kept)} recorded, {_clock(gaps)} in gaps"
    text += f", {unexplained / 10:.1f} s unexplained"
    if more:
        text += f" ({more / _US:+.3f} s, because segments and gaps contradict each other)"
    silent = len(found.get("silent", ())) + found.get("more_silent", 0)
    return f"{text}, {silent} silent part{'y' if silent == 1 else 'ies'}" if silent else text


def _tenths(parts_us: Sequence[int]) -> list[int]:
    """Return parts in tenths of a second. The last part, the unexplained time, is rounded up.

    The other parts are rounded so that their sum is the rounded sum.
    """
    *others, last = parts_us
    shown_last = -(-last // _TENTH_US)
    tenths, before, sum_us = [], 0, 0
    for part in others:
        sum_us += part
        now = max(before, round(sum_us / _TENTH_US))
        tenths.append(now - before)
        before = now
    return [*tenths, shown_last]


def _clock(tenths: int) -> str:
    """Return a duration as text with tenths of a second: `4:32.1`."""
    whole, rest = divmod(tenths, 10)
    return f"{clock(whole)}.{rest}"


def _failure(found: dict[str, Any]) -> CliError | None:
    unread = found.get("spools_unread", "")
    amiss, orphans = len(found["amiss"]), len(found["orphans"]) + found.get("more_orphans", 0)
    if not amiss and not orphans:
        return CliError(one_line(unread), "start the finaliser, then try again") if unread else None
    parts = [
        f"{count} {name}{'' if count == 1 else 's'}"
        for count, name in ((amiss, "call"), (orphans, "orphan"))
        if count
    ]
    return CliError(
        f"{' and '.join(parts)} not explained",
        "docs/operations/coverage.md explains the list above",
    )


@app.command(epilog="Example: galwad calls figures --date yesterday --by hour")
def figures(
    *,
    date: Days = "today",
    by: Annotated[Group, typer.Option(help="Show a row for each of these.")] = "line",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write all figures to this CSV file instead."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Show the figures of the incoming calls that began in a period and have ended.

    WAIT and LENGTH are means of the answered calls. Internal calls do not count. The figures name
    no person. The server enters an export to a CSV file in the audit chain.
    """
    query = urlencode({"when": checked_period(date, "--date")})
    if output is not None:
        _export(query, output, server, replace=force)
        if json:
            print_json({"output": str(output)})
        else:
            print(output)
        return
    found = ask(server, "GET", f"/figures?{query}", timeout_s=_FIGURES_TIMEOUT_S)
    if json:
        print_json(found)
    elif found["total"]["calls"]:
        _show_figures(found, by)
    else:
        print("No call of this period has ended.")


def _show_figures(found: dict[str, Any], by: Group) -> None:
    heads = ("ANSWERED", "MISSED", "ABANDONED", "REFUSED", "WAIT", "LENGTH", "PAUSES", "GAPS")
    rows = [*_rows(found, by), ("all", found["total"])]
    print_table(
        (f"HOUR ({centre_zone()})" if by == "hour" else by.upper(), "CALLS", *heads),
        (
            (
                name,
                *(str(row[each]) for each in ("calls", "answered", "missed", "abandoned")),
                str(row["refused"]),
                clock(row["mean_waiting_s"]),
                clock(row["mean_talk_s"]),
                str(row["pauses"]),
                str(row["gaps"]),
            )
            for name, row in rows
        ),
        empty="",
    )


def _rows(found: dict[str, Any], by: Group) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in found[f"by_{by}"]:
        if by == "hour":
            yield f"{row['hour']:02}:00", row
        elif by == "language":
            yield _LANGUAGES.get(row["language"], row["language"]), row
        else:
            yield row["line"] or "-", row


def _export(query: str, output: Path, server: str, *, replace: bool) -> None:
    with (
        atomic_file(output, replace=replace) as file,
        http_errors(),
        open_client(server, timeout_s=_FIGURES_TIMEOUT_S) as client,
    ):
        reply = client.get(f"/figures/export?{query}")
        check_response(reply)
        if not reply.headers.get("content-type", "").startswith("text/csv"):
            raise CliError("the answer is not from a Galwad server", "check the address")
        file.write(reply.content)
