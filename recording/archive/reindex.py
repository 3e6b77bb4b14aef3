"""Verifies a recording that has no row in the index, so that a new row can be made.

The manifest has all facts for the row except the caller, the line and the advisor, which were in
the spool. They are empty in the new row.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from recording.archive.disposal import CERTIFICATE, Certificate
from recording.archive.manifest import MANIFEST
from recording.archive.store import SealedRecording, folder_of, sealed_recording
from recording.archive.verify import verify_recording
from recording.errors import ArchiveError, ManifestError
from recording.keys.signed_document import unverified_key


@dataclass(frozen=True, slots=True)
class VerifiedRecording:
    """A recording that matches its manifest, which the trusted node with `node_key` signed."""

    recording: SealedRecording
    node_key: str
    """In base64."""
    disposal: Certificate | None
    """None if the recording was not disposed of. The new row must show a disposal."""


def verify_unindexed(
    archive: Path, call_id: str, node_keys: Collection[str], officer_keys: Collection[str] = ()
) -> VerifiedRecording:
    """Read a whole recording, or its certificate of disposal; compare it with its manifest.

    One of the nodes with `node_keys` (base64) must have signed the manifest. Without the key of the
    officer who rewrapped the header, there is an error.

    Raises:
        ArchiveError: The recording is incomplete or was changed, or no node in `node_keys` signed
            its manifest. The error's text says what is wrong.
        OSError: A read on the disk failed.
    """
    folder = archive / folder_of(call_id)
    try:
        data = (folder / f"{call_id}.manifest").read_bytes()
        manifest = MANIFEST.read(data, node_keys)
        disposal = _disposal(folder / f"{call_id}.disposal", node_keys)
    except FileNotFoundError:
        raise ArchiveError("its manifest is missing") from None
    except ManifestError as error:
        raise ArchiveError(str(error)) from None
    key = unverified_key(data)
    if manifest.call_id != call_id:
        raise ArchiveError(f"the manifest is that of {manifest.call_id}")
    if disposal is None:
        verdict = verify_recording(folder, call_id, node_keys=(key,), officer_keys=officer_keys)
        if verdict.problems:
            raise ArchiveError("; ".join(verdict.problems))
    elif (disposal.call_id, disposal.payload) != (call_id, manifest.payload):
        raise ArchiveError("the disposal is that of another recording")
    return VerifiedRecording(sealed_recording(manifest, data, None), key, disposal)


def _disposal(path: Path, node_keys: Collection[str]) -> Certificate | None:
    try:
        return CERTIFICATE.read(path.read_bytes(), node_keys)
    except FileNotFoundError:
        return None


def disposed_at(certificate: Certificate) -> float:
    """Return the time of the disposal in Unix seconds. Raises `ArchiveError` if it is malformed."""
    try:
        moment = time.strptime(certificate.disposed, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise ArchiveError("the certificate of its disposal has no valid time") from None
    return float(calendar.timegm(moment))
