"""Backs up and restores the archive's small files, and repeats disposals after a restore.

The small files are each recording's header, manifest, rewrap record and disposal certificate. A
payload never changes, so any copy program can copy it.

A header from a backup makes a recording readable again. Therefore the header of a recording with a
disposal certificate is not restored. If the archive still has it, `repeat_disposals` destroys it.
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
from recording.archive.manifest import folder_of
from recording.archive.verify import recordings_below
from recording.errors import ArchiveError, ManifestError
from recording.files.atomic import make_folder, read_small, write_atomic, write_unsynced
from recording.files.foreign import read_foreign
from recording.spool.sync import syncfs

_BESIDE: Final = ("manifest", "disposal")
_LARGEST_CERTIFICATE: Final = 65_536


@dataclass(slots=True)
class CopyCounts:
    """The numbers of recordings found, and of headers and certificates copied."""

    recordings: int = 0
    headers: int = 0
    disposals: int = 0


@dataclass(slots=True)
class Certificates:
    """The disposal certificates that were read.

    `proven` has each certificate that a trusted node signed, with its file's bytes, by call id.
    `problems` has a text for each other certificate.
    """

    proven: dict[str, tuple[Certificate, bytes]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def back_up(archive: Path, target: Path) -> CopyCounts:
    """Copy the archive's small files and the nodes' public keys to the empty folder `target`.

    The node may be in operation. Header and rewrap record of a disposed recording are not copied.
    Raises `ForeignFileError` if the owner of the archive has put a link in place of a file.
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
        write_unsynced(target / public.name, read_foreign(public))
    sync_all(target)
    return done


def headers_in(backup: Path) -> int:
    """Return the number of headers in a backup that `back_up` made."""
    return sum(
        (folder / f"{call_id}.header").exists() for folder, call_id in recordings_below(backup)
    )


def _objects(folder: Path, call_id: str) -> dict[str, bytes]:
    """Return a recording's small files that are backed up, by suffix, such as "manifest"."""
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
    """Return the header at `path` and the record of its rewrap; None for one that is missing.

    A rewrap replaces the record first and the header last, so both are read again if the header
    changed meanwhile.
    """
    while True:
        header, record = _read(path), _read(path.with_suffix(".rewrap"))
        if _read(path) == header:
            return header, record


def certificates(places: Iterable[Path], node_keys: Collection[str]) -> Certificates:
    """Read certificates from files and from folders (`*.disposal`), and check their signatures.

    `node_keys` are the public keys of trusted nodes (base64).
    """
    found = Certificates()
    for path in _files(places):
        data = read_small(path)
        try:
            read = CERTIFICATE.read(data, node_keys)
            folder_of(read.call_id)
        except (ManifestError, ArchiveError) as error:
            found.problems.append(f"{path}: {error}")
        else:
            found.proven.setdefault(read.call_id, (read, data))
    return found


def certificates_in(place: Path) -> list[Path]:
    """Return the paths of the certificate files at `place`, which is a file or a folder.

    In a folder and its subfolders, these are all files `*.disposal`, and other small files that
    contain the name of the certificate's format.
    """
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
    """Copy manifests, headers, rewrap records and public keys that the archive does not have.

    The archive's own files are not replaced, because they are newer. The headers and rewrap records
    of the calls in `disposed` are not restored. `repeat_disposals` restores certificates.
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
    """Copy files of a recording to temporary files, and yield the final path of each file.

    `restore` syncs the disk before it renames: an incomplete file would never be replaced later.
    """
    for suffix in suffixes:
        data = _read(folder / f"{call_id}.{suffix}")
        if data is not None:
            path = to / f"{call_id}.{suffix}"
            write_unsynced(path.with_name(f".{path.name}.part"), data)
            yield path


def _suffixes_to_restore(folder: Path, call_id: str, disposed: bool) -> list[str]:  # noqa: FBT001 - one fact
    """Return the suffixes, such as "manifest", of the files to restore that `folder` lacks.

    After a disposal, only the manifest is restored. A rewrap record is restored with its header.
    """
    wanted = ["manifest"]
    if not disposed and not (folder / f"{call_id}.header").exists():
        wanted += ["rewrap", "header"]
    return [suffix for suffix in wanted if not (folder / f"{call_id}.{suffix}").exists()]


def repeat_disposals(archive: Path, found: Mapping[str, tuple[Certificate, bytes]]) -> list[str]:
    """Destroy the header of each recording whose disposal certificate is in `found`.

    The certificate is first written to the archive if it is missing there. Return the call ids of
    the recordings that still had a header.
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
        return read_foreign(path)
    except FileNotFoundError:
        return None


def sync_all(folder: Path) -> None:
    """Sync the file system of this folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)
