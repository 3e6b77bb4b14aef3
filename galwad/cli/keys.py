"""`galwad keys`: the officer's keys, and the set of those who can open recordings.

All of it runs on the officer's machine. What goes to the server is public: the signed set of
recipients, and the public signing key that the server's settings pin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from galwad.cli.console import CliError, print_json
from galwad.cli.options import Json
from galwad.cli.sealed import hinted
from galwad.cli.whole import whole_file
from recording.age import Recipient
from recording.errors import AgeError, KeyFileError, KeySetError
from recording.keys import OfficerKeys, RecipientSet, fingerprint

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

FILE: Final = "identity.txt"

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
    return folder / FILE if folder.is_dir() else folder


@app.command(epilog="Example: galwad keys init ~/galwad-keys")
def init(
    folder: Annotated[Path, typer.Argument(help="A folder, made if it is not there.")],
    *,
    json: Json = False,
) -> None:
    """Make an identity, which opens recordings, and a signing key, in FOLDER/identity.txt.

    Only you can read the file. Keep a copy somewhere safe: without an identity nobody opens
    a recording, ever. It never goes to the server.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or "cannot be made").lower()
        raise CliError(f"{folder}: {reason}", "name another folder") from None
    with _told():
        made = OfficerKeys.generate()
        made.save(folder / FILE)
    _show(made, folder / FILE, as_json=json)


@app.command(epilog="Example: galwad keys show ~/galwad-keys")
def show(folder: Folder, *, json: Json = False) -> None:
    """Print the public halves: the recipient, and the key for the server's settings."""
    with _told():
        found = OfficerKeys.load(_file(folder))
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
    force: Annotated[
        bool, typer.Option("--force", help="Replace the output if it exists.")
    ] = False,
    json: Json = False,
) -> None:
    """Sign the set of those who can open recordings; the server refuses an unsigned one.

    Your own recipient is in it unless you leave it out. Put the file to where the server's
    `recipients` points (by default keys/recipients.json in its state folder).
    """
    with _told():
        officer = OfficerKeys.load(_file(folder))
        named = [] if without_me else [(name, officer.identity.recipient)]
        named += [_named(text) for text in recipient or ()]
        serial = RecipientSet.load(replaces, officer.public_key).serial + 1 if replaces else 1
        made = RecipientSet.of(named, serial)
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
