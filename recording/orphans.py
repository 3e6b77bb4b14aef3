"""Orphans: objects of the archive, rows of the index and spools that miss what belongs to them.

Found and explained, never deleted: each says in one line what it is, and what to do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

YOUNG_S: Final = 600.0
"""Whatever is younger than ten minutes may still be on its way."""
_STALE_PART_S: Final = 86_400.0
_OBJECT: Final = re.compile(r"(\d{8}-\d{6}-[a-z2-7]{8})\.(payload|raw|header|manifest|disposal)")
_PART: Final = re.compile(r"\.(\d{8}-\d{6}-[a-z2-7]{8})\.(?:payload|raw|header|manifest)\.part")
_ALL: Final = frozenset({"payload", "header", "manifest"})


@dataclass(frozen=True, slots=True)
class LeftSpool:
    """A spool that nobody writes to and that is not archived; `since` in Unix seconds.

    `why`: the alarm that was raised when it was tried; empty when it was not.
    """

    name: str
    call_id: str
    since: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Orphan:
    """`name` is a file's place in the archive or spool folder, or a call id; `fix` what to do."""

    kind: str
    name: str
    call_id: str
    text: str
    fix: str


@dataclass(slots=True)
class _Folder:
    """What lies in one folder of the archive: kinds of objects by call id, and unfinished ones."""

    path: Path
    name: str
    objects: dict[str, set[str]] = field(default_factory=dict)
    parts: list[tuple[str, str]] = field(default_factory=list)


def orphans(
    root: Path,
    rows: Mapping[str, str],
    disposed: AbstractSet[str],
    spools: Mapping[str, LeftSpool],
    now: float,
) -> Iterator[Orphan]:
    """Look through an archive.

    Args:
        root: the archive's folder.
        rows: the folder that the index names, by call id.
        disposed: the calls of which the index says that they were disposed of.
        spools: spools that wait, by their name: a call of theirs may be incomplete.
        now: Unix seconds.

    Raises:
        OSError: a folder cannot be read; what is in it would seem to be lost.
    """
    waiting = {spool.call_id for spool in spools.values()}
    missing = set(rows)
    is_empty = True
    for folder in _folders(root):
        is_empty = is_empty and not folder.objects
        missing.difference_update(folder.objects)
        for call_id, kinds in sorted(folder.objects.items()):
            row = rows.get(call_id)
            amiss = _amiss(kinds, call_id in disposed)
            if row == folder.name and not amiss:
                continue
            newest = max(_changed(folder.path / f"{call_id}.{each}") for each in kinds)
            if not is_young(newest, now) and call_id not in waiting:
                yield from _file_orphans(call_id, folder.name, kinds, row, amiss)
        yield from _stale_parts(folder, now)
    if rows and is_empty:
        kind = "archive is empty"
        text = f"the index has {len(rows)} recordings, and the archive nothing of them"
        yield Orphan(kind, ".", "", text, fix_of(kind))
        return
    for call_id in sorted(missing):
        yield _without_files(call_id, rows[call_id])


def _without_files(call_id: str, folder: str) -> Orphan:
    kind = "row without files"
    text = "the index has it, the archive has none of its three files"
    return Orphan(kind, f"{folder}/{call_id}", call_id, text, fix_of(kind))


def unindexed(root: Path, known: Collection[str]) -> list[str]:
    """Recordings that have a manifest, and are not among these: what `reindex` may bring back."""
    return sorted(
        {
            call_id
            for folder in _folders(root)
            for call_id, kinds in folder.objects.items()
            if "manifest" in kinds and call_id not in known
        }
    )


def spool_orphans(
    spools: Mapping[str, LeftSpool], known: AbstractSet[str], now: float
) -> Iterator[Orphan]:
    """Spools that wait too long; `known`: calls that were answered, or are indexed."""
    for name, spool in sorted(spools.items()):
        if is_young(spool.since, now):
            continue
        stranger = spool.call_id not in known
        yield Orphan(
            "spool without call" if stranger else "spool not sealed",
            name,
            spool.call_id,
            ("nobody knows of its call" if stranger else "its call has ended")
            + (f"; it was tried: {spool.why}" if spool.why else "; it was not tried yet"),
            _SPOOL_FIXES.get(spool.why, fix_of("")),
        )


def is_young(since: float, now: float) -> bool:
    """Whether it may be on its way. What is of the future, by a clock or a forger, is not."""
    return abs(now - since) < YOUNG_S


