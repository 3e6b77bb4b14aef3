"""Verifies recordings. Only this module decides whether a recording is whole.

Signatures and digests are verified without an age identity. The audio is verified only with one. A
signature proves who made a manifest only if the signer's key comes from a trusted source. The audio
must be as long as the manifest says, and silent in all gaps except fault gaps. The check of the
audio also finds a manifest that was changed and then signed with a stolen key of the node.

Between two steps of sealing, rewrapping or disposing, a recording is incomplete, but not damaged.
So a check that finds a problem is repeated while the files change (`check_when_stable`).
"""

from __future__ import annotations

import calendar
import contextlib
import hashlib
import io
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import soundfile

from recording.age.file import Identity, open_parts
from recording.age.header import Header
from recording.archive.accounting import balance
from recording.archive.commitments import NOT_COMMITTED, compare_file
from recording.archive.disposal import CERTIFICATE, Certificate
from recording.archive.manifest import MANIFEST, Manifest, ObjectFacts
from recording.archive.rewrap import (
    HeaderStatus,
    HeaderVerdict,
    Rewrap,
    classify_header,
    difference,
    facts_of,
    read_rewrap,
)
from recording.archive.summary import RecordingSummary
from recording.errors import AgeError, HeaderError, ManifestError
from recording.keys.keyring import fingerprint
from recording.keys.signed_document import unverified_key

_OBJECTS: Final = ("payload", "header")
_LARGE: Final = ("payload", "raw")
_SMALL: Final = ("manifest", "header", "rewrap", "disposal")
_LARGEST: Final = 64 << 20
"""The most bytes of a manifest, header, rewrap record or disposal certificate."""
_READ: Final = 1 << 20
"""The bytes of a payload that are decrypted at once."""
_FRAMES: Final = 1 << 16
_ID_TIME: Final = "%Y%m%d-%H%M%S"
_US: Final = 1_000_000
_DAY_US: Final = 86_400 * _US
"""The largest accepted difference in µs between the time in a call's id and its answer.

The id has the time at which the call began to ring. The manifest's start is the answer.
"""
_RECORDING: Final = re.compile(
    r"(\d{8}-\d{6}-[a-z2-7]{8})\.(?:payload|raw|header|manifest|disposal)", re.ASCII
)
_DAY: Final = re.compile(r"(?:.*/)?(\d{4})/(\d{2})/(\d{2})", re.ASCII)
Found = TypeVar("Found")
QUIET_S = 2.0
"""The seconds without a change after which a recording's files count as stable.

One step of sealing, rewrapping or disposing takes less time, unless the disk is very slow.
"""
_MAX_CHECKS: Final = 10


class VerdictState(StrEnum):
    """The result of a verification in one or two words, for people and programs."""

    WHOLE = "whole"
    DISPOSED = "disposed of"
    NOT_WHOLE = "not whole"
    INDEX_ONLY = "index only"
    """The row and the manifest agree, but header and payload were not read."""
    UNKNOWN_SIGNER = "unknown signer"
    """The files belong together, but without a trusted key it is not proven who signed them."""


@dataclass(frozen=True, slots=True)
class RecordingVerdict:
    """The result of the verification of one recording. `notes` do not affect `state`."""

    call_id: str
    problems: tuple[str, ...] = ()
    """The problems that the recording did not have when it was sealed, such as a changed file."""
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    """The faults that the recording had when it was sealed. A backup has them too."""
    manifest: Manifest | None = field(default=None, repr=False)
    disposal: Certificate | None = None
    """None if the recording was not disposed of."""
    signer: str = ""
    """The key (base64) that signed the manifest or certificate; "" without a valid signature."""
    is_trusted: bool = False
    """True if `signer` is one of the keys that the caller trusts."""
    files_read: bool = True
    """False if the header and the payload were not read, because they are on a server."""

    @property
    def state(self) -> VerdictState:
        """The result of the verification."""
        if self.problems or self.faults:
            return VerdictState.NOT_WHOLE
        if self.disposal is None and not self.files_read:
            return VerdictState.INDEX_ONLY
        if not self.is_trusted:
            return VerdictState.UNKNOWN_SIGNER
        return VerdictState.WHOLE if self.disposal is None else VerdictState.DISPOSED

    @property
    def whole(self) -> bool:
        """True if all files were read, nothing is wrong, and a trusted key signed them.

        A recording that was disposed of is not whole.
        """
        return self.state is VerdictState.WHOLE

    @property
    def has_unexplained_damage(self) -> bool:
        """True if there are `problems` or `faults`. A disposal is neither."""
        return bool(self.problems or self.faults)


