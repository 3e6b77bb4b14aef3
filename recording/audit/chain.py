"""The audit chain: the form of its entries, the links between them, and the checks on both.

There is no database here: entries come from `recording.audit.log`, or from an export (one JSON
object in each line) that everyone can check with `sha256sum` and `openssl`. An entry's hash covers
the hash before it and its body. Anchors are heads kept by another custodian; they show whether a
chain was cut.
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
RESTORED: Final = "backup.restored"
"""The kind of the entry, after a day key, with which a chain restored from a backup continues."""
GENESIS: Final = "0" * 64
_YEAR_10000_US: Final = 253_402_300_800_000_000
"""The first time that `datetime` cannot represent; a JSON number may have any length."""
DAY_US: Final = 86_400_000_000
"""One UTC day. No entry may be of a later day than the last day key before it."""


@dataclass(frozen=True, slots=True)
class Head:
    """The chain's last entry, as an anchor records it."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class ChainEntry:
    """One entry as stored in the chain.

    `values` are its personal values: salt and text by name.
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
        """Return an entry whose number, time and kind come from its body; 0 or "" if missing."""
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
        """Parse a line of an export. Raises `ChainError`."""
        try:
            document = json.loads(line)
            values = {
                str(name): (bytes.fromhex(salt), str(value))
                for name, (salt, value) in document.get("values", {}).items()
            }
            entry = cls.of_body(str(document["body"]), str(document["hash"]), values)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ChainError("this is no line of an audit's export") from None
        if str(entry) != line.rstrip("\n"):
            raise ChainError("this line is not as it was exported")
        return entry

    def __str__(self) -> str:
        """Return the line of an export."""
        values = {name: [salt.hex(), value] for name, (salt, value) in self.values.items()}
        document = {"body": self.body, "hash": self.hash, "values": values}
        return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @property
    def contradicts_itself(self) -> bool:
        """True if it is stored under another number, time or kind than its body has."""
        fields = ChainEntry.of_body(self.body, self.hash)
        return (fields.seq, fields.at_us, fields.kind) != (self.seq, self.at_us, self.kind)

    @property
    def node(self) -> str:
        """The name of the node whose chain the entry belongs to; "" if the body has none."""
        return str(parsed(self.body).get("node", ""))

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that are not personal."""
        return _table(parsed(self.body), "facts")


@dataclass(frozen=True, slots=True)
class ChainFinding:
    """A problem in the chain, at this entry."""

    seq: int
    problem: str


@dataclass(frozen=True, slots=True)
class ChainVerification:
    """The result of checking a whole chain."""

    entries: int
    head: Head | None
    findings: tuple[ChainFinding, ...]

    @property
    def is_clean(self) -> bool:
        """True if there are no findings."""
        return not self.findings


class ChainChecker:
    """Checks the entries of a node's chain in order; `result` returns the findings.

    Attributes:
        last: The number of the last entry that was checked.
    """

    def __init__(
        self, node: str, anchors: Sequence[Head] = (), unsigned: Collection[int] = ()
    ) -> None:
        """Prepare to check the chain of `node`; if it is empty, the first entry names the node.

        `unsigned`: numbers of day keys that the day key before them did not sign, for a known
        reason.
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
        self.last = 0

    def _add_finding(self, seq: int, problem: str) -> None:
        self._findings.append(ChainFinding(seq, problem))

    def check(self, entry: ChainEntry) -> None:
        """Check the next entry."""
        seq = entry.seq
        if seq > self.last + 1:
            self._add_finding(seq, f"{seq - self.last - 1} entries before it are missing")
        elif seq <= self.last:
            self._add_finding(seq, "it is out of its order")
        if chained(self._hash, entry.body) != entry.hash:
            self._add_finding(seq, "it was changed, or what stood before it")
        body = parsed(entry.body)
        self._node = self._node or str(body.get("node", ""))
        shown = (self._node, seq, entry.at_us, entry.kind)
        if tuple(body.get(name) for name in ("node", "seq", "at_us", "kind")) != shown:
            self._add_finding(seq, "its columns contradict its body")
        commitments = _table(body, "commitments")
        for name, (salt, value) in entry.values.items():
            if commitments.get(name) != commitment(salt, name, value):
                self._add_finding(seq, f"its value {name} is not the one committed to")
        if entry.kind == DAY_KEY:
            self._day_key(seq, _table(body, "facts"))
            self._day_us = entry.at_us // DAY_US * DAY_US
        elif self._public and entry.at_us >= self._day_us + DAY_US:
            self._add_finding(seq, "no day key of its day stands before it")
        if self._anchors.pop(seq, {entry.hash}) != {entry.hash}:
            self._add_finding(seq, "an anchor kept elsewhere has another hash")
        self._hash, self.last = entry.hash, seq
        self._count += 1

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

    def result(self) -> ChainVerification:
        """Return the result, after the last entry."""
        for seq in sorted(self._anchors):
            what = "it is gone"
            if seq > self.last:
                end = f"the chain ends with entry {self.last}"
                what = f"{end}: it was cut, unless it is an older export"
            self._add_finding(seq, f"an anchor kept elsewhere names it, and {what}")
        head = Head(self.last, self._hash) if self._count else None
        return ChainVerification(self._count, head, tuple(self._findings))


def verify_entries(
    entries: Iterable[ChainEntry], anchors: Sequence[Head] = (), unsigned: Collection[int] = ()
) -> ChainVerification:
    """Check a whole exported chain; the arguments are those of `ChainChecker`."""
    checker = ChainChecker("", anchors, unsigned)
    for entry in entries:
        checker.check(entry)
    return checker.result()


def read_export(lines: Iterable[str]) -> Iterator[ChainEntry]:
    """Yield the entries of an export; empty lines are skipped. Raises `ChainError`."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield ChainEntry.parse(line)
            except ChainError as error:
                raise ChainError(f"line {number}: {error}") from None


def commitment(salt: bytes, name: str, value: str) -> str:
    """Return HMAC-SHA256 under the salt of name, a zero byte and value, in hexadecimal."""
    return hmac.new(salt, f"{name}\0{value}".encode(), hashlib.sha256).hexdigest()


def parsed(body: str) -> dict[str, Any]:
    """Return a body as an object; empty when it is not a JSON object."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _table(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the object that a body has under this name; empty when it is not an object."""
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def canonical(body: Mapping[str, object]) -> str:
    """Return JSON with sorted keys and no spaces; non-ASCII characters are not escaped."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def chained(previous: str, body: str) -> str:
    """Return an entry's hash: SHA-256 of the hash before it, a line feed, and the body."""
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


def day_key_text(head: str, public_key: str) -> bytes:
    """Return the text that a day key signs before it is destroyed: the head and the next key."""
    return f"galwad audit day key\n{head}\n{public_key}".encode()
