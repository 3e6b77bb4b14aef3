"""Disposal: the header is destroyed, and a certificate says so in its place.

A payload without its header is noise to everybody, in every copy: that is the shredding. The
certificate (`ID.disposal`), signed by the node, is on the disk before the header is touched, so
that a recording is never gone without one. What is disposed of stays so: a header that comes back
from a backup is destroyed again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from recording.archive import Node, folder_of
from recording.commit import overwrite, sync_folder, write_whole
from recording.errors import DisposalError, ManifestError
from recording.keys import public_text
from recording.manifest import Manifest, ObjectFacts, verify_manifest
from recording.rewrap import facts_of
from recording.signed import Kind

FORMAT: Final = "galwad-disposal-1"
REASONS: Final = ("retention", "erasure", "mistake", "order")


class AuditPlace(msgspec.Struct, frozen=True):
    """The entry of the audit that ordered it."""

    node: str
    seq: int
    hash: str


class Certificate(msgspec.Struct, frozen=True):
    """That a recording was disposed of: what, when, why, by whom."""

    format: str
    call_id: str
    node: str
    payload: ObjectFacts
    header_sha256: str
    """Of the header that was destroyed; empty if it was missing."""
    reason: str
    """One of `REASONS`: its term was over, a person's right, a mistake, an order."""
    by: str
    disposed: str
    audit: AuditPlace


CERTIFICATE: Final = Kind("disposal", FORMAT, Certificate, "node")


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants a recording disposed of, why, and where the audit has that."""

    call_id: str
    payload_sha256: str
    reason: str
    by: str
    audit: AuditPlace


@dataclass(frozen=True, slots=True)
class Disposals:
    """Disposes of recordings of one archive, in this node's name."""

    archive: Path
    node: Node

    def path(self, call_id: str) -> Path:
        """Where the certificate lies, if there is one."""
        return self.archive / folder_of(call_id) / f"{call_id}.disposal"

    def find(self, call_id: str) -> Certificate | None:
        """The certificate of this recording that this node signed, if there is one."""
        try:
            data = self.path(call_id).read_bytes()
            found = CERTIFICATE.read(data, (public_text(self.node.key.public_key()),))
        except (FileNotFoundError, ManifestError):
            return None
        return found if found.call_id == call_id else None

    def dispose(self, order: Order) -> bytes:
        """Certify and destroy; the certificate's bytes. Disposed of already: the one that it has.

        Raises:
            DisposalError: the recording is not what the index has; nothing was touched.
            OSError: the disk refuses; asked again, it goes on.
        """
        path = self.path(order.call_id)
        done = self.find(order.call_id)
        if done is None:
            if path.exists():
                raise DisposalError("a certificate lies there that this node did not sign")
            write_whole(path, CERTIFICATE.sign(self._certificate(order), self.node.key))
        destroy_header(path.parent, order.call_id)
        return path.read_bytes()

    def _certificate(self, order: Order) -> Certificate:
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

    def _manifest(self, order: Order) -> Manifest:
        try:
            manifest = verify_manifest(self.path(order.call_id).with_suffix(".manifest"))
        except ManifestError as error:
            raise DisposalError(f"what it is cannot be certified: {error}") from None
        if (manifest.call_id, manifest.payload.sha256) != (order.call_id, order.payload_sha256):
            raise DisposalError("the manifest is not that of the recording in the index")
        return manifest


def destroy_header(folder: Path, call_id: str) -> bool:
    """Overwrite and unlink the header and whatever was to become one; whether there was any.

    Overwriting means something on a disk that writes in place; the unlinking, and that nobody
    kept a copy, is what counts elsewhere.
    """
    found = list(_headers(folder, call_id))
    for path in found:
        with path.open("r+b", buffering=0) as file:
            overwrite(file)
        path.unlink()
    sync_folder(folder)
    return bool(found)


def _headers(folder: Path, call_id: str) -> Iterator[Path]:
    for name in (f"{call_id}.header", f".{call_id}.header.new", f".{call_id}.header.part"):
        path = folder / name
        if path.exists():
            yield path
