"""Disposal: destroys a recording's header and writes a signed certificate in its place.

A payload without its header is unreadable for everyone, in every copy. The certificate
(`ID.disposal`), signed by the node, is on the disk before the header is touched, so that no
recording is ever gone without one. Disposal is final: a header that comes back from a backup is
destroyed again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from recording.archive.manifest import Manifest, ObjectFacts, verify_manifest
from recording.archive.rewrap import facts_of
from recording.archive.store import SealingNode, folder_of
from recording.errors import DisposalError, ManifestError
from recording.files.atomic import sync_folder, write_atomic, zero_fill
from recording.keys.keyring import public_text
from recording.keys.signed_document import DocumentType

FORMAT: Final = "galwad-disposal-1"
REASONS: Final = ("retention", "erasure", "mistake", "order")


class AuditPlace(msgspec.Struct, frozen=True):
    """The audit entry that ordered the disposal."""

    node: str
    seq: int
    hash: str


class Certificate(msgspec.Struct, frozen=True):
    """The certificate that a recording was disposed of: what, when, why, by whom."""

    format: str
    call_id: str
    node: str
    payload: ObjectFacts
    header_sha256: str
    """The SHA-256 of the destroyed header; empty if it was missing."""
    reason: str
    """One of `REASONS`: its retention period ended, a person's right to erasure, a mistake, an
    order."""
    by: str
    disposed: str
    audit: AuditPlace


CERTIFICATE: Final = DocumentType("disposal", FORMAT, Certificate, "node")


@dataclass(frozen=True, slots=True)
class DisposalOrder:
    """The order to dispose of a recording: who gave it, why, and its audit entry."""

    call_id: str
    payload_sha256: str
    reason: str
    by: str
    audit: AuditPlace


@dataclass(frozen=True, slots=True)
class Disposer:
    """Disposes of recordings of one archive, in this node's name."""

    archive: Path
    node: SealingNode

    def path(self, call_id: str) -> Path:
        """Return the path of the certificate, whether it exists or not."""
        return self.archive / folder_of(call_id) / f"{call_id}.disposal"

    def find(self, call_id: str) -> Certificate | None:
        """Return the certificate of this recording that this node signed, or None."""
        try:
            data = self.path(call_id).read_bytes()
            found = CERTIFICATE.read(data, (public_text(self.node.key.public_key()),))
        except (FileNotFoundError, ManifestError):
            return None
        return found if found.call_id == call_id else None

    def dispose(self, order: DisposalOrder) -> bytes:
        """Certify and destroy; return the certificate's bytes.

        If the recording was disposed of before, this is its existing certificate.

        Raises:
            DisposalError: The recording is not the one in the index; nothing was touched.
            OSError: The disk refuses; a repeat continues the disposal.
        """
        path = self.path(order.call_id)
        done = self.find(order.call_id)
        if done is None:
            if path.exists():
                raise DisposalError("a certificate lies there that this node did not sign")
            write_atomic(path, CERTIFICATE.sign(self._certificate(order), self.node.key))
        destroy_header(path.parent, order.call_id)
        return path.read_bytes()

    def _certificate(self, order: DisposalOrder) -> Certificate:
        if order.reason not in REASONS:
            raise DisposalError("this is no reason for a disposal")
        manifest = self._manifest(order)
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
        )

    def _manifest(self, order: DisposalOrder) -> Manifest:
        try:
            manifest = verify_manifest(self.path(order.call_id).with_suffix(".manifest"))
        except ManifestError as error:
            raise DisposalError(f"what it is cannot be certified: {error}") from None
        if (manifest.call_id, manifest.payload.sha256) != (order.call_id, order.payload_sha256):
            raise DisposalError("the manifest is not that of the recording in the index")
        return manifest


def destroy_header(folder: Path, call_id: str) -> bool:
    """Overwrite and unlink the header and unfinished new ones; return whether there were any.

    Overwriting destroys data only on a disk that writes in place. On other disks, the unlinking and
    the absence of copies are what count.
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
