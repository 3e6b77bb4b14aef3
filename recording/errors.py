"""Exceptions of the package `recording`, as one tree.

RecordingError
├── CatalogueError             the index cannot be read or written
├── AuditError                 the audit chain cannot be read or written
├── ChainError                 a text is not an export of the audit chain, or not an anchor
├── KeySetError                the set of recipients is invalid or unsigned
│   └── WrongOfficerError      the set is not signed with the expected officer's key
├── KeyFileError               a key file cannot be used, for example because it is missing
├── ManifestError              a signed document cannot be read, or its signature is wrong
├── ArchiveError               a recording cannot be sealed or opened
│   ├── RewrapError            the new header cannot replace the old header
│   ├── DisposalError          a disposal order is invalid, or is for another recording
│   ├── RedactionError         a recording cannot be copied with the stretches that are to be silent
│   └── AgeError               an age v1 file or key is faulty
│       ├── KeyTextError       the text is not a recipient or an identity
│       ├── ArmorError         the ASCII armor does not follow the format
│       ├── HeaderError        the header does not follow the format
│       │   ├── HeaderTruncatedError   the file ends before the payload begins
│       │   ├── VersionError           the file is not an age file of version 1
│       │   ├── Base64Error            the base64 is not in its canonical form
│       │   ├── StanzaError            a recipient's stanza is malformed, missing or misplaced
│       │   │   ├── LowOrderError      the stanza's public key is a point of low order
│       │   │   └── WorkFactorError    the stanza's scrypt work factor is too high
│       │   └── HeaderMacError         the header was changed
│       ├── NoMatchError       none of the identities is a recipient of the file
│       └── PayloadError       the payload differs from the payload that was sealed
│           ├── TruncatedError         the end is missing
│           ├── TrailingDataError      data follows the last chunk
│           ├── EmptyLastChunkError    the last chunk is empty, although there are other chunks
│           └── BadTagError            a chunk was changed
└── SpoolError                 the spool of a call cannot be written or read
    ├── SpoolWriteError        the disk did not accept a write: it is full, broken or gone
    │   └── SpoolGoneError     the spool's disk or file name is gone
    ├── SpoolSyncError         the kernel could not write its buffers to the disk
    ├── SpoolClosedError       a bug in this program: it wrote to a closed spool
    ├── SpoolHeaderError       the file's header is unreadable, too long or of unknown version
    └── SpoolKeyError          no key was given that opens this spool
"""

import errno
import sqlite3


def reason_of(error: Exception) -> str:
    """Return why a database or disk failed, such as "database or disk is full".

    The text contains no value from an SQL statement, so it may be logged.
    """
    # SQLAlchemy puts the error of the database driver in the attribute `orig` of its own error
    cause = getattr(error, "orig", error)
    if isinstance(cause, sqlite3.Error) and not isinstance(cause, sqlite3.IntegrityError):
        return str(cause)
    return (getattr(cause, "strerror", None) or type(error).__name__).lower()


class RecordingError(Exception):
    """The base class of the exceptions in this module."""


class SpoolError(RecordingError):
    """A spool could not be written or read."""


class SpoolWriteError(SpoolError):
    """A write to the disk or runtime folder failed, for example because it is full or hanging.

    `lost_from_us` is the start of the lost media in µs since the spool's start; None if none was
    lost.
    """

    def __init__(self, message: str, lost_from_us: int | None = None) -> None:
        super().__init__(message)
        self.lost_from_us = lost_from_us


class SpoolGoneError(SpoolWriteError):
    """The spool's disk is gone, or the spool's file was removed or renamed."""


class SpoolSyncError(SpoolError):
    """A sync failed or took too long, so earlier writes may be missing on the disk."""


class SpoolClosedError(SpoolError):
    """The program wrote to a closed spool or wanted to sync it: a bug in this program."""


class SpoolHeaderError(SpoolError):
    """A spool's header is unreadable, too long or of unknown version, or names another file."""


class SpoolKeyError(SpoolError):
    """No key was given that opens this spool."""


class CatalogueError(RecordingError):
    """The index of the recordings, which is a database, cannot be read or written."""


class AuditError(RecordingError):
    """The audit chain cannot be read or written. An action without an entry is forbidden."""


class ChainError(RecordingError):
    """A text is not an export of the audit chain, or not an anchor."""


class _HintedError(RecordingError):
    """The base class of the errors that a person can correct; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class KeySetError(_HintedError):
    """The set of recipients is invalid or not signed by the officer, so nothing may be sealed."""


class WrongOfficerError(KeySetError):
    """The set of recipients is not signed with the expected officer's key."""


class KeyFileError(_HintedError):
    """A key file cannot be used, for example because it is missing or malformed."""


class ManifestError(RecordingError):
    """A manifest, rewrap record or disposal certificate is unreadable or has a wrong signature."""


class ArchiveError(RecordingError):
    """A recording cannot be sealed or opened."""


class RewrapError(ArchiveError):
    """A recording's header is not replaced, because the new header is wrong or out of date."""


class DisposalError(ArchiveError):
    """A recording cannot be disposed of, for example because the order is for another recording."""


class RedactionError(ArchiveError):
    """The audio of a recording has another form, or a stretch to silence is outside it."""


class AgeError(ArchiveError):
    """The base class of the errors in age files and keys."""


class KeyTextError(AgeError):
    """The text is not an age recipient or identity."""


class ArmorError(AgeError):
    """The ASCII armor around an age file does not follow the format."""


class HeaderError(AgeError):
    """The header of an age file does not follow the age v1 format."""


class HeaderTruncatedError(HeaderError):
    """The age file ends before its payload begins."""


class VersionError(HeaderError):
    """The file does not begin with the first line of an age v1 file."""


class Base64Error(HeaderError):
    """The header has base64 that is invalid or not canonical."""


class StanzaError(HeaderError):
    """A stanza is malformed or missing, or a header has a passphrase stanza and other stanzas."""


class LowOrderError(StanzaError):
    """A public key is of low order: every recipient would compute the same shared secret."""


class WorkFactorError(StanzaError):
    """A passphrase stanza's work factor is above the limit, or needs more memory than there is."""


class HeaderMacError(HeaderError):
    """The header's MAC is wrong, because the header was changed after it was written."""


class NoMatchError(AgeError):
    """None of the identities is a recipient of the file."""


class PayloadError(AgeError):
    """The payload differs from the payload that was sealed."""


class TruncatedError(PayloadError):
    """The payload is incomplete: its end is missing."""


class TrailingDataError(PayloadError):
    """Data follows the payload's last chunk."""


class EmptyLastChunkError(PayloadError):
    """The last chunk is empty, although there are other chunks before it."""


class BadTagError(PayloadError):
    """A chunk's authentication tag is wrong: the chunk was changed, or moved within the file."""


def has_failed(error: BaseException) -> bool:
    """Return True if an `OSError` other than "disk full" caused the error: the disk has failed."""
    refusal = error.__cause__ if isinstance(error, RecordingError) else error
    full = {errno.ENOSPC, errno.EDQUOT}
    return isinstance(refusal, OSError) and refusal.errno not in full
