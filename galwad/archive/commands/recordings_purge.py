"""`galwad recordings purge`: dispose of a recording."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from galwad.archive.bodies import OrdinaryReason
from galwad.cli.support.client import ask
from galwad.cli.support.console import (
    CliError,
    clock,
    date_and_time,
    print_json,
)
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import (
    Json,
    Reference,
    Server,
    checked_id,
    required,
)
from galwad.cli.support.output_file import atomic_file, check_writable
from recording.errors import ManifestError

app = new_command()


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
        typer.Option(help="Why: its term is over, a person's right, a mistake, or an order."),
    ] = None,
    captured_card: Annotated[
        bool,
        typer.Option(
            "--captured-card",
            help="Because a card number was keyed outside a pause; without ids, all such.",
        ),
    ] = False,
    missing_trigger: Annotated[
        str, typer.Option(help="With --captured-card: the trigger that should have paused it.")
    ] = "",
    changed: Annotated[
        str, typer.Option(help="With --captured-card: what was changed to prevent it.")
    ] = "",
    reference: Reference,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a copy of the certificate to this file."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Dispose of a recording: destroy its header, and store a signed certificate in its place.

    This cannot be undone, because no copy of the payload can be read without the header. Keep the
    certificate. If you later restore a backup that still has the header, the restore finds the
    certificate and destroys the header again. You need the right "purge" (`galwad users rights`).
    The command does not dispose of a retained recording (`galwad recordings hold`).

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
            raise CliError("--output needs exactly one id", "name the recording", status=2)
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
    """Return the part of the request that only a captured card has."""
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
    """Dispose of one recording; print its certificate as a sentence unless `quiet` is true."""
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
    if not sys.stdin.isatty():
        raise CliError(
            "confirmation is required, and there is no terminal to ask", "add --yes", status=2
        )
    each = [
        f"{row['call_id']}, {row['line']}, {date_and_time(row['started'])}, {clock(row['talk_s'])}"
        for row in rows
    ]
    if not typer.confirm(f"Destroy {'; '.join(each)}? This cannot be undone", err=True):
        raise CliError("nothing was destroyed", "")


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
