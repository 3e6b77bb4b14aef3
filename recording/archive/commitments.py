"""Commitments: keyed hashes in the manifest that stand for the personal facts in the index.

The caller's number, the line, the advisor and the extension are stored only in the index. The
signed manifest has a commitment to each of these facts: an HMAC-SHA-256 whose key is the
recording's salt. The salt is stored in the recording's row. So the manifest does not show a fact to
a person who lacks the row, and a row whose fact or salt was changed contradicts the manifest.

A commitment covers the call id, the name of the fact and its value, as canonical JSON. So no two
facts of any recordings have the same encoding, and a commitment cannot be used for another fact or
another recording. If the row's facts and its salt are erased, nothing can be learned from the
commitments, and they are no longer personal data.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Final

from recording.archive.manifest import Commitments
from recording.keys.signed_document import canonical_json

FACTS: Final = Commitments.__struct_fields__
"""The names of the facts: number, line, advisor and extension."""


def encoded(call_id: str, name: str, value: str | None) -> bytes:
    """Return the bytes that a commitment covers: a JSON object with three members.

    The members are `call_id`, `name` and `value`, sorted and without spaces. `value` is None for a
    number that is unknown or withheld.
    """
    return canonical_json({"call_id": call_id, "name": name, "value": value})


def commitment(salt: bytes, call_id: str, name: str, value: str | None) -> str:
    """Return the commitment to one fact of a recording, in hexadecimal."""
    return hmac.new(salt, encoded(call_id, name, value), hashlib.sha256).hexdigest()


def commit(salt: bytes, call_id: str, facts: Mapping[str, str | None]) -> Commitments:
    """Return the commitments to the personal facts of a recording.

    `facts` has a value for each name in `FACTS`.
    """
    return Commitments(*(commitment(salt, call_id, name, facts[name]) for name in FACTS))


def changed_facts(
    commitments: Commitments, salt: bytes, call_id: str, facts: Mapping[str, str | None]
) -> Iterator[str]:
    """Yield the name of each fact that does not match its commitment."""
    for name in FACTS:
        if commitment(salt, call_id, name, facts[name]) != getattr(commitments, name):
            yield name
