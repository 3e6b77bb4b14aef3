"""Anchors: heads of the audit chain, one in each line of a file that a custodian keeps.

A person who controls the server can rewrite today's chain and cut it, but not the copy of the head
that another custodian wrote down. So the file is only as good as its custody.
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
    """The head of a node's chain, and when it was recorded (ISO 8601 in UTC)."""

    node: str
    head: Head
    at: str

    @classmethod
    def parse(cls, line: str) -> Anchor:
        """Parse a line. Raises `ChainError`."""
        try:
            fields = json.loads(line)
            node, seq, hash_, at = (fields[name] for name in ("node", "seq", "hash", "at"))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ChainError("this is no anchor") from None
        if fields.get("format") != FORMAT or not isinstance(seq, int) or seq < 1:
            raise ChainError("this is no anchor")
        if not _HASH.fullmatch(str(hash_)):
            raise ChainError("this anchor has no hash")
        return cls(str(node), Head(seq, str(hash_)), str(at))

    def __str__(self) -> str:
        """Return the line, without its line feed."""
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
    """A restore from a backup that the verifier of a chain knows of.

    A restore explains two things that would otherwise be signs of tampering. The day key before its
    entry is not signed, because the key that could have signed it was lost. And the entries that
    were written after the backup are lost, so that their anchors match nothing.
    """

    seq: int
    made: str
    """When the backup was made, according to the entry."""
    last: int
    """The number of the last entry that was in the backup."""
    at_us: int

    @classmethod
    def parse(cls, entry: ChainEntry) -> Restore | None:
        """Return the restore that an entry records; None when it does not record one.

        It must follow the last entry of the backup, with at most a day key between. Any other entry
        would excuse anchors of entries that were never lost.
        """
        made, last = entry.facts.get("made"), entry.facts.get("seq")
        if entry.kind != RESTORED or not isinstance(made, str) or not isinstance(last, int):
            return None
        if entry.seq - last not in {1, 2}:
            return None
        return cls(entry.seq, made, last, entry.at_us)

    @property
    def unsigned_day_key(self) -> int | None:
        """The number of the unsigned day key; None: the old day key was still there."""
        return self.seq - 1 if self.seq - 1 > self.last else None

    def explains(self, anchor: Anchor) -> bool:
        """Return whether an anchor's entry is lost: written between backup and restore."""
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
    """Return the anchors in these lines; empty lines are skipped. Raises `ChainError`."""
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(Anchor.parse(line))
            except ChainError as error:
                raise ChainError(f"line {number}: {error}") from None
    return found


def last_anchor(path: Path) -> Anchor | None:
    """Return a file's last anchor; None if it is missing, unreadable, malformed or empty.

    Raises:
        OSError: The disk refuses.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        found = parse_anchors(lines)
    except (FileNotFoundError, PermissionError, ChainError):
        return None
    return found[-1] if found else None


def append_anchor(path: Path, anchor: Anchor) -> None:
    """Append a line and sync it, or leave the file as it was. Raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        before, line = os.fstat(descriptor).st_size, f"{anchor}\n".encode()
        if _lacks_its_end(path, before):
            line = b"\n" + line
        if os.write(descriptor, line) != len(line):
            os.ftruncate(descriptor, before)  # the next anchor would continue this partial line
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lacks_its_end(path: Path, size: int) -> bool:
    """Return whether the last line has no line end, as an editor or a manual copy may leave it."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, size - 1))
            return file.read(1) not in {b"", b"\n"}
    except PermissionError:  # the custodian lets us append to the file, but not read it
        return False
