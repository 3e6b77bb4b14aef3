"""The exceptions of this package, as one tree.

RecordingError
├── CatalogueError             the index cannot be read or written
├── AuditError                 the audit cannot be read or written
├── ChainError                 a text is not an export of the audit chain, or not an anchor
├── KeySetError                the set of recipients is unsigned, or signed by another person
├── KeyFileError               a key file is missing, malformed or accessible to others
├── ManifestError              a manifest or a signed record cannot be read, or is wrongly signed
├── ArchiveError               a recording cannot be sealed or opened
│   ├── RewrapError            the offered header cannot replace the old one
│   ├── DisposalError          the recording is not the one that the order names
│   └── AgeError               an age v1 file or key is faulty
│       ├── KeyTextError       the text is not a recipient or an identity
│       ├── ArmorError         the ASCII armor does not follow the format
│       ├── HeaderError        the header does not follow the format
│       │   ├── HeaderTruncatedError   the file ends before the payload begins
│       │   ├── VersionError           the file is not an age file of version 1
│       │   ├── Base64Error            the base64 is not in its canonical form
│       │   ├── StanzaError            a recipient's stanza is malformed, missing or misplaced
│       │   │   ├── LowOrderError      its share is a point of low order
│       │   │   └── WorkFactorError    its passphrase needs more work than is accepted
│       │   └── HeaderMacError         the header was changed
│       ├── NoMatchError       none of the identities is a recipient of the file
│       └── PayloadError       the payload is not what was sealed
│           ├── TruncatedError         chunks are missing at the end
│           ├── TrailingDataError      data follows the last chunk
│           ├── EmptyLastChunkError    the last chunk is empty although it is not the only one
│           └── BadTagError            a chunk was changed
└── SpoolError                 the spool of a running or interrupted call
    ├── SpoolWriteError        the disk refused a write (full, broken, gone)
    │   └── SpoolGoneError     the spool is no longer in its place
    ├── SpoolSyncError         the kernel could not write its buffers to the disk
    ├── SpoolClosedError       a bug here: something was written to a closed spool
    ├── SpoolHeaderError       neither copy of the file's header is whole, or its version is unknown
    └── SpoolKeyError          no key at hand opens this spool
"""

import errno
import sqlite3


def reason_of(error: Exception) -> str:
    """Return why a database or disk refuses, such as "database or disk is full".

    The text quotes no value.
    """
    cause = getattr(error, "orig", error)  # SQLAlchemy's errors hold the driver's error
    if isinstance(cause, sqlite3.Error) and not isinstance(cause, sqlite3.IntegrityError):
        return str(cause)
    return (getattr(cause, "strerror", None) or type(error).__name__).lower()


class RecordingError(Exception):
    """Base of all errors that this package raises on purpose."""


class SpoolError(RecordingError):
    """A spool could not be written or read."""


class SpoolWriteError(SpoolError):
    """The disk refused a frame, or does not answer.

    Attributes:
        lost_from_us: Offset at which the media in the refused frame begins, in microseconds since
            the spool's start; None when no media was lost with it.
    """

    def __init__(self, message: str, lost_from_us: int | None = None) -> None:
        super().__init__(message)
        self.lost_from_us = lost_from_us


class SpoolGoneError(SpoolWriteError):
    """The spool is no longer in its place: its disk or its file name is gone."""


class SpoolSyncError(SpoolError):
    """`fdatasync` or `syncfs` failed: earlier writes may not be on the disk."""


class SpoolClosedError(SpoolError):
    """The spool has been closed; nothing is ever appended to it again."""


class SpoolHeaderError(SpoolError):
    """The file does not begin with a spool header that this version can read."""


class SpoolKeyError(SpoolError):
    """The boot key or spool key at hand does not open this spool."""


class CatalogueError(RecordingError):
    """The index cannot be read or written."""


class AuditError(RecordingError):
    """The audit cannot be read or written.

    If an entry cannot be written, the action that it records must not happen.
    """


class ChainError(RecordingError):
    """A text is not an export of the audit chain, or not a file of anchors."""


class _HintedError(RecordingError):
    """A fault that a person can correct; `hint` says how."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class KeySetError(_HintedError):
    """The set of recipients cannot be trusted: nothing may be sealed to it."""


class KeyFileError(_HintedError):
    """A key file is missing, malformed or accessible to others."""


class ManifestError(RecordingError):
    """A manifest, or a signed record beside it, cannot be read, or its signature is wrong."""


class ArchiveError(RecordingError):
    """A recording cannot be sealed or opened."""


class RewrapError(ArchiveError):
    """A header is not replaced: the offered one is wrong or no longer fits."""


class DisposalError(ArchiveError):
    """A recording is not disposed of, because it is not the one that the order names."""


class AgeError(ArchiveError):
    """Base of the errors in age files and keys."""


class KeyTextError(AgeError):
    """The text is not an age recipient or identity."""


class ArmorError(AgeError):
    """The ASCII armor around the file is not in the one accepted form."""


class HeaderError(AgeError):
    """The header does not follow the age v1 format."""


class HeaderTruncatedError(HeaderError):
    """The file ends before its payload begins."""


class VersionError(HeaderError):
    """The file does not begin like an age v1 file."""


class Base64Error(HeaderError):
    """The header has base64 that is invalid or not canonical."""


class StanzaError(HeaderError):
    """A recipient's stanza is malformed or missing, or a passphrase stanza is not the only one."""


class LowOrderError(StanzaError):
    """An X25519 share is a point of low order: it would give everyone the same key."""


class WorkFactorError(StanzaError):
    """A passphrase's work factor is above the accepted limit or this machine's memory."""


class HeaderMacError(HeaderError):
    """The header's MAC is wrong: it was changed after it was written."""


class NoMatchError(AgeError):
    """None of the identities is a recipient of the file."""


class PayloadError(AgeError):
    """The payload is not what was sealed."""


class TruncatedError(PayloadError):
    """The payload stops before its last chunk."""


class TrailingDataError(PayloadError):
    """Data follows the payload's last chunk."""


class EmptyLastChunkError(PayloadError):
    """The last chunk is empty although there are others."""


class BadTagError(PayloadError):
    """A chunk does not authenticate: it was changed or moved."""


def has_failed(error: BaseException) -> bool:
    """Return whether a disk refused for another reason than lack of room.

    Such a disk may never work again.
    """
    refusal = error.__cause__ if isinstance(error, RecordingError) else error
    full = {errno.ENOSPC, errno.EDQUOT}
    return isinstance(refusal, OSError) and refusal.errno not in full
