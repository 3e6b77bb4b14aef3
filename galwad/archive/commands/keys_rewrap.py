"""`galwad keys rewrap`: make new headers of recordings, for the recipients in the server's set.

The new headers are made and verified on the officer's machine, for one recording after another. The
command fetches a header, compares it with the signed manifest or rewrap record, and makes a new
header. The new header is sent to the server, read back and verified. Only then does the server
replace the old header.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from galwad.archive.commands.keys import Folder, key_errors, key_file
from galwad.cli.support.client import answer_of, http_errors, open_client, refusal
from galwad.cli.support.console import CliError, one_line, print_json, progress_bar
from galwad.cli.support.identities import public_key, read_identity, trusted_keys
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Reference, Server, required
from recording.age.file import Identity
from recording.archive.manifest import MANIFEST
from recording.archive.rewrap import HeaderStatus, classify_header, facts_of, rewrap
from recording.errors import KeySetError, RecordingError
from recording.keys.keyring import OfficerKeys, RecipientSet, fingerprint

if TYPE_CHECKING:
    import httpx2

app = new_command()
_PER_RECORDING_STATUSES = frozenset({404, 409, 422})


@app.command("rewrap", epilog="Example: galwad keys rewrap ~/galwad-keys --reference KEYS-2026")
def rewrap_headers(
    folder: Folder,
    *,
    reference: Reference,
    identity: Annotated[
        list[Path] | None, typer.Option(help="One more file with an identity that opens headers.")
    ] = None,
    set_: Annotated[
        Path | None,
        typer.Option("--set", help="Stop unless the server has exactly this signed set."),
    ] = None,
    node_key: Annotated[
        str,
        typer.Option(
            help="The node's public key, or a file with it; by default the keys in FOLDER's "
            "trust file. Without either, any key is accepted."
        ),
    ] = "",
    former_key: Annotated[
        list[str] | None,
        typer.Option(help="The public signing key of an earlier officer who rewrapped headers."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the recordings to rewrap.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Give every recording a new header, for the recipients in the server's signed set.

    Headers are opened on this machine, with the identity in FOLDER. Payloads are not changed.
    Before a new header replaces the old header, the command reads the new header back from the
    server and checks that it opens the same payload. If the command is interrupted, run it again:
    it continues where it stopped.

    A rewrap does not protect old copies of headers: a person who could open a recording before the
    rewrap can still open it with an old copy of its header.
    """
    reference = required("--reference", reference, "KEYS-2026")
    with key_errors():
        own = read_identity(key_file(folder))
        officer = OfficerKeys.of(own)
        recipients = RecipientSet.load(set_, officer.public_key) if set_ else None
    options = RewrapOptions(
        officer=officer,
        identities=[
            key for file in (own, *map(read_identity, identity or ())) for key in file.identities
        ],
        reference=reference,
        recipients=recipients,
        node_keys=[public_key(node_key, "--node-key")]
        if node_key
        else trusted_keys(None, key_file(folder), [officer.public_key]),
        former=[public_key(text, "--former-key") for text in former_key or ()],
        only_count=dry_run,
    )
    with open_client(server) as client:
        result = _run(client, options, quiet=json)
    if json:
        print_json(result.as_json())
    else:
        for line in _lines(result, only_count=dry_run):
            print(line)
    if result.failed:
        raise CliError(
            f"{len(result.failed)} of {result.waiting} headers were not rewrapped",
            "the reasons are above; another identity, with --identity, may open these headers",
        )


@dataclass(frozen=True, slots=True)
class RewrapOptions:
    """The options of `galwad keys rewrap`, with the keys and the set read from their files."""

    officer: OfficerKeys
    identities: Sequence[Identity]
    reference: str
    recipients: RecipientSet | None
    """The signed set of recipients. If the server has another set, the command stops. If None, the
    server may have any set that `officer` signed."""
    node_keys: Sequence[str]
    """The public keys of the nodes that may have signed a manifest: those of --node-key, or else of
    the officer's trust file. If empty, any key may have signed."""
    former: Sequence[str]
    """The public signing keys of earlier officers, whose rewraps are accepted."""
    only_count: bool


