"""Disposal: writes a signed certificate (`ID.disposal`), then destroys the recording's header.

The certificate is the next version of the signed record of the call. It names the manifest, which
was the version before, and says what was destroyed, when, and by which rule or person.
Without the header, no recipient can decrypt the payload or a copy of it. The certificate is on the
disk first, so each destroyed recording has one. Disposal is final: if the header comes back with a
backup, `recording.archive.backup` destroys it again.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from recording.archive.manifest import (
    Manifest,
    ObjectFacts,
    RecordingDocument,
    SealingNode,
    folder_of,
    read_manifest,
)
from recording.archive.rewrap import facts_of
from recording.errors import ArchiveError, DisposalError, ManifestError
from recording.files.atomic import sync_folder, write_atomic, zero_fill
from recording.keys.keyring import public_text
from recording.keys.signed_document import DocumentType

FORMAT: Final = "galwad-disposal-1"
REASONS: Final = ("retention", "erasure", "mistake", "order", "captured-card")


class AuditPlace(msgspec.Struct, frozen=True):
    """Identifies the audit entry about a disposal order. The hash is in hexadecimal."""

    node: str
    seq: int
    hash: str


class AppliedRule(msgspec.Struct, frozen=True):
    """The rule of retention by which a recording was disposed of.

    `category`, `keep` and `counted_from` are as in the settings, `version` is that of the rules in
    force, and `due` is the end of the term (ISO 8601, UTC).
    """

    category: str
    keep: str
    counted_from: str
    version: int
    due: str


class Certificate(RecordingDocument, frozen=True):
    """The certificate that a recording was disposed of."""

    node: str
    payload: ObjectFacts
    header_sha256: str
    """The SHA-256 of the destroyed header; empty if the header was already missing."""
    reason: str
    """One of `REASONS`: the end of the retention period, a person's right to erasure, the
    correction of a mistake, an order (such as from a court), or a card number that was keyed
    outside a pause.
    """
    by: str
    disposed: str
    audit: AuditPlace
    rule: AppliedRule | None = None
    """None if a person ordered the disposal."""
    manifest_sha256: str = ""
    """The SHA-256 of the manifest; empty in certificates of older software."""


CERTIFICATE: Final = DocumentType("disposal", FORMAT, Certificate, "node")


@dataclass(frozen=True, slots=True)
class DisposalOrder:
    """The order to dispose of a recording. `payload_sha256` is from the index."""

    call_id: str
    payload_sha256: str
    reason: str
    by: str
    audit: AuditPlace
    rule: AppliedRule | None = None


@dataclass(frozen=True, slots=True)
class Disposer:
    """Disposes of recordings in one archive, and signs the certificates with the node's key."""

    archive: Path
    node: SealingNode

    def path(self, call_id: str) -> Path:
        """Return the path of a recording's certificate, whether it exists or not."""
        return self.archive / folder_of(call_id) / f"{call_id}.disposal"

    def find(self, call_id: str) -> Certificate | None:
        """Return a recording's certificate; None if this node has not signed a valid one."""
        try:
            data = self.path(call_id).read_bytes()
            found = CERTIFICATE.read(data, (public_text(self.node.key.public_key()),))
        except (FileNotFoundError, ManifestError):
            return None
        return found if found.call_id == call_id else None

    def dispose(self, order: DisposalOrder) -> bytes:
        """Write a certificate, then destroy the header. Return the certificate's file.

        A certificate from this node stays unchanged.

        Raises:
            DisposalError: Nothing was changed, for one of these reasons. The order's reason is not
                in `REASONS`. The manifest cannot be read or is not valid, or has another call id or
                payload digest than the order. The recording has a certificate that this node did
                not sign.
            OSError: A read or write on the disk failed. Call `dispose` again to continue.
        """
        path = self.path(order.call_id)
        done = self.find(order.call_id)
        if done is None:
            if path.exists():
                raise DisposalError(
                    "the recording has a disposal certificate that this node did not sign"
                )
            write_atomic(path, CERTIFICATE.sign(self._certificate(order), self.node.key))
        destroy_header(path.parent, order.call_id)
        return path.read_bytes()

    def _certificate(self, order: DisposalOrder) -> Certificate:
        if order.reason not in REASONS:
            raise DisposalError("the reason of the disposal is unknown")
        manifest, digest = self._manifest(order)
        header = self.path(order.call_id).with_suffix(".header")
        known = header.exists()
        return Certificate(
            format=FORMAT,
            call_id=order.call_id,
            node=self.node.name,
            payload=manifest.payload,
            header_sha256=facts_of(header.read_bytes()).sha256 if known else "",
            reason=order.reason,
            by=order.by,
            disposed=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            audit=order.audit,
            rule=order.rule,
            manifest_sha256=digest,
        )

    def _manifest(self, order: DisposalOrder) -> tuple[Manifest, str]:
        """Return the recording's manifest, and the SHA-256 of its file."""
        path = self.path(order.call_id).with_suffix(".manifest")
        try:
            data = path.read_bytes()
            manifest = read_manifest(data)
        except OSError as error:
            why = f"{path.name}: {(error.strerror or '').lower()}"
            raise DisposalError(f"the recording cannot be certified: {why}") from None
        except ManifestError as error:
            raise DisposalError(f"the recording cannot be certified: {error}") from None
        if (manifest.call_id, manifest.payload.sha256) != (order.call_id, order.payload_sha256):
            raise DisposalError("the manifest is not that of the recording in the index")
        return manifest, facts_of(data).sha256


def destroy_header(folder: Path, call_id: str) -> bool:
    """Overwrite and delete a recording's header, and new headers in temporary files.

    Return True if there was a header. If the disk writes new data to another place, the old data
    may still be there after the file is deleted.
    """
    found = list(_headers(folder, call_id))
    for path in found:
        with path.open("r+b", buffering=0) as file:
            zero_fill(file)
        path.unlink()
    sync_folder(folder)
    return bool(found)


def _headers(folder: Path, call_id: str) -> Iterator[Path]:
    for name in (f"{call_id}.header", f".{call_id}.header.new", f".{call_id}.header.part"):
        path = folder / name
        if path.exists():
            yield path


def disposed_at(certificate: Certificate) -> float:
    """Return the time of a disposal in Unix seconds. Raises `ArchiveError` if the time is bad."""
    try:
        moment = time.strptime(certificate.disposed, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise ArchiveError("the certificate of its disposal has no valid time") from None
    return float(calendar.timegm(moment))
