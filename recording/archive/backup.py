"""Backs up and restores the archive's small files, and repeats disposals after a restore.

The small files are each recording's header, manifest, rewrap record and disposal certificate. This
module does not copy payloads. A payload never changes, so any copy program can copy it.

A header from a backup makes a recording readable again. Therefore `restore` does not restore the
header if a certificate says that the recording was disposed of. If the archive still has the header
of such a recording, `repeat_disposals` destroys the header.
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
from recording.files.foreign import read_foreign
from recording.spool.sync import syncfs

_BESIDE: Final = ("manifest", "disposal")
_LARGEST_CERTIFICATE: Final = 65_536


@dataclass(slots=True)
class CopyCounts:
    """The counts of the recordings, headers and disposal certificates that were copied."""

    recordings: int = 0
    headers: int = 0
    disposals: int = 0


@dataclass(slots=True)
class Certificates:
    """The disposal certificates that were read.

    Attributes:
        proven: The certificates that a trusted node signed. The dict maps each call id to the
            certificate and the bytes of its file.
        problems: One text for each certificate that is malformed or that no trusted node signed.
    """

    proven: dict[str, tuple[Certificate, bytes]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def back_up(archive: Path, target: Path) -> CopyCounts:
    """Copy the archive's small files to the folder `target`.

    The small files are each recording's header, manifest, rewrap record and disposal certificate,
    and the nodes' public keys. If a recording was disposed of, its header and rewrap record are not
    copied.

    Args:
        archive: The archive's folder. The node may be in operation during the backup.
        target: An empty folder.

    Raises:
        ForeignFileError: The owner of the archive has put a link in place of a file.
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
    """Return the bytes of a recording's small files, by file suffix, such as "manifest".

    The small files are the header, manifest, rewrap record and disposal certificate. If the
    recording was disposed of, the header and the rewrap record are left out.
    """
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
    """Return the header at `path`, and its rewrap record; None stands for a missing file.

    A rewrap replaces the record first and the header last. If the header changed while the record
    was read, both files are read again, so that both are from the same rewrap.
    """
    while True:
        header, record = _read(path), _read(path.with_suffix(".rewrap"))
        if _read(path) == header:
            return header, record


def certificates(places: Iterable[Path], node_keys: Collection[str]) -> Certificates:
    """Read disposal certificates, and check that each has the signature of a trusted node.

    Args:
        places: The paths of certificate files and of folders. In each folder and all its
            subfolders, only the files `*.disposal` are read.
        node_keys: The public keys of the trusted nodes (base64).
    """
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
    """Return the paths of the certificate files at `place`.

    If `place` is a file, return only its path. If `place` is a folder, look in the folder and its
    subfolders: return the paths of all files whose name ends in `.disposal`, and of all files that
    contain a certificate and have another name.
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
    """Copy files from a backup to the archive if the archive does not have them.

    Files that the archive has are newer than the backup, so they are not replaced. The headers and
    rewrap records of the calls in `disposed` are not restored.
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

    `restore` syncs the disk and then renames each temporary file to its final path. A file at a
    final path is thus always complete. This is important because a restore never replaces a file
    that the archive already has.
    """
    for suffix in suffixes:
        data = _read(folder / f"{call_id}.{suffix}")
        if data is not None:
            path = to / f"{call_id}.{suffix}"
            write_unsynced(path.with_name(f".{path.name}.part"), data)
            yield path


def _suffixes_to_restore(folder: Path, call_id: str, disposed: bool) -> list[str]:  # noqa: FBT001 - one fact
    """Return the suffixes of the files to restore, such as "manifest".

    These files are missing in `folder`, the recording's folder in the archive. If the recording was
    disposed of, only its manifest is restored. A rewrap record is restored only together with its
    header.
    """
    wanted = ["manifest"]
    if not disposed and not (folder / f"{call_id}.header").exists():
        wanted += ["rewrap", "header"]
    return [suffix for suffix in wanted if not (folder / f"{call_id}.{suffix}").exists()]


def repeat_disposals(archive: Path, found: Mapping[str, tuple[Certificate, bytes]]) -> list[str]:
    """Destroy the header of each recording that has a disposal certificate in `found`.

    If the archive does not have the certificate, the certificate is first written to the archive.

    Args:
        archive: The archive's folder.
        found: The certificates by call id, each with the bytes of its file.

    Returns:
        The call ids of the recordings whose headers were destroyed.
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
    """Sync the file system of this folder, so that all written files are on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)
