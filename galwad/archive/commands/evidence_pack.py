"""Makes an evidence pack: fetches, verifies and copies a recording, and encrypts the copy.

The pack is a BagIt folder in a tar archive, encrypted as an age file. It has the audio, in which
stretches or a whole party can be silenced, what proves the audio, and a letter. No audio is written
to the disk that is not encrypted. The pack is complete before the server enters its digest and its
recipient in the audit, and the file gets its name only after that.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, cast

from msgspec.structs import replace

from galwad.archive.commands import recordings_verdicts as verdicts
from galwad.archive.commands.evidence_letter import Pack, files_of
from galwad.cli.support.archive_client import FetchPurpose
from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, clock
from galwad.cli.support.identities import as_cli_error, opened, public_key, trusted_keys
from galwad.cli.support.options import read_position
from galwad.cli.support.page_texts import Texts
from recording.age.file import new_file_key
from recording.age.header import AnyRecipient, make_header
from recording.age.identity_file import IdentityFile
from recording.age.stream import PayloadWriter
from recording.archive.bag import BagWriter
from recording.archive.redaction import (
    BOTH,
    FORMAT,
    REDACTION_NOTE,
    AudioCopy,
    RedactionNote,
    Silence,
)
from recording.archive.verify import RecordingVerdict, VerdictState
from recording.errors import AgeError, KeyFileError, RedactionError
from recording.keys.keyring import OfficerKeys

_SILENCE: Final = re.compile(r"(?:(caller|advisor|both)\b)?\s*(?:([\d:.]+)\s*-\s*([\d:.]+))?")
_US: Final = 1_000_000
_GAP_FIELDS: Final = ("from_us", "to_us", "reason", "trigger", "actor")


@dataclass(frozen=True, slots=True)
class PackOptions:
    """The recipient of a pack, named `name`, and the parts to silence, as they were typed."""

    name: str
    recipient: AnyRecipient
    silence: Sequence[str]
    why: str
    not_whole: bool

    def check_reason(self) -> None:
        """Raise a `CliError` unless there is a reason exactly if something is silenced."""
        if bool(self.silence) != bool(self.why):
            raise CliError(
                "--silence and --why belong together",
                "say why parts are silenced, or leave out --why",
                status=2,
            )


@dataclass(frozen=True, slots=True)
class PackRequest:
    """A copy of one recording."""

    call_id: str
    why: FetchPurpose
    options: PackOptions


@dataclass(frozen=True, slots=True)
class Officer:
    """The officer's keys, and the public keys of the nodes and other officers that they trust."""

    file: IdentityFile
    keys: OfficerKeys
    nodes: Sequence[str]
    officers: Sequence[str]

    @classmethod
    def of(
        cls,
        file: IdentityFile,
        node_keys: Sequence[str],
        officer_keys: Sequence[str],
        trust: Path | None,
    ) -> Self:
        """Return the keys in a key file, the keys given, and those of the trust file."""
        try:
            keys = OfficerKeys.of(file)
        except KeyFileError as error:
            raise as_cli_error(error, "use the key file that `galwad keys init` made") from None
        nodes = [public_key(text, "--node-key") for text in node_keys]
        officers = [keys.public_key, *(public_key(each, "--officer-key") for each in officer_keys)]
        return cls(file, keys, [*nodes, *trusted_keys(trust, file.path, officers)], officers)


def make(
    request: PackRequest, officer: Officer, file: io.BufferedRandom, texts: Texts, server: str
) -> dict[str, Any]:
    """Write a pack to an empty file, and have it entered in the audit; return the facts about it.

    They are those of `EvidencePack` in `galwad.archive.evidence`, and the number of the audit
    entry. Raises `CliError`.
    """
    call_id = request.call_id
    key = new_key(request.options.recipient)
    pack = copied(request, officer, server)
    note, content = pack.note, files_of(pack, texts)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    signed = REDACTION_NOTE.sign(replace(note, files=digests), officer.keys.signing)
    content[f"{call_id}.redaction-note"] = signed
    with bag_in(file.fileno(), key, call_id, note.reference) as bag:
        for name, octets in content.items():
            bag.add(name, octets)
    facts = {
        **request.why.body,
        "recipient": request.options.name,
        "silenced": len(note.silenced),
        "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        "size": os.fstat(file.fileno()).st_size,
    }
    entry: int = ask(server, "POST", f"/recordings/{call_id}/evidence", facts)["entry"]
    return {**facts, "entry": entry}


def new_key(recipient: AnyRecipient) -> tuple[bytes, bytes]:
    """Return an age header for a recipient, and its new file key. Raises `CliError`."""
    file_key = new_file_key()
    try:
        return make_header(file_key, [recipient]), file_key
    except AgeError as error:
        raise CliError(f"--to: {error}", "ask the recipient for the key again", status=2) from None


def copied(request: PackRequest, officer: Officer, server: str) -> Pack:
    """Fetch and verify a recording, and return the copy with its proof. Raises `CliError`.

    The redaction note of the copy names no further files yet.
    """
    call_id = request.call_id
    detail = ask(server, "GET", f"/recordings/{call_id}")
    silenced = _silences(request, detail["recording"]["talk_s"])
    _warn(detail, silenced)
    audio, verdict = _copy(request, detail, officer, silenced, server)
    explanation = ask(server, "GET", f"/recordings/{call_id}/gaps")
    _compare(explanation, verdict, not_whole=request.options.not_whole)
    note = RedactionNote(
        format=FORMAT,
        call_id=call_id,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        purpose=request.why.purpose,
        reference=request.why.reference,
        recipient=request.options.name,
        manifest_sha256=hashlib.sha256(detail["manifest"].encode()).hexdigest(),
        payload_sha256=detail["recording"]["payload_sha256"],
        verdict=verdict.state.value,
        original=audio.original,
        copy=audio.facts,
        rate=audio.rate,
        silenced=silenced,
        reason=request.options.why,
        files={},
    )
    return Pack(
        detail=detail,
        explanation=explanation,
        note=note,
        flac=audio.flac,
        node_key=verdict.signer,
        officer_key=officer.keys.public_key,
    )


