"""The stores of the parts that follow calls, filled without a desk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.calls.log.logged_call import LoggedCall
from galwad.calls.log.store import CallStore
from galwad.events.outbox import CallStep, WebhookOutbox
from galwad.host.call_follower import CallFollower
from recording.audit.log import AuditLog


def call_follower(engine: AsyncEngine, folder: Path) -> CallFollower:
    """Return the writer of reports of a desk whose audit key is in `folder`."""
    return CallFollower(AuditLog(engine, "node-1", folder / "audit.key"))


async def log_calls(engine: AsyncEngine, *calls: LoggedCall) -> None:
    """Write rows into the log of calls."""
    rows = {each.call_id: each for each in calls}
    async with engine.execution_options(immediate=True).begin() as connection:
        await CallStore(engine).change(connection, rows, lambda known: known.update(rows))


async def write_events(
    engine: AsyncEngine, outbox: WebhookOutbox, steps: Sequence[CallStep], now: float
) -> None:
    """Write the events of these steps into the outbox."""
    async with engine.execution_options(immediate=True).begin() as connection:
        await outbox.write(connection, steps, now)
