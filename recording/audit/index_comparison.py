"""Compares the rows of the index and of the ledger with the entries of the audit chain.

The chain gets the digest of a manifest when its recording is indexed, the times of a call's ledger
row when the call ends, and each incident of a captured card. So a row that was deleted or changed
is found here, unless it is older than such entries. The other values of a recording's row are in
its manifest (`recording.archive.commitments`). `recording.audit.chain` checks the chain itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from recording.archive.commitments import OTHER_MANIFEST, ROW_DELETED
from recording.errors import AuditError, reason_of

# The kinds of the audit entries.
INDEXED: Final = "recording.indexed"
REINDEXED: Final = "recording.reindexed"
FACTS_ERASED: Final = "recording.facts-erased"
"""A row's personal facts and salt were erased, for example because the caller asked for it."""
CARD_CAPTURED: Final = "recording.captured-card"
"""A card number was keyed outside a pause."""
CARD_PREVENTION: Final = "captured-card.prevention"
"""An incident is about to be closed. The entry says what was missing and what was changed."""
CALL_ENDED: Final = "call.ended"
"""A call has ended; the entry has its times, as the ledger has them."""
_US: Final = 1_000_000
_ROUNDING_US: Final = 0.5
"""The largest rounding error in µs of a time in an entry; the ledger has seconds as a float."""
_REPORT: Final = "keep the journal, report it"
_OTHER_REASONS: Final = f"a search by gap reason shows other values than its row: {_REPORT}"
_CALL_DELETED: Final = f"the audit has its end, but its row in the ledger is gone: {_REPORT}"
_CARD_PROBLEMS: Final = {
    "deleted": f"the audit has a captured card, but its incident is gone: {_REPORT}",
    "moved": f"incident and audit do not agree on the end of a captured card: {_REPORT}",
    "closed": f"its captured card was closed, but no audit entry has its prevention: {_REPORT}",
}
_CALL_ADDED: Final = f"it is in the ledger, but the audit has no entry of its end: {_REPORT}"

# A body that is not JSON makes `json_extract` fail. Only a changed body is not JSON.
_FACT = "CASE WHEN json_valid(body) THEN json_extract(body, '$.facts.{0}') END AS {0}"
# In SQLite, the other columns of a query with one max() come from the row with this maximum.
_NEWEST = """
    SELECT max(seq) AS seq, at_us, {facts} FROM audit_entries
    WHERE node = :node AND kind = :kind GROUP BY call_id
    HAVING call_id > :first AND call_id < :last
"""


def _newest(*facts: str) -> str:
    return _NEWEST.format(facts=", ".join(_FACT.format(name) for name in ("call_id", *facts)))


