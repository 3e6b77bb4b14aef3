"""The spool: the encrypted file of a call's packets and events until the call is archived.

This module has the names that most other modules need. `docs/file-formats.md` describes the file.
"""

from recording.spool.format import (
    Clock,
    EndRecord,
    EventRecord,
    Field,
    LossReason,
    LostRecord,
    PacketRecord,
    Record,
    SpoolHeader,
)
from recording.spool.reader import SpoolReader, is_live, read_header, read_spool, remove_spool
from recording.spool.sync import SpoolSync, SyncListener
from recording.spool.writer import SpoolWriter

__all__ = [
    "Clock",
    "EndRecord",
    "EventRecord",
    "Field",
    "LossReason",
    "LostRecord",
    "PacketRecord",
    "Record",
    "SpoolHeader",
    "SpoolReader",
    "SpoolSync",
    "SpoolWriter",
    "SyncListener",
    "is_live",
    "read_header",
    "read_spool",
    "remove_spool",
]
