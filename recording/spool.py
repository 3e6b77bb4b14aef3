"""The spool: where a call's packets and events lie, sealed, until they are archived.

This is the door; `docs/file-formats.md` describes the file. The parts: `spool_format` (bytes),
`spool_keys` (keys not yet published), `spool_writer`, `spool_reader`, `spool_sync`.
"""

from recording.spool_reader import SpoolReader, is_live, read_header, read_spool, remove_spool
from recording.spool_records import (
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
from recording.spool_sync import SpoolSync, SyncListener
from recording.spool_writer import SpoolWriter

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
