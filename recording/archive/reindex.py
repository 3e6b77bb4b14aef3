"""Verifies a recording that has no row in the index, so that a new row can be made.

The manifest has all facts for the new row except three: the caller, the line and the advisor. These
three facts were in the spool, which no longer exists, so they are empty in the new row.
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
    """A recording that matches its manifest. A trusted node signed the manifest."""

    recording: SealedRecording
    node_key: str
    """The public key (base64) of the node that signed the manifest."""
    disposal: Certificate | None
    """The certificate of the recording's disposal.

    None if the recording was not disposed of. If there is a certificate, the recording's new row in
    the index must show the disposal.
    """


def verify_unindexed(
    archive: Path, call_id: str, node_keys: Collection[str], officer_keys: Collection[str] = ()
) -> VerifiedRecording:
    """Read a whole recording, and compare it with its manifest.

    If the recording was disposed of, only its certificate is compared with its manifest.

    Args:
        archive: The archive's folder.
        call_id: The recording's call id.
        node_keys: The public keys of trusted nodes (base64). One of these nodes must have signed
            the manifest.
        officer_keys: The public keys of officers (base64) whose rewraps are trusted. If there are
            none, a recording with a rewrapped header raises `ArchiveError`.

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
    """Return the time of the disposal in Unix seconds.

    Raises `ArchiveError` if the certificate's time is malformed.
    """
    try:
        moment = time.strptime(certificate.disposed, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise ArchiveError("the certificate of its disposal has no valid time") from None
    return float(calendar.timegm(moment))