def recordings_below(folder: Path) -> list[tuple[Path, str]]:
    """Return the folder and call id of every recording below `folder`, sorted by call id.

    One of its files is enough, except a rewrap record. Raises `OSError` if a folder cannot be read,
    because its recordings would otherwise be missing without a notice.
    """
    found = set()
    for parent, _, names in os.walk(folder, onerror=_unless_gone):
        matches = map(_RECORDING.fullmatch, names)
        found |= {(Path(parent), match[1]) for match in matches if match}
    return sorted(found, key=lambda each: (each[1], each[0]))


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def verify_recording(
    folder: Path,
    call_id: str,
    *,
    node_keys: Collection[str] = (),
    officer_keys: Collection[str] = (),
    identities: Iterable[Identity] = (),
) -> RecordingVerdict:
    """Verify a recording's files against its disposal certificate, or if it has none, its manifest.

    `node_keys` and `officer_keys` (base64) must come from a trusted source, never from beside the
    recording. Without `node_keys`, the key in the manifest is accepted: the files then belong
    together, but it is not proven who made them, and the recording is not whole. Without
    `identities`, or if a problem was already found, the audio is not decrypted.
    """
    unsafe = tuple(_unsafe_objects(folder, call_id))
    if unsafe:
        return RecordingVerdict(call_id, unsafe)
    if os.path.lexists(folder / f"{call_id}.disposal"):
        return _disposed(folder, call_id, node_keys)
    try:
        data = (folder / f"{call_id}.manifest").read_bytes()
        manifest = MANIFEST.read(data, node_keys or None)
    except (ManifestError, OSError) as error:
        problem = _unreadable("manifest", error) if isinstance(error, OSError) else str(error)
        return RecordingVerdict(call_id, (problem, *_missing_objects(folder, call_id)))
    problems = [*_identity_problems(manifest, call_id), *_folder_problems(folder, call_id)]
    problems += _payload(folder / f"{call_id}.payload", manifest.payload)
    problems += _raw(folder / f"{call_id}.raw", manifest)
    notes = list(_notes(manifest, node_keys))
    judged = _header(folder / f"{call_id}.header", manifest, officer_keys)
    problems += [judged.problem] if judged.problem else []
    notes += _header_notes(manifest, judged)
    given = list(identities)
    if given and not problems:
        problems += check_content(folder, call_id, manifest, given)
        notes.append("opened to its end")
    return RecordingVerdict(
        call_id,
        tuple(problems),
        tuple(notes),
        tuple(_faults(manifest)),
        manifest,
        signer=unverified_key(data),
        is_trusted=bool(node_keys),
    )


def _unsafe_objects(folder: Path, call_id: str) -> Iterator[str]:
    """Yield a problem for each file of the recording that is not safe to read.

    A pipe or a device is not safe. A file that should be small is not safe if it is larger than
    `_LARGEST`, because it would fill the memory.
    """
    for name in (*_LARGE, *_SMALL):
        # The code that reads the file reports the error.
        with contextlib.suppress(OSError):
            found = (folder / f"{call_id}.{name}").stat()
            if not stat.S_ISREG(found.st_mode):
                yield f"the {name} is not a regular file"
            elif name in _SMALL and found.st_size > _LARGEST:
                yield f"the {name} is too large"


