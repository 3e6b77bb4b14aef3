"""The file with the signed set of recipients, and the server's memory of the newest set.

An older set has a valid signature of the officer too. If the server used it, a person who was
removed from the set could open new recordings again. So the server keeps a copy of the newest set
that was in force. If a set with a lower serial number takes its place, the server refuses that set
and continues with its copy. To go back to the recipients of an older set, the officer signs them
again, with a higher number.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recording.errors import KeySetError
from recording.files.atomic import read_small, write_atomic
from recording.keys.keyring import RecipientSet


@dataclass(frozen=True, slots=True)
class SetInForce:
    """The set of recipients that the server uses.

    Attributes:
        recipients: The set.
        content: The content of the set's signed file.
        is_new: True if the server has no copy of this set yet.
        put_back: The older set that stands in the file and is refused; None if there is none.
    """

    recipients: RecipientSet
    content: bytes
    is_new: bool = False
    put_back: RecipientSet | None = None


@dataclass(frozen=True, slots=True)
class RecipientsFile:
    """Reads the set of recipients that is in force.

    Attributes:
        path: The file that an administrator puts on the server.
        newest: The copy of the newest set that was in force. Several processes may share it.
        officer_key: The public key (base64) of the officer who signs the sets. A copy of a set of
            another officer is replaced.
    """

    path: Path
    newest: Path
    officer_key: str

    def read(self) -> SetInForce:
        """Return the set in force.

        Raises:
            KeySetError: The set in the file is missing, malformed or not signed by the officer.
        """
        found, content = RecipientSet.load_with_content(self.path, self.officer_key)
        kept = self._kept()
        if kept is not None and _age(found) < _age(kept.recipients):
            return SetInForce(kept.recipients, kept.content, put_back=found)
        return SetInForce(found, content, is_new=kept is None or kept.recipients != found)

    def load(self) -> SetInForce:
        """Return the set in force, and keep a copy of it if it is new.

        If the copy cannot be written, the set is used all the same.

        Raises:
            KeySetError: As for `read`.
        """
        found = self.read()
        if found.is_new:
            with suppress(OSError):
                write_atomic(self.newest, found.content)
        return found

    def _kept(self) -> SetInForce | None:
        try:
            content = read_small(self.newest)
            return SetInForce(RecipientSet.parse(content, self.officer_key), content)
        except (OSError, KeySetError):
            return None


def _age(found: RecipientSet) -> tuple[int, str]:
    """Return a key that sorts sets by their age. Two sets may have the same serial number."""
    return found.serial, found.signed_at
