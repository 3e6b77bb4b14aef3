"""The exceptions of this package, as one tree.

RecordingError
├── CatalogueError             the index cannot be read or written
├── AuditError                 the audit cannot be written: what it covers must not happen
├── ChainError                 what is called an export of the audit, or an anchor, is none
├── KeySetError                the set of recipients is unsigned, or signed by somebody else
├── KeyFileError               a key file is missing, malformed or open to others
├── ManifestError              a manifest or a signed record cannot be read, or is wrongly signed
├── ArchiveError               a recording cannot be sealed or opened
│   ├── RewrapError            a header is not replaced by what was offered
│   ├── DisposalError          a recording is not what was to be disposed of
│   └── AgeError               age v1
│       ├── KeyTextError       this is no recipient or identity
│       ├── ArmorError         the ASCII armor does not follow the format
│       ├── HeaderError        the header does not follow the format
│       │   ├── HeaderTruncatedError   it stops before the payload begins
│       │   ├── VersionError           this is no age file of version 1
│       │   ├── Base64Error            another spelling of base64 than the canonical one
│       │   ├── StanzaError            a recipient's stanza is malformed, missing or misplaced
│       │   │   ├── LowOrderError      its share is a point of low order
│       │   │   └── WorkFactorError    its passphrase takes more work than is accepted
│       │   └── HeaderMacError         it was changed
│       ├── NoMatchError       none of the identities is a recipient of the file
│       └── PayloadError
│           ├── TruncatedError         chunks are missing at the end
│           ├── TrailingDataError      something follows the last chunk
│           ├── EmptyLastChunkError    the last chunk is empty, yet not the only one
│           └── BadTagError            a chunk was changed
└── SpoolError                 the spool of a running or interrupted call
    ├── SpoolWriteError        the disk refused what we handed it (full, broken, gone)
    ├── SpoolSyncError         the kernel could not bring what it had taken to the disk
    ├── SpoolClosedError       our own mistake: a closed spool was written to
    ├── SpoolHeaderError       neither copy of the file's header is whole, or its version is unknown
    └── SpoolKeyError          no key at hand opens this spool
"""

import errno
import sqlite3


def reason_of(error: Exception) -> str:
    """Why a database or a disk refuses: "database or disk is full"; it quotes no value."""
    cause = getattr(error, "orig", error)  # SQLAlchemy's errors have the driver's
    if isinstance(cause, sqlite3.Error) and not isinstance(cause, sqlite3.IntegrityError):
        return str(cause)
    return (getattr(cause, "strerror", None) or type(error).__name__).lower()


class RecordingError(Exception):
    """Anything that this package raises on purpose."""


class SpoolError(RecordingError):
    """A spool could not be written or read."""


class SpoolWriteError(SpoolError):
    """The disk refused a frame.

    Attributes:
        lost_from_us: where the media begins that was in the refused frame, in microseconds
            since the spool's start; None when no media was lost with it.
    """

    def __init__(self, message: str, lost_from_us: int | None = None) -> None:
        super().__init__(message)
        self.lost_from_us = lost_from_us


class SpoolGoneError(SpoolWriteError):
    """The spool no longer lies where it will be looked for: its disk went away, or its name."""


class SpoolSyncError(SpoolError):
    """`fdatasync` or `syncfs` failed: what was written before may not be on the disk."""


class SpoolClosedError(SpoolError):
    """The spool has been closed; nothing is ever appended to it again."""


class SpoolHeaderError(SpoolError):
    """The file does not begin with a spool header that we can read."""


class SpoolKeyError(SpoolError):
    """The boot key or spool key at hand does not open this spool."""


class CatalogueError(RecordingError):
    """The index cannot be read or written."""


class AuditError(RecordingError):
    """The audit cannot be read; or not written: what the entry covers must not happen."""


class ChainError(RecordingError):
    """What is called an export of the audit, or a file of anchors, is none."""


class _HintedError(RecordingError):
    """A fault that a person can mend; `hint` says how."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class KeySetError(_HintedError):
    """The set of recipients cannot be trusted: nothing may be sealed to it."""


class KeyFileError(_HintedError):
    """A key file is missing, malformed or open to others."""


class ManifestError(RecordingError):
    """A manifest, or a signed record beside it, cannot be read, or its signature is wrong."""


class ArchiveError(RecordingError):
    """A recording cannot be sealed or opened."""


class RewrapError(ArchiveError):
    """A header is not replaced: what was offered is not right, or no longer fits."""


class DisposalError(ArchiveError):
    """A recording is not disposed of: it is not what the order names."""


class AgeError(ArchiveError):
    """Base of what can be wrong with an age file or its keys."""


class KeyTextError(AgeError):
    """The text is no age recipient or identity."""


class ArmorError(AgeError):
    """The ASCII armor around the file is not the one spelling that is taken."""


class HeaderError(AgeError):
    """The header does not follow the age v1 format."""


class HeaderTruncatedError(HeaderError):
    """The file ends before its payload begins."""


class VersionError(HeaderError):
    """The file does not begin as one of age v1 does."""


class Base64Error(HeaderError):
    """Base64 in the header that is not canonical, or none."""


class StanzaError(HeaderError):
    """A recipient's stanza is malformed, none is there, or a passphrase has others beside it."""


class LowOrderError(StanzaError):
    """An X25519 share is a point of low order: it would give everybody the same key."""


class WorkFactorError(StanzaError):
    """A passphrase's work factor is above what is accepted, or above this machine's memory."""


class HeaderMacError(HeaderError):
    """The header's MAC is wrong: it was changed after it was written."""


class NoMatchError(AgeError):
    """None of the identities is a recipient of the file."""


class PayloadError(AgeError):
    """The payload is not what was sealed."""


class TruncatedError(PayloadError):
    """The payload stops before its last chunk."""


class TrailingDataError(PayloadError):
    """Something follows the payload's last chunk."""


class EmptyLastChunkError(PayloadError):
    """The last chunk is empty although there are others."""


class BadTagError(PayloadError):
    """A chunk does not authenticate: it was changed, or moved."""


def has_failed(error: BaseException) -> bool:
    """Whether a disk refused, and not for want of room: it may never work again."""
    refusal = error.__cause__ if isinstance(error, RecordingError) else error
    full = {errno.ENOSPC, errno.EDQUOT}
    return isinstance(refusal, OSError) and refusal.errno not in full