def verify_disposal(
    call_id: str, certificate: bytes, manifest: bytes | None, node_keys: Collection[str] = ()
) -> RecordingVerdict:
    """Return the verdict on a disposal certificate, given the files' bytes.

    The verdict's `disposal` is the certificate if it is valid. Without trusted `node_keys`
    (base64), it must be signed with the same key as the manifest.
    """
    if not node_keys and manifest is None:
        unproven = "only the node's key proves its disposal (--node-key)"
        return RecordingVerdict(call_id, ("the manifest is missing", unproven))
    notes = () if manifest is not None else ("the manifest is missing",)
    try:
        beside = None if manifest is None else MANIFEST.read(manifest, node_keys or None)
        read = CERTIFICATE.read(certificate, node_keys or (unverified_key(manifest or b""),))
    except ManifestError as error:
        return RecordingVerdict(call_id, (str(error),), notes)
    if read.call_id != call_id or (beside is not None and beside.payload != read.payload):
        return RecordingVerdict(
            call_id, ("the disposal certificate belongs to another recording",), notes
        )
    if manifest is not None and read.manifest_sha256 not in {"", facts_of(manifest).sha256}:
        return RecordingVerdict(
            call_id, ("the disposal certificate is about another version of the manifest",), notes
        )
    return RecordingVerdict(
        *(call_id, (), notes, (), beside, read),
        signer=unverified_key(certificate),
        is_trusted=bool(node_keys),
    )


def _disposed(folder: Path, call_id: str, node_keys: Collection[str]) -> RecordingVerdict:
    places = {name: folder / f"{call_id}.{name}" for name in ("disposal", "manifest", "payload")}
    try:
        manifest = places["manifest"].read_bytes() if places["manifest"].exists() else None
        verdict = verify_disposal(call_id, places["disposal"].read_bytes(), manifest, node_keys)
    except OSError as error:
        return RecordingVerdict(call_id, (_unreadable("disposal", error),))
    problems = [*verdict.problems, *_folder_problems(folder, call_id)]
    if verdict.disposal is not None:
        if (folder / f"{call_id}.header").exists():
            problems.append("its header exists again: purge the recording again")
        if places["payload"].exists():
            problems += _payload(places["payload"], verdict.disposal.payload)
    return replace(verdict, problems=tuple(problems))


def verify_indexed(
    row: RecordingSummary,
    manifest: bytes | None,
    *,
    node_keys: Collection[str] = (),
    rewrap: bytes = b"",
    officer_keys: Collection[str] = (),
) -> RecordingVerdict:
    """Compare a manifest with the recording's row in an index, without reading the payload.

    A row without the personal facts and the salt is accepted: only the audit chain can show whether
    they were removed rightly. Keys are in base64, from a trusted source. Without `node_keys`, the
    key in the manifest is used. Without `officer_keys`, the `rewrap` record is ignored.
    """
    compared, read = compare_file(row, manifest, node_keys)
    if read is None:
        return RecordingVerdict(row.call_id, compared.problems)
    problems = [*compared.problems, *_identity_problems(read, row.call_id)]
    notes = list(_notes(read, node_keys))
    if not compared.is_committed:
        notes.append(NOT_COMMITTED)
    if rewrap and officer_keys:
        try:
            notes.append(rewrapped(read_rewrap(read, rewrap, officer_keys)))
        except ManifestError as error:
            problems.append(str(error))
    return RecordingVerdict(
        *(row.call_id, tuple(problems), tuple(notes), tuple(_faults(read)), read),
        signer=unverified_key(manifest or b""),
        is_trusted=bool(node_keys),
        files_read=False,
    )


def _missing_objects(folder: Path, call_id: str) -> Iterator[str]:
    for name in _OBJECTS:
        if not (folder / f"{call_id}.{name}").exists():
            yield f"the {name} is missing"


