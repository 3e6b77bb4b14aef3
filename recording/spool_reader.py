"""Reads a spool back, whatever happened to it."""

from collections.abc import Iterator
from pathlib import Path

from recording.spool_records import Record, SpoolHeader


def read_header(path: Path) -> SpoolHeader:
    """The header alone, which needs no key. Raises `SpoolHeaderError`."""
    raise NotImplementedError


def is_live(path: Path) -> bool:
    """Whether a writer holds this spool open."""
    raise NotImplementedError


def remove_spool(path: Path, runtime_keys_folder: Path | None = None) -> None:
    """Unlink a spool that is archived, its unpublished keys overwritten first. Idempotent."""
    raise NotImplementedError


class SpoolReader(Iterator[Record]):
    """The records of one spool, in order. After the last one its findings are complete.

    Attributes:
        header: what the file says of itself.
        interrupted: no END was found (the writer died).
        truncated: the file stops inside a frame.
        damaged: something in the file was changed, if only a spare copy of the header.
    """

    header: SpoolHeader
    interrupted: bool
    truncated: bool
    damaged: bool


def read_spool(
    path: Path,
    *,
    boot_key: bytes | None = None,
    spool_key: bytes | None = None,
    runtime_keys_folder: Path | None = None,
) -> SpoolReader:
    """Open a spool for reading. Raises `SpoolHeaderError`, `SpoolKeyError`."""
    raise NotImplementedError