_RECORDINGS: Final = text(f"""
    SELECT e.call_id, r.call_id IS NULL AS deleted FROM ({_newest("manifest_sha256")}) AS e
    LEFT JOIN recordings AS r ON r.call_id = e.call_id
    WHERE e.at_us NOT BETWEEN :young AND :soon
    AND (r.call_id IS NULL OR r.manifest_sha256 IS NOT e.manifest_sha256)
    ORDER BY e.call_id
""")  # noqa: S608 - the parts are constants of this module
_CALLS: Final = text(f"""
    SELECT e.call_id, e.answered_us, e.ended_us, e.talk_us AS sealed_talk_us,
        r.call_id IS NULL AS deleted, r.answered, r.ended, r.talk_us
    FROM ({_newest("answered_us", "ended_us", "talk_us")}) AS e
    LEFT JOIN answered_calls AS r ON r.call_id = e.call_id
    WHERE r.call_id IS NULL OR r.talk_us IS NOT e.talk_us
    OR r.ended IS NULL
    OR abs(r.answered * 1e6 - e.answered_us) > {_ROUNDING_US}
    OR abs(r.ended * 1e6 - e.ended_us) > {_ROUNDING_US}
    ORDER BY e.call_id
""")  # noqa: S608 - the parts are constants of this module
# The first entry of this kind shows when the desk began to make such entries. Its own time may be
# too early, if the clock was wrong, so the latest time of all entries up to it counts.
_ADDED: Final = text(f"""
    SELECT call_id FROM answered_calls
    WHERE ended IS NOT NULL AND call_id > :first AND call_id < :last
    AND answered * 1e6 >= (
        SELECT max(at_us) FROM audit_entries WHERE node = :node AND seq <= (
            SELECT min(seq) FROM audit_entries WHERE node = :node AND kind = :kind
        )
    )
    AND call_id NOT IN (SELECT call_id FROM ({_newest()}) WHERE call_id IS NOT NULL)
    ORDER BY call_id
""")  # noqa: S608 - the parts are constants of this module
# A search by gap reason reads this table. It repeats values of the other tables.
_REASONS_HELD = """
    SELECT call_id, reason, started, talk_us, line FROM recording_gap_reasons
    WHERE call_id > :first AND call_id < :last
"""
_REASONS_DUE = """
    SELECT r.call_id, g.reason, r.started, r.talk_us, r.line FROM gaps AS g
    JOIN recordings AS r ON r.call_id = g.call_id
    WHERE r.call_id > :first AND r.call_id < :last
"""
_REASONS: Final = text(f"""
    SELECT DISTINCT call_id FROM (
        SELECT * FROM ({_REASONS_HELD} EXCEPT {_REASONS_DUE})
        UNION ALL SELECT * FROM ({_REASONS_DUE} EXCEPT {_REASONS_HELD})
    ) WHERE call_id IN (SELECT call_id FROM recordings) ORDER BY call_id
""")  # noqa: S608 - the parts are constants of this module
# The personal values that say what was missing and changed may have been erased.
_PREVENTION = f"""
    SELECT 1 FROM (
        SELECT seq, {_FACT.format("call_id")} FROM audit_entries
        WHERE node = :node AND kind = '{CARD_PREVENTION}'
    ) AS p
    LEFT JOIN audit_values AS m
        ON m.node = :node AND m.seq = p.seq AND m.name = 'missing_trigger'
    LEFT JOIN audit_values AS g ON g.node = :node AND g.seq = p.seq AND g.name = 'changed'
    WHERE p.call_id = c.call_id AND coalesce(m.value, c.missing_trigger) = c.missing_trigger
    AND coalesce(g.value, c.changed) = c.changed
"""  # noqa: S608 - the parts are constants of this module
_CARDS: Final = text(f"""
    SELECT DISTINCT e.call_id, CASE
        WHEN c.call_id IS NULL THEN 'deleted' WHEN c.to_us IS NOT e.to_us THEN 'moved'
        ELSE 'closed' END AS problem
    FROM (
        SELECT {_FACT.format("call_id")}, {_FACT.format("from_us")}, {_FACT.format("to_us")}
        FROM audit_entries WHERE node = :node AND kind = '{CARD_CAPTURED}'
    ) AS e
    LEFT JOIN captured_cards AS c ON c.call_id = e.call_id AND c.from_us = e.from_us
    WHERE e.call_id > :first AND e.call_id < :last AND (
        c.call_id IS NULL OR c.to_us IS NOT e.to_us
        OR (c.closed IS NOT NULL AND NOT EXISTS ({_PREVENTION}))
    ) ORDER BY e.call_id
""")  # noqa: S608 - as above
_EXCUSED: Final = text(f"""
    SELECT DISTINCT call_id FROM (
        SELECT {_FACT.format("call_id")} FROM audit_entries
        WHERE node = :node AND kind IN ('{REINDEXED}', '{FACTS_ERASED}')
    ) WHERE call_id IN :call_ids
""").bindparams(bindparam("call_ids", expanding=True))  # noqa: S608 - as above
_BATCH: Final = 1000
"""The most call ids in one SQL statement."""


@dataclass(frozen=True, slots=True)
class IndexFinding:
    """A row of a call that was changed, deleted or added. `problem` says what does not agree."""

    call_id: str
    problem: str


@dataclass(frozen=True, slots=True)
class CallIds:
    """The call ids between two texts. Call ids sort by the time at which the calls began to ring.

    Neither text is itself a call id: each is shorter or longer. The default is every call.
    """

    first: str = ""
    last: str = "~"


