"""The exceptions of this package, as one tree.

RecordingError
├── CatalogueError             the index cannot be read or written
├── AuditError                 the audit cannot be written: what it covers must not happen
└── SpoolError                 the spool of a running or interrupted call
    ├── SpoolWriteError        the disk refused what we handed it (full, broken, gone)
    ├── SpoolSyncError         the kernel could not bring what it had taken to the disk
    ├── SpoolClosedError       our own mistake: a closed spool was written to
    ├── SpoolHeaderError       neither copy of the file's header is whole, or its version is unknown
    └── SpoolKeyError          no key at hand opens this spool
"""


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
    """The audit cannot be written; what the entry covers must not happen."""
