"""`galwad recordings hold`, `release` and `purge`: retain recordings, and dispose of them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from galwad.cli.client import ask
from galwad.cli.console import CliError, clock, local_time, print_json
from galwad.cli.fetching import checked_id
from galwad.cli.options import CallId, Json, Server
from galwad.cli.proof import disposed
from galwad.cli.whole import check_free, whole_file
from recording.archive.disposal import CERTIFICATE
from recording.errors import ManifestError

Why = Annotated[str, typer.Option("--reason", help="Why; goes into the audit.")]


class DisposalReason(StrEnum):
    """The reason why a recording is disposed of; the certificate states it for ever."""

    RETENTION = "retention"
    ERASURE = "erasure"
    MISTAKE = "mistake"
    ORDER = "order"


def hold(call_id: CallId, *, reason: Why, server: Server = "", json: Json = False) -> None:
    """Retain a recording: keep it from disposal until it is released."""
    ask(server, "PUT", f"/recordings/{checked_id(call_id)}/hold", {"reason": _needed(reason)})
    _told(call_id, "held", as_json=json)


def release(call_id: CallId, *, reason: Why, server: Server = "", json: Json = False) -> None:
    """Release a retained recording, so that it may be disposed of again."""
    ask(server, "DELETE", f"/recordings/{checked_id(call_id)}/hold", {"reason": _needed(reason)})
    _told(call_id, "released", as_json=json)


def purge(
    call_id: CallId,
    *,
    reason: Annotated[
        DisposalReason,
        typer.Option(help="Its term is over, a person's right, a mistake, or an order."),
    ],
    reference: Annotated[str, typer.Option(help="Your case's reference; goes into the audit.")],
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
    body = {"reason": reason.value, "reference": _needed(reference)}
    path = f"/recordings/{checked_id(call_id)}"
    if output is not None:  # before anything is destroyed
        check_free(output, replace=False, hint="name another --output")
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
        print_json({"call_id": call_id, "certificate": text, "sentence": disposed(certificate)})
    else:
        print(f"{call_id}  {disposed(certificate)}")


def _keep(text: str, output: Path) -> None:
    """Write a copy of the certificate; the disposal is done even if this fails."""
    try:
        with whole_file(output, replace=False, mode=0o644) as file:
            file.write(text.encode())
    except CliError as error:
        raise CliError(
            f"it is disposed of, but its certificate is not kept: {error.message}",
            "the same command with another --output gives it again",
        ) from None


def _needed(text: str) -> str:
    if not text.strip():
        raise CliError("the reason or reference is empty", "say why, in a few words", status=2)
    return text.strip()


def _confirm(row: dict[str, Any]) -> None:
    if not sys.stdin.isatty():
        raise CliError("nobody to ask whether this is meant", "add --yes", status=2)
    what = f"{row['call_id']}, {row['line']}, {local_time(row['started'])}, {clock(row['talk_s'])}"
    if not typer.confirm(f"Destroy {what}? Nothing brings it back", err=True):
        raise CliError("nothing was destroyed", "")


def _told(call_id: str, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"call_id": call_id, "state": what})
    else:
        print(f"{call_id}  {what}")
