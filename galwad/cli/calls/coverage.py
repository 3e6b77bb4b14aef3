"""`galwad calls coverage`: check the calls of a period, and show unexplained time.

Time is explained if it is recorded, or if there is a reason why it is not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from galwad.cli.support import timeline
from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, clock, console, date_and_time, one_line, print_json
from galwad.cli.support.index_check import not_committed_note
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server
from galwad.cli.support.periods import checked_period
from galwad.cli.support.timeline import TimelineSpan

app = new_command()

_US: Final = 1_000_000
_TENTH_US: Final = 100_000
_MAX_WIDTH: Final = 100
_TIMEOUT_S: Final = 900.0
"""The longest time in seconds to wait for the server's response.

The server reads a manifest for each call. This takes minutes for a year of a busy centre.
"""


@app.command(epilog="Example: galwad calls coverage --date yesterday")
def coverage(
    *,
    date: Annotated[
        str,
        typer.Option(help='The days: today, yesterday, monday, "last week", 2026-11-24, 2026-11.'),
    ] = "today",
    server: Server = "",
    json: Json = False,
) -> None:
    """Check each second of each answered call: recorded, or not recorded for a known reason.

    Shows a timeline of each call that has unexplained seconds, and names each row of the index or
    the ledger that contradicts its signed manifest or the audit. Names each party of a call whose
    packets do not add up: those received, stored, dropped for a reason, and lost. Names each gap of
    a payment or transfer in which packets were stored, and each trigger without effect, also in
    calls that are in progress or not sealed yet. Lists each party
    of which nothing is heard in a segment although it sent packets. Prints each orphan in the whole
    archive: a file, row or spool whose counterpart is missing, such as a recording without its
    database row. Nothing is deleted. The exit status is 1 if a call has unexplained seconds,
    packets that do not add up or were stored in such a gap, or a trigger without effect, a row was
    changed, or there is an orphan, else 0. The server makes the same check every night, and raises
    an alarm for each new finding.
    """
    found = _fetch(date, server)
    if json:
        print_json(found)
    else:
        _show(found)
    failure = _failure(found)
    if failure is not None:
        raise failure


def _fetch(words: str, server: str) -> dict[str, Any]:
    """Return the server's coverage report for the period that `words` names.

    `words` is a text such as "yesterday" or "2026-11". A day begins at midnight in the centre's
    time zone.

    Raises:
        CliError: `words` names no period, or the request failed.
    """
    path = f"/coverage?{urlencode({'when': checked_period(words, '--date')})}"
    answer: dict[str, Any] = ask(server, "GET", path, timeout_s=_TIMEOUT_S)
    return answer


def _show(found: dict[str, Any]) -> None:
    """Print each call with unexplained time, each orphan, and the totals.

    An orphan is a file, row or spool whose counterpart is missing, such as a recording without its
    database row.
    """
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
    plain = not (out.encoding or "").lower().startswith("utf")
    width = min(out.width, _MAX_WIDTH) - 2
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
    """Return the timeline of the call: its recorded time, its gaps and its unexplained time.

    If a segment and a gap overlap, they contradict each other, so the server reports the overlap as
    unexplained time.
    """
    unexplained = [
        TimelineSpan("unexplained", part["from_us"], part["to_us"], _length(part))
        for part in call["unexplained"]
    ]
    gaps = [TimelineSpan(gap["reason"], gap["from_us"], gap["to_us"]) for gap in call["gaps"]]
    return timeline.spans_of([*unexplained, *gaps], call["talk_us"])


def _silent(party: dict[str, Any]) -> str:
    """Return a text such as "ID   the caller is silent from 0:00 to 0:12: 600 packets received"."""
    start, end = (clock(party[name] / _US) for name in ("from_us", "to_us"))
    who = f"the {party['channel']} is silent from {start} to {end}"
    return f"{party['call_id']}   {who}: {party['text']}"


def _length(part: dict[str, Any]) -> str:
    return f"{(part['to_us'] - part['from_us']) / _US:.1f} s"


def _sentence(found: dict[str, Any]) -> str:
    """Return the totals of the coverage report as one sentence."""
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
    """Return the durations `parts_us` (microseconds) in tenths of a second.

    Each result differs by less than a tenth from its duration. The last duration is rounded up, so
    that unexplained time is never shown as 0.
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
    """Return the error with which the command ends; None if it ends without an error.

    There is an error if a call has unexplained time, or if there is an orphan, such as a recording
    without its database row.
    """
    unread = found.get("spools_unread", "")
    amiss, orphans = len(found["amiss"]), len(found["orphans"]) + found.get("more_orphans", 0)
    if not amiss and not orphans:
        return CliError(one_line(unread), "start the finaliser, then try again") if unread else None
    parts = [
        f"{count} {name}{'' if count == 1 else 's'}"
        for count, name in ((amiss, "call"), (orphans, "orphan"))
        if count
    ]
    return CliError(f"{' and '.join(parts)} not explained", "the list above says what to do")
