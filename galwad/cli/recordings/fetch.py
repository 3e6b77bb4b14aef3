"""`galwad recordings fetch`: download an encrypted recording and decrypt it to a local file.

Temporary files contain only encrypted data. Before the first sample is written to the output file,
the whole recording is read and authenticated. The output file gets its name only when it is
complete, so it appears completely or not at all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from galwad.cli.recordings.positions import read_position
from galwad.cli.support.atomic import atomic_file, check_writable
from galwad.cli.support.call_ids import checked_id
from galwad.cli.support.client import http_errors, open_client
from galwad.cli.support.console import CliError, clock, print_json, size
from galwad.cli.support.download import download
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import CallId, Json, Reference, Server, required
from galwad.cli.support.sealed import opened, read_identity
from galwad.desk.models.recordings import Purpose

app = new_command()


class AudioFormat(StrEnum):
    """The audio formats in which the output can be written."""

    FLAC = "flac"
    WAV = "wav"


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """The options of `galwad recordings fetch`, as given on the command line."""

    call_id: str
    purpose: str
    reference: str
    identity: Path | None
    output: Path | None
    format: AudioFormat | None
    from_s: float | None
    to_s: float | None
    sealed: bool
    force: bool
    raw: bool = False


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The facts about the output file that was written."""

    file: Path
    octets: int
    sha256: str
    seconds: float | None
    sealed: bool = False

    def as_json(self) -> dict[str, object]:
        """Return the path, size, digest and length of the output file as a mapping for JSON."""
        return {
            "file": str(self.file),
            "octets": self.octets,
            "sha256": self.sha256,
            "seconds": self.seconds,
        }

    def sentence(self) -> str:
        """Return the path, size, length and digest of the output file as one line of text."""
        length = f", {clock(self.seconds)}" if self.seconds is not None else ""
        length += ", still sealed" if self.sealed else ""
        return f"{self.file} ({size(self.octets)}{length}) sha256 {self.sha256}"


@app.command(
    epilog="Example: galwad recordings fetch 20261125-093000-abcdefgh --purpose complaint "
    "--reference C-1024 --identity identity.txt --output call.wav"
)
def fetch(
    call_id: CallId,
    *,
    purpose: Annotated[Purpose, typer.Option(help="Why you need it; the audit records it.")],
    reference: Reference,
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
        bool, typer.Option("--sealed", help="Leave it sealed: a standard age file.")
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
        purpose=purpose,
        reference=required("--reference", reference, "C-1024"),
        identity=identity,
        output=output,
        format=format_,
        from_s=read_position(from_, "--from"),
        to_s=read_position(to, "--to"),
        sealed=sealed,
        force=force,
        raw=raw,
    )
    result = _fetch(options, server)
    if json:
        print_json({"call_id": call_id, **result.as_json()})
    else:
        print(result.sentence())


def _fetch(options: FetchOptions, server: str) -> FetchResult:
    """Fetch a recording and write the output file.

    The options and the files on this machine are checked before a request is sent, because for each
    request the server adds an entry about a fetch to the audit, even if the command fails later.
    """
    _check_options(options)
    output, kind = _output(options)
    identities = read_identity(options.identity).identities if options.identity else ()
    with (
        http_errors(),
        open_client(server) as client,
        download(
            options.call_id, options.purpose, options.reference, client, raw=options.raw
        ) as stream,
    ):
        header, payload = stream
        with atomic_file(output, replace=options.force) as file:
            if not identities:
                file.write(header)
                _copy(payload, file)
                length = None
            else:
                with opened(header, payload, identities) as plain:
                    if options.raw:
                        _copy(plain, file)
                        length = None
                    else:
                        # It loads numpy, which only audio needs.
                        from galwad.cli.recordings import audio  # noqa: PLC0415

                        length = audio.export(plain, file, kind.value, options.from_s, options.to_s)
            octets = file.tell()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FetchResult(output, octets, digest, length, options.sealed)


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
    """Return the path and the format of the output file.

    This function also checks that the file can be written, because this must be known before the
    recording is fetched.
    """
    if options.raw:
        ending = "pcapng.age" if options.sealed else "pcapng"
        return _free(
            options.output or Path(f"{options.call_id}.{ending}"), options
        ), AudioFormat.FLAC
    if options.sealed:
        return _free(
            options.output or Path(f"{options.call_id}.flac.age"), options
        ), AudioFormat.FLAC
    kind = options.format
    if kind is None and options.output is not None:
        ending = options.output.suffix.lower().removeprefix(".")
        if ending not in set(AudioFormat):
            raise CliError(
                f"{options.output} ends neither in .flac nor in .wav",
                "add --format flac or --format wav",
                status=2,
            )
        kind = AudioFormat(ending)
    kind = kind or AudioFormat.FLAC
    return _free(options.output or Path(f"{options.call_id}.{kind.value}"), options), kind


def _free(output: Path, options: FetchOptions) -> Path:
    check_writable(output, replace=options.force)
    return output


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    while block := source.read(64 * 1024):
        target.write(block)
