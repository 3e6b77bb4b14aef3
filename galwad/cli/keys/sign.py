"""`galwad keys`: the officer's keys, and the set of those who can open recordings.

All commands run on the officer's machine. Only public data goes to the server: the signed recipient
set, the public signing key that the server's settings pin, and headers for that set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from galwad.cli import rewrapping
from galwad.cli.client import open_client
from galwad.cli.console import CliError, print_json
from galwad.cli.options import Json, Server
from galwad.cli.passphrases import VARIABLE, new_passphrase, passphrase_of
from galwad.cli.proof import public_key
from galwad.cli.sealed import hinted, read_identity
from galwad.cli.whole import whole_file
from recording.age.file import Recipient
from recording.age.passphrase import Passphrase
from recording.errors import AgeError, KeyFileError, KeySetError
from recording.keys.keyring import OfficerKeys, RecipientSet, fingerprint

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

FILE: Final = "identity.txt"
PROTECTED: Final = "identity.age"

Folder = Annotated[Path, typer.Argument(help="The folder that `keys init` made.")]


@app.callback()
def keys() -> None:
    """The officer's keys, and who can open recordings. Run on the officer's machine."""


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (KeyFileError, KeySetError, AgeError) as error:
        raise hinted(error, "nothing was written") from None


def _file(folder: Path) -> Path:
    """Return a folder's key file: the protected one only if there is no other.

    A path that is not a folder is returned unchanged.
    """
    if not folder.is_dir():
        return folder
    return folder / (PROTECTED if _there(folder) == [PROTECTED] else FILE)


def _there(folder: Path) -> list[str]:
    return [name for name in (FILE, PROTECTED) if (folder / name).exists()]


def _officer(folder: Path) -> OfficerKeys:
    return OfficerKeys.load(_file(folder), passphrase_of)


@app.command(epilog="Example: galwad keys init ~/galwad-keys")
def init(
    folder: Annotated[Path, typer.Argument(help="A folder, made if it is not there.")],
    *,
    passphrase: Annotated[
        bool,
        typer.Option(
            "--passphrase", help=f"Protect it: asks for a passphrase, or takes ${VARIABLE}."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Make an identity, which opens recordings, and a signing key, in FOLDER/identity.txt.

    Only you can read the file. Keep a copy somewhere safe: without an identity, no recording can
    ever be opened. It never goes to the server.

    With --passphrase the file is FOLDER/identity.age, which opens only with the passphrase: every
    command asks for it, and so does `age -d`.
    """
    name = PROTECTED if passphrase else FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or "cannot be made").lower()
        raise CliError(f"{folder}: {reason}", "name another folder") from None
    if there := _there(folder):
        raise CliError(
            f"{folder / there[0]} exists", "choose another folder: keys are never overwritten"
        )
    secret = Passphrase(new_passphrase()) if passphrase else None
    with _told():
        made = OfficerKeys.generate()
        made.save(folder / name, secret)
    _show(made, folder / name, as_json=json)


@app.command(epilog="Example: galwad keys show ~/galwad-keys")
def show(folder: Folder, *, json: Json = False) -> None:
    """Print the public halves: the recipient, and the key for the server's settings."""
    with _told():
        found = _officer(folder)
    _show(found, _file(folder), as_json=json)


def _show(officer: OfficerKeys, file: Path, *, as_json: bool) -> None:
    recipient = officer.identity.recipient
    if as_json:
        print_json(
            {
                "file": str(file),
                "recipient": str(recipient),
                "fingerprint": fingerprint(recipient),
                "officer_key": officer.public_key,
            }
        )
        return
    print(f"file         {file}")
    print(f"recipient    {recipient}")
    print(f"fingerprint  {fingerprint(recipient)}")
    print("for the server's galwad.toml:")
    print(f'  [recording]\n  officer_key = "{officer.public_key}"')


