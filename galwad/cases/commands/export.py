"""`galwad cases export`: a pack with copies of the calls of a case, for the person who asked.

The command runs on the officer's machine. This module reads the options; `pack` makes the pack.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galwad.archive.commands.evidence import (
    Force,
    NodeKeys,
    NotWhole,
    OtherOfficers,
    PackFile,
    PackIdentity,
    PackRecipient,
    SilenceReason,
    TrustedNodes,
    recipient_of,
)
from galwad.cases.commands.register import Case
from galwad.cli.support.console import one_line, print_json, size
from galwad.cli.support.identities import read_identity
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server, checked_id
from galwad.cli.support.output_file import atomic_file, check_writable

app = new_command()


@app.command(
    epilog='Example: galwad cases export 3 --to "Mair Evans=age1…" '
    '--identity ~/galwad-keys/identity.age --silence advisor --why "the advisor\'s own data"'
)
def export(
    case: Case,
    *,
    to: PackRecipient,
    identity: PackIdentity,
    silence: Annotated[
        list[str] | None,
        typer.Option(
            help='What to silence in each call: "caller", "advisor", "1:20-1:45" or "caller '
            '1:20-1:45"; or in one call: "ID: caller 1:20-1:45". Repeat it for each part.'
        ),
    ] = None,
    why: SilenceReason = "",
    without_note: Annotated[
        list[str] | None,
        typer.Option(help="The id of a call whose contact note is left out. Repeat it for each."),
    ] = None,
    node_key: NodeKeys = None,
    officer_key: OtherOfficers = None,
    trust: TrustedNodes = None,
    not_whole: NotWhole = False,
    output: PackFile = None,
    force: Force = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Make a pack with copies of all calls of a case that are not excluded, and their notes.

    Read the notes first (`galwad cases calls --notes`), and listen to the calls.

    The pack has a letter in the language of the case: what was asked for, where was searched, each
    call with its contact note and its gaps, and what was silenced. The recipient opens it with
    `age` and `tar`; the file verify.txt says how to check it.

    Each fetch, and the pack with its digest and recipient, is in the audit, and the pack becomes a
    step of the case. The command writes no sound to the disk that is not encrypted.
    """
    output = output or Path(f"case-{case}.tar.age")
    check_writable(output, replace=force)
    # These modules load slowly.
    from galwad.archive.commands import evidence_letter, evidence_pack  # noqa: PLC0415
    from galwad.cases.commands import pack  # noqa: PLC0415

    evidence_letter.check_library()
    name, recipient = recipient_of(to)
    officer = evidence_pack.Officer.of(
        read_identity(identity), node_key or (), officer_key or (), trust
    )
    options = evidence_pack.PackOptions(
        name=name,
        recipient=recipient,
        silence=silence or (),
        why=one_line(why.strip()),
        not_whole=not_whole,
    )
    left_out = frozenset(checked_id(each) for each in without_note or ())
    request = pack.CasePackRequest(case, options, left_out)
    with atomic_file(output, replace=force) as file:
        made = pack.make(request, officer, file, server)
    if json:
        print_json({"case_id": case, "file": str(output), **made})
        return
    print(one_line(f"{output} ({size(made['size'])}, for {name}) sha256 {made['sha256']}"))
    print(f"calls: {made['calls']}; audit entry {made['entry']}")
