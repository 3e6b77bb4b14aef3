"""The spool: the encrypted file of a call's packets and events until the call is archived.

Import the public names from here. `docs/file-formats.md` describes the file. The implementation is
in `spool_format` (bytes), `spool_keys` (keys that are not published yet), `spool_writer`,
`spool_reader` and `spool_sync`.
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
