"""`galwad keys sign`: sign the set of recipients who can open recordings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from galwad.cli.keys.key_files import Folder, key_errors, load_officer
from galwad.cli.support.atomic import atomic_file
from galwad.cli.support.console import CliError, one_line, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json
from recording.age.file import Recipient
from recording.errors import KeySetError
from recording.keys.keyring import NamedRecipient, RecipientSet

app = new_command()


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
            help="An earlier set whose recipients are signed again; yours is in it if it was there."
        ),
    ] = None,
    without_me: Annotated[
        bool, typer.Option("--without-me", help="Leave out the recipient of this folder.")
    ] = False,
    replaces: Annotated[
        Path | None,
        typer.Option(
            help="The set that this one replaces: its number goes up by one, and you are asked "
            "before anybody is added or removed."
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
    """Sign the set of recipients who can open recordings; the server refuses an unsigned set.

    Your own recipient is in the set, except with --without-me. Put the signed file on the server,
    at the path in the setting `recipients` (by default keys/recipients.json in the state folder).

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
    """The recipients that a set adds to the set that it replaces, and those that it removes."""

    added: tuple[NamedRecipient, ...] = ()
    removed: tuple[NamedRecipient, ...] = ()

    @classmethod
    def between(cls, old: RecipientSet | None, new: RecipientSet) -> _Changes:
        """Return the changes from `old` to `new`; none if there is no old set."""
        if old is None:
            return cls()
        before, after = ({each.recipient for each in found.named} for found in (old, new))
        return cls(
            tuple(each for each in new.named if each.recipient not in before),
            tuple(each for each in old.named if each.recipient not in after),
        )

    def lines(self) -> list[str]:
        """Return one line for each recipient that is added or removed."""
        return [
            *(f"added    {each.name:<16} {each.recipient}" for each in self.added),
            *(f"removed  {each.name:<16} {each.recipient}" for each in self.removed),
        ]


def _replaced(
    replaces: Path | None, output: Path, officer_key: str, *, force: bool
) -> RecipientSet | None:
    """Return the set that is replaced; None if there is none.

    Without `replaces`, the output that --force overwrites counts, if it is a set of this officer.

    Raises `KeySetError` if the set `replaces` cannot be read.
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
    """Show who is added and removed, and ask; raise `CliError` if the answer is not yes."""
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
        raise CliError("cannot read a --recipient", "write it as NAME=age1…", status=2)
    return name, Recipient.parse(key)


def _report(made: RecipientSet, output: Path, changes: _Changes, *, as_json: bool) -> None:
    if as_json:
        groups = {
            "recipients": made.named,
            "added": changes.added,
            "removed": changes.removed,
        }
        people = {name: msgspec.to_builtins(group) for name, group in groups.items()}
        print_json({"file": str(output), "serial": made.serial, **people})
        return
    print(f"{output}: set number {made.serial}, signed {made.signed_at}")
    for each in made.named:
        print(one_line(f"  {each.name:<16} {each.recipient}"))
