"""`galwad recordings`: list, flag and dispose of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from galwad.archive.rules import OrdinaryReason
from galwad.cli.support import timeline
from galwad.cli.support.client import ask
from galwad.cli.support.console import (
    CliError,
    clock,
    console,
    date_and_time,
    print_json,
    print_table,
)
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import (
    CallId,
    Json,
    Reason,
    Reference,
    Server,
    Yes,
    checked_id,
    checked_period,
    confirm,
    read_position,
    required,
)
from galwad.cli.support.output_file import atomic_file, check_writable
from recording.errors import ManifestError
from recording.policy import FlagName, GapReason

app = new_command()
_PAGE: Final = 500
Flag: TypeAlias = Annotated[FlagName, typer.Argument(help="The flag.")]


@app.command("list", epilog="Example: galwad recordings list --when yesterday --gap payment")
def list_(
    *,
    when: Annotated[
        str, typer.Option(help='Started in: yesterday, monday, "last week", 2026-11-24, 2026-11.')
    ] = "",
    since: Annotated[str, typer.Option(help="Started at or after: as for --when, or a time.")] = "",
    until: Annotated[str, typer.Option(help="Started before.")] = "",
    number: Annotated[str, typer.Option(help="The caller's number.")] = "",
    advisor: Annotated[str, typer.Option(help="The advisor who answered.")] = "",
    extension: Annotated[str, typer.Option(help="The phone that answered.")] = "",
    line: Annotated[str, typer.Option(help="The line that was called.")] = "",
    longer: Annotated[str, typer.Option(help="At least this much talk: 10:00, or 600.")] = "",
    shorter: Annotated[str, typer.Option(help="At most this much talk.")] = "",
    reference: Annotated[str, typer.Option(help="A call id, or the reference of a fetch.")] = "",
    flag: Annotated[FlagName | None, typer.Option(help="With this flag.")] = None,
    hold: Annotated[int | None, typer.Option(min=1, help="Retained for this legal hold.")] = None,
    gap: Annotated[GapReason | None, typer.Option(help="With a gap for this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 50,
    after: Annotated[
        str, typer.Option(help="Continue an earlier list: the value that it printed.")
    ] = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """List recordings, the newest first.

    Each search is entered in the audit, with the user and the names of the options, but without the
    options' values. A day runs from midnight to midnight in the centre's time zone.
    """
    wanted: dict[str, Any] = {
        "when": checked_period(when, "--when"),
        "since": checked_period(since, "--since"),
        "until": checked_period(until, "--until"),
        "number": number,
        "advisor": advisor,
        "extension": extension,
        "line": line,
        "min_length_s": read_position(longer, "--longer"),
        "max_length_s": read_position(shorter, "--shorter"),
        "reference": reference,
        "flag": flag,
        "hold": hold,
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
        empty="No recording matches.",
    )
    if page["after"]:
        console().print(f"There are more: add --after {page['after']}", style="dim")


def _pages(server: str, query: dict[str, Any], limit: int) -> dict[str, Any]:
    """Return at most `limit` matching rows, and `after` for the next search (None at the end)."""
    rows: list[dict[str, Any]] = []
    while True:
        ask_for = {**query, "limit": min(limit - len(rows), _PAGE)}
        page = ask(server, "POST", "/recordings/search", ask_for)
        rows += page["rows"]
        if page["after"] is None or len(rows) >= limit:
            return {"rows": rows, "after": page["after"]}
        query = {**query, "after": page["after"]}


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    spans = timeline.spans_of_row(row)
    notes = [timeline.reasons(spans)]
    if row["interrupted"]:
        notes.append("interrupted")
    if row.get("raw_size"):
        notes.append("kept raw")
    if row.get("captured_card"):
        notes.append(f"card incident {row['captured_card']}")
    notes += row.get("flags", ())
    notes.append(row.get("custody", ""))
    named = row.get("named", True)
    return (
        row["call_id"],
        date_and_time(row["started"]),
        clock(row["talk_s"]),
        row["line"] if named else "unknown",
        (row["advisor"] or row["extension"]) if named else "unknown",
        (row["number"] or "no number") if named else "unknown",
        ", ".join(note for note in notes if note),
    )


@app.command(
    "flag",
    epilog="Example: galwad recordings flag 20261125-093000-abcdefgh sensitive "
    '--reason "medical details"',
)
def flag_(
    call_id: CallId,
    flag: Flag,
    *,
    reason: Reason,
    server: Server = "",
    json: Json = False,
) -> None:
    """Flag a recording, which narrows who can hear it.

    Only administrators can hear a sensitive recording. A restricted one can be heard only for legal
    claims, disclosures that the law requires, and vital interests. The flag third-party says that
    an interpreter or a relay service takes part.
    """
    _change("PUT", f"flags/{flag}", (call_id, f"flagged {flag}"), reason, server, as_json=json)


@app.command(
    epilog="Example: galwad recordings unflag 20261125-093000-abcdefgh sensitive "
    '--reason "wrong call"'
)
def unflag(
    call_id: CallId, flag: Flag, *, reason: Reason, server: Server = "", json: Json = False
) -> None:
    """Remove a flag from a recording. Only administrators can do it."""
    done = f"no longer flagged {flag}"
    _change("DELETE", f"flags/{flag}", (call_id, done), reason, server, as_json=json)


def _change(
    method: str,
    path: str,
    done: tuple[str, str],
    reason: str,
    server: str,
    *,
    as_json: bool,
) -> None:
    """Send a change of a recording, and print the call id and the new state in `done`."""
    call_id, state = done
    body = {"reason": required("--reason", reason, "claim 17")}
    ask(server, method, f"/recordings/{checked_id(call_id)}/{path}", body)
    if as_json:
        print_json({"call_id": call_id, "state": state})
    else:
        print(f"{call_id}  {state}")


@app.command(
    epilog="Example: galwad recordings purge 20261125-093000-abcdefgh --reason retention "
    "--reference R-2026-11"
)
def purge(
    call_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="The id; with --captured-card, any number of ids."),
    ] = None,
    *,
    reason: Annotated[
        OrdinaryReason | None,
        typer.Option(help="Why: the term is over, a person's right, a mistake, or an order."),
    ] = None,
    captured_card: Annotated[
        bool,
        typer.Option(
            "--captured-card",
            help="Because a card number was keyed outside a pause; without ids, all open "
            "incidents.",
        ),
    ] = False,
    missing_trigger: Annotated[
        str,
        typer.Option(
            help="With --captured-card: the trigger that should have paused the recording."
        ),
    ] = "",
    changed: Annotated[
        str, typer.Option(help="With --captured-card: what was changed to prevent such incidents.")
    ] = "",
    reference: Reference,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a copy of the certificate to this file."),
    ] = None,
    yes: Yes = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Dispose of a recording: destroy its header, and store a signed certificate in its place.

    This cannot be undone, because no copy of the payload can be read without the header. Keep the
    certificate. If you later restore a backup that still has the header, the restore finds the
    certificate and destroys the header again. You need the right "purge" (`galwad users rights`).
    The command does not dispose of a recording that a legal hold retains (`galwad holds`).

    With --captured-card, the command disposes of recordings in which a card number was silenced,
    and closes their incidents. The audit and the incidents keep --missing-trigger and --changed.
    """
    given = call_ids or []
    body = {"reference": required("--reference", reference, "R-2026-11")}
    if captured_card:
        if reason is not None:
            raise CliError("--captured-card is a reason itself", "leave out --reason", status=2)
        body |= _prevention(missing_trigger, changed)
    else:
        if missing_trigger or changed:
            message = "--missing-trigger and --changed belong to --captured-card"
            raise CliError(message, "add --captured-card, or leave them out", status=2)
        body["reason"] = _ordinary(reason, given)
    if output is not None:  # check the path before the header is destroyed
        if len(given) != 1:
            raise CliError(
                "--output needs exactly one id", "give the id of one recording", status=2
            )
        check_writable(output, replace=False, hint="choose another --output")
    ids = [checked_id(each) for each in given] or _open_incidents(server)
    if not ids:
        print_json([]) if json else print("No card incident is open.")
        return
    if not yes:
        _confirm([ask(server, "GET", f"/recordings/{each}")["recording"] for each in ids])
    done = [_purge(each, body, server, output, quiet=json) for each in ids]
    if json:
        print_json(done if captured_card else done[0])


