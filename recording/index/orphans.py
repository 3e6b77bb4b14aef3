"""Orphans: archive files, index rows and spools that lack their counterpart.

This module changes nothing: a person decides what to do about an orphan.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from recording.call_id import CALL_ID

YOUNG_S: Final = 600.0
"""The age in seconds below which a file or spool is no orphan, because it may be incomplete."""
_STALE_PART_S: Final = 86_400.0
_OBJECT: Final = re.compile(rf"({CALL_ID})\.(payload|raw|header|manifest|disposal)")
_PART_NAME: Final = re.compile(rf"\.({CALL_ID})\.(?:payload|raw|header|manifest)\.part")
_ALL: Final = frozenset({"payload", "header", "manifest"})


@dataclass(frozen=True, slots=True)
class UnsealedSpool:
    """A finished spool that has waited to be sealed since `since` (Unix seconds).

    `why` is the kind of the alarm about a failed attempt; "" if there is no alarm.
    """

    name: str
    call_id: str
    since: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Orphan:
    """One mismatch between the archive, the index and the spools, such as "row without files".

    `name` is a path in the archive or in the spool folder. `call_id` is "" if the orphan is not
    about one call. `why` is that of the `UnsealedSpool`, or "".
    """

    kind: str
    name: str
    call_id: str
    text: str
    why: str = ""


@dataclass(slots=True)
class _Folder:
    """One folder of the archive; `name` is its path in the archive.

    `objects` has the types of files, such as "payload", by call id. `parts` has the name and call
    id of each incomplete, temporary file.
    """

    path: Path
    name: str
    objects: dict[str, set[str]] = field(default_factory=dict)
    parts: list[tuple[str, str]] = field(default_factory=list)


def orphans(
    root: Path,
    rows: Mapping[str, str],
    disposed: AbstractSet[str],
    spools: Mapping[str, UnsealedSpool],
    now: float,
) -> Iterator[Orphan]:
    """Yield the orphans in an archive and in its index.

    `rows` has the archive folder of each call id in the index. `disposed` has the call ids of
    recordings that the index says were disposed of. The archived files of a call in `spools` are
    not orphans, because more files may follow. `now` is in Unix seconds. Raises `OSError` if a
    folder cannot be read, because the recordings in the folder would otherwise seem to be lost.
    """
    waiting = {spool.call_id for spool in spools.values()}
    missing = set(rows)
    is_empty = True
    for folder in _folders(root):
        is_empty = is_empty and not folder.objects
        missing.difference_update(folder.objects)
        for call_id, kinds in sorted(folder.objects.items()):
            row = rows.get(call_id)
            problem = _problem(kinds, call_id in disposed)
            if row == folder.name and not problem:
                continue
            newest = max(_changed(folder.path / f"{call_id}.{each}") for each in kinds)
            if not is_young(newest, now) and call_id not in waiting:
                yield from _file_orphans(call_id, folder.name, kinds, row, problem)
        yield from _stale_parts(folder, now)
    if rows and is_empty:
        kind = "archive is empty"
        text = f"the index has {len(rows)} recordings, but the archive has no files of them"
        yield Orphan(kind, ".", "", text)
        return
    for call_id in sorted(missing):
        yield _without_files(call_id, rows[call_id])


def _without_files(call_id: str, folder: str) -> Orphan:
    kind = "row without files"
    text = "the index has it, but the archive has none of its three files"
    return Orphan(kind, f"{folder}/{call_id}", call_id, text)


def unindexed(root: Path, known: Collection[str]) -> list[str]:
    """Return the call ids of all recordings with a manifest, except the call ids in `known`.

    `galwad recordings reindex` checks these recordings, and adds a row for each that passes.
    """
    return sorted(
        {
            call_id
            for folder in _folders(root)
            for call_id, kinds in folder.objects.items()
            if "manifest" in kinds and call_id not in known
        }
    )


def spool_orphans(
    spools: Mapping[str, UnsealedSpool], known: AbstractSet[str], now: float
) -> Iterator[Orphan]:
    """Yield an orphan for each spool that has waited for `YOUNG_S` or longer to be sealed.

    `known` are the call ids that were answered or are in the index.
    """
    for name, spool in sorted(spools.items()):
        if is_young(spool.since, now):
            continue
        stranger = spool.call_id not in known
        yield Orphan(
            "spool without call" if stranger else "spool not sealed",
            name,
            spool.call_id,
            ("its call is unknown" if stranger else "its call has ended")
            + (f"; sealing failed: {spool.why}" if spool.why else "; sealing was not tried yet"),
            spool.why,
        )


def is_young(since: float, now: float) -> bool:
    """Return True if `since` (Unix seconds) is less than ten minutes before or after `now`.

    A file that was changed so recently may be incomplete. A time further in the future is not
    young: it comes from a wrong clock or a manipulated file.
    """
    return abs(now - since) < YOUNG_S


def _folders(root: Path) -> Iterator[_Folder]:
    """Yield the folders of an archive, sorted by name.

    They are read one at a time: the names of all files in a large archive would fill the memory.
    """
    pending = ["."]
    while pending:
        name = pending.pop()
        folder = _Folder(root / name, name)
        try:
            inside = _list(folder)
        except FileNotFoundError:  # the folder was removed, or there is no archive yet
            continue
        before = "" if name == "." else f"{name}/"
        pending += [f"{before}{each}" for each in sorted(inside, reverse=True)]
        yield folder


def _list(folder: _Folder) -> list[str]:
    inside = []
    with os.scandir(folder.path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inside.append(entry.name)
            elif match := _OBJECT.fullmatch(entry.name):
                folder.objects.setdefault(match[1], set()).add(match[2])
            elif match := _PART_NAME.fullmatch(entry.name):
                folder.parts.append((entry.name, match[1]))
    return inside


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _missing_objects(kinds: AbstractSet[str]) -> AbstractSet[str]:
    """Return the types of files that are missing; after a disposal, only the manifest is needed.

    `recording.archive.verify` checks the signature of the disposal certificate.
    """
    absent = _ALL - kinds
    return absent - {"header", "payload"} if "disposal" in kinds else absent


def _problem(kinds: AbstractSet[str], disposed: bool) -> tuple[str, str] | None:  # noqa: FBT001
    """Return (kind, description) if the files of a recording make it an orphan; otherwise None.

    `disposed` is True if the index says that the recording was disposed of.
    """
    absent = _missing_objects(kinds)
    if {"disposal", "header"} <= kinds:
        return "header of a disposal", "it was disposed of, but it can still be opened"
    if "disposal" in kinds and not disposed:
        text = "a certificate says that it was disposed of, but the index does not"
        return "disposal without row", text
    if not absent:
        return None
    what = "manifest without payload" if "payload" in absent else f"no {min(absent)}"
    return what, f"this recording has no {' and no '.join(sorted(absent))}"


def _file_orphans(
    call_id: str,
    folder: str,
    kinds: AbstractSet[str],
    row: str | None,
    problem: tuple[str, str] | None,
) -> Iterator[Orphan]:
    name, absent = f"{folder}/{call_id}", _missing_objects(kinds)
    if row is None and not absent:
        gone = "disposal" in kinds
        what = "a recording that was disposed of" if gone else "a whole recording"
        yield Orphan(
            "files without row",
            name,
            call_id,
            f"{what}, but the index does not have it",
        )
    elif row is None and "manifest" in absent:
        yield Orphan(
            "files without manifest",
            f"{name}.{min(kinds)}",
            call_id,
            "it has no manifest, and there is no spool to make a new one from",
        )
    elif row is not None and row != folder:
        yield Orphan(
            "files of another day",
            name,
            call_id,
            f"the index says that they are in {row}",
        )
    elif problem:
        what, text = problem
        yield Orphan(what, name, call_id, text)


def _stale_parts(folder: _Folder, now: float) -> Iterator[Orphan]:
    for name, call_id in sorted(folder.parts):
        if abs(now - _changed(folder.path / name)) >= _STALE_PART_S:
            yield Orphan(
                "unfinished file",
                f"{folder.name}/{name}",
                call_id,
                "a crash left it half written a day ago or longer",
            )
