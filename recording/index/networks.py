"""The rows with the network's effects on each party of a recording, in the index."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from recording.archive.party_network import PartyNetwork
from recording.archive.summary import RecordingSummary
from recording.index.tables import networks

_FIELDS = PartyNetwork.__struct_fields__


def network_rows(recording: RecordingSummary) -> list[dict[str, Any]]:
    """Return a recording's rows in the table `networks`: one for each party."""
    return [{"call_id": recording.call_id, **msgspec.structs.asdict(p)} for p in recording.network]


async def networks_of(
    connection: AsyncConnection, call_ids: Collection[str]
) -> dict[str, list[dict[str, object]]]:
    """Return the fields of each recording's parties, the caller first. Raises `SQLAlchemyError`.

    A recording that older software sealed has no entry. SQLite accepts values of another type, so
    the caller must check the types.
    """
    found: dict[str, list[dict[str, object]]] = {}
    statement = (
        select(networks)
        .where(networks.c.call_id.in_(call_ids))
        .order_by(networks.c.call_id, networks.c.channel.desc())
    )
    for row in await connection.execute(statement):
        found.setdefault(row.call_id, []).append({name: getattr(row, name) for name in _FIELDS})
    return found