@app.command(
    epilog="Example: galwad keys sign ~/galwad-keys --recipient deputy=age1… -o recipients.json"
)
def sign(
    folder: Folder,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The signed set; goes to the server.")
    ],
    recipient: Annotated[
        list[str] | None, typer.Option(help="NAME=age1…, one more who can open recordings.")
    ] = None,
    name: Annotated[str, typer.Option(help="The name beside your own recipient.")] = "officer",
    without_me: Annotated[
        bool, typer.Option("--without-me", help="Leave out the recipient of this folder.")
    ] = False,
    replaces: Annotated[
        Path | None, typer.Option(help="The set that this one replaces: its number goes up by one.")
    ] = None,
    serial: Annotated[
        int | None,
        typer.Option(
            min=1, max=2**31, help="The set's number, where what it replaces cannot be read."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the output if it exists.")
    ] = False,
    json: Json = False,
) -> None:
    """Sign the set of those who can open recordings; the server refuses an unsigned one.

    Your own recipient is in it unless you leave it out. Put the file where the server's
    `recipients` points (by default keys/recipients.json in its state folder).
    """
    with _told():
        officer = _officer(folder)
        named = [] if without_me else [(name, officer.identity.recipient)]
        named += [_named(text) for text in recipient or ()]
        if replaces and serial:
            raise CliError(
                "--replaces and --serial say the same", "give one of them alone", status=2
            )
        if replaces:
            serial = RecipientSet.load(replaces, officer.public_key).serial + 1
        made = RecipientSet.of(named, serial or 1)
        made.check()
        content = made.sign(officer.signing)
    with whole_file(output, replace=force, mode=0o644) as file:
        file.write(content)
    _report(made, output, named, as_json=json)


def _named(text: str) -> tuple[str, Recipient]:
    name, equals, key = text.partition("=")
    if not (name and equals):
        raise CliError("--recipient wants NAME=age1…", "for example deputy=age1qyq…", status=2)
    return name, Recipient.parse(key)


def _report(
    made: RecipientSet, output: Path, named: Sequence[tuple[str, Recipient]], *, as_json: bool
) -> None:
    if as_json:
        entries = [{"name": who, "recipient": str(key)} for who, key in named]
        print_json({"file": str(output), "serial": made.serial, "recipients": entries})
        return
    print(f"{output}: set number {made.serial}, signed {made.signed_at}")
    for who, key in named:
        print(f"  {who:<16} {key}")


@app.command(epilog="Example: galwad keys rewrap ~/galwad-keys --reference KEYS-2026")
def rewrap(
    folder: Folder,
    *,
    reference: Annotated[str, typer.Option(help="Your case's reference; goes into the audit.")],
    identity: Annotated[
        list[Path] | None, typer.Option(help="One more file with an identity that opens headers.")
    ] = None,
    set_: Annotated[
        Path | None, typer.Option("--set", help="Only if the server has exactly this signed set.")
    ] = None,
    node_key: Annotated[
        str, typer.Option(help="The node's public key, or a file with it; else any is believed.")
    ] = "",
    former_key: Annotated[
        list[str] | None,
        typer.Option(help="The public signing key of an officer before you, who rewrapped too."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many there are to rewrap.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Give every recording a new header, for the signed set that the server has in force.

    Headers are opened here, with the identity of FOLDER; payloads are not touched. A new header
    replaces the old one only after it was read back and proven to open the same payload. If the
    command is interrupted, run it again: it goes on where it ended.

    This revokes nothing: a person who could open a recording before can still open an old copy.
    """
    if not reference.strip():
        raise CliError("--reference is empty", "such as --reference KEYS-2026", status=2)
    with _told():
        own = read_identity(_file(folder))
        officer = OfficerKeys.of(own)
        recipients = RecipientSet.load(set_, officer.public_key) if set_ else None
    wish = rewrapping.Wish(
        officer=officer,
        identities=[
            key for file in (own, *map(read_identity, identity or ())) for key in file.identities
        ],
        reference=reference.strip(),
        recipients=recipients,
        node_key=public_key(node_key, "--node-key") if node_key else None,
        former=[public_key(text, "--former-key") for text in former_key or ()],
        only_count=dry_run,
    )
    with open_client(server) as client:
        outcome = rewrapping.run(client, wish, quiet=json)
    if json:
        print_json(outcome.as_json())
    else:
        for line in rewrapping.told(outcome, only_count=dry_run):
            print(line)
    if outcome.failed:
        raise CliError(
            f"{len(outcome.failed)} of {outcome.waiting} were not rewrapped",
            "their headers are as they were; another's --identity may open them",
        )
