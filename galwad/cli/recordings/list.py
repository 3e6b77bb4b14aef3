"""`galwad recordings`: find, show, fetch and verify recordings, through the server's API."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from galwad.cli import custody, fetching, proof, recovery, reindexing, timeline
from galwad.cli.client import ask
from galwad.cli.console import CliError, clock, console, local_time, print_json, print_table, size
from galwad.cli.options import CallId, Json, Server
from galwad.cli.timeline import Span
from galwad.when import HINT, period
from recording.archive.rewrap import UNPROVEN

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_US = 1_000_000
_WIDEST = 100
_PAGE = 500
_NO_MANIFEST = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
"""The errors that a damaged or forged manifest may cause."""


class GapName(StrEnum):
    """The reasons of gaps."""

    PAYMENT = "payment"
    TRANSFER = "transfer"
    FAULT = "fault"
    ERASED = "erased"


class PurposeName(StrEnum):
    """The purposes for which a recording may be fetched."""

    QUALITY_TRAINING = "quality-training"
    CUSTOMER_INSIGHT = "customer-insight"
    COMPLAINT = "complaint"
    LEGAL_CLAIM = "legal-claim"
    STAFF_SAFETY = "staff-safety"
    LEGAL_DISCLOSURE = "legal-disclosure"
    CRIME = "crime"
    VITAL_INTERESTS = "vital-interests"


@app.callback()
def recordings() -> None:
    """Recordings: find one, look at it, fetch it, verify it, dispose of it."""


@app.command("list", epilog="Example: galwad recordings list --when yesterday --gap payment")
def list_(
    *,
    when: Annotated[
        str, typer.Option(help='Begun in: yesterday, monday, "last week", 2026-11-24, 2026-11.')
    ] = "",
    since: Annotated[str, typer.Option(help="Begun at or after: as above, or a time.")] = "",
    until: Annotated[str, typer.Option(help="Begun before.")] = "",
    number: Annotated[str, typer.Option(help="The caller's number.")] = "",
    advisor: Annotated[str, typer.Option(help="Who answered.")] = "",
    extension: Annotated[str, typer.Option(help="The phone that answered.")] = "",
    line: Annotated[str, typer.Option(help="The line that was called.")] = "",
    longer: Annotated[str, typer.Option(help="At least so much talk: 10:00, or 600.")] = "",
    shorter: Annotated[str, typer.Option(help="At most so much talk.")] = "",
    reference: Annotated[
        str, typer.Option(help="A call id, or a reference it was fetched under.")
    ] = "",
    gap: Annotated[GapName | None, typer.Option(help="Has a gap for this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    after: Annotated[str, typer.Option(help="Go on where a list said that there are more.")] = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """List recordings, the newest first. The audit records each search, but not what it was for.

    Days are those of the centre.
    """
    wanted: dict[str, Any] = {
        "when": _time(when, "--when"),
        "since": _time(since, "--since"),
        "until": _time(until, "--until"),
        "number": number,
        "advisor": advisor,
        "extension": extension,
        "line": line,
        "min_length_s": fetching.seconds(longer, "--longer"),
        "max_length_s": fetching.seconds(shorter, "--shorter"),
        "reference": reference,
        "gap_reason": gap.value if gap else None,
        "after": after,
    }
    query = {key: value for key, value in wanted.items() if value not in {None, ""}}
    page = _pages(server, query, limit)
    if json:
        print_json(page)
        return
    print_table(
        ("RECORDING", "STARTED", "TALK", "LINE", "ADVISOR", "CALLER", "GAPS"),
        (_row(row) for row in page["rows"]),
        empty="No recording fits.",
    )
    if page["after"]:
        console().print(f"There are more: add --after {page['after']}", style="dim")


def _pages(server: str, query: dict[str, Any], limit: int) -> dict[str, Any]:
    """Return the first `limit` rows that match, and where the next page begins, or None."""
    rows: list[dict[str, Any]] = []
    while True:
        ask_for = {**query, "limit": min(limit - len(rows), _PAGE)}
        page = ask(server, "POST", "/recordings/search", ask_for)
        rows += page["rows"]
        if page["after"] is None or len(rows) >= limit:
            return {"rows": rows, "after": page["after"]}
        query = {**query, "after": page["after"]}


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    spans = _spans(row)
    notes = [timeline.reasons(spans)]
    if row["interrupted"]:
        notes.append("interrupted")
    if row.get("raw_size"):
        notes.append("kept raw")
    notes.append(row.get("custody", ""))
    named = row.get("named", True)
    return (
        row["call_id"],
        local_time(row["started"]),
        clock(row["talk_s"]),
        row["line"] if named else "unknown",
        (row["advisor"] or row["extension"]) if named else "unknown",
        (row["number"] or "no number") if named else "unknown",
        ", ".join(note for note in notes if note),
    )


def _time(text: str, option: str) -> str:
    """Return the words if they name a time; the server interprets them by the centre's days."""
    if text:
        try:
            period(text, time.time())
        except ValueError:
            raise CliError(f"{option} is no time", HINT, status=2) from None
    return text


