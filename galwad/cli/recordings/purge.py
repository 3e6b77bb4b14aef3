"""`galwad recordings purge`: dispose of a recording."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from galwad.cli.recordings.verification import disposal_text
from galwad.cli.support.atomic import atomic_file, check_writable
from galwad.cli.support.call_ids import checked_id
from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, clock, local_time, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import CallId, Json, Reference, Server, required
from galwad.desk.models.archive import DisposalReason
from recording.archive.disposal import CERTIFICATE
from recording.errors import ManifestError

app = new_command()


@app.command(
    epilog="Example: galwad recordings purge 20261125-093000-abcdefgh --reason retention "
    "--reference R-2026-11"
)
def purge(
    call_id: CallId,
    *,
    reason: Annotated[
        DisposalReason,
        typer.Option(help="Why: its term is over, a person's right, a mistake, or an order."),
    ],
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
    """
    body = {"reason": reason, "reference": required("--reference", reference, "R-2026-11")}
    path = f"/recordings/{checked_id(call_id)}"
    if output is not None:  # check the path before the header is destroyed
        check_writable(output, replace=False, hint="choose another --output")
    if not yes:
        _confirm(ask(server, "GET", path)["recording"])
    text: str = ask(server, "POST", f"{path}/purge", body)["certificate"]
    try:
        certificate = CERTIFICATE.read(text.encode())
    except ManifestError as error:
        raise CliError(str(error), f"`galwad recordings verify {call_id}` shows more") from None
    if output is not None:
        _keep(text, output)
    if json:
        print_json(
            {"call_id": call_id, "certificate": text, "sentence": disposal_text(certificate)}
        )
    else:
        print(f"{call_id}  {disposal_text(certificate)}")


def _confirm(row: dict[str, Any]) -> None:
    if not sys.stdin.isatty():
        raise CliError(
            "confirmation is required, and there is no terminal to ask", "add --yes", status=2
        )
    what = f"{row['call_id']}, {row['line']}, {local_time(row['started'])}, {clock(row['talk_s'])}"
    if not typer.confirm(f"Destroy {what}? This cannot be undone", err=True):
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
