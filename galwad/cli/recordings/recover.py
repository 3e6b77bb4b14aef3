"""`galwad recordings recover`: get the key of a spool that the server cannot open since a reboot.

The command needs an identity, the secret age key of a recipient. A person who has the spool's key
can decrypt the audio in the spool. Therefore the server makes an entry in its audit chain before
the command writes the key to a file. With `--offline`, no request is sent to the server. With
`--offline`, the entry is made later: when the finaliser uses the key and reports this to the desk.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from galwad.cli.support import sealed
from galwad.cli.support.atomic import atomic_file, check_writable
from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Reference, Server, required
from recording.errors import SpoolError
from recording.spool.recovery import RecoveredKey, recover_key

app = new_command()


@dataclass(frozen=True, slots=True)
class WrittenKey:
    """A key that was written to a file.

    `audited` is true if the server has already made an entry in its audit chain about this
    recovery. It is false with `--offline`.
    """

    call_id: str
    life: int
    path: Path
    audited: bool

    def as_json(self) -> dict[str, object]:
        """Return the facts about the key as a mapping for JSON output, without the key itself."""
        return {
            "call_id": self.call_id,
            "life": self.life,
            "output": str(self.path),
            "audited": self.audited,
        }

    def sentence(self) -> str:
        """Return the facts about the key as one line of text, without the key itself."""
        return f"{self.path}  opens spool {self.life} of {self.call_id}"


@app.command(
    epilog="Example: galwad recordings recover 20261125-093000-abcdefgh.1.spool "
    "--identity identity.txt --reference POWER-2026-11"
)
def recover(
    spools: Annotated[
        list[Path], typer.Argument(help="Copies of spools; the first 130 KB of each are enough.")
    ],
    *,
    identity: Annotated[
        Path, typer.Option(help="The file with your identity (AGE-SECRET-KEY-1…).")
    ],
    reference: Reference,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to write the keys into.")
    ] = Path(),
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Do not ask the server, as it is down. Note it yourself."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a key file that exists.")] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Recover spools that a reboot locked: write the key of each spool to a file, for the server.

    Run the command on your own machine, signed in as an administrator. Before a key is written, the
    server makes an entry in its audit chain, with your name and the reference (but not with
    --offline). Each key opens only one spool. Put the key on the server as the operations guide
    says. The finaliser then makes a recording from the spool.
    """
    reference = required("--reference", reference, "POWER-2026-11")
    keys = _recover_keys(spools, identity)
    # If a key file cannot be written, stop before the audit chain has an entry about the recovery.
    for key in keys:
        check_writable(output / key.name, replace=force)
    for key in () if offline else keys:
        _audit(key, reference, server)
    done = [_write(key, output, replace=force, audited=not offline) for key in keys]
    if json:
        print_json([written.as_json() for written in done])
    else:
        for written in done:
            print(written.sentence())
    if offline:
        print(
            "the audit shows this only when the server uses the key: note who, when and why",
            file=sys.stderr,
        )


def _recover_keys(spools: list[Path], identity: Path) -> list[RecoveredKey]:
    """Return the keys of all `spools`.

    Raises:
        CliError: A spool is not encrypted for an identity in the file `identity`, or a file cannot
            be read.
    """
    identities = sealed.read_identity(identity).identities
    try:
        return [recover_key(spool, identities) for spool in spools]
    except SpoolError as error:
        raise CliError(
            str(error),
            "`galwad keys show` prints your fingerprint; the spool may be for another recipient",
        ) from None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CliError(f"cannot read {error.filename}: {reason}", "give a spool file") from None


def _audit(key: RecoveredKey, reference: str, server: str) -> None:
    """Let the server make an entry about the recovery of `key` in its audit chain.

    Raises:
        CliError: The server made no entry. In this case the key must not be written.
    """
    body = {"life": key.life, "reference": reference}
    try:
        ask(server, "POST", f"/recordings/{key.call_id}/recover", body)
    except CliError as error:
        hint = f"{error.hint}; no key was written; if the server stays down, use --offline"
        raise CliError(error.message, hint, status=error.status) from None


def _write(key: RecoveredKey, folder: Path, *, replace: bool, audited: bool) -> WrittenKey:
    path = folder / key.name
    with atomic_file(path, replace=replace) as file:
        file.write(bytes(key))
    return WrittenKey(key.call_id, key.life, path, audited)