def _spans(row: dict[str, Any], begins: Iterable[int] = ()) -> list[Span]:
    gaps = [
        Span(gap["reason"], gap["from_us"], gap["to_us"], _why(gap["trigger"], gap["actor"]))
        for gap in row["gaps"]
    ]
    return timeline.spans_of(gaps, round(row["talk_s"] * _US), begins)


def _segments(manifest: str | None) -> list[int]:
    """Return where segments begin, in microseconds; [] if the manifest is missing or damaged."""
    try:
        segments = jsonlib.loads(manifest or "")["manifest"]["segments"]
        return [int(segment["from_us"]) for segment in segments]
    except _NO_MANIFEST:
        return []


def _raw(manifest: str | None) -> str:
    """Return the number of packets that are kept raw, as far as the manifest shows it."""
    try:
        return f"{int(jsonlib.loads(manifest or '')['manifest']['raw']['packets'])} packets"
    except _NO_MANIFEST:
        return "some packets"


def _why(trigger: str, actor: str) -> str:
    return f"by {trigger}, {actor}" if trigger and actor else trigger or actor


@app.command(epilog="Example: galwad recordings show 20261125-093000-abcdefgh")
def show(call_id: CallId, *, server: Server = "", json: Json = False) -> None:
    """Draw a recording as a line: talk, payment, transfer, faults, with their times."""
    detail = ask(server, "GET", f"/recordings/{fetching.checked_id(call_id)}")
    if json:
        print_json(detail)
        return
    row = detail["recording"]
    spans = _spans(row, _segments(detail["manifest"]))
    out = console()
    plain = not (out.encoding or "").lower().startswith("utf")
    width = min(out.width, _WIDEST) - 2
    out.print(f"{row['call_id']}   {row['line']}", style="bold")
    out.print(f"{local_time(row['started'])}   {_who(row)}\n")
    out.print(timeline.draw(spans, width, plain=plain))
    out.print(timeline.scale(spans, width), style="dim")
    out.print()
    for text in timeline.table(spans, plain=plain):
        out.print(text)
    kept = clock(timeline.kept_us(spans) / _US)
    out.print(
        f"\n{kept} recorded of {clock(row['talk_s'])} talk, {size(row['payload_size'])} sealed"
    )
    _warn(row, detail["manifest"])
    _custody(detail)


def _who(row: dict[str, Any]) -> str:
    if not row.get("named", True):
        return "caller, line and advisor unknown: its row was made from its manifest"
    at = f" at {row['extension']}" if row["extension"] else ""
    return f"caller {row['number'] or 'no number'}   advisor {row['advisor'] or 'nobody'}{at}"


def _custody(detail: dict[str, Any]) -> None:
    out = console()
    if detail.get("hold"):
        out.print(f"held: {detail['hold']}", style="bold")
    if detail.get("disposal"):
        out.print("! disposed of: `galwad recordings verify` reads its certificate", style="bold")


def _warn(row: dict[str, Any], manifest: str | None) -> None:
    out = console()
    if row["unexplained_s"]:
        out.print(f"! {row['unexplained_s']:.1f} s are explained by nothing", style="bold red")
    if row.get("raw_size"):
        out.print(f"! {_raw(manifest)} could not be decoded: `fetch --raw` has them as they came")
    if row["interrupted"]:
        out.print("! interrupted: the recorder died during this call", style="bold red")
    if manifest is None:
        out.print("! its manifest is missing from the archive", style="bold red")


