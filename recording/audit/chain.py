"""The audit chain: the format of its entries, the hashes that link the entries, and the checks.

The hash of an entry covers the previous entry's hash and the entry's body. The entries come from
`recording.audit.log`, or from an export: a text with one JSON object in each line, which
`sha256sum` and `openssl` can check. Anchors (`recording.audit.anchors`) show that entries at the
end were removed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from recording.errors import ChainError

DAY_KEY: Final = "day-key"
VALUES_ERASED: Final = "values.erased"
"""The kind of the entries that say why personal values of an earlier entry were erased.

The day key signs such an entry, so that a person who can write only to the database cannot forge
it.
"""
RESTORED: Final = "backup.restored"
"""The kind of the entries about a restore from a backup.

Only an entry with a new day key may stand between such an entry and the backup's last entry.
"""
_RENAMED: Final = (("payment.pause", "payment.hold"), ("payment.resume", "payment.release"))
"""The kinds of entries that had another name before the first release."""
GENESIS: Final = "0" * 64
_YEAR_10000_US: Final = 253_402_300_800_000_000
"""The year 10,000 in µs since 1970: `datetime` ends before it, but JSON has larger numbers."""
DAY_US: Final = 86_400_000_000
"""One day in µs. The first entry of each UTC day must announce a new key, the day key."""


def same_kinds(kind: str) -> tuple[str, ...]:
    """Return the names of a kind of entries. A few kinds had another name in early audits."""
    return next((names for names in _RENAMED if kind in names), (kind,))


@dataclass(frozen=True, slots=True)
class Head:
    """The number and hash of a chain's newest entry."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class ChainEntry:
    """One entry as it is stored. The hash (hexadecimal) covers the JSON text `body`.

    `at_us` is in microseconds since 1970. `kind` is an event name, such as `recording.fetched`.
    `values` are the personal values by name, as (salt, value). The body has a commitment to each,
    so a value that is missing here was erased or deleted.
    """

    seq: int
    at_us: int
    kind: str
    body: str
    hash: str
    values: Mapping[str, tuple[bytes, str]] = field(default_factory=dict, repr=False)

    @classmethod
    def of_body(
        cls, body: str, hash_: str, values: Mapping[str, tuple[bytes, str]] | None = None
    ) -> ChainEntry:
        """Return an entry with its body's number, time and kind; 0 or "" for an invalid value."""
        fields = parsed(body)
        seq, at_us, kind = fields.get("seq"), fields.get("at_us"), fields.get("kind")
        return cls(
            seq if isinstance(seq, int) else 0,
            at_us if isinstance(at_us, int) and 0 <= at_us < _YEAR_10000_US else 0,
            kind if isinstance(kind, str) else "",
            body,
            hash_,
            values or {},
        )

    @classmethod
    def parse(cls, line: str) -> ChainEntry:
        """Parse one line of an export of the chain. Raises `ChainError`."""
        try:
            document = json.loads(line)
            values = {
                str(name): (bytes.fromhex(salt), str(value))
                for name, (salt, value) in document.get("values", {}).items()
            }
            entry = cls.of_body(str(document["body"]), str(document["hash"]), values)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ChainError("this is not a line of an audit's export") from None
        if str(entry) != line.rstrip("\n"):
            raise ChainError("this line was changed after the export")
        return entry

    def __str__(self) -> str:
        """Return the entry as one line of an export, without the line feed."""
        values = {name: [salt.hex(), value] for name, (salt, value) in self.values.items()}
        document = {"body": self.body, "hash": self.hash, "values": values}
        return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @property
    def contradicts_itself(self) -> bool:
        """True if the entry's number, time or kind differs from the values in its body."""
        fields = ChainEntry.of_body(self.body, self.hash)
        return (fields.seq, fields.at_us, fields.kind) != (self.seq, self.at_us, self.kind)

    @property
    def node(self) -> str:
        """The node that wrote the entry; "" if the body does not name it."""
        return str(parsed(self.body).get("node", ""))

    @property
    def committed_names(self) -> set[str]:
        """The names of the personal values that the entry had when it was written."""
        return set(_table(parsed(self.body), "commitments"))

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that are not personal."""
        return _table(parsed(self.body), "facts")


@dataclass(frozen=True, slots=True)
class ChainFinding:
    """A problem of the entry `seq`."""

    seq: int
    problem: str


@dataclass(frozen=True, slots=True)
class ChainVerification:
    """The result of checking a whole chain. An empty chain has no head."""

    entries: int
    head: Head | None
    findings: tuple[ChainFinding, ...]

    @property
    def is_clean(self) -> bool:
        """True if no problem was found."""
        return not self.findings


class ChainChecker:
    """Checks one node's chain. `check` gets its entries from the oldest to the newest.

    `last` is the number of the entry that was checked last; 0 before the first.
    """

    def __init__(
        self, node: str, anchors: Sequence[Head] = (), unsigned: Collection[int] = ()
    ) -> None:
        """Prepare to check a chain of `node`; if that is "", of the node in the first entry.

        The chain must contain `anchors`. In the entries `unsigned`, the signature of the previous
        day key may be missing: after a restore from a backup, its private half is lost.
        """
        self._node = node
        self._unsigned = frozenset(unsigned)
        self._anchors: dict[int, set[str]] = {}
        for anchor in anchors:
            self._anchors.setdefault(anchor.seq, set()).add(anchor.hash)
        self._hash = GENESIS
        self._public = ""
        self._day_us = 0
        self._count = 0
        self._findings: list[ChainFinding] = []
        self._missing: dict[int, tuple[str, set[str]]] = {}
        """For each entry: its hash, and the names of its values missing without a reason so far."""
        self.last = 0

    def _add_finding(self, seq: int, problem: str) -> None:
        self._findings.append(ChainFinding(seq, problem))

    def check(self, entry: ChainEntry) -> None:
        """Check the chain's next entry."""
        seq = entry.seq
        if seq > self.last + 1:
            self._add_finding(seq, f"{seq - self.last - 1} entries before it are missing")
        elif seq <= self.last:
            self._add_finding(seq, "it is out of order")
        if chained(self._hash, entry.body) != entry.hash:
            self._add_finding(seq, "it or the entry before it was changed")
        body = parsed(entry.body)
        self._node = self._node or str(body.get("node", ""))
        shown = (self._node, seq, entry.at_us, entry.kind)
        if tuple(body.get(name) for name in ("node", "seq", "at_us", "kind")) != shown:
            self._add_finding(seq, "its columns contradict its body")
        self._values(entry, body)
        if entry.kind == DAY_KEY:
            self._day_key(seq, _table(body, "facts"))
            self._day_us = entry.at_us // DAY_US * DAY_US
        elif self._public and entry.at_us >= self._day_us + DAY_US:
            self._add_finding(seq, "no day key of its day comes before it")
        if self._anchors.pop(seq, {entry.hash}) != {entry.hash}:
            self._add_finding(seq, "an anchor kept elsewhere has another hash")
        self._hash, self.last = entry.hash, seq
        self._count += 1

    def _values(self, entry: ChainEntry, body: dict[str, Any]) -> None:
        commitments = _table(body, "commitments")
        for name, (salt, value) in entry.values.items():
            if commitments.get(name) != commitment(salt, name, value):
                self._add_finding(entry.seq, f"its value {name} does not match its commitment")
        if missing := set(commitments) - set(entry.values):
            self._missing[entry.seq] = entry.hash, missing
        if entry.kind == VALUES_ERASED:
            self._erasure(entry.seq, _table(body, "facts"))

    def _day_key(self, seq: int, facts: dict[str, Any]) -> None:
        new = str(facts.get("public_key", ""))
        if self._public and seq not in self._unsigned:
            try:
                key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self._public))
                signature = bytes.fromhex(str(facts.get("signature", "")))
                key.verify(signature, day_key_text(self._hash, new))
            except (InvalidSignature, ValueError):
                self._add_finding(seq, "the day key before it did not sign it")
        elif not self._public and seq != 1:
            self._add_finding(seq, "the first day key is missing")
        self._public = new

    def _erasure(self, seq: int, facts: dict[str, Any]) -> None:
        """Accept the values that an entry says were erased, if the day key signed it."""
        erased, names = facts.get("entry"), str(facts.get("names", ""))
        of_hash, reason = str(facts.get("hash", "")), str(facts.get("reason", ""))
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self._public))
            signature = bytes.fromhex(str(facts.get("signature", "")))
            key.verify(signature, erasure_text(of_hash, names, reason))
        except (InvalidSignature, ValueError):
            self._add_finding(seq, "the day key did not sign its reason to erase values")
            return
        missing = self._missing.get(erased) if isinstance(erased, int) else None
        if missing is not None and missing[0] == of_hash:
            missing[1].difference_update(names.split(","))

    def result(self) -> ChainVerification:
        """Return the result, after `check` got the newest entry."""
        for seq, (_, names) in self._missing.items():
            if names:
                what = ", ".join(sorted(names))
                self._add_finding(seq, f"of its values, {what} was deleted, and no entry says why")
        self._missing.clear()
        for seq in sorted(self._anchors):
            what = "it is missing"
            if seq > self.last:
                end = f"the chain ends with entry {self.last}"
                what = f"{end}: its end was removed, or this is an older export"
            self._add_finding(seq, f"an anchor kept elsewhere names it, but {what}")
        head = Head(self.last, self._hash) if self._count else None
        return ChainVerification(self._count, head, tuple(self._findings))


