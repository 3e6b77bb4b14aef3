"""Disposes of recordings: the audit entries, the order to the finaliser, and the index.

The finaliser signs the certificate and destroys the recording's header. People order a disposal
(`galwad.archive.custody`), or a rule of retention does (`galwad.archive.retention`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from galwad.archive.desk_socket import REPLY_S, FinaliserClient
from galwad.archive.files import ArchiveFolder
from galwad.calls.subject import CallsSubject
from galwad.host.errors import ApiError
from galwad.host.host import Host
from galwad.messages import Dispose
from recording.archive.disposal import AppliedRule
from recording.archive.summary import RecordingSummary
from recording.index.catalogue import index_errors
from recording.index.custody import Custodian

_VALID_S: Final = REPLY_S - 5
"""The seconds for which an order is valid. It ends before the desk stops to wait for the reply and
allows others to retain the recording.
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision to dispose of a recording: its maker and its reason.

    `actor` is in the audit and in the certificate. `rule` is None if a person decided.
    """

    reason: str
    actor: str
    reference: str
    rule: AppliedRule | None = None


class Disposals:
    """Disposes of recordings one by one. The caller holds `Custodian.deciding`."""

    def __init__(
        self,
        host: Host,
        calls: CallsSubject,
        files: ArchiveFolder,
        finaliser: FinaliserClient,
        custodian: Custodian,
    ) -> None:
        self._host = host
        self._calls = calls
        self._files = files
        self._finaliser = finaliser
        self.custodian = custodian

    @property
    def possible(self) -> bool:
        """True while a finaliser is connected, which alone destroys headers."""
        return self._finaliser.connected

    async def dispose(self, recording: RecordingSummary, decision: Decision) -> bytes:
        """Dispose of a recording and return the certificate's file, also if it exists already.

        Raises:
            ApiError: 409, the finaliser refuses. 503, the finaliser does not answer: it may have
                disposed of the recording.
            AuditError: The audit cannot be written.
            CatalogueError: The index cannot be written.
        """
        facts = {
            "call_id": recording.call_id,
            "payload_sha256": recording.payload_sha256,
            "reason": decision.reason,
        }
        if decision.rule is not None:
            facts |= {"category": decision.rule.category, "rules": str(decision.rule.version)}
        personal = {"actor": decision.actor, "reference": decision.reference}
        entry = await self._host.audit.append("recording.purge-ordered", facts, personal)
        try:
            content = await self._finaliser.request(
                lambda ref: Dispose(
                    ref,
                    call_id=recording.call_id,
                    payload_sha256=recording.payload_sha256,
                    reason=decision.reason,
                    actor=decision.actor,
                    audit_node=self._host.settings.node.name,
                    audit_seq=entry.seq,
                    audit_hash=entry.hash,
                    rule=decision.rule,
                    until=time.monotonic() + _VALID_S,
                )
            )
        except ApiError as error:
            # If there is a certificate, the disposal has begun, and a repeated request completes
            # it. So no failure is entered in the audit chain.
            if self._files.content(recording, "disposal") is None:
                await self._host.audit.append(
                    "recording.not-purged", {**facts, "why": error.error}, personal
                )
            raise
        # The index comes last: until it knows of the disposal, a repeated one completes all steps.
        with index_errors():
            await self._calls.log.store.forget_number_of(recording.call_id)
        await self._host.audit.append("recording.purged", facts, personal)
        await self.custodian.disposed(recording.call_id, decision.reason, time.time())
        return content
