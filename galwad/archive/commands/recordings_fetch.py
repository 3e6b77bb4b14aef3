"""`galwad recordings fetch` and `recover`: open a recording, or a locked spool, with an identity.

`fetch` downloads an encrypted recording to a temporary file, and decrypts it from there into the
output file. Before the first sample is written, the whole recording is read and authenticated. With
`--sealed`, the output file is encrypted too.

`recover` decrypts the key of a spool that the server cannot open since a reboot. A person with this
key can decrypt the audio. So the server makes an audit entry before the command writes the key to a
file. With `--offline`, the entry is made only after the finaliser has used the key.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from galwad.archive.rules import Purpose
from galwad.cli.support.archive_client import FetchPurpose, download
from galwad.cli.support.client import ask, http_errors, open_client
from galwad.cli.support.console import CliError, clock, print_json, size
from galwad.cli.support.identities import opened, read_identity
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import (
    CallId,
    ForCase,
    ForDisclosure,
    Json,
    Reference,
    Server,
    checked_id,
    read_position,
    required,
)
from galwad.cli.support.output_file import atomic_file, check_writable
from recording.age.file import Identity
from recording.errors import SpoolError
from recording.spool.recovery import RecoveredKey, recover_key

app = new_command()


class AudioFormat(StrEnum):
    """The audio formats in which the output can be written."""

    FLAC = "flac"
    WAV = "wav"


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """The options of `galwad recordings fetch`, as given on the command line."""

    call_id: str
    why: FetchPurpose
    identity: Path | None
    output: Path | None
    format: AudioFormat | None
    from_s: float | None
    to_s: float | None
    sealed: bool
    force: bool
    raw: bool = False


@app.command(
    epilog="Example: galwad recordings fetch 20261125-093000-abcdefgh --purpose complaint "
    "--reference C-1024 --identity identity.txt --output call.wav"
)
def fetch(
    call_id: CallId,
    *,
    purpose: Annotated[
        Purpose, typer.Option(help="Why you need the recording; the audit records it.")
    ],
    reference: Reference,
    disclosure: ForDisclosure = None,
    case: ForCase = None,
    identity: Annotated[
        Path | None, typer.Option(help="The file with your identity (AGE-SECRET-KEY-1…).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; by default ID.flac.")
    ] = None,
    format_: Annotated[
        AudioFormat | None,
        typer.Option("--format", help="The format; by default from the output's extension."),
    ] = None,
    from_: Annotated[str, typer.Option("--from", help="Start here: 1:20 or 80.")] = "",
    to: Annotated[str, typer.Option("--to", help="End here: 3:05 or 185.")] = "",
    sealed: Annotated[
        bool,
        typer.Option("--sealed", help="Leave the recording encrypted, as a standard age file."),
    ] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Fetch the packets that could not be decoded, as pcapng, not the audio."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the output if it exists.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Fetch a recording, and decrypt it here with your identity.

    Before the server sends the first byte, it enters the purpose and the reference in the audit.
    The data that the server sends is encrypted, and the server itself cannot decrypt it. The output
    file appears completely or not at all.
    """
    options = FetchOptions(
        call_id=checked_id(call_id),
        why=FetchPurpose(purpose, required("--reference", reference, "C-1024"), disclosure, case),
        identity=identity,
        output=output,
        format=format_,
        from_s=read_position(from_, "--from"),
        to_s=read_position(to, "--to"),
        sealed=sealed,
        force=force,
        raw=raw,
    )
    _check_options(options)
    output, kind = _output(options)
    identities = read_identity(identity).identities if identity else ()
    octets, digest, seconds = _fetch(options, output, kind, identities, server)
    if json:
        facts = {"file": str(output), "octets": octets, "sha256": digest, "seconds": seconds}
        print_json({"call_id": call_id, **facts})
        return
    length = "" if seconds is None else f", {clock(seconds)}"
    still = ", still sealed" if sealed else ""
    print(f"{output} ({size(octets)}{length}{still}) sha256 {digest}")