def fix_of(kind: str) -> str:
    """What to do about an orphan of this kind, as far as its kind alone tells."""
    if kind.startswith(("no ", "manifest without ")):
        return "restore it from a copy of the archive"
    return _FIXES.get(kind, "the journal of galwad-finaliser says why; keep it")


_FIXES: Final = {
    "archive is empty": "mount its disk again; if it is lost, restore it from a copy",
    "files without row": "`galwad recordings reindex` proves it, and makes its row",
    "files without manifest": "restore that from a copy; else keep it, `age -d` may open it",
    "row without files": "restore them from a copy of the archive",
    "files of another day": "move all its files there; `galwad recordings verify` proves them",
    "header of a disposal": "`galwad recordings purge` destroys it, if the certificate is ours",
    "disposal without row": "`galwad recordings purge` ends it, if the certificate is ours",
    "unfinished file": "if its call has a recording, remove it",
}
_SPOOL_FIXES: Final = {
    "recording.locked": "`galwad recordings recover` with an officer's identity",
    "recording.no_recipients": "put the signed set of recipients right; it is sealed then",
}


def _folders(root: Path) -> Iterator[_Folder]:
    """One folder after another, in order: all names of a large archive would fill the memory."""
    pending = ["."]
    while pending:
        name = pending.pop()
        folder = _Folder(root / name, name)
        try:
            inside = _list(folder)
        except FileNotFoundError:  # it went meanwhile; or there is no archive yet
            continue
        before = "" if name == "." else f"{name}/"
        pending += [f"{before}{each}" for each in sorted(inside, reverse=True)]
        yield folder


def _list(folder: _Folder) -> list[str]:
    """Read a folder; the names of those in it."""
    inside = []
    with os.scandir(folder.path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inside.append(entry.name)
            elif match := _OBJECT.fullmatch(entry.name):
                folder.objects.setdefault(match[1], set()).add(match[2])
            elif match := _PART.fullmatch(entry.name):
                folder.parts.append((entry.name, match[1]))
    return inside


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _absent(kinds: AbstractSet[str]) -> AbstractSet[str]:
    """A certificate stands for the header; the payload is noise then. `verify` proves it."""
    absent = _ALL - kinds
    return absent - {"header", "payload"} if "disposal" in kinds else absent


def _amiss(kinds: AbstractSet[str], disposed: bool) -> tuple[str, str] | None:  # noqa: FBT001
    """What is too much or too little of a recording that lies where it belongs: kind and text."""
    absent = _absent(kinds)
    if {"disposal", "header"} <= kinds:
        return "header of a disposal", "it was disposed of, and can be opened all the same"
    if "disposal" in kinds and not disposed:
        text = "a certificate says that it was disposed of, and the index does not"
        return "disposal without row", text
    if not absent:
        return None
    what = "manifest without payload" if "payload" in absent else f"no {min(absent)}"
    return what, f"the {' and the '.join(sorted(absent))} of this recording is missing"


def _file_orphans(
    call_id: str,
    folder: str,
    kinds: AbstractSet[str],
    row: str | None,
    amiss: tuple[str, str] | None,
) -> Iterator[Orphan]:
    name, absent = f"{folder}/{call_id}", _absent(kinds)
    if row is None and not absent:
        gone = "disposal" in kinds
        what = "a recording that was disposed of, and" if gone else "a whole recording"
        yield Orphan(
            "files without row",
            name,
            call_id,
            f"{what} that the index does not have",
            fix_of("files without row"),
        )
    elif row is None and "manifest" in absent:
        yield Orphan(
            "files without manifest",
            f"{name}.{min(kinds)}",
            call_id,
            "without a manifest it is no recording, and no spool is left to make it from",
            fix_of("files without manifest"),
        )
    elif row is not None and row != folder:
        yield Orphan(
            "files of another day",
            name,
            call_id,
            f"the index says that they lie in {row}",
            fix_of("files of another day"),
        )
    elif amiss:
        what, text = amiss
        yield Orphan(what, name, call_id, text, fix_of(what))


def _stale_parts(folder: _Folder, now: float) -> Iterator[Orphan]:
    for name, call_id in sorted(folder.parts):
        if abs(now - _changed(folder.path / name)) >= _STALE_PART_S:
            yield Orphan(
                "unfinished file",
                f"{folder.name}/{name}",
                call_id,
                "a crash left it half written a day ago or longer",
                fix_of("unfinished file"),
            )
