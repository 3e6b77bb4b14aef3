"""Anchors: heads of the audit's chain, one a line, in a file that somebody else keeps.

Whoever holds the machine can rewrite today's chain, and cut it; not what another custodian wrote
down of it. So the file is worth what its custody is worth.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from recording.chain import RESTORED, Head, Link
from recording.errors import ChainError

FORMAT: Final = "galwad-anchor-1"
_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head of a node's chain, when it was noted (ISO 8601 in UTC)."""

    node: str
    head: Head
    at: str

    @classmethod
    def parse(cls, line: str) -> Anchor:
        """Read a line. Raises `ChainError`."""
        try:
            told = json.loads(line)
            node, seq, hash_, at = (told[name] for name in ("node", "seq", "hash", "at"))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ChainError("this is no anchor") from None
        if told.get("format") != FORMAT or not isinstance(seq, int) or seq < 1:
            raise ChainError("this is no anchor")
        if not _HASH.fullmatch(str(hash_)):
            raise ChainError("this anchor has no hash")
        return cls(str(node), Head(seq, str(hash_)), str(at))

    def __str__(self) -> str:
        """The line, without its line feed."""
        told = {
            "at": self.at,
            "format": FORMAT,
            "hash": self.head.hash,
            "node": self.node,
            "seq": self.head.seq,
        }
        return json.dumps(told, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Restore:
    """A restore from a backup that whoever verifies a chain knows of.

    Two things follow from it that would otherwise tell of tampering: the day key before its entry
    is not signed, since the one that could have done that was lost; and the entries are gone that
    came after the backup, so that anchors of theirs match nothing.
    """

    seq: int
    made: str
    """When the backup was made, as it says."""
    last: int
    """The last entry that was in it."""
    at_us: int

    @classmethod
    def of(cls, link: Link) -> Restore | None:
        """What an entry says of a restore; None when it is no such entry.

        It comes next after the last one of the backup, but for a day key: another would have
        anchors forgiven of entries that were never lost.
        """
        made, last = link.facts.get("made"), link.facts.get("seq")
        if link.kind != RESTORED or not isinstance(made, str) or not isinstance(last, int):
            return None
        if link.seq - last not in {1, 2}:
            return None
        return cls(link.seq, made, last, link.at_us)

    @property
    def day_key(self) -> int | None:
        """The number of the day key that is not signed; None: the old one was still there."""
        return self.seq - 1 if self.seq - 1 > self.last else None

    def lost(self, anchor: Anchor) -> bool:
        """Whether an anchor is of an entry that was lost: written after the backup, until then."""
        try:
            at = datetime.fromisoformat(anchor.at)
        except ValueError:
            return False
        noted_s = at.replace(tzinfo=at.tzinfo or UTC).timestamp()
        return anchor.head.seq > self.last and noted_s < self.at_us // 1_000_000

    def __str__(self) -> str:
        return (
            f"entry {self.seq}: restored from the backup of {self.made}; "
            f"what was written after entry {self.last} until then is lost"
        )


def parse_anchors(lines: Iterable[str]) -> list[Anchor]:
    """The anchors of a file; empty lines are passed over. Raises `ChainError`."""
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(Anchor.parse(line))
            except ChainError as error:
                raise ChainError(f"line {number}: {error}") from None
    return found


def last_anchor(path: Path) -> Anchor | None:
    """The last anchor of a file; None where there is none that we may read.

    Raises:
        OSError: the disk refuses.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        found = parse_anchors(lines)
    except (FileNotFoundError, PermissionError, ChainError):
        return None
    return found[-1] if found else None


def append_anchor(path: Path, anchor: Anchor) -> None:
    """Add a line and bring it to the disk, or leave the file as it was. Raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        before, line = os.fstat(descriptor).st_size, f"{anchor}\n".encode()
        if _lacks_its_end(path, before):
            line = b"\n" + line
        if os.write(descriptor, line) != len(line):
            os.ftruncate(descriptor, before)  # the next one would be lost in what was begun
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lacks_its_end(path: Path, size: int) -> bool:
    """Whether an editor, or a copy by hand, left out the last line's end."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, size - 1))
            return file.read(1) not in {b"", b"\n"}
    except PermissionError:  # whoever keeps it lets us write alone
        return False
