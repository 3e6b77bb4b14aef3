"""Replaces headers in the archive in two steps, for the officer's client.

In the first step, this module stages the new header: it writes the new header to a separate file,
and returns the bytes that it reads from this file afterwards. The officer's client verifies these
bytes. In the second step, this module commits the new header: it replaces the old header by the new
header.

The server has no age identity, so it cannot check whether a header opens its payload. Therefore it
accepts a new header only under three conditions. First, the officer signed a record about the new
header. Second, the record is for the set of recipients in force. Third, the record says that the
new header replaces the header that is in the archive now.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recording.archive.manifest import Manifest, verify_manifest
from recording.archive.rewrap import REWRAP, Rewrap, check_stanzas, facts_of
from recording.archive.store import folder_of
from recording.errors import HeaderError, KeySetError, ManifestError, RewrapError
from recording.files.atomic import sync_file, sync_folder, write_unsynced, zero_fill
from recording.keys.keyring import RecipientSet
from recording.keys.recipients_file import RecipientsFile

_COMMIT_ORDER: Final = ("rewrap", "header")
_AGAIN: Final = "rewrap the recording again"


@dataclass(frozen=True, slots=True)
class HeaderStore:
    """The headers of an archive.

    Each method raises `RewrapError` if it does not accept a new header. The recording's old header
    is then unchanged. Each method raises `OSError` if a read or write on the disk fails.

    Attributes:
        archive: The archive's folder.
        recipients: The file with the set of recipients. The officer who signs this set also signs
            each rewrap.
    """

    archive: Path
    recipients: RecipientsFile

    def stage(self, call_id: str, payload_sha256: str, header: bytes, record: bytes) -> bytes:
        """Write a new header and its record to separate files. Do not replace the old files yet.

        Args:
            call_id: The recording's call id.
            payload_sha256: The SHA-256 of the recording's payload, from the index.
            header: The new header.
            record: The officer's signed record about the new header, for the file `ID.rewrap`.

        Returns:
            The new header, read back from the file.
        """
        place = _RecordingFiles(self.archive / folder_of(call_id), call_id)
        self._check(place, payload_sha256, header, record)
        write_unsynced(place.staged("rewrap"), record)
        write_unsynced(place.staged("header"), header)
        return place.staged("header").read_bytes()

    def commit(self, call_id: str, payload_sha256: str, header_sha256: str) -> None:
        """Replace the header and the rewrap record by the new ones that `stage` has written.

        The rewrap record is the officer's signed record about the header. `payload_sha256` is the
        SHA-256 of the payload, from the index. `header_sha256` is the SHA-256 of the new header. If
        `stage` has written no new header, and the present header already has this SHA-256, nothing
        is changed.

        The record is replaced before the header. If the process crashes between these two steps,
        the recording has the new record and the old header, and the officer must run the rewrap
        again. The officer's client then accepts the old header, because the new record contains the
        SHA-256 of the old header too.

        When the new header is on the disk, the old header's file is overwritten with zeros. Without
        this, the old header could still open the recording after a disposal.
        """
        place = _RecordingFiles(self.archive / folder_of(call_id), call_id)
        try:
            header = place.staged("header").read_bytes()
            record = place.staged("rewrap").read_bytes()
        except FileNotFoundError:
            place.refuse_if_disposed()
            if facts_of(place.header()).sha256 == header_sha256:
                return
            raise RewrapError(f"no new header is staged: {_AGAIN}") from None
        if facts_of(header).sha256 != header_sha256:
            raise RewrapError(f"another header was staged meanwhile: {_AGAIN}")
        self._check(place, payload_sha256, header, record)
        for suffix in _COMMIT_ORDER:
            sync_file(place.staged(suffix))
        with place.path("header").open("r+b", buffering=0) as old:
            for suffix in _COMMIT_ORDER:
                place.staged(suffix).rename(place.path(suffix))
                sync_folder(place.folder)
            zero_fill(old)

    def _check(
        self, place: _RecordingFiles, payload_sha256: str, header: bytes, record: bytes
    ) -> None:
        place.refuse_if_disposed()
        try:
            recipients = self.recipients.load().recipients
            signed = REWRAP.read(record, (self.recipients.officer_key,))
            check_stanzas(header, len(recipients.named))
            manifest = place.manifest()
        except (KeySetError, ManifestError, HeaderError) as error:
            raise RewrapError(str(error)) from None
        for wrong in _wrong(signed, manifest, recipients):
            raise RewrapError(wrong)
        if payload_sha256 != manifest.payload.sha256:
            raise RewrapError("the index has another payload than the manifest")
        if signed.header != facts_of(header):
            raise RewrapError("the record is that of another header")
        if signed.replaces != facts_of(place.header()).sha256:
            raise RewrapError(f"the header was replaced meanwhile: {_AGAIN}")


def _wrong(signed: Rewrap, manifest: Manifest, recipients: RecipientSet) -> list[str]:
    """Return one text for each fault of `signed`, the officer's record about a new header.

    The record has a fault if it is not for the recording that `manifest` describes, or if it is not
    for `recipients`, which is the set of recipients in force. The list is empty if there is no
    fault.
    """
    wrong = []
    if (signed.call_id, signed.payload_sha256) != (manifest.call_id, manifest.payload.sha256):
        wrong.append("the record is that of another recording")
    in_force = recipients.serial, list(recipients.fingerprints)
    if (signed.recipients_serial, signed.recipients) != in_force:
        wrong.append(f"the record is not for set number {recipients.serial}, which is in force")
    return wrong


@dataclass(frozen=True, slots=True)
class _RecordingFiles:
    """The paths of one recording's files, and of the new files that will replace them."""

    folder: Path
    call_id: str

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.call_id}.{suffix}"

    def staged(self, suffix: str) -> Path:
        return self.folder / f".{self.call_id}.{suffix}.new"

    def refuse_if_disposed(self) -> None:
        if self.path("disposal").exists():
            raise RewrapError("the recording was disposed of")

    def header(self) -> bytes:
        try:
            return self.path("header").read_bytes()
        except FileNotFoundError:
            raise RewrapError("the header is missing: restore it first") from None

    def manifest(self) -> Manifest:
        manifest = verify_manifest(self.path("manifest"))
        if manifest.call_id != self.call_id:
            raise RewrapError(f"the manifest is that of {manifest.call_id}")
        return manifest