def _identity_problems(manifest: Manifest, call_id: str) -> Iterator[str]:
    if manifest.call_id != call_id:
        yield f"the manifest belongs to {manifest.call_id}"
    try:
        named = calendar.timegm(time.strptime(manifest.call_id[:15], _ID_TIME))
    except ValueError:
        yield "the date in its manifest's call id is not valid"
        return
    if abs(manifest.started_us - named * _US) > _DAY_US:
        yield f"its date was changed: its manifest says that it began at {manifest.started}"
    yield from _sum_problems(manifest)


def _sum_problems(manifest: Manifest) -> Iterator[str]:
    found = balance(manifest.talk_us, manifest.segments, manifest.gaps)
    unexplained = sum(each.length_us for each in found.unaccounted)
    if unexplained > manifest.unexplained_us:
        yield "its segments and gaps do not add up to its talk time"


def _faults(manifest: Manifest) -> Iterator[str]:
    if manifest.unexplained:
        seconds, tenths = divmod(manifest.unexplained_us // 100_000, 10)
        yield f"{seconds}.{tenths} s of talk time are unexplained"
    if manifest.damaged:
        yield "it was sealed from a damaged spool"


def _folder_problems(folder: Path, call_id: str) -> Iterator[str]:
    match = _DAY.fullmatch(folder.absolute().as_posix())
    if match and "".join(match.groups()) != call_id[:8]:
        yield f"it is in the folder of another day, {'/'.join(match.groups())}"


def _raw(path: Path, manifest: Manifest) -> Iterator[str]:
    """Yield a problem if the file with undecodable packets is not the one in the manifest."""
    if manifest.raw is not None:
        yield from _payload(path, manifest.raw, "raw object")
    elif path.exists():
        yield "there is a raw object that the manifest does not name"


def _payload(path: Path, expected: ObjectFacts, name: str = "payload") -> Iterator[str]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            same = size == expected.size
            if not same or hashlib.file_digest(file, "sha256").hexdigest() != expected.sha256:
                yield difference(name, expected, size)
    except OSError as error:
        yield _unreadable(name, error)


def _header(path: Path, manifest: Manifest, officer_keys: Collection[str]) -> HeaderVerdict:
    record = path.with_suffix(".rewrap")
    try:
        header = path.read_bytes()
        Header.parse(header)
        replaced = record.read_bytes() if record.exists() else None
    except HeaderError as error:
        return HeaderVerdict(HeaderStatus.UNKNOWN, f"the header is damaged: {error}")
    except OSError as error:
        return HeaderVerdict(HeaderStatus.UNKNOWN, _unreadable("header", error))
    return classify_header(manifest, facts_of(header), replaced, officer_keys)


def _unreadable(name: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"the {name} is missing"
    return f"the {name} cannot be read: {(error.strerror or '').lower()}"


def _header_notes(manifest: Manifest, judged: HeaderVerdict) -> Iterator[str]:
    if judged.header is HeaderStatus.FIRST and manifest.header is None:
        yield "older software sealed it without a digest of the header: only an identity proves it"
    if judged.header is HeaderStatus.REWRAPPED and judged.record is not None:
        yield rewrapped(judged.record)


def rewrapped(record: Rewrap) -> str:
    """Return a note that says when and for which recipients a header was rewrapped."""
    who = ", ".join(record.recipients)
    return f"rewrapped {record.made} to set {record.recipients_serial}: {who}"


def _notes(manifest: Manifest, node_keys: Collection[str]) -> Iterator[str]:
    if manifest.interrupted:
        yield "interrupted"
    if manifest.raw is not None:
        yield f"{manifest.raw.packets} packets that could not be decoded are kept raw"
    if node_keys:
        yield f"signed by {manifest.node}"


def check_content(
    folder: Path, call_id: str, manifest: Manifest, identities: list[Identity]
) -> Iterator[str]:
    """Yield a description of each difference between the recording's audio and the manifest.

    If no identity opens the recording, yield only that.
    """
    try:
        header = (folder / f"{call_id}.header").read_bytes()
        with (folder / f"{call_id}.payload").open("rb") as payload:
            reader = _read_to_its_end(header, payload, identities)
            if _samples(manifest):
                reader.seek(0)
                with soundfile.SoundFile(reader) as audio:
                    yield from _audio_problems(audio, manifest)
            elif reader.tell():
                yield "the payload has audio, but the manifest says that it has none"
        if manifest.raw is not None:
            with (folder / f"{call_id}.raw").open("rb") as raw:
                _read_to_its_end(header, raw, identities)
    except AgeError as error:
        mine = ", ".join(fingerprint(identity.recipient) for identity in identities)
        yield f"it cannot be opened with {mine}: {error}"
    except soundfile.SoundFileError:
        yield "the decrypted payload is not a complete FLAC file"
    except OSError as error:
        yield f"it cannot be read: {(error.strerror or '').lower()}"


def _read_to_its_end(
    header: bytes, payload: BinaryIO, identities: list[Identity]
) -> io.BufferedIOBase:
    """Return a file object with a payload's plaintext, after all of it was authenticated.

    So the audio decoder never gets bytes that were changed. Raises `AgeError`, `OSError`.
    """
    reader = io.BufferedReader(open_parts(header, payload, identities), _READ)
    while reader.read(_READ):
        continue
    return reader


def _samples(manifest: Manifest) -> int:
    return manifest.talk_us * manifest.rate // _US


def _count_samples(audio: soundfile.SoundFile, manifest: Manifest) -> tuple[int, int]:
    """Return the number of samples in a channel, and the number of gaps that are not silent.

    Gaps with the reason `fault` are not checked, because sound around them may overlap their edges.
    """
    rate, at = manifest.rate, 0
    meant = (gap for gap in manifest.gaps if gap.reason != "fault")
    gaps = sorted((-(-gap.from_us * rate // _US), gap.to_us * rate // _US) for gap in meant)
    loud: set[int] = set()
    first = 0
    for block in audio.blocks(_FRAMES, dtype="int16"):
        end = at + len(block)
        while first < len(gaps) and gaps[first][1] <= at:
            first += 1
        for number in range(first, len(gaps)):
            start, to = gaps[number]
            if start >= end:
                break
            if block[max(0, start - at) : max(0, to - at)].any():
                loud.add(number)
        at = end
    return at, len(loud)


def _audio_problems(audio: soundfile.SoundFile, manifest: Manifest) -> Iterator[str]:
    expected = _samples(manifest)
    if (audio.samplerate, audio.channels) != (manifest.rate, 2):
        yield "the audio's rate or channels are not those in the manifest"
    decoded, loud = _count_samples(audio, manifest)
    if loud:
        yield f"sound was found in {loud} of its gaps that must be silent"
    if decoded != expected:
        yield f"the audio has {decoded} samples, but the manifest says {expected}"
    if audio.title != manifest.call_id:
        yield "the audio belongs to another call"


def check_when_stable(
    check: Callable[[], Found], has_problem: Callable[[Found], object], folder: Path, call_id: str
) -> Found:
    """Call `check` until its result can be trusted, at most ten times. Return the last result.

    A result for which `has_problem` is true cannot be trusted if the files changed during the check
    or in the `QUIET_S` before it.
    """
    for _ in range(_MAX_CHECKS):
        began = time.time()
        found = check()
        changed = _last_changed(folder, call_id) if has_problem(found) else 0.0
        if not began - QUIET_S < changed <= time.time():
            break
        time.sleep(max(0.0, changed + QUIET_S - time.time()))
    return found


def _last_changed(folder: Path, call_id: str) -> float:
    """Return the Unix time of the most recent change of any file of this recording, or 0.

    Staged and unfinished files are included. The time is the ctime, because a program can set the
    mtime.
    """
    newest = 0.0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if call_id in entry.name:
                    newest = max(newest, entry.stat(follow_symlinks=False).st_ctime)
    except FileNotFoundError:  # a file was renamed or unlinked just now
        return time.time()
    except OSError:  # `check` reads the same folder, and has already reported this error
        return 0.0
    return newest
