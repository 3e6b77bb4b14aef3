"""`galwad keys`: make the officer's keys, and sign the recipient set and the list of trusted nodes.

All commands run on the officer's machine. A key file has an identity, whose public half is the
recipient, and a signing key, whose public half is the public signing key.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec
import typer

from galwad.cli.support.console import CliError, one_line, print_json
from galwad.cli.support.identities import (
    VARIABLE,
    as_cli_error,
    new_passphrase,
    passphrase_of,
    public_key,
)
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json
from galwad.cli.support.output_file import atomic_file, check_writable
from recording.age.file import Recipient
from recording.age.identity_file import Passphrase
from recording.errors import AgeError, KeyFileError, KeySetError
from recording.keys.keyring import NamedRecipient, OfficerKeys, RecipientSet, fingerprint
from recording.keys.signed_document import TRUST_FILE_NAME, sign_trust

app = new_command()
PLAIN: Final = "identity.txt"
PROTECTED: Final = "identity.age"
Folder: TypeAlias = Annotated[Path, typer.Argument(help="The folder that `keys init` made.")]


@contextmanager
def key_errors() -> Iterator[None]:
    """Turn an error of a key file or a recipient set into a `CliError`."""
    try:
        yield
    except (KeyFileError, KeySetError, AgeError) as error:
        raise as_cli_error(error, "nothing was written") from None


def key_file(folder: Path) -> Path:
    """Return the path of the key file in `folder`, or `folder` itself if it is not a folder.

    In a folder, `identity.age` is returned if only this key file exists, otherwise `identity.txt`.
    """
    if not folder.is_dir():
        return folder
    return folder / (PROTECTED if key_files(folder) == [PROTECTED] else PLAIN)


def key_files(folder: Path) -> list[str]:
    """Return the names of the key files that exist in `folder`."""
    return [name for name in (PLAIN, PROTECTED) if (folder / name).exists()]


def load_officer(folder: Path) -> OfficerKeys:
    """Return the officer's keys in `folder`. Ask for the passphrase if the key file has one."""
    return OfficerKeys.load(key_file(folder), passphrase_of)


def print_public(officer: OfficerKeys, file: Path, *, as_json: bool) -> None:
    """Print an officer's recipient, fingerprint and public key, and the key file's path."""
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


