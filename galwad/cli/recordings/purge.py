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
from galwad.desk.archive_models import DisposalReason
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
        typer.Option(help="Its term is over, a person's right, a mistake, or an order."),
    ],
    reference: Reference,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep a copy of the certificate here.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Dispose of a recording: its header is destroyed, and a signed certificate stays.

    Nothing brings it back: without its header the payload is noise, in every copy of it. Keep the
    certificate: a restored backup that still has the header must destroy it again. You need the
    right purge (`galwad users rights`). A recording that is held is refused.
    """
    body = {"reason": reason, "reference": required("--reference", reference, "R-2026-11")}
    path = f"/recordings/{checked_id(call_id)}"
    if output is not None:  # before anything is destroyed
        check_writable(output, replace=False, hint="name another --output")
    if not yes:
        _confirm(ask(server, "GET", path)["recording"])
    text: str = ask(server, "POST", f"{path}/purge", body)["certificate"]
    try:
        certificate = CERTIFICATE.read(text.encode())
    except ManifestError as error:
        raise CliError(str(error), f"`galwad recordings verify {call_id}` says more") from None
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
        raise CliError("nobody to ask whether this is meant", "add --yes", status=2)
    what = f"{row['call_id']}, {row['line']}, {local_time(row['started'])}, {clock(row['talk_s'])}"
    if not typer.confirm(f"Destroy {what}? Nothing brings it back", err=True):
        raise CliError("nothing was destroyed", "")


def _keep(text: str, output: Path) -> None:
    """Write a copy of the certificate; the disposal is done even if this fails."""
    try:
        with atomic_file(output, replace=False, mode=0o644) as file:
            file.write(text.encode())
    except CliError as error:
        raise CliError(
            f"it is disposed of, but its certificate is not kept: {error.message}",
            "the same command with another --output gives it again",
        ) from None