def _warn(detail: dict[str, Any], silenced: Sequence[Silence]) -> None:
    """Warn the officer if other people take part in the call, and nothing is silenced."""
    flags = {each["flag"] for each in detail.get("flags", ())}
    if "third-party" in flags and not silenced:
        print("the recording is flagged third-party, and nothing is silenced", file=sys.stderr)


def _compare(explanation: dict[str, Any], verdict: RecordingVerdict, *, not_whole: bool) -> None:
    """Raise a `CliError` if the server explains other gaps than the verified manifest has.

    The letter has the explanation, so a server that was changed could otherwise put a false one
    into a letter that the officer sends. With `not_whole`, the explanation of a recording without
    a valid manifest in the index is accepted: the letter says so.
    """
    manifest = verdict.manifest
    shown = [tuple(gap[name] for name in _GAP_FIELDS) for gap in explanation["gaps"]]
    agrees = manifest is not None and (
        sorted(shown) == sorted(astuple(gap) for gap in manifest.gaps)
        and explanation["talk_us"] == manifest.talk_us
        and round(explanation["started"] * _US) == manifest.started_us
    )
    links = explanation["entries"]
    chained = all(
        hashlib.sha256(f"{link['previous']}\n{link['body']}".encode()).hexdigest() == link["hash"]
        for link in links
    )
    if not chained or not (agrees or (not_whole and not explanation["signed"])):
        raise CliError(
            "the server's explanation of the gaps differs from the signed manifest",
            "`galwad audit verify` and `galwad calls coverage` show more",
        )


def _silences(request: PackRequest, talk_s: float) -> list[Silence]:
    """Return the stretches that the options --silence name, sorted. Raises `CliError`."""
    request.options.check_reason()
    return sorted(_silence(text, talk_s) for text in request.options.silence)


def _silence(text: str, talk_s: float) -> Silence:
    found = _SILENCE.fullmatch(text.strip())
    if found is None or not text.strip():
        raise CliError(
            f'cannot read --silence "{text}"',
            'write it as "caller", "1:20-1:45" or "advisor 1:20-1:45"',
            status=2,
        )
    party, *edges = found.groups()
    begin, end = (read_position(edge or "", "--silence") for edge in edges)
    from_s, to_s = begin or 0.0, talk_s if end is None else min(end, talk_s)
    if from_s >= to_s:
        raise CliError(
            f'--silence "{text}" has no part of the call',
            f"give a start before its end; the call ends at {clock(talk_s)}",
            status=2,
        )
    return Silence(round(from_s * _US), round(to_s * _US), party or BOTH)


def _copy(
    request: PackRequest,
    detail: dict[str, Any],
    officer: Officer,
    silenced: Sequence[Silence],
    server: str,
) -> tuple[AudioCopy, RecordingVerdict]:
    """Fetch and verify the recording, and return the copy of its audio, and the verdict."""
    if detail["manifest"] is None or detail.get("disposal"):
        raise CliError(
            "the recording has no manifest, or was disposed of",
            f"`galwad recordings verify {request.call_id}` shows more",
        )
    with verdicts.fetched_files(detail, request.why, server) as files:
        identities = officer.file.identities
        verdict = verdicts.verify_fetched(
            detail, files, officer.nodes, officer.officers, identities
        )
        if not verdict.is_trusted:
            raise CliError(
                "no key that you trust signed the manifest", verdicts.next_step([verdict])
            )
        if files.problems:
            raise CliError("; ".join(files.problems), "restore the missing file from a copy")
        if verdict.state is not VerdictState.WHOLE and not request.options.not_whole:
            hint = verdicts.next_step([verdict]) or "look at what is missing"
            raise CliError(
                verdicts.sentence(verdict), f"{hint}; to make the pack anyway, add --not-whole"
            )
        header, payload = (files.path(part) for part in ("header", "payload"))
        with (
            payload.open("rb") as source,
            opened(header.read_bytes(), source, identities) as plain,
        ):
            try:
                talk_us = round(detail["recording"]["talk_s"] * _US)
                return AudioCopy.of(plain, silenced, talk_us), verdict
            except RedactionError as error:
                raise CliError(
                    f"no copy can be made: {error}", "`galwad recordings verify` shows more"
                ) from None


@contextmanager
def bag_in(fd: int, key: tuple[bytes, bytes], name: str, reference: str) -> Iterator[BagWriter]:
    """Write a bag, encrypted, to the empty file `fd`. `key` is the age header and its file key."""
    header, file_key = key
    os.pwrite(fd, header, 0)
    now = time.time()
    with PayloadWriter(fd, file_key, len(header)) as writer:
        bag = BagWriter(cast("BinaryIO", writer), name, int(now))
        yield bag
        bag.close(
            {
                "External-Identifier": name,
                "Internal-Sender-Identifier": reference,
                "Bagging-Date": time.strftime("%Y-%m-%d", time.gmtime(now)),
            }
        )