EVERY_CALL: Final = CallIds()


class IndexComparison:
    """Compares one node's index and ledger with its chain. Every method raises `AuditError`."""

    def __init__(self, engine: AsyncEngine, node: str) -> None:
        self._engine = engine
        self._node = node

    async def recordings(
        self, ids: CallIds, now: float, young_s: float = 0.0
    ) -> list[IndexFinding]:
        """Return the recordings whose row is gone or names another manifest.

        Also return recordings that a search by gap reason shows with other values, and recordings
        whose incident of a captured card was deleted, changed, or closed without an audit entry. A
        row is written shortly after its entry, so an entry less than `young_s` seconds from `now`
        (Unix seconds) does not count.
        """
        span = {"young": int((now - young_s) * _US), "soon": int((now + young_s) * _US)}
        found = [
            IndexFinding(row.call_id, ROW_DELETED if row.deleted else OTHER_MANIFEST)
            for row in await self._rows(_RECORDINGS, INDEXED, ids, span)
        ]
        held = {"first": ids.first, "last": ids.last}
        reasons = await self._read(_REASONS, held)
        found += [IndexFinding(row.call_id, _OTHER_REASONS) for row in reasons]
        cards = await self._read(_CARDS, {**held, "node": self._node})
        return found + [IndexFinding(row.call_id, _CARD_PROBLEMS[row.problem]) for row in cards]

    async def ledger(self, ids: CallIds) -> list[IndexFinding]:
        """Return the ended calls whose row in the ledger was changed, deleted or added."""
        changed = [
            IndexFinding(row.call_id, _CALL_DELETED if row.deleted else _call_changed(row))
            for row in await self._rows(_CALLS, CALL_ENDED, ids)
        ]
        added = [
            IndexFinding(row.call_id, _CALL_ADDED)
            for row in await self._rows(_ADDED, CALL_ENDED, ids)
        ]
        return changed + added

    async def without_facts(self, call_ids: Collection[str]) -> set[str]:
        """Return the call ids whose row may lack its personal facts and its salt.

        The audit says that the row was made again from the manifest, or that the facts were erased.
        """
        found: set[str] = set()
        wanted = list(call_ids)
        for start in range(0, len(wanted), _BATCH):
            part = {"node": self._node, "call_ids": wanted[start : start + _BATCH]}
            found.update(row.call_id for row in await self._read(_EXCUSED, part))
        return found

    async def _rows(
        self, query: TextClause, kind: str, ids: CallIds, more: Mapping[str, int] | None = None
    ) -> list[Any]:
        values = {"node": self._node, "kind": kind, "first": ids.first, "last": ids.last}
        return await self._read(query, {**values, **(more or {})})

    async def _read(self, query: TextClause, values: Mapping[str, object]) -> list[Any]:
        try:
            async with self._engine.connect() as connection:
                return list((await connection.execute(query, values)).all())
        except SQLAlchemyError as error:
            raise AuditError(f"the index cannot be compared: {reason_of(error)}") from None


def _call_changed(row: Any) -> str:
    pairs = (
        ("answer", _is_at(row.answered, row.answered_us)),
        ("end", _is_at(row.ended, row.ended_us)),
        ("length", row.talk_us == row.sealed_talk_us),
    )
    names = " and ".join(name for name, same in pairs if not same)
    return f"ledger and audit do not agree on its {names}: {_REPORT}"


def _is_at(seconds: object, at_us: int) -> bool:
    return isinstance(seconds, int | float) and abs(seconds * _US - at_us) <= _ROUNDING_US


def ended_facts(
    call_id: str, answered: float, ended: float, talk_us: int | None
) -> dict[str, str | int | bool]:
    """Return the facts of the entry about an ended call. Both times are in Unix seconds."""
    facts: dict[str, str | int | bool] = {
        "call_id": call_id,
        "answered_us": round(answered * _US),
        "ended_us": round(ended * _US),
    }
    return facts if talk_us is None else {**facts, "talk_us": talk_us}
