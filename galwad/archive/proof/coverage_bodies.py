"""The response body of the coverage check."""

from __future__ import annotations

from pydantic import BaseModel


class CallSpan(BaseModel):
    """A part of a call, with its start and end in microseconds since the start of the recording.

    If the part is a gap, `reason` is the reason of the gap, otherwise "".
    """

    from_us: int
    to_us: int
    reason: str = ""


class FaultyCall(BaseModel):
    """A call that did not pass the coverage check.

    The call has talk time that neither segments nor gaps explain, or the call's ledger entry, index
    row and manifest contradict each other. Or packets were stored in a gap of a payment or
    transfer, or a trigger had no effect; this is also found in a call that is still in progress.
    """

    call_id: str
    started: float
    talk_us: int
    gaps: list[CallSpan]
    unexplained: list[CallSpan]
    problems: list[str]


class SilentParty(BaseModel):
    """A party of a call of which nothing is heard in a segment, although it sent packets.

    `from_us` and `to_us` are the start and end of the segment, in microseconds since the start of
    the recording. `text` says how many packets were received, refused or lost.
    """

    call_id: str
    started: float
    channel: str
    from_us: int
    to_us: int
    text: str


class OrphanFile(BaseModel):
    """A file, index row or spool that lacks its counterpart: for example, a row without files.

    `fix` says what the operator can do.
    """

    kind: str
    name: str
    call_id: str
    text: str
    fix: str


class Coverage(BaseModel):
    """The result of the coverage check for the calls that were answered in a period of time.

    `calls` is the number of calls that could be checked. The durations are sums over these calls,
    in microseconds. `in_progress` is the number of calls that could not be checked, because they
    continue, or ended so recently that their recording is perhaps not indexed yet. `amiss` lists
    the calls that did not pass the check. `orphans` lists files, index rows and spools that lack a
    counterpart. `more_orphans` is the number of orphans that are not in the list. `not_committed`
    is the number of recordings whose manifest has no commitments to the number, line and advisor.
    `silent` lists the parties of which nothing is heard in a segment, although packets were sent;
    `more_silent` is the number of calls with such parties that are not in the list. `spools_unread`
    says why the spools of calls that are not sealed could not be checked; it is "" if they were.
    """

    calls: int
    in_progress: int
    talk_us: int
    recorded_us: int
    gap_us: int
    unexplained_us: int
    amiss: list[FaultyCall]
    orphans: list[OrphanFile]
    more_orphans: int = 0
    not_committed: int = 0
    silent: list[SilentParty] = []
    spools_unread: str = ""
    more_silent: int = 0


class ChangedRow(BaseModel):
    """A row of the index or the ledger that contradicts its manifest or the audit chain.

    `problem` names the value that was changed, or says that the row is gone.
    """

    call_id: str
    problem: str


class IndexCheck(BaseModel):
    """The result of the check of the index.

    `recordings` is the number of rows that were compared with their manifests. `not_committed` is
    the number of recordings whose manifest has no commitments to the number, line and advisor,
    because older software sealed them. `more_findings` is the number of findings that are not in
    the list.
    """

    recordings: int
    not_committed: int
    findings: list[ChangedRow]
    more_findings: int = 0
