"""The file with the signed set of recipients, and the server's memory of the newest set.

The officer's signature of an older set stays valid. If the server used it, a person who was removed
could open new recordings. So each process keeps the newest set in two folders and in memory, and
refuses a set with a lower serial number. It also refuses a set that it can copy to neither folder,
because it could not notice a later step back from it. To go back, the officer signs the older
recipients again, with a higher number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from recording.errors import KeySetError
from recording.files.atomic import write_shared
from recording.keys.keyring import RecipientSet


@dataclass(frozen=True, slots=True)
class SetInForce:
    """The set of recipients that the server uses.

    `missing` are the copies that are missing, damaged or of an earlier set. `put_back` is the older
    set that stands in the file and is refused.
    """

    recipients: RecipientSet
    content: bytes
    missing: tuple[Path, ...] = ()
    put_back: RecipientSet | None = None


@dataclass(frozen=True, slots=True)
class RecipientsFile:
    """Reads the set of recipients that is in force.

    An administrator puts `path` on the server. Several processes may share a copy; a copy of
    another officer's set is replaced.
    """

    path: Path
    copies: tuple[Path, ...]
    officer_key: str
    _seen: list[SetInForce] = field(default_factory=list, init=False, repr=False, compare=False)
    """The newest set that this process has read, or nothing."""

    def read(self) -> SetInForce:
        """Return the set in force.

        Raises:
            KeySetError: The set in the file is missing, malformed or not signed by the officer.
        """
        found, content = RecipientSet.load_with_content(self.path, self.officer_key)
        copies = {path: kept for path in self.copies if (kept := self._kept(path)) is not None}
        newest = SetInForce(found, content)
        for kept in (*copies.values(), *self._seen):
            if _age(kept.recipients) > _age(newest.recipients):
                newest = SetInForce(kept.recipients, kept.content, put_back=found)
        current = [path for path, kept in copies.items() if kept.content == newest.content]
        self._seen[:] = [newest]
        return replace(newest, missing=tuple(set(self.copies) - {*current}))

    def load(self) -> SetInForce:
        """Return the set in force, and write the copies of it that are missing.

        Raises:
            KeySetError: As for `read`. Or there is no copy of the set, and none can be written.
        """
        found = self.read()
        errors = list(self._write(found))
        if errors and len(errors) == len(self.copies):
            raise KeySetError(
                f"set number {found.recipients.serial} is not used, because its number cannot be "
                f"stored: {'; '.join(errors)}",
                "make room, or create the folder again",
            )
        return found

    def _write(self, found: SetInForce) -> Iterator[str]:
        """Write the missing copies; yield a text for each that cannot be written."""
        for path in found.missing:
            try:
                path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                write_shared(path, found.content)
            except OSError as error:
                yield f"{path}: {(error.strerror or '').lower()}"

    def _kept(self, path: Path) -> SetInForce | None:
        """Return the set in a copy; None if it is missing, damaged or another officer's."""
        try:
            return SetInForce(*RecipientSet.load_with_content(path, self.officer_key))
        except KeySetError:
            return None


def _age(found: RecipientSet) -> tuple[int, str]:
    """Return a key that sorts sets by age. Two sets may have the same serial number."""
    return found.serial, found.signed_at
