"""The audit entry of what is done already, such as a pause; it is repeated until it is written.

The request waits for it only for a short time, and never fails because of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from galwad.host.background import BackgroundTasks
from recording.errors import AuditError

AUDIT_S = 2.0
"""The longest time in seconds that a request waits for its audit entry."""
_RETRY_S = 5.0
log = structlog.get_logger()


async def audit_done(
    background: BackgroundTasks,
    write: Callable[[], Awaitable[object]],
    *,
    refused: str,
    late: str,
    **facts: object,
) -> None:
    """Write an audit entry with `write`, which must always give it the same time.

    Return after the first attempt, or after `AUDIT_S` seconds. A background task repeats a refused
    attempt every `_RETRY_S` seconds. The log has the event `refused` or `late`, once, with `facts`.
    """
    tried = asyncio.Event()

    async def until_it_is_written() -> None:
        while True:
            try:
                await write()
            except AuditError:
                if not tried.is_set():
                    log.warning(refused, **facts)
            else:
                return
            finally:
                tried.set()
            await asyncio.sleep(_RETRY_S)

    background.spawn(until_it_is_written())
    try:
        async with asyncio.timeout(AUDIT_S):
            await tried.wait()
    except TimeoutError:
        log.warning(late, **facts)