@app.command(epilog="Example: galwad keys init ~/galwad-keys")
def init(
    folder: Annotated[Path, typer.Argument(help="The folder; it is created if it does not exist.")],
    *,
    passphrase: Annotated[
        bool,
        typer.Option(
            "--passphrase", help=f"Protect the file with a passphrase, typed or from ${VARIABLE}."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Create FOLDER/identity.txt with your two keys: an identity and a signing key.

    The identity opens recordings. The signing key signs the set of people who can open recordings.
    Only you can read the file. Keep a copy of the file in a safe place, because without an identity
    no recording can ever be opened. Never put the file on the server.

    With --passphrase, the file is FOLDER/identity.age, which can be opened only with the
    passphrase. `age -d` and every command that reads the file ask for the passphrase.
    """
    name = PROTECTED if passphrase else PLAIN
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or "cannot be made").lower()
        raise CliError(f"cannot create {folder}: {reason}", "choose another folder") from None
    if there := key_files(folder):
        raise CliError(
            f"{folder / there[0]} already exists",
            "choose another folder: keys are never overwritten",
        )
    secret = Passphrase(new_passphrase()) if passphrase else None
    with key_errors():
        made = OfficerKeys.generate()
        made.save(folder / name, secret)
    print_public(made, folder / name, as_json=json)


@app.command(epilog="Example: galwad keys show ~/galwad-keys")
def show(folder: Folder, *, json: Json = False) -> None:
    """Print the public halves of your keys: your recipient and your public signing key.

    The public signing key is printed in the form that the server's galwad.toml needs: as the
    setting `officer_key` in the table [recording].
    """
    with key_errors():
        found = load_officer(folder)
    print_public(found, key_file(folder), as_json=json)


@app.command(
    epilog="Example: galwad keys sign ~/galwad-keys --recipient deputy=age1… -o recipients.json"
)
def sign(
    folder: Folder,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The file for the signed set; put it on the server."),
    ],
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="One more recipient who can open recordings: NAME=age1…."),
    ] = None,
    name: Annotated[str, typer.Option(help="The name beside your own recipient.")] = "officer",
    recipients_of: Annotated[
        Path | None,
        typer.Option(
            help="An earlier set: its recipients are in the new set; yours only if it was there."
        ),
    ] = None,
    without_me: Annotated[
        bool, typer.Option("--without-me", help="Leave out the recipient of this folder.")
    ] = False,
    replaces: Annotated[
        Path | None,
        typer.Option(
            help="The set that this one replaces: the new set gets the next number, and you are "
            "asked before anybody is added or removed."
        ),
    ] = None,
    serial: Annotated[
        int | None,
        typer.Option(
            min=1, max=2**31, help="The set's number, if the set that it replaces cannot be read."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the output if it exists.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before recipients are added or removed.")
    ] = False,
    json: Json = False,
) -> None:
    """Sign the set of recipients who can open recordings. The server refuses an unsigned set.

    Your own recipient is in the set, except with --without-me. With --recipients-of, the earlier
    set decides: your recipient is in the new set if it was in that one. Put the signed file on the
    server, at the path in the setting `recipients` (by default keys/recipients.json in the state
    folder).

    A recipient of the set that is replaced is not kept unless you name them again, with --recipient
    or --recipients-of: the command shows who is added and who is removed, and asks.

    The server refuses a set with a lower number than one that was in force. So to go back to the
    recipients of an earlier set, sign them again: --recipients-of EARLIER --replaces NEWEST.
    """
    with key_errors():
        officer = load_officer(folder)
        mine = [] if without_me or recipients_of else [(name, officer.identity.recipient)]
        earlier = RecipientSet.load(recipients_of, officer.public_key) if recipients_of else None
        named = [*mine, *_of_set(earlier)]
        named += [_named(text) for text in recipient or ()]
        if replaces and serial:
            raise CliError(
                "--replaces and --serial cannot be combined", "give only one of them", status=2
            )
        replaced = _replaced(replaces, output, officer.public_key, force=force)
        if replaces and replaced:
            serial = replaced.serial + 1
        made = RecipientSet.of(named, serial or 1)
        made.check()
        content = made.sign(officer.signing)
    changes = _Changes.between(replaced, made)
    if changes.lines():
        _confirm(changes, replaces or output, yes=yes)
    with atomic_file(output, replace=force, mode=0o644) as file:
        file.write(content)
    _report(made, output, changes, as_json=json)


@dataclass(frozen=True, slots=True)
class _Changes:
    added: tuple[NamedRecipient, ...] = ()
    removed: tuple[NamedRecipient, ...] = ()

    @classmethod
    def between(cls, old: RecipientSet | None, new: RecipientSet) -> _Changes:
        if old is None:
            return cls()
        before, after = ({each.recipient for each in found.named} for found in (old, new))
        return cls(
            tuple(each for each in new.named if each.recipient not in before),
            tuple(each for each in old.named if each.recipient not in after),
        )

    def lines(self) -> list[str]:
        return [
            *(f"added    {each.name:<16} {each.recipient}" for each in self.added),
            *(f"removed  {each.name:<16} {each.recipient}" for each in self.removed),
        ]


def _replaced(
    replaces: Path | None, output: Path, officer_key: str, *, force: bool
) -> RecipientSet | None:
    """Return the set to replace; None if there is none. Raises `KeySetError`.

    Without `replaces`, it is the set in `output`, if --force is given and this officer signed it.
    """
    if replaces:
        return RecipientSet.load(replaces, officer_key)
    if not force:
        return None
    try:
        return RecipientSet.load(output, officer_key)
    except KeySetError:
        return None


def _confirm(changes: _Changes, replaced: Path, *, yes: bool) -> None:
    for line in changes.lines():
        print(one_line(line), file=sys.stderr)
    if yes:
        return
    keep = f"to keep every recipient of {replaced}, add --recipients-of {replaced}"
    if not sys.stdin.isatty():
        raise CliError(
            "the recipients change, and there is no terminal to ask",
            f"add --yes if this is right; {keep}",
            status=2,
        )
    question = "Only the recipients that are named will open recordings from then on. Sign?"
    if not typer.confirm(question, err=True):
        raise CliError("nothing was signed", keep)


def _of_set(found: RecipientSet | None) -> list[tuple[str, Recipient]]:
    if found is None:
        return []
    return [(each.name, key) for each, key in zip(found.named, found.recipients, strict=True)]


def _named(text: str) -> tuple[str, Recipient]:
    name, equals, key = text.partition("=")
    if not (name and equals):
        raise CliError("a --recipient has no name or no key", "write it as NAME=age1…", status=2)
    return name, Recipient.parse(key)


def _report(made: RecipientSet, output: Path, changes: _Changes, *, as_json: bool) -> None:
    if as_json:
        groups = {"recipients": made.named, "added": changes.added, "removed": changes.removed}
        people = {name: msgspec.to_builtins(group) for name, group in groups.items()}
        print_json({"file": str(output), "serial": made.serial, **people})
        return
    print(f"{output}: set number {made.serial}, signed {made.signed_at}")
    for each in made.named:
        print(one_line(f"  {each.name:<16} {each.recipient}"))


@app.command(epilog="Example: galwad keys trust ~/galwad-keys --node-key galwad.pub")
def trust(
    folder: Folder,
    *,
    node_key: Annotated[
        list[str],
        typer.Option(
            help="The public key of a node, or a file with it; repeat it for each node, and for "
            "earlier keys of a node."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help=f"The file; by default FOLDER/{TRUST_FILE_NAME}."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json: Json = False,
) -> None:
    """Sign the list of the nodes that you trust, for `galwad recordings verify`.

    The server stores each node's public key as NODE.pub in the archive's folder. Take it from there
    once, compare it with the administrator by telephone, and keep a copy. The list replaces an
    earlier one, so name every node.
    """
    keys = [public_key(each, "--node-key") for each in node_key]
    parent = folder if folder.is_dir() else folder.parent
    path = output or parent / TRUST_FILE_NAME
    check_writable(path, replace=force)
    with key_errors():
        content = sign_trust(keys, load_officer(folder).signing)
    with atomic_file(path, replace=force, mode=0o644) as file:
        file.write(content)
    if json:
        print_json({"file": str(path), "node_keys": sorted(set(keys))})
        return
    print(f"{path}: trusted nodes")
    for key in sorted(set(keys)):
        print(f"  {key}")
