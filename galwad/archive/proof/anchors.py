"""The file of anchors on this machine, with a head of the audit chain from each day.

If an entry of the chain is changed later, the chain no longer agrees with the anchors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from galwad.messages import Alarm
from recording.audit.anchors import Anchor, append_anchor, last_anchor
from recording.audit.log import AuditLog


class AnchorFile:
    """Appends anchors to a file, and compares its newest anchor with the audit chain."""

    def __init__(
        self, path: Path, node: str, audit: AuditLog, on_alarm: Callable[[Alarm], None]
    ) -> None:
        self._path = path
        self._node = node
        self._audit = audit
        self._on_alarm = on_alarm

    async def head(self) -> Anchor | None:
        """Return an anchor of the audit chain's present head; None if the chain has no entry."""
        head = await self._audit.head()
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return None if head is None else Anchor(self._node, head, at)

    async def append(self) -> None:
        """Append an anchor of the present head, unless the chain has no entry.

        Raise an alarm if the newest anchor differs from the chain, or if the file cannot be used.
        """
        anchor = await self.head()
        if anchor is None:
            return
        try:
            last = await asyncio.to_thread(last_anchor, self._path)
            if last is not None and last.node == anchor.node:
                await self._compare(last)
            await asyncio.to_thread(append_anchor, self._path, anchor)
        except OSError as error:
            self._on_alarm(Alarm("audit.not_anchored", None, error.strerror or ""))

    async def _compare(self, last: Anchor) -> None:
        found = await self._audit.chain_entries(last.head.seq - 1, 1)
        if not found or (found[0].seq, found[0].hash) != (last.head.seq, last.head.hash):
            text = f"audit entry {last.head.seq} differs from the anchor of {last.at}"
            self._on_alarm(Alarm("audit.cut", None, text))
