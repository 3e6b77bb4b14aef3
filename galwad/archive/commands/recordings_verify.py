"""`galwad recordings verify`: verify that recordings are complete and unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galwad.archive.rules import Purpose
from galwad.cli.support.archive_client import FetchPurpose
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import ForCase, ForDisclosure, Json, Server

app = new_command()


@app.command(epilog="Example: galwad recordings verify /srv/copy/2026/11/25 --node-key galwad.pub")
def verify(
    what: Annotated[
        str,
        typer.Argument(
            help="A folder or a .manifest file (offline), or a call id (on the "
            "server). By default, all recordings on the server."
        ),
    ] = "",
    *,
    since: Annotated[
        str,
        typer.Option(
            help="Only calls from then on: 2026-11-24, yesterday, 2026-11. In a folder, days are "
            "those of UTC."
        ),
    ] = "",
    node_key: Annotated[
        list[str] | None,
        typer.Option(
            help="The public key of a node that you trust, or a file with it. Without a trusted "
            "key, no recording is whole."
        ),
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            help="The file that `keys trust` signed; by default, the one beside --identity. It "
            "needs --identity or --officer-key."
        ),
    ] = None,
    officer_key: Annotated[
        list[str] | None,
        typer.Option(
            help="The public signing key of an officer who signed rewraps or --trust, or a file "
            "with it."
        ),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(help="Your identity file: also decrypt each recording to its end."),
    ] = None,
    purpose: Annotated[
        Purpose | None,
        typer.Option(help="Fetch recordings from the server for this purpose, and verify them."),
    ] = None,
    reference: Annotated[
        str, typer.Option(help="With --purpose: the reference of your case; the audit records it.")
    ] = "",
    disclosure: ForDisclosure = None,
    case: ForCase = None,
    server: Server = "",
    json: Json = False,
) -> None:
    """Verify recordings: signature, digests, lengths. Each fault that is found is printed.

    A folder (with its subfolders) or one .manifest file is verified offline, including the
    payloads. Otherwise, for one call id or for all, the manifest is fetched from the server,
    verified and compared with the index, the ledger of calls and the audit. A row that was changed,
    deleted or exchanged is named. The verdict is then "index only", because header and payload were
    not read. With --purpose and --reference, they are fetched and verified too, and the audit
    records it.

    A signature proves nothing without a key that you trust: --node-key, or a trust file that the
    officer signed. Without one, the verdict is "unknown signer".

    With --identity, each recording is also decrypted and decoded to its final byte. This finds even
    changes that a thief signed with the node's key.

    The last line counts the verdicts. The exit status is 0 only if each recording is whole, or was
    disposed of by a certificate that a trusted key signed.
    """
    if (purpose is None) != (not reference.strip()):
        raise CliError(
            "--purpose and --reference belong together", "give both, or neither", status=2
        )
    why = None
    if purpose is not None:
        why = FetchPurpose(purpose, reference.strip(), disclosure, case)
    # It loads numpy, and the help of the command must not wait for it.
    from galwad.archive.commands import recordings_verdicts  # noqa: PLC0415

    verdicts = recordings_verdicts.verify(
        what,
        since=since,
        node_keys=node_key or (),
        trust=trust,
        officer_keys=officer_key or (),
        identity=identity,
        fetch=why,
        server=server,
    )
    if json:
        print_json([recordings_verdicts.as_json(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            print(recordings_verdicts.sentence(verdict))
    if not verdicts:
        raise CliError(
            "there is no recording to verify",
            "give a folder that holds .manifest files, or an earlier --since",
        )
    if not json:
        print(recordings_verdicts.counts(verdicts))
    if hint := recordings_verdicts.next_step(verdicts):
        raise CliError("not every recording was proven to be whole", hint)
