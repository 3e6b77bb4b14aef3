"""Anchors: former heads of the audit chain, in a file that a custodian keeps, one in each line.

A head is the number and hash of the newest entry at one time. A person who controls the server can
rewrite today's entries, and remove entries from the chain's end. The anchors show this if the
person cannot change the custodian's file.
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

from recording.audit.chain import RESTORED, ChainEntry, Head
from recording.errors import ChainError

FORMAT: Final = "galwad-anchor-1"
_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Anchor:
    """A node's head at the time `at` (ISO 8601 in UTC): one line of the anchor file."""

    node: str
    head: Head
    at: str

    @classmethod
    def parse(cls, line: str) -> Anchor:
        """Parse one line of an anchor file. Raises `ChainError`."""
        try:
            fields = json.loads(line)
            node, seq, hash_, at = (fields[name] for name in ("node", "seq", "hash", "at"))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ChainError("this is not an anchor") from None
        if fields.get("format") != FORMAT or not isinstance(seq, int) or seq < 1:
            raise ChainError("this is not an anchor")
        if not _HASH.fullmatch(str(hash_)):
            raise ChainError("this anchor has no valid hash")
        return cls(str(node), Head(seq, str(hash_)), str(at))

    def __str__(self) -> str:
        """Return the line without its line feed."""
        fields = {
            "at": self.at,
            "format": FORMAT,
            "hash": self.head.hash,
            "node": self.node,
            "seq": self.head.seq,
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Restore:
    """An entry about a restore of the chain from a backup. It explains two signs of tampering.

    First, the previous day key did not sign the next one, because its private half was lost.
    Second, entries written after the backup are lost, so their anchors do not match the chain.
    `at_us` is in microseconds since 1970.
    """

    seq: int
    made: str
    """When the backup was made, according to the entry."""
    last: int
    """The number of the newest entry in the backup."""
    at_us: int

    @classmethod
    def parse(cls, entry: ChainEntry) -> Restore | None:
        """Return the restore that an entry is about; None for another entry.

        The entry counts only if it follows the backup's last entry directly, or with one entry
        between. A later entry could hide that entries were removed.
        """
        made, last = entry.facts.get("made"), entry.facts.get("seq")
        if entry.kind != RESTORED or not isinstance(made, str) or not isinstance(last, int):
            return None
        if entry.seq - last not in {1, 2}:
            return None
        return cls(entry.seq, made, last, entry.at_us)

    @property
    def unsigned_day_key(self) -> int | None:
        """The number of the day-key entry that the lost key could not sign, or None."""
        return self.seq - 1 if self.seq - 1 > self.last else None

    def explains(self, anchor: Anchor) -> bool:
        """Return True if the anchor's entry was written after the backup and before the restore."""
        try:
            at = datetime.fromisoformat(anchor.at)
        except ValueError:
            return False
        noted_s = at.replace(tzinfo=at.tzinfo or UTC).timestamp()
        return anchor.head.seq > self.last and noted_s < self.at_us // 1_000_000

    def __str__(self) -> str:
        return (
            f"entry {self.seq}: restored from the backup of {self.made}; "
            f"entries written after entry {self.last} and before the restore are lost"
        )


def parse_anchors(lines: Iterable[str]) -> list[Anchor]:
    """Return the anchors in a file's lines. Raises `ChainError` with the line's number."""
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(Anchor.parse(line))
            except ChainError as error:
                raise ChainError(f"line {number}: {error}") from None
    return found


def last_anchor(path: Path) -> Anchor | None:
    """Return the newest anchor in a file; None if there is none, or a line is malformed.

    Also None if the file is missing or may not be read. Raises `OSError` if the disk failed.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        found = parse_anchors(lines)
    except (FileNotFoundError, PermissionError, ChainError):
        return None
    return found[-1] if found else None


def append_anchor(path: Path, anchor: Anchor) -> None:
    """Append an anchor as one line, and sync the file. A full disk leaves no incomplete line."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        before, line = os.fstat(descriptor).st_size, f"{anchor}\n".encode()
        if _lacks_its_end(path, before):
            line = b"\n" + line
        if os.write(descriptor, line) != len(line):
            # Without this, the next anchor would be appended to the incomplete line.
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lacks_its_end(path: Path, size: int) -> bool:
    """Return True if an editor or a copy has removed the line feed at the file's end."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, size - 1))
            return file.read(1) not in {b"", b"\n"}
    # The custodian may allow this process to append to the file but not to read it.
    except PermissionError:
        return False