@app.command(
    epilog="Example: galwad recordings fetch 20261125-093000-abcdefgh --purpose complaint "
    "--reference C-1024 --identity identity.txt --output call.wav"
)
def fetch(
    call_id: CallId,
    *,
    purpose: Annotated[PurposeName, typer.Option(help="Why you need it; goes into the audit.")],
    reference: Annotated[str, typer.Option(help="Your case's reference; goes into the audit.")],
    identity: Annotated[
        Path | None, typer.Option(help="The file with your identity (AGE-SECRET-KEY-1…).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; ID.flac if absent.")
    ] = None,
    format_: Annotated[
        fetching.Format | None, typer.Option("--format", help="Or by the output's extension.")
    ] = None,
    from_: Annotated[str, typer.Option("--from", help="Begin here: 1:20 or 80.")] = "",
    to: Annotated[str, typer.Option("--to", help="End here: 3:05 or 185.")] = "",
    sealed: Annotated[
        bool, typer.Option("--sealed", help="Leave it sealed: a standard age file.")
    ] = False,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Not the audio: what could not be decoded, as pcapng."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the output if it exists.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Fetch a recording, and open it here with your identity.

    The server enters purpose and reference in the audit before it sends the first byte. It sends
    sealed bytes that it cannot read. The output appears whole or not at all.
    """
    wish = fetching.Wish(
        call_id=fetching.checked_id(call_id),
        purpose=purpose.value,
        reference=reference.strip(),
        identity=identity,
        output=output,
        format=format_,
        from_s=fetching.seconds(from_, "--from"),
        to_s=fetching.seconds(to, "--to"),
        sealed=sealed,
        force=force,
        raw=raw,
    )
    result = fetching.fetch(wish, server)
    if json:
        print_json({"call_id": call_id, **result.as_json()})
    else:
        print(result.sentence())


@app.command(epilog="Example: galwad recordings verify /srv/copy/2026/11/25")
def verify(
    what: Annotated[
        str,
        typer.Argument(
            help="A folder or a .manifest file (offline), or an id (by the server). "
            "Absent: all that the server has."
        ),
    ] = "",
    *,
    since: Annotated[
        str, typer.Option(help="Calls from then on alone: 2026-11-24, yesterday, 2026-11.")
    ] = "",
    node_key: Annotated[
        str, typer.Option(help="The node's public key, or a file with it; else any is believed.")
    ] = "",
    officer_key: Annotated[
        list[str] | None,
        typer.Option(help="The officer's public signing key, or a file: who may have rewrapped."),
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(help="Your identity: also opens each recording to its end.")
    ] = None,
    server: Server = "",
    json: Json = False,
) -> None:
    """Prove recordings whole: signature, digests, lengths. Names what is wrong.

    This is offline for a folder (with everything below it) or one .manifest file. For an id, the
    server's manifest is verified and compared with the index: for the rest, copy the archive. With
    --identity every byte is decrypted and decoded. That finds changes that even a thief of the
    node's key has made.
    """
    verdicts = proof.verify(
        what,
        since=since,
        node_key=node_key or None,
        officer_keys=officer_key or (),
        identity=identity,
        server=server,
    )
    if json:
        print_json([proof.as_json(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            print(proof.sentence(verdict))
    bad = sum(1 for verdict in verdicts if verdict.lost)
    if not verdicts:
        raise CliError(
            "there is no recording to verify", "name a folder that holds .manifest files"
        )
    if bad:
        unknown = all(UNPROVEN in "".join(each.problems) for each in verdicts if each.lost)
        hint = "give the officer's key" if unknown else "restore them from the other custodian"
        raise CliError(f"{bad} of {len(verdicts)} not whole", hint)


app.command(
    epilog="Example: galwad recordings recover 20261125-093000-abcdefgh.1.spool "
    "--identity identity.txt --reference POWER-2026-11"
)(recovery.recover)
app.command(epilog='Example: galwad recordings hold 20261125-093000-abcdefgh --reason "claim 17"')(
    custody.hold
)
app.command(
    epilog='Example: galwad recordings release 20261125-093000-abcdefgh --reason "claim settled"'
)(custody.release)
app.command(
    epilog="Example: galwad recordings purge 20261125-093000-abcdefgh --reason retention "
    "--reference R-2026-11"
)(custody.purge)
app.command(epilog="Example: galwad recordings reindex --reference RESTORE-2026-11")(
    reindexing.reindex
)
