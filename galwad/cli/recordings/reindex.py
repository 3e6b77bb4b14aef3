"""`galwad recordings reindex`: make index rows for recordings in the archive that have no row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import typer

from galwad.cli.support.call_ids import checked_id
from galwad.cli.support.client import ask, check_response, http_errors, open_client, refusal
from galwad.cli.support.console import CliError, clock, local_time, one_line, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Reference, Server, required
from galwad.cli.support.progress import progress_bar
from galwad.cli.support.public_keys import public_key

app = new_command()

_PER_RECORDING_STATUSES: Final = frozenset({404, 409})
_TIMEOUT_S: Final = 900.0
_WORDS: Final = {"indexed": "indexed", "known": "has its row", "provable": "whole"}


@dataclass(slots=True)
class ReindexResult:
    """The result for each recording.

    After a success, the server's response is in `rows`. After a failure, the error text is in
    `failed`. The keys of both dicts are call ids.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the results as a mapping for JSON output."""
        return {
            "recordings": [{"state": each["state"], **each["row"]} for each in self.rows.values()],
            "failed": [{"call_id": key, "error": why} for key, why in self.failed.items()],
        }


@app.command(epilog="Example: galwad recordings reindex --reference RESTORE-2026-11")
def reindex(
    call_ids: Annotated[
        list[str] | None,
        typer.Argument(help="Call ids. By default, all recordings that have no row."),
    ] = None,
    *,
    reference: Reference,
    node_key: Annotated[
        list[str] | None,
        typer.Option(help="An earlier public key of the node, or a file with it."),
    ] = None,
    officer_key: Annotated[
        list[str] | None,
        typer.Option(help="The public signing key of an earlier officer who rewrapped headers."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only verify them; make no row.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Make new rows in the index for recordings without a row, from their signed manifests.

    After a restore, the recordings that were made since the backup have no row. The server verifies
    each recording to its final byte, with its own signing key or a key of --node-key. Only then
    does it make the row in the index. No file is changed. A manifest does not state who called, on
    which line, or who answered, so these facts stay unknown. If the command is interrupted, run it
    again.
    """
    body = {
        "reference": required("--reference", reference, "RESTORE-2026-11"),
        "node_keys": [public_key(text, "--node-key") for text in node_key or ()],
        "officer_keys": [public_key(text, "--officer-key") for text in officer_key or ()],
        "dry_run": dry_run,
    }
    wanted = [checked_id(each) for each in call_ids or ()]
    result = _reindex_each(server, wanted or _unindexed(server), body, json)
    if json:
        print_json(result.as_json())
    else:
        _print(result)
    if result.failed:
        every = len(result.rows) + len(result.failed)
        raise CliError(
            f"{len(result.failed)} of {every} got no row",
            "the reasons are above; `galwad recordings verify` shows more. No file was changed",
        )


def _unindexed(server: str) -> list[str]:
    """Return the call ids of the recordings in the archive that have no row in the index.

    To find these recordings, the server lists its whole archive, which can take minutes.
    """
    found: list[str] = ask(server, "GET", "/unindexed", timeout_s=_TIMEOUT_S)["call_ids"]
    return found


def _reindex_each(
    server: str,
    call_ids: Sequence[str],
    body: dict[str, Any],
    quiet: bool,
) -> ReindexResult:
    result = ReindexResult()
    with open_client(server) as client, progress_bar("reindexing", quiet=quiet) as shown:
        for call_id in shown.track(call_ids):
            with http_errors():
                # The long timeout is needed because the server reads the whole payload, which takes
                # long on a slow disk.
                response = client.post(f"/recordings/{call_id}/reindex", json=body, timeout=40)
            if response.status_code in _PER_RECORDING_STATUSES:
                result.failed[call_id] = refusal(response)[0]
                continue
            check_response(response)
            result.rows[call_id] = response.json()
    return result


def _print(result: ReindexResult) -> None:
    for call_id, found in result.rows.items():
        row = found["row"]
        text = f"{call_id}  {_WORDS[found['state']]}: {local_time(row['started'])}"
        text += f", {clock(row['talk_s'])} of talk"
        if row["custody"] == "disposed":
            text += ", disposed of"
        print(text if row["named"] else f"{text}, caller unknown")
    for call_id, why in result.failed.items():
        print(f"{call_id}  NOT INDEXED: {one_line(why)}")
    if not result.rows and not result.failed:
        print("Every recording in the archive has its row.")
