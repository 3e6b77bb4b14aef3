"""Fetches the server's check of its index: rows that contradict their manifests or the audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from galwad.cli.support.client import ask

_TIMEOUT_S: Final = 900.0
"""The longest time in seconds to wait for the server's response.

The server reads the manifest of each recording. This takes minutes for a year of a busy centre.
"""


@dataclass(frozen=True, slots=True)
class IndexFindings:
    """The result of the server's check.

    Attributes:
        findings: The contradictions of each call, by call id. A call without one is not in it.
        not_committed: The number of recordings whose manifest has no commitments to the number,
            line and advisor, because older software sealed them.
        more: The number of contradictions that the server did not list.
    """

    findings: dict[str, list[str]]
    not_committed: int = 0
    more: int = 0

    @property
    def problems(self) -> list[str]:
        """The contradictions, each as one line that begins with the call id."""
        lines = [f"{key}: {each}" for key, problems in self.findings.items() for each in problems]
        return [*lines, f"and {self.more} more rows of the index"] if self.more else lines

    @property
    def notes(self) -> list[str]:
        """A line about the recordings that cannot be compared completely, if there are any."""
        return [not_committed_note(self.not_committed)] if self.not_committed else []


def fetch_index_check(server: str, *, since: float = 0.0, call_id: str = "") -> IndexFindings:
    """Ask the server to check its index, and return the result.

    Only calls that began at or after `since` (Unix seconds) are checked, or only the call with the
    id `call_id`.

    Raises:
        CliError: The request failed.
    """
    query: dict[str, Any] = {"call_id": call_id} if call_id else {"since": since}
    answer = ask(server, "GET", f"/index?{urlencode(query)}", timeout_s=_TIMEOUT_S)
    findings: dict[str, list[str]] = {}
    for each in answer["findings"]:
        findings.setdefault(each["call_id"], []).append(each["problem"])
    return IndexFindings(findings, answer["not_committed"], answer["more_findings"])


def not_committed_note(count: int) -> str:
    """Return the note that `count` recordings have no commitments in their manifests."""
    what = "1 recording is" if count == 1 else f"{count} recordings are"
    return (
        f"{what} not committed: older software sealed them, so a changed number, line or advisor "
        "in the index cannot be found"
    )
