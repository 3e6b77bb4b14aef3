"""The file with the signed set of recipients, and the server's memory of the newest set.

An older set has a valid signature of the officer too. If the server used it, a person who was
removed from the set could open new recordings again. So each process keeps two copies of the newest
set that was in force, in two folders, and a third in its memory. If a set with a lower serial
number takes its place, the server refuses that set and continues with the copy. A set that cannot
be copied to either folder is refused too, because a later step back from it could not be noticed.
To go back to the recipients of an older set, the officer signs them again, with a higher number.
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

    Attributes:
        recipients: The set.
        content: The content of the set's signed file.
        missing: The copies that are missing, damaged or of an earlier set.
        put_back: The older set that stands in the file and is refused; None if there is none.
    """

    recipients: RecipientSet
    content: bytes
    missing: tuple[Path, ...] = ()
    put_back: RecipientSet | None = None


@dataclass(frozen=True, slots=True)
class RecipientsFile:
    """Reads the set of recipients that is in force.

    Attributes:
        path: The file that an administrator puts on the server.
        copies: The copies of the newest set that was in force. Several processes may share a copy.
        officer_key: The public key (base64) of the officer who signs the sets. A copy of a set of
            another officer is replaced.
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
    """Return a key that sorts sets by their age. Two sets may have the same serial number."""
    return found.serial, found.signed_at