@dataclass(slots=True)
class RewrapResult:
    """The results of a rewrap so far: the server's recipient set, counts, and errors.

    `failed` has an error text for the call id of each recording that was not rewrapped.
    """

    recipients: RecipientSet
    recordings: int = 0
    waiting: int = 0
    """The number of headers that needed a rewrap at the start, except headers destroyed since."""
    rewrapped: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the results as a mapping for JSON output."""
        return {
            "set": {
                "serial": self.recipients.serial,
                "recipients": [
                    {"name": name, "fingerprint": mark} for name, mark in _named(self.recipients)
                ],
            },
            "recordings": self.recordings,
            "already": self.recordings - self.waiting,
            "rewrapped": self.rewrapped,
            "failed": [{"call_id": key, "error": why} for key, why in self.failed.items()],
        }


def _named(recipients: RecipientSet) -> Iterator[tuple[str, str]]:
    keys = zip(recipients.named, recipients.recipients, strict=True)
    yield from ((entry.name, fingerprint(key)) for entry, key in keys)


class _RefusedError(Exception):
    """A recording cannot be rewrapped: its header stays. The command tries the next recording."""


class _GoneError(Exception):
    """A recording was disposed of during the run, so it has no header to rewrap."""


def _run(client: httpx2.Client, options: RewrapOptions, *, quiet: bool) -> RewrapResult:
    with http_errors():
        result = RewrapResult(_set_in_force(client, options))
        waiting = _waiting(client, result)
    result.waiting = len(waiting)
    if not options.only_count:
        with progress_bar("rewrapping", quiet=quiet) as shown:
            for call_id in shown.track(waiting):
                _rewrap_one(client, options, result, call_id)
    return result


def _set_in_force(client: httpx2.Client, options: RewrapOptions) -> RecipientSet:
    content = answer_of(client.get("/recipients"))["content"]
    try:
        found = RecipientSet.parse(content.encode(), options.officer.public_key)
    except KeySetError as error:
        raise CliError(
            f"cannot use the server's set: {error}", "put your signed set on the server"
        ) from None
    if options.recipients is not None and found != options.recipients:
        raise CliError(
            f"the server's set, number {found.serial}, differs from --set",
            "put your set on the server first",
        )
    return found


def _waiting(client: httpx2.Client, result: RewrapResult) -> list[str]:
    """Return the call ids of recordings whose header is not current or has other recipients.

    `result.recipients` is the wanted set. Also store the number of all recordings, except those
    that were disposed of, in `result.recordings`.
    """
    wanted = sorted(result.recipients.fingerprints)
    waiting: list[str] = []
    after, more = "", True
    while more:
        page = answer_of(client.post("/headers/search", json={"after": after}))
        for row in page["rows"]:
            after = row["call_id"]
            if row["disposed"]:
                continue
            result.recordings += 1
            if not row["current"] or sorted(row["recipients"]) != wanted:
                waiting.append(after)
        more = page["more"]
    return waiting


def _rewrap_one(
    client: httpx2.Client, options: RewrapOptions, result: RewrapResult, call_id: str
) -> None:
    try:
        with http_errors():
            _replace(client, options, result.recipients, call_id)
        result.rewrapped += 1
    except _GoneError:
        result.recordings -= 1
        result.waiting -= 1
    except (_RefusedError, RecordingError) as error:
        result.failed[call_id] = str(error)
    except CliError as error:
        done = f"{result.rewrapped} of {result.waiting} are rewrapped"
        more = "" if error.hint in {"", "try again"} else f"; {error.hint}"
        hint = f"run the command again: it continues where it stopped{more}"
        raise CliError(f"{error.message}: {done}", hint) from None


def _replace(
    client: httpx2.Client, options: RewrapOptions, recipients: RecipientSet, call_id: str
) -> None:
    """Replace the header of one recording. Only the last request to the server changes it.

    Raises `_RefusedError`, `_GoneError` or `RecordingError` for this recording, and `CliError` to
    end the command.
    """
    path, why = f"/recordings/{call_id}/header", {"reference": options.reference}
    sealed = _answer(client.post(path, json=why))
    header, record = sealed["header"].encode(), sealed["rewrap"]
    manifest = MANIFEST.read(sealed["manifest"].encode(), options.node_keys or None)
    if manifest.call_id != call_id:
        raise _RefusedError(f"the manifest belongs to {manifest.call_id}")
    officers = options.officer.public_key, *options.former
    signed = None if record is None else record.encode()
    judged = classify_header(manifest, facts_of(header), signed, officers)
    if judged.header is HeaderStatus.UNKNOWN:
        raise _RefusedError(judged.problem)
    new = rewrap(manifest, header, options.identities, recipients, options.officer.signing)
    offer = {"header": new.header.decode(), "rewrap": new.record.decode()}
    new.verify(_answer(client.put(path, json=offer))["header"].encode())
    digest = facts_of(new.header).sha256
    _answer(client.put(f"{path}/commit", json={**why, "sha256": digest}))


def _answer(response: httpx2.Response) -> Any:
    if response.status_code == HTTPStatus.GONE:
        raise _GoneError
    if response.status_code in _PER_RECORDING_STATUSES:
        raise _RefusedError(refusal(response)[0])
    return answer_of(response)


def _lines(result: RewrapResult, *, only_count: bool) -> Iterator[str]:
    found = result.recipients
    yield f"set number {found.serial}, signed {found.signed_at}"
    for name, mark in _named(found):
        yield f"  {name:<16} {mark}"
    done = f"{result.waiting} to rewrap" if only_count else f"{result.rewrapped} rewrapped"
    yield f"{result.recordings} recordings: {done}, {result.recordings - result.waiting} already"
    for call_id, why in result.failed.items():
        yield f"{call_id}  NOT REWRAPPED: {one_line(why)}"
