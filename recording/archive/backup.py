"""Backup of the archive's small objects: copies them, restores them, repeats disposals.

Payloads are not handled here: they are written once, and any file copy serves. A header from a
backup makes a recording readable again. So a header is not restored if a certificate says that the
recording was disposed of, and a header that exists despite a certificate is destroyed again.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

from recording.archive.disposal import CERTIFICATE, FORMAT, Certificate, destroy_header
from recording.archive.store import folder_of
from recording.archive.verify import recordings_below
from recording.errors import ManifestError
from recording.files.atomic import make_folder, read_small, write_atomic, write_unsynced
from recording.spool.sync import syncfs

_BESIDE: Final = ("manifest", "disposal")
_LARGEST_CERTIFICATE: Final = 65_536


@dataclass(slots=True)
class CopyCounts:
    """Numbers of copied objects, by kind."""

    recordings: int = 0
    headers: int = 0
    disposals: int = 0


@dataclass(slots=True)
class Certificates:
    """Certificates proven by a node's key, by call id, and the problems of the others."""

    proven: dict[str, tuple[Certificate, bytes]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def back_up(archive: Path, target: Path) -> CopyCounts:
    """Copy header, manifest, rewrap and certificate of each recording, and the nodes' public keys.

    Args:
        archive: The archive of a node that may be in operation meanwhile.
        target: An empty folder.
    """
    done = CopyCounts()
    for folder, call_id in recordings_below(archive):
        to = target / folder.relative_to(archive)
        to.mkdir(mode=0o750, parents=True, exist_ok=True)
        objects = _objects(folder, call_id)
        for suffix, data in objects.items():
            write_unsynced(to / f"{call_id}.{suffix}", data)
        done.recordings += 1
        done.headers += "header" in objects
        done.disposals += "disposal" in objects
    for public in archive.glob("*.pub"):
        write_unsynced(target / public.name, public.read_bytes())
    sync_all(target)
    return done


def headers_in(backup: Path) -> int:
    """Return how many headers a copy holds, as `back_up` counted them."""
    return sum(
        (folder / f"{call_id}.header").exists() for folder, call_id in recordings_below(backup)
    )


def _objects(folder: Path, call_id: str) -> dict[str, bytes]:
    """Return a recording's objects; the header and the rewrap record belong together."""
    found = {}
    for suffix in _BESIDE:
        data = _read(folder / f"{call_id}.{suffix}")
        if data is not None:
            found[suffix] = data
    if "disposal" in found:
        return found
    header, record = _header_and_record(folder / f"{call_id}.header")
    if header is not None:
        found["header"] = header
    if record is not None:
        found["rewrap"] = record
    return found


def _header_and_record(path: Path) -> tuple[bytes | None, bytes | None]:
    """Read header and rewrap record of the same rewrap; a rewrap changes the header last."""
    while True:
        header, record = _read(path), _read(path.with_suffix(".rewrap"))
        if _read(path) == header:
            return header, record


def certificates(places: Iterable[Path], node_keys: Collection[str]) -> Certificates:
    """Read certificates from files and from folders, recursively; keep those that a key signed."""
    found = Certificates()
    for path in _files(places):
        data = read_small(path)
        try:
            read = CERTIFICATE.read(data, node_keys)
            folder_of(read.call_id)
        except ManifestError as error:
            found.problems.append(f"{path}: {error}")
        else:
            found.proven.setdefault(read.call_id, (read, data))
    return found


def certificates_in(place: Path) -> list[Path]:
    """Return the files at a place in which people keep certificates, under any name."""
    if not place.is_dir():
        return [place]
    return [path for path in sorted(place.rglob("*")) if path.is_file() and _is_certificate(path)]


def _is_certificate(path: Path) -> bool:
    if path.suffix == ".disposal":
        return True
    small = path.stat().st_size <= _LARGEST_CERTIFICATE
    return small and FORMAT.encode() in path.read_bytes()


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        yield from sorted(place.rglob("*.disposal")) if place.is_dir() else (place,)


def restore(backup: Path, archive: Path, disposed: Collection[str]) -> CopyCounts:
    """Restore what the archive lacks, except headers of recordings that were disposed of.

    What the archive has is newer than the backup and stays.
    """
    done = CopyCounts()
    for folder, found in groupby(recordings_below(backup), itemgetter(0)):
        to = archive / folder.relative_to(backup)
        if not to.is_dir():
            make_folder(to, archive)
        staged: list[Path] = []
        for _, call_id in found:
            staged += _stage(
                folder, to, call_id, _suffixes_to_restore(to, call_id, call_id in disposed)
            )
            done.recordings += 1
        sync_all(to)
        for path in staged:
            path.with_name(f".{path.name}.part").rename(path)
            done.headers += path.suffix == ".header"
    for public in backup.glob("*.pub"):
        if not (archive / public.name).exists():
            write_atomic(archive / public.name, public.read_bytes())
    sync_all(archive)
    return done


def _stage(folder: Path, to: Path, call_id: str, suffixes: Iterable[str]) -> Iterator[Path]:
    """Write these objects of a recording beside their places, and yield the places.

    The disk must have the content before an object gets its real name. Otherwise a second restore,
    after a full disk, would take half a header for a newer one.
    """
    for suffix in suffixes:
        data = _read(folder / f"{call_id}.{suffix}")
        if data is not None:
            path = to / f"{call_id}.{suffix}"
            write_unsynced(path.with_name(f".{path.name}.part"), data)
            yield path


def _suffixes_to_restore(folder: Path, call_id: str, disposed: bool) -> list[str]:  # noqa: FBT001 - one fact
    """Return the suffixes to restore; a rewrap record is restored only with its header."""
    wanted = ["manifest"]
    if not disposed and not (folder / f"{call_id}.header").exists():
        wanted += ["rewrap", "header"]
    return [suffix for suffix in wanted if not (folder / f"{call_id}.{suffix}").exists()]


def repeat_disposals(archive: Path, found: Mapping[str, tuple[Certificate, bytes]]) -> list[str]:
    """Destroy each header that a certificate says is gone; return the calls that still had one.

    First the certificate is written to the archive if it is missing there.
    """
    again = []
    for call_id, (_, data) in sorted(found.items()):
        folder = archive / folder_of(call_id)
        make_folder(folder, archive)
        path = folder / f"{call_id}.disposal"
        if not path.exists():
            write_atomic(path, data)
        if destroy_header(folder, call_id):
            again.append(call_id)
    return again


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def sync_all(folder: Path) -> None:
    """Sync all that was written to the folder's file system."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)