def _fetch(
    options: FetchOptions,
    output: Path,
    kind: AudioFormat,
    identities: Sequence[Identity],
    server: str,
) -> tuple[int, str, float | None]:
    """Fetch a recording; return the output's size, SHA-256 digest, and seconds of audio or None.

    The options and the local files must be checked first, because the server audits each request,
    even if the command fails later.
    """
    with (
        http_errors(),
        open_client(server) as client,
        download(options.call_id, options.why, client, raw=options.raw) as stream,
    ):
        header, payload = stream
        with atomic_file(output, replace=options.force) as file:
            seconds = None
            if not identities:
                file.write(header)
                _copy(payload, file)
            else:
                with opened(header, payload, identities) as plain:
                    if options.raw:
                        _copy(plain, file)
                    else:
                        # It loads numpy, which only audio needs.
                        from galwad.archive.commands.recordings_audio import export  # noqa: PLC0415

                        seconds = export(plain, file, kind.value, options.from_s, options.to_s)
            octets = file.tell()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return octets, digest, seconds


def _check_options(options: FetchOptions) -> None:
    opening = (
        options.identity or options.format or options.from_s is not None or options.to_s is not None
    )
    if options.sealed and opening:
        raise CliError(
            "--sealed cannot be combined with --identity, --format, --from or --to",
            "leave out --sealed, or the other options",
            status=2,
        )
    if options.raw and (options.format or options.from_s is not None or options.to_s is not None):
        raise CliError(
            "--raw cannot be combined with --format, --from or --to",
            "leave them out: --raw fetches packets, not audio",
            status=2,
        )
    if not options.sealed and options.identity is None:
        raise CliError(
            "an identity is required to open the recording",
            "give --identity FILE, or fetch it with --sealed",
            status=2,
        )
    start, end = options.from_s or 0.0, options.to_s
    if end is not None and end <= start:
        raise CliError("--to is not after --from", "choose a later --to", status=2)


def _output(options: FetchOptions) -> tuple[Path, AudioFormat]:
    kind = options.format
    if kind is None and options.output is not None and not (options.raw or options.sealed):
        ending = options.output.suffix.lower().removeprefix(".")
        if ending not in set(AudioFormat):
            raise CliError(
                f"{options.output} ends neither in .flac nor in .wav",
                "add --format flac or --format wav",
                status=2,
            )
        kind = AudioFormat(ending)
    kind = kind or AudioFormat.FLAC
    name = f"{options.call_id}.{'pcapng' if options.raw else kind.value}"
    output = options.output or Path(f"{name}.age" if options.sealed else name)
    check_writable(output, replace=options.force)
    return output, kind


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    while block := source.read(64 * 1024):
        target.write(block)


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
        typer.Option(
            "--offline", help="Do not ask the server, which is down. Write down who, when and why."
        ),
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
    for key in keys:
        with atomic_file(output / key.name, replace=force) as file:
            file.write(bytes(key))
    if json:
        print_json(
            [
                {
                    "call_id": key.call_id,
                    "life": key.life,
                    "output": str(output / key.name),
                    "audited": not offline,
                }
                for key in keys
            ]
        )
    else:
        for key in keys:
            print(f"{output / key.name}  opens spool {key.life} of {key.call_id}")
    if offline:
        print(
            "the audit shows this only when the server uses the key: note who, when and why",
            file=sys.stderr,
        )


def _recover_keys(spools: list[Path], identity: Path) -> list[RecoveredKey]:
    identities = read_identity(identity).identities
    try:
        return [recover_key(spool, identities) for spool in spools]
    except SpoolError as error:
        raise CliError(
            str(error),
            "give a spool, and the identity of one of its recipients: `galwad keys show` prints "
            "your fingerprint",
        ) from None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CliError(f"cannot read {error.filename}: {reason}", "give a spool file") from None


def _audit(key: RecoveredKey, reference: str, server: str) -> None:
    """Let the server audit the recovery of `key`. If this raises CliError, do not write the key."""
    body = {"life": key.life, "reference": reference}
    try:
        ask(server, "POST", f"/recordings/{key.call_id}/recover", body)
    except CliError as error:
        hint = f"{error.hint}; no key was written; if the server stays down, use --offline"
        raise CliError(error.message, hint, status=error.status) from None
