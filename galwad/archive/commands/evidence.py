"""`galwad evidence`: make an evidence pack of a recording, for a named recipient.

The command runs on the officer's machine. This module reads the options, and
`galwad.archive.commands.evidence_pack` makes the pack.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from galwad.archive.rules import Purpose
from galwad.cli.support.archive_client import FetchPurpose
from galwad.cli.support.console import CliError, one_line, print_json, size
from galwad.cli.support.identities import new_passphrase, read_identity
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import (
    CallId,
    ForCase,
    ForDisclosure,
    Json,
    Language,
    Reference,
    Server,
    checked_id,
    required,
    texts_in,
)
from galwad.cli.support.output_file import atomic_file, check_writable
from recording.age.file import Recipient
from recording.age.header import AnyRecipient
from recording.age.identity_file import Passphrase
from recording.errors import AgeError

app = new_command()
_LONGEST_NAME: Final = 200
_VARIABLE: Final = "GALWAD_PACK_PASSPHRASE"
PackRecipient: TypeAlias = Annotated[
    str,
    typer.Option(
        "--to",
        help="The recipient: NAME=age1…; or only NAME, to protect the pack with a passphrase "
        f"that you type or set in ${_VARIABLE}.",
    ),
]
PackIdentity: TypeAlias = Annotated[
    Path,
    typer.Option("--identity", help="Your key file: it opens recordings, and signs the pack."),
]
NodeKeys: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--node-key", help="The public key of a node that you trust, or a file with it."),
]
OtherOfficers: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--officer-key",
        help="The public key of another officer whose rewraps you accept, or a file with it.",
    ),
]
TrustedNodes: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        help="Your file of trusted nodes; by default trusted-nodes.json beside the key file.",
    ),
]
NotWhole: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--not-whole",
        help="Make the pack even if a recording is not whole, if its sound can be read: the "
        "letter says so.",
    ),
]
PackFile: TypeAlias = Annotated[
    Path | None, typer.Option("--output", "-o", help="The file; by default NAME.tar.age.")
]
Force: TypeAlias = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]
SilenceReason: TypeAlias = Annotated[
    str,
    typer.Option("--why", help="Why parts are silenced; the letter and the note have it."),
]


@app.command(
    "evidence",
    epilog='Example: galwad evidence 20261125-093000-abcdefgh --to "Mair Rees=age1…" '
    "--purpose complaint --reference C-1024 --identity ~/galwad-keys/identity.age "
    '--silence "advisor 1:20-1:45" --why "names another customer"',
)
def evidence(
    call_id: CallId,
    *,
    to: PackRecipient,
    purpose: Annotated[
        Purpose, typer.Option(help="Why the copy is made; the audit and the letter have it.")
    ],
    reference: Reference,
    disclosure: ForDisclosure = None,
    case: ForCase = None,
    identity: PackIdentity,
    silence: Annotated[
        list[str] | None,
        typer.Option(
            help='What to silence: "caller", "advisor", "1:20-1:45" (both) or '
            '"caller 1:20-1:45". Repeat it for each part.'
        ),
    ] = None,
    why: SilenceReason = "",
    node_key: NodeKeys = None,
    officer_key: OtherOfficers = None,
    trust: TrustedNodes = None,
    not_whole: NotWhole = False,
    output: PackFile = None,
    force: Force = False,
    language: Language = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Make an evidence pack: a copy of a recording, with proof and a letter, for one recipient.

    The recipient opens it with `age` and `tar`, and checks it with bagit, flac, openssl and jq; the
    file verify.txt in the pack says how. Parts that you silence are silent in the copy only: the
    recording in the archive is not changed. A note that you sign names each silenced part.

    The server enters the purpose, the reference, the recipient and the pack's digest in the audit.
    The command writes no sound to the disk that is not encrypted.
    """
    texts = texts_in(language)
    call_id = checked_id(call_id)
    reference = required("--reference", reference, "C-1024")
    output = output or Path(f"{call_id}.tar.age")
    check_writable(output, replace=force)
    # These modules load slowly.
    from galwad.archive.commands import evidence_letter, evidence_pack  # noqa: PLC0415

    evidence_letter.check_library()
    name, recipient = recipient_of(to)
    request = evidence_pack.PackRequest(
        call_id=call_id,
        why=FetchPurpose(purpose, reference, disclosure, case),
        options=evidence_pack.PackOptions(
            name=name,
            recipient=recipient,
            silence=silence or (),
            why=one_line(why.strip()),
            not_whole=not_whole,
        ),
    )
    officer = evidence_pack.Officer.of(
        read_identity(identity), node_key or (), officer_key or (), trust
    )
    with atomic_file(output, replace=force) as file:
        made = evidence_pack.make(request, officer, file, texts, server)
    if json:
        print_json({"call_id": call_id, "file": str(output), **made})
        return
    print(one_line(f"{output} ({size(made['size'])}, for {name}) sha256 {made['sha256']}"))
    print(f"audit entry {made['entry']}; the recipient opens the file with `age -d` and `tar -x`")


def recipient_of(text: str) -> tuple[str, AnyRecipient]:
    """Return the name in --to, and the key or passphrase to encrypt to. Raises `CliError`."""
    name, equals, key = text.partition("=")
    name = one_line(name.strip())
    if not name or name.startswith("age1"):
        raise CliError("--to has no name", "write it as NAME=age1…, or only NAME", status=2)
    if len(name) > _LONGEST_NAME:
        raise CliError(f"the name in --to has more than {_LONGEST_NAME} characters", "shorten it")
    try:
        if equals:
            return name, Recipient.parse(key.strip())
        return name, Passphrase(new_passphrase(_VARIABLE, "Passphrase for the pack"))
    except AgeError as error:
        raise CliError(f"--to: {error}", "write it as NAME=age1…", status=2) from None