def _prevention(missing_trigger: str, changed: str) -> dict[str, str]:
    return {
        "reason": "captured-card",
        "missing_trigger": required("--missing-trigger", missing_trigger, "no key on the page"),
        "changed": required("--changed", changed, "the page pauses when the form opens"),
    }


def _ordinary(reason: OrdinaryReason | None, given: list[str]) -> str:
    if reason is None:
        raise CliError("--reason is missing", "add --reason retention, or another one", status=2)
    if len(given) != 1:
        raise CliError("give exactly one id", "`galwad recordings list` shows the ids", status=2)
    return reason


def _open_incidents(server: str) -> list[str]:
    rows = ask(server, "GET", "/captured-cards?only_open=true")["rows"]
    return sorted({row["call_id"] for row in rows})


def _purge(
    call_id: str, body: dict[str, str], server: str, output: Path | None, *, quiet: bool
) -> dict[str, str]:
    # These load numpy, and the help of the command must not wait for it.
    from galwad.archive.commands.recordings_verdicts import disposal_text  # noqa: PLC0415
    from recording.archive.disposal import CERTIFICATE  # noqa: PLC0415

    text: str = ask(server, "POST", f"/recordings/{call_id}/purge", body)["certificate"]
    try:
        certificate = CERTIFICATE.read(text.encode())
    except ManifestError as error:
        raise CliError(str(error), f"`galwad recordings verify {call_id}` shows more") from None
    if output is not None:
        _keep(text, output)
    sentence = disposal_text(certificate)
    if not quiet:
        print(f"{call_id}  {sentence}")
    return {"call_id": call_id, "certificate": text, "sentence": sentence}


def _confirm(rows: list[dict[str, Any]]) -> None:
    each = [
        f"{row['call_id']}, {row['line']}, {date_and_time(row['started'])}, {clock(row['talk_s'])}"
        for row in rows
    ]
    confirm(f"Destroy {'; '.join(each)}? This cannot be undone", "nothing was destroyed")


def _keep(text: str, output: Path) -> None:
    """Write a copy of the certificate to `output`.

    The recording is already disposed of, and stays so even if the copy cannot be written.
    """
    try:
        with atomic_file(output, replace=False, mode=0o644) as file:
            file.write(text.encode())
    except CliError as error:
        raise CliError(
            f"the recording is disposed of, but its certificate was not written: {error.message}",
            "run the same command with another --output: it writes the certificate",
        ) from None
