"""`galwad recordings show`: show a recording as a timeline, and print the facts about it."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any, Final

import typer

from galwad.cli.recordings import explanation
from galwad.cli.recordings.packets import packet_lines, partly_recorded
from galwad.cli.recordings.rows import spans_of_row
from galwad.cli.support import timeline
from galwad.cli.support.call_ids import checked_id
from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, clock, console, date_and_time, print_json, size
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import CallId, Json, Language, Server, texts_in

app = new_command()

_US: Final = 1_000_000
_MAX_WIDTH: Final = 100
_NO_MANIFEST = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
"""The errors that can occur when a damaged or forged manifest is read."""


@app.command(epilog="Example: galwad recordings show 20261125-093000-abcdefgh")
def show(
    call_id: CallId,
    *,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Explain each gap in a sentence: who or what caused it, and when."
        ),
    ] = False,
    language: Language = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Show the timeline of a recording: recorded parts and gaps, with their times and reasons.

    With --explain, each gap is a sentence instead, in Welsh or English: when recording stopped and
    started again, the cause, the person or system, and the number of the audit entry that proves
    it. The audit has entries about pauses on the page and through the API. Any other cause is in
    the signed manifest, and the audit has its digest. If an entry is missing, the sentence says so.
    """
    if explain:
        _explain(call_id, language, server, json=json)
        return
    if language:
        raise CliError("--language needs --explain", "add --explain", status=2)
    detail = ask(server, "GET", f"/recordings/{checked_id(call_id)}")
    if json:
        print_json(detail)
        return
    row = detail["recording"]
    manifest = detail["manifest"]
    spans = spans_of_row(row, _segments(manifest), partly_recorded(manifest))
    out = console()
    plain = not (out.encoding or "").lower().startswith("utf")
    width = min(out.width, _MAX_WIDTH) - 2
    out.print(f"{row['call_id']}   {row['line']}", style="bold")
    out.print(f"{date_and_time(row['started'])}   {_who(row)}")
    for caller in row.get("later_callers", ()):
        out.print(f"from {clock(caller['from_us'] / _US)} on   caller {_number(caller)}")
    for party in row.get("later_advisors", ()):
        out.print(f"from {clock(party['from_us'] / _US)} on   {_advisor(party)}")
    out.print()
    out.print(timeline.draw(spans, width, plain=plain))
    out.print(timeline.scale(spans, width), style="dim")
    out.print()
    for text in timeline.table(spans, plain=plain):
        out.print(text)
    kept = clock(timeline.recorded_us(spans) / _US)
    out.print(
        f"\n{kept} recorded of {clock(row['talk_s'])} talk, {size(row['payload_size'])} sealed"
    )
    for party in row.get("network", ()):
        out.print(_network(party))
    for line, style in packet_lines(detail["manifest"]):
        out.print(line, style=style, markup=False, highlight=False)
    _warn(row, detail["manifest"])
    _captured_cards(detail)
    _custody(detail)


def _explain(call_id: str, language: str, server: str, *, json: bool) -> None:
    """Print each gap of a recording as a sentence, or all of them as JSON."""
    texts = texts_in(language)
    found = ask(server, "GET", f"/recordings/{checked_id(call_id)}/gaps")
    if json:
        print_json(explanation.with_sentences(found, texts))
        return
    for line in explanation.lines(found, texts):
        console().print(line)


def _who(row: dict[str, Any]) -> str:
    if not row.get("named", True):
        return "caller, line and advisor unknown: its row was made from the manifest"
    return f"caller {row['number'] or 'no number'}   {_advisor(row)}"


def _advisor(party: dict[str, Any]) -> str:
    at = f" at {party['extension']}" if party["extension"] else ""
    return f"advisor {party['advisor'] or 'unknown'}{at}"


def _number(caller: dict[str, Any]) -> str:
    return "withheld" if caller["withheld"] else caller["number"] or "no number"


def _network(party: dict[str, Any]) -> str:
    """Return one line about the network of a party, such as "caller: MOS 4.4, ..."."""
    mos = "no estimate" if party["mos"] is None else f"MOS {party['mos']:.1f} (estimate)"
    sent = party["received"] + party["lost"]
    share = f"{100 * party['lost'] / sent:.1f} %" if sent else "0 %"
    lost = f"{party['lost']} of {sent} packets lost by the network ({share}"
    lost += f", at most {party['longest_loss']} together)" if party["lost"] else ")"
    jitter = f"jitter {party['jitter_us'] / 1000:.1f} ms, at most"
    jitter += f" {party['jitter_most_us'] / 1000:.1f} ms"
    others = [f"{party[name]} {name}" for name in ("late", "duplicate") if party[name]]
    return f"{party['channel']}: " + ", ".join([mos, lost, jitter, *others])


def _segments(manifest: str | None) -> list[int]:
    """Return the time at which each segment begins, in microseconds since the recording's start.

    The list is empty if the manifest is missing or damaged.
    """
    try:
        segments = jsonlib.loads(manifest or "")["manifest"]["segments"]
        return [int(segment["from_us"]) for segment in segments]
    except _NO_MANIFEST:
        return []


def _warn(row: dict[str, Any], manifest: str | None) -> None:
    out = console()
    if row["unexplained_s"]:
        out.print(f"! {row['unexplained_s']:.1f} s are unexplained", style="bold red")
    if row.get("raw_size"):
        out.print(
            f"! {_raw(manifest)} could not be decoded: `fetch --raw` fetches them as they arrived"
        )
    if row["interrupted"]:
        out.print("! interrupted: the recorder stopped during this call", style="bold red")
    if manifest is None:
        out.print("! its manifest is missing from the archive", style="bold red")


def _raw(manifest: str | None) -> str:
    """Return how many packets could not be decoded, as a text such as "12 packets".

    Return "some packets" if the manifest does not show the number.
    """
    try:
        return f"{int(jsonlib.loads(manifest or '')['manifest']['raw']['packets'])} packets"
    except _NO_MANIFEST:
        return "some packets"


def _captured_cards(detail: dict[str, Any]) -> None:
    """Print each incident in which a card number was keyed outside a pause."""
    out = console()
    for incident in detail.get("captured_cards", []):
        start, end = (clock(incident[name] / _US) for name in ("from_us", "to_us"))
        detected = date_and_time(incident["detected"])
        found = f"a card number was keyed at {start} - {end}, found {detected}"
        if incident["state"] == "open":
            out.print(f"! {found}: `galwad recordings purge --captured-card`", style="bold red")
            continue
        out.print(f"{found}, closed {date_and_time(incident['closed'])}", style="bold")
        out.print(f"    missing trigger: {incident['missing_trigger']}", markup=False)
        out.print(f"    changed: {incident['changed']}", markup=False)


def _custody(detail: dict[str, Any]) -> None:
    out = console()
    if detail.get("hold"):
        out.print(f"held: {detail['hold']}", style="bold")
    if detail.get("disposal"):
        out.print("! disposed of: `galwad recordings verify` shows its certificate", style="bold")
