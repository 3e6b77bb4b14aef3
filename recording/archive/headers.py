"""Replaces headers in the archive in two steps, for the officer's client.

First the new header is staged in a separate file, and the client verifies the bytes that are read
back from it. Then it is committed: it replaces the old one.

The server has no age identity, so it cannot check whether a header opens its payload. Therefore it
accepts a new header only if the officer signed a record about it, the record is for the set of
recipients in force, and the record says that it replaces the header that is in the archive now.
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
    """The headers of an archive. The officer who signs the set of recipients signs each rewrap.

    Each method raises `OSError`, or `RewrapError` if it does not accept a new header; the old one
    is then unchanged.
    """

    archive: Path
    recipients: RecipientsFile

    def stage(self, call_id: str, payload_sha256: str, header: bytes, record: bytes) -> bytes:
        """Write a new header and its record to separate files; return the header, read back.

        `payload_sha256` is from the index. `record` is for the file `ID.rewrap`.
        """
        place = _RecordingFiles(self.archive / folder_of(call_id), call_id)
        self._check(place, payload_sha256, header, record)
        write_unsynced(place.staged("rewrap"), record)
        write_unsynced(place.staged("header"), header)
        return place.staged("header").read_bytes()

    def commit(self, call_id: str, payload_sha256: str, header_sha256: str) -> None:
        """Replace the header and the rewrap record by the new ones that `stage` has written.

        If it has written none, and the present header has this SHA-256, nothing is changed.

        The record is replaced before the header. After a crash between these two steps, the officer
        must run the rewrap again. The officer's client then accepts the old header, because the new
        record contains its SHA-256 too.

        When the new header is on the disk, the old header's file is overwritten with zeros. Without
        this, it could still open the recording after a disposal.
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
    """Return the faults of a record about a new header: another recording, or another set."""
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
