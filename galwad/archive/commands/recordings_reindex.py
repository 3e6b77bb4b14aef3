"""`galwad recordings reindex`: make index rows for archived recordings with no row or a wrong row.

With an identity, the command also decrypts, on this machine, the facts about people in the
manifests. The server puts these facts into the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from galwad.cli.support.archive_client import indexed_rows
from galwad.cli.support.client import ask, check_response, http_errors, open_client, refusal
from galwad.cli.support.console import (
    CliError,
    clock,
    date_and_time,
    one_line,
    print_json,
    progress_bar,
)
from galwad.cli.support.identities import public_key, read_identity
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import (
    EarlierNodeKeys,
    Json,
    Reference,
    Server,
    checked_id,
    required,
)
from recording.age.file import Identity
from recording.archive.commitments import open_facts
from recording.archive.manifest import read_manifest
from recording.errors import ArchiveError, ManifestError

if TYPE_CHECKING:
    import httpx2

app = new_command()
_PER_RECORDING_STATUSES: Final = frozenset({404, 409})
_TIMEOUT_S: Final = 900.0
_WORDS: Final = {"indexed": "indexed", "known": "has its row", "provable": "whole"}


@dataclass(slots=True)
class ReindexResult:
    """The result for each recording.

    After a success, the server's response is in `rows`. After a failure, the error text is in
    `failed`. If the recording has a row, but its facts about people could not be restored, the
    error text is in `unrestored`. The keys of all dicts are call ids.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unrestored: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the results as a mapping for JSON output."""
        return {
            "recordings": [{"state": each["state"], **each["row"]} for each in self.rows.values()],
            "failed": _errors(self.failed),
            "unrestored": _errors(self.unrestored),
        }


def _errors(found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"call_id": call_id, "error": why} for call_id, why in found.items()]


@app.command(epilog="Example: galwad recordings reindex --reference RESTORE-2026-11")
def reindex(
    call_ids: Annotated[
        list[str] | None,
        typer.Argument(help="Call ids. By default, all recordings that have no row."),
    ] = None,
    *,
    reference: Reference,
    node_key: EarlierNodeKeys = None,
    officer_key: Annotated[
        list[str] | None,
        typer.Option(help="The public signing key of an earlier officer who rewrapped headers."),
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(help="Your identity file: also restore number, line and advisor.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only verify the recordings; make no row.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Make new rows in the index for recordings without a row, from their signed manifests.

    After a restore, the recordings that were made since the backup have no row. The server verifies
    each recording to its final byte, with its own signing key or a key of --node-key. Only then
    does it make the row in the index. If a call id is given whose row contradicts the manifest, the
    row is made again. No file is changed.

    The number of the caller, the line and the advisor are encrypted in the manifest. With
    --identity, they are decrypted on this machine and restored, also in rows that were made without
    them before. Otherwise, or if an older release sealed the recording, they stay unknown. If the
    command is interrupted, run it again.
    """
    identities = read_identity(identity).identities if identity is not None else ()
    reason = required("--reference", reference, "RESTORE-2026-11")
    body = {
        "reference": reason,
        "node_keys": [public_key(text, "--node-key") for text in node_key or ()],
        "officer_keys": [public_key(text, "--officer-key") for text in officer_key or ()],
        "dry_run": dry_run,
    }
    wanted = [checked_id(each) for each in call_ids or ()]
    result = _reindex_each(server, wanted or _unindexed(server), body, json)
    if identities and not dry_run:
        unnamed = (row["call_id"] for row in indexed_rows(server) if not row["named"])
        wanted = wanted or [*result.rows, *unnamed]
        _restore_each(server, wanted, reason, identities, result)
    if json:
        print_json(result.as_json())
    else:
        _print(result)
    every = len(result.rows.keys() | result.failed.keys() | result.unrestored.keys())
    if result.failed:
        raise CliError(
            f"{len(result.failed)} of {every} recordings got no row",
            "the reasons are above; `galwad recordings verify` shows more. No file was changed",
        )
    if result.unrestored:
        raise CliError(
            f"{len(result.unrestored)} of {every} rows still have no number, line and advisor",
            "the reasons are above; with another identity, run the command again",
        )


def _unindexed(server: str) -> list[str]:
    found: list[str] = ask(server, "GET", "/unindexed", timeout_s=_TIMEOUT_S)["call_ids"]
    return found


def _reindex_each(
    server: str, call_ids: Sequence[str], body: dict[str, Any], quiet: bool
) -> ReindexResult:
    result = ReindexResult()
    with open_client(server) as client, progress_bar("reindexing", quiet=quiet) as shown:
        for call_id in shown.track(call_ids):
            with http_errors():
                # The timeout is long, because the server reads the whole payload, perhaps from a
                # slow disk.
                response = client.post(f"/recordings/{call_id}/reindex", json=body, timeout=40)
            if response.status_code in _PER_RECORDING_STATUSES:
                result.failed[call_id] = refusal(response)[0]
                continue
            check_response(response)
            result.rows[call_id] = response.json()
    return result


def _restore_each(
    server: str,
    call_ids: Iterable[str],
    reference: str,
    identities: Sequence[Identity],
    result: ReindexResult,
) -> None:
    """Restore missing facts about people in the rows of these calls. `result` gets the outcome."""
    with open_client(server) as client:
        for call_id in dict.fromkeys(call_ids):
            known = result.rows.get(call_id)
            if call_id in result.failed or (known is not None and known["row"]["named"]):
                continue
            try:
                answer = _restored(client, call_id, reference, identities)
            except (ArchiveError, ManifestError) as error:
                result.unrestored[call_id] = str(error)
                continue
            if answer is not None:
                result.rows[call_id] = answer


def _restored(
    client: httpx2.Client, call_id: str, reference: str, identities: Sequence[Identity]
) -> dict[str, Any] | None:
    """Send the server the facts about people from a recording's manifest; return its response.

    Return None if the recording was disposed of, or if its manifest of an older release lacks the
    facts. Raises `ArchiveError` or `ManifestError`.
    """
    with http_errors():
        found = client.post(f"/recordings/{call_id}/header", json={"reference": reference})
    if found.status_code == HTTPStatus.GONE:
        return None
    parts = _checked(found)
    manifest = read_manifest(parts["manifest"].encode())
    if manifest.sealed_facts is None:
        return None
    facts = open_facts(manifest, parts["header"].encode(), identities)
    body = {"reference": reference, **msgspec.to_builtins(facts)}
    with http_errors():
        return _checked(client.put(f"/recordings/{call_id}/facts", json=body))


def _checked(response: httpx2.Response) -> dict[str, Any]:
    if response.status_code in _PER_RECORDING_STATUSES:
        raise ArchiveError(refusal(response)[0])
    check_response(response)
    answer: dict[str, Any] = response.json()
    return answer


def _print(result: ReindexResult) -> None:
    for call_id, found in result.rows.items():
        row = found["row"]
        text = f"{call_id}  {_WORDS[found['state']]}: {date_and_time(row['started'])}"
        text += f", {clock(row['talk_s'])} of talk"
        if row["custody"] == "disposed":
            text += ", disposed of"
        print(text if row["named"] else f"{text}, caller unknown")
    for call_id, why in result.failed.items():
        print(f"{call_id}  NOT INDEXED: {one_line(why)}")
    for call_id, why in result.unrestored.items():
        print(f"{call_id}  NOT RESTORED: {one_line(why)}")
    if not result.rows and not result.failed:
        print("Every recording in the archive has its row.")
