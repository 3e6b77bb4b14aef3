"""The kinds of alarms: how severe each is, who sees it, and what ends it.

What each kind means, and what to do about it, is in `docs/operations/alarms.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

Audience: TypeAlias = Literal["own", "supervisors", "everybody"]
"""The users who see an alarm.

"own": users who take part in the call. "supervisors": these users and all supervisors. "everybody":
all users.
"""


class Severity(StrEnum):
    """The severity of an alarm. The members are sorted, the most severe first."""

    CRITICAL = "critical"
    """Calls, recordings or payment details are at risk now, or evidence was changed."""
    WARNING = "warning"
    """Something does not work, and a person must repair it or ask about it."""
    NOTICE = "notice"
    """Something happened that a supervisor must know. Often, nothing must be done."""


class Ending(StrEnum):
    """The event that ends an alarm. A supervisor can close an alarm of any kind."""

    PERSON = "person"
    """No event: only a person closes the alarm."""
    EVENT = "event"
    """The opposite event, such as `peer.up` for `peer.down`."""
    PAUSE = "pause"
    """The end of the pause, or of the call."""
    RECORDING = "recording"
    """The call is recorded again."""
    CALL = "call"
    """The end of the call."""
    INDEXED = "indexed"
    """The call's recording is archived and in the index."""
    DELIVERED = "delivered"
    """The next call event that the receiver accepts."""
    DECISION = "decision"
    """A decision about the contact note: to deliver it again, or to discard it."""


@dataclass(frozen=True, slots=True)
class AlarmKind:
    """The facts about the alarms of one kind.

    If `has_subject` is true, the detail of each report begins with a name, such as a trunk's, and
    ": ". Each name has its own alarm.
    """

    severity: Severity
    ending: Ending = Ending.PERSON
    audience: Audience = "supervisors"
    has_subject: bool = False

    def subject_of(self, detail: str) -> str:
        """Return the name at the beginning of a detail; "" if this kind has no subject."""
        return detail.partition(": ")[0] if self.has_subject else ""


KINDS: Final[Mapping[str, AlarmKind]] = {
    "recording.fault": AlarmKind(Severity.CRITICAL, Ending.RECORDING),
    "recording.not_durable": AlarmKind(Severity.WARNING),
    "recording.no_recipients": AlarmKind(Severity.CRITICAL, Ending.INDEXED),
    "recipients.put_back": AlarmKind(Severity.CRITICAL),
    "recording.no_host_key": AlarmKind(Severity.WARNING),
    "recording.not_sealed": AlarmKind(Severity.WARNING, Ending.INDEXED),
    "recording.locked": AlarmKind(Severity.WARNING, Ending.INDEXED),
    "spool.disk_failed": AlarmKind(Severity.CRITICAL),
    "spool.not_removed": AlarmKind(Severity.WARNING),
    "recording.interrupted": AlarmKind(Severity.NOTICE),
    "recording.undecoded": AlarmKind(Severity.NOTICE),
    "recording.captured_card": AlarmKind(Severity.CRITICAL),
    "recording.unexplained": AlarmKind(Severity.WARNING),
    "recording.unknown_party": AlarmKind(Severity.WARNING),
    "recording.stored_in_gap": AlarmKind(Severity.CRITICAL),
    "recording.trigger_ignored": AlarmKind(Severity.CRITICAL),
    "recording.miscounted": AlarmKind(Severity.WARNING),
    "recording.missing": AlarmKind(Severity.CRITICAL, Ending.INDEXED),
    "hold.review": AlarmKind(Severity.WARNING),
    "case.opened": AlarmKind(Severity.WARNING, has_subject=True),
    "case.due": AlarmKind(Severity.WARNING, has_subject=True),
    "disclosure.review": AlarmKind(Severity.WARNING, has_subject=True),
    "disclosure.mismatch": AlarmKind(Severity.CRITICAL),
    "retention.waiting": AlarmKind(Severity.WARNING),
    "retention.clock": AlarmKind(Severity.WARNING),
    "retention.failed": AlarmKind(Severity.WARNING),
    "index.changed": AlarmKind(Severity.CRITICAL),
    "sign_in.break_glass": AlarmKind(Severity.CRITICAL),
    "sign_in.codes_guessed": AlarmKind(Severity.CRITICAL),
    "sign_in.flooded": AlarmKind(Severity.WARNING),
    "sign_in.passwords_guessed": AlarmKind(Severity.WARNING),
    "note.refused": AlarmKind(Severity.WARNING, Ending.DECISION),
    "notes.not_written": AlarmKind(Severity.NOTICE),
    "ledger.full": AlarmKind(Severity.WARNING),
    "audit.cut": AlarmKind(Severity.CRITICAL),
    "audit.not_anchored": AlarmKind(Severity.WARNING),
    "archive.orphan": AlarmKind(Severity.WARNING),
    "payment.page_lost": AlarmKind(Severity.CRITICAL, Ending.PAUSE),
    "payment.forgotten": AlarmKind(Severity.WARNING, Ending.PAUSE, "own"),
    "payment.forgotten_long": AlarmKind(Severity.CRITICAL, Ending.PAUSE),
    "media.silent": AlarmKind(Severity.NOTICE, Ending.CALL),
    "media.refused": AlarmKind(Severity.WARNING),
    "media.contested": AlarmKind(Severity.WARNING),
    "dialog.foreign_request": AlarmKind(Severity.WARNING),
    "phone.passwords_guessed": AlarmKind(Severity.WARNING),
    "record_key.unknown": AlarmKind(Severity.NOTICE),
    "trunk.unregistered": AlarmKind(Severity.CRITICAL, Ending.EVENT, has_subject=True),
    "peer.down": AlarmKind(Severity.CRITICAL, Ending.EVENT, has_subject=True),
    "pbx.no_names": AlarmKind(Severity.WARNING, Ending.EVENT, has_subject=True),
    "emergency.no_route": AlarmKind(Severity.CRITICAL, Ending.EVENT),
    "emergency.failed": AlarmKind(Severity.CRITICAL),
    "switch.restarted": AlarmKind(Severity.WARNING),
    "switch.lost": AlarmKind(Severity.CRITICAL, Ending.EVENT, "everybody"),
    "webhook.refused": AlarmKind(Severity.WARNING),
    "webhook.down": AlarmKind(Severity.WARNING, Ending.DELIVERED),
    "webhook.dropped": AlarmKind(Severity.WARNING),
}
UNKNOWN: Final = AlarmKind(Severity.WARNING)
"""The facts that are assumed about an unlisted kind, which a newer switch may report."""
ENDS: Final[Mapping[str, str]] = {"switch.connected": "switch.lost", "peer.up": "peer.down"}
"""Events that are no alarms, and the kinds of alarms that they end."""


def kind_of(name: str) -> AlarmKind:
    """Return the facts about this kind; `UNKNOWN` if the kind is not listed."""
    return KINDS.get(name, UNKNOWN)


def may_see(audience: Audience, *, supervises: bool, concerned: bool) -> bool:
    """Return whether a user may see an alarm. `supervises` is also true of administrators.

    `concerned` is true if the user takes part in the alarm's call.
    """
    return {
        "own": concerned,
        "supervisors": concerned or supervises,
        "everybody": True,
    }[audience]