def verify_entries(
    entries: Iterable[ChainEntry], anchors: Sequence[Head] = (), unsigned: Collection[int] = ()
) -> ChainVerification:
    """Check all entries of an exported chain, oldest first. Arguments as for `ChainChecker`."""
    checker = ChainChecker("", anchors, unsigned)
    for entry in entries:
        checker.check(entry)
    return checker.result()


def read_export(lines: Iterable[str]) -> Iterator[ChainEntry]:
    """Yield the entries in the lines of an export. Raises `ChainError`."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield ChainEntry.parse(line)
            except ChainError as error:
                raise ChainError(f"line {number}: {error}") from None


def commitment(salt: bytes, name: str, value: str) -> str:
    """Return the hash that stands for a personal value in the chain.

    It is the HMAC-SHA256 in hexadecimal of the name, a zero byte and the value, with the salt as
    key.
    """
    return hmac.new(salt, f"{name}\0{value}".encode(), hashlib.sha256).hexdigest()


def parsed(body: str) -> dict[str, Any]:
    """Return an entry's body as a dictionary; empty if the body is not a JSON object."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _table(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def canonical(body: Mapping[str, object]) -> str:
    """Return a body as JSON with sorted keys, without spaces or escapes for non-ASCII."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def chained(previous: str, body: str) -> str:
    """Return the SHA-256, in hexadecimal, of the previous hash, a line feed and the body."""
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


def erasure_text(entry_hash: str, names: str, reason: str) -> bytes:
    """Return what the day key signs when values (sorted names, separated by commas) are erased."""
    return f"galwad audit erasure\n{entry_hash}\n{names}\n{reason}".encode()


def day_key_text(head: str, public_key: str) -> bytes:
    """Return what the old day key signs: the hash `head`, and the new key in hexadecimal."""
    return f"galwad audit day key\n{head}\n{public_key}".encode()
