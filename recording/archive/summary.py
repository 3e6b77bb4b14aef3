"""The summary of a recording: the facts that the index stores and that users search.

A summary is made from the recording's manifest, and from the personal facts in the call's spools.
The message from the finaliser to the desk, the recording's row in the index and the API's response
all have the fields of `RecordingSummary`.
"""

from __future__ import annotations

import msgspec

from recording.archive.manifest import Gap
from recording.archive.party_network import PartyNetwork

MOST_LATER_CALLERS = 100
"""The largest number of later callers of a recording. Callers after these are not stored."""
MOST_LATER_ADVISORS = 100
"""The largest number of later advisors of a recording. Advisors after these are not stored."""


class LaterCaller(msgspec.Struct, frozen=True):
    """A caller who took over the caller's side during the call.

    Attributes:
        from_us: The time from which this caller spoke, in microseconds since the recording's start.
        number: The caller's number; None if it is unknown or withheld.
        withheld: True if the caller withholds the number.
    """

    from_us: int
    number: str | None
    withheld: bool = False


class LaterAdvisor(msgspec.Struct, frozen=True):
    """A party that got the call at the advisor's end after the first one.

    Attributes:
        from_us: The time from which this party had the call, in microseconds since the recording's
            start.
        advisor: The user name; "" if the party is not a user.
        extension: The extension, or the name that a PBX gave to the party; "" if it has none.
    """

    from_us: int
    advisor: str
    extension: str


class RecordingSummary(msgspec.Struct, frozen=True):
    """The summary of one recording.

    `started` is in Unix seconds. `folder` is a path relative to the archive.
    """

    call_id: str
    folder: str
    started: float
    talk_us: int
    interrupted: bool
    number: str | None
    line: str
    advisor: str
    extension: str
    payload_size: int
    payload_sha256: str
    manifest_sha256: str
    unexplained_us: int = 0
    """The talk time in µs that no segment or gap covers, or that a segment and a gap both cover."""
    raw_size: int = 0
    """The size in bytes of the file with the packets that could not be decoded.

    It is 0 if there is no such file.
    """
    gaps: tuple[Gap, ...] = ()
    salt: str = ""
    """The salt of the commitments in the manifest, in hexadecimal.

    It is "" if the manifest has no commitments, or if the summary has no personal facts.
    `recording.archive.commitments` describes the commitments.
    """
    later_callers: tuple[LaterCaller, ...] = ()
    """The callers after the first caller, whose number is `number`; the earliest first."""
    later_advisors: tuple[LaterAdvisor, ...] = ()
    """The parties at the advisor's end after the first one, `advisor` at `extension`."""
    network: tuple[PartyNetwork, ...] = ()
    """The network's effects on each party; empty if the manifest is of older software."""

    @property
    def has_personal_facts(self) -> bool:
        """True if any caller's number, the called line, the advisor or the extension is known.

        It is False in a summary that was made only from a manifest.
        """
        first = self.number or self.line or self.advisor or self.extension
        return bool(first or self.later_callers or self.later_advisors)
