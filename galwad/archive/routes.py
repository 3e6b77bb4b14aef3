"""Endpoints to search the index of recordings, and to fetch a recording for a stated purpose.

A recording is sent exactly as it is in the archive, still encrypted. The audit entry is committed
before the first byte is sent. For the purposes in `ADMIN_PURPOSES` (legal matters, crime and vital
interests), only an administrator may fetch recordings, and for most of them only for a disclosure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import asdict, replace
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from galwad.archive.files import SealedResponse, checked_id
from galwad.archive.rules import (
    ADMIN_PURPOSES,
    DISCLOSURE_PURPOSES,
    FETCHED,
    RESTRICTED_PURPOSES,
    Purpose,
)
from galwad.archive.subject import ArchiveDesk, TheDesk
from galwad.calls.live_calls import indexed_number
from galwad.host.bodies import (
    Number,
    RequestBody,
    RequiredText,
    ResponseBody,
    ShortText,
    fields_of,
)
from galwad.host.errors import ApiError, NotPermittedError
from galwad.host.host import span_of
from galwad.people.access import SteppedUpSupervisor, Supervisor
from galwad.people.sessions import Session
from recording.archive.accounting import balance
from recording.archive.manifest import Interval, Manifest, ObjectFacts, read_manifest
from recording.archive.summary import RecordingSummary
from recording.audit.log import Facts, NewEntry
from recording.errors import ManifestError
from recording.index.catalogue import Cursor, Filters, add_fetch_reference
from recording.index.custody import NOT_RETAINED, CapturedCard, Custody, Flag, HoldOfRecording
from recording.policy import FlagName

router = APIRouter(tags=["recordings"])
_US = 1_000_000
_ENDINGS = {"payload": "flac.age", "raw": "pcapng.age"}
Time: TypeAlias = Annotated[float, Field(ge=0, le=10**11, allow_inf_nan=False)] | ShortText
"""A time in Unix seconds, or in words such as "today" (`galwad.periods.period`)."""
Length: TypeAlias = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
"""The talk time of a recording, in seconds."""


class RecordingQuery(RequestBody):
    """A search for recordings. All filters are optional.

    `when` is a period in words, such as "yesterday". In `since` and `until`, "yesterday" means
    the start of yesterday. To get the next page, set `after` to the value of `after` in the
    previous page. `after` is not searched for card numbers, because its time has many digits and
    may look like one.
    """

    number: ShortText | None = None
    advisor: ShortText | None = None
    extension: ShortText | None = None
    line: ShortText | None = None
    reference: ShortText | None = None
    flag: FlagName | None = None
    hold: Number | None = None
    gap_reason: Literal["payment", "transfer", "fault", "erased", "captured-card"] | None = None
    when: ShortText | None = None
    since: Time | None = None
    until: Time | None = None
    min_length_s: Length | None = None
    max_length_s: Length | None = None
    limit: int = Field(default=50, ge=1, le=500)
    after: Annotated[str, Field(max_length=200)] | None = None


@fields_of(Interval, "from_us", "to_us")
class Stretch(ResponseBody):
    """A part of a call, in microseconds since the recording's start."""


@fields_of(
    RecordingSummary,
    "number",
    "line",
    "advisor",
    "extension",
    "later_callers",
    "later_advisors",
    "call_id",
    "started",
    "interrupted",
    "payload_size",
    "payload_sha256",
    "manifest_sha256",
    "raw_size",
    "gaps",
    "network",
)
class RecordingRow(ResponseBody):
    """One recording, with the facts from its row in the index.

    `raw_size` is the size in bytes of the file with the packets that could not be decoded, which is
    encrypted too; 0 if there is none. `captured_card` is the state of the incidents in which a card
    number was keyed outside a pause: "" if there are none, "open" if at least one is open, and
    "closed" if all are closed. `named` is false if the row has no phone number, line, advisor or
    extension: it was made only from the manifest, or these facts were erased. `unexplained` has
    the stretches that are neither recorded nor in a gap, or both. If there are some but the
    manifest that was indexed is missing, their place is unknown, so it has all time outside the
    gaps.
    """

    talk_s: float
    unexplained_s: float
    unexplained: list[Stretch]
    flags: list[FlagName]
    custody: Literal["", "held", "disposed"] = ""
    captured_card: Literal["", "open", "closed"] = ""
    named: bool = True


class RecordingPage(BaseModel):
    """A page of recordings, newest first.

    To get the next page, send `after` in the next query. `after` is None if there are no more
    pages.
    """

    rows: list[RecordingRow]
    after: str | None


@fields_of(
    CapturedCard,
    "call_id",
    "from_us",
    "to_us",
    "detected",
    "closed",
    "missing_trigger",
    "changed",
)
class CapturedCardIncident(ResponseBody):
    """A card number that was keyed outside a pause. It is silenced in the recording.

    `from_us` and `to_us` are in microseconds since the recording's start, `detected` and `closed`
    in Unix seconds. `closed` and the two texts are None while the incident is open.
    """

    state: Literal["open", "closed"]


class CapturedCardList(BaseModel):
    """The incidents in which a card number was keyed outside a pause, sorted by call id."""

    rows: list[CapturedCardIncident]


@fields_of(Flag, "reason", "since")
class RecordingFlag(ResponseBody):
    """A flag of a recording, with its reason. `since` is in Unix seconds."""

    flag: FlagName


@fields_of(HoldOfRecording, "hold_id", "reference", "since")
class HoldOnRecording(ResponseBody):
    """A legal hold for which a recording is retained. `since` is in Unix seconds."""


class RecordingTerm(ResponseBody):
    """The category of a recording by the rules in force, and when the recording is due.

    `due` is in Unix seconds; None if people alone decide when it is disposed of.
    """

    category: str
    due: float | None


class RecordingDetail(BaseModel):
    """One recording: its row in the index, and the text of its signed manifest.

    `manifest` is None if the manifest's file is missing or cannot be read.
    """

    recording: RecordingRow
    manifest: str | None
    rewrap: str | None = None
    """The text of the record of the most recent rewrap; None if there was no rewrap."""
    holds: list[HoldOnRecording] = []
    """The legal holds for which the recording is retained."""
    kept_until: float | None = None
    """If the recording was released: it is not disposed of as outdated before (Unix seconds)."""
    disposal: str | None = None
    """The text of the certificate of disposal; None if the recording was not disposed of."""
    folder: str = ""
    """The recording's folder in the archive, according to the index."""
    salt: str = ""
    """The salt of the commitments in the manifest, in hexadecimal; "" if the row has no salt."""
    captured_cards: list[CapturedCardIncident] = []
    flags: list[RecordingFlag] = []
    term: RecordingTerm | None = None
    """None if the recording was disposed of, or if no rules are in force."""
    purposes: list[Purpose] = []
    """The purposes for which the signed-in user may fetch and hear the recording."""


class FetchReason(RequestBody):
    """The reason for which a recording is sent. It is entered in the audit chain before that.

    The purposes in `DISCLOSURE_PURPOSES` need the number of a `disclosure` of the recording that
    may be used. For "legal-disclosure", the number of an open `case` with this call is enough.
    """

    purpose: Purpose
    reference: RequiredText
    disclosure: Number | None = None
    case: Number | None = None

    def authority(self) -> dict[str, int]:
        """Return the number that is given: of the disclosure, or of the case."""
        return self.model_dump(include={"disclosure", "case"}, exclude_none=True)


class Fetch(FetchReason):
    """A request to fetch a recording.

    If `raw` is true, the packets that could not be decoded are sent instead of the audio.
    """

    raw: bool = False


@router.get("/recordings")
async def newest(desk: TheDesk, session: SteppedUpSupervisor) -> RecordingPage:
    """Return the first page of all recordings, newest first."""
    return await _search(desk, session, RecordingQuery())


@router.post("/recordings/search")
async def search(
    body: RecordingQuery, desk: TheDesk, session: SteppedUpSupervisor
) -> RecordingPage:
    """Return a page of the recordings that match the filters, newest first.

    The filters are in the request's body and not in the URL, because proxies and servers often log
    URLs.

    Raises:
        ApiError: 422, the filters contradict each other, or a time or `after` cannot be read.
    """
    return await _search(desk, session, body)


@router.get("/recordings/{call_id}")
async def show(call_id: str, desk: TheDesk, session: SteppedUpSupervisor) -> RecordingDetail:
    """Return the index row and the signed manifest of one recording, and its state.

    The state says whether the recording was rewrapped, retained or disposed of. The request is
    entered in the audit chain.

    Raises:
        ApiError: 404, no recording has this id.
    """
    recording = await recording_of(desk, call_id)
    await desk.host.audit.append("recording.shown", {"call_id": call_id}, {"actor": session.actor})
    custody = await desk.archive.custodian.one(call_id)
    incidents = (await desk.archive.captured_cards.of([call_id])).get(call_id, [])
    term = await desk.archive.retention.terms.one(call_id)
    return RecordingDetail(
        recording=row_in(desk, recording, custody, incidents),
        manifest=desk.archive.files.text(recording, "manifest"),
        rewrap=desk.archive.files.text(recording, "rewrap"),
        holds=list(map(HoldOnRecording.model_validate, custody.holds)),
        kept_until=custody.kept_until or None,
        disposal=desk.archive.files.text(recording, "disposal"),
        folder=recording.folder,
        salt=recording.salt,
        captured_cards=list(map(CapturedCardIncident.model_validate, incidents)),
        flags=list(map(RecordingFlag.model_validate, custody.flags)),
        term=None if term is None else RecordingTerm.model_validate(term),
        purposes=purposes_of(session, custody.flag_names),
    )


@router.get("/captured-cards")
async def captured_cards(
    desk: TheDesk,
    session: Supervisor,
    only_open: bool = False,  # noqa: FBT001, FBT002 - FastAPI reads it from the query
) -> CapturedCardList:
    """Return the incidents in which a card number was keyed outside a pause, without any digit."""
    await desk.host.audit.append("captured-cards.listed", {}, {"actor": session.actor})
    found = await desk.archive.captured_cards.all(only_open=only_open)
    return CapturedCardList(rows=list(map(CapturedCardIncident.model_validate, found)))


@router.post(
    "/recordings/{call_id}/fetch",
    status_code=200,
    response_class=SealedResponse,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def fetch(
    call_id: str, body: Fetch, desk: TheDesk, session: SteppedUpSupervisor
) -> SealedResponse:
    """Send an encrypted recording: first the header, then the payload.

    The header and the payload together are a standard age file.

    Raises:
        ApiError: 403, the purpose is only for administrators. 404, no recording has this id, or
            all its packets could be decoded and `raw` is true. 409, a file is missing or has
            another size, or `raw` is true and the manifest is not the one that was indexed. 410,
            the recording was disposed of.
    """
    recording = await recording_for(desk, session, call_id, body)
    kind, facts = _requested_object(desk, recording, raw=body.raw)
    files = desk.archive.files.open(recording, kind, facts.size)
    try:
        await audit_fetch(desk, session, call_id, body, {f"{kind}_sha256": facts.sha256})
    except BaseException:
        files.close()
        raise
    desk.archive.metrics.fetched.inc()
    return SealedResponse(
        files,
        {
            "Content-Disposition": f'attachment; filename="{call_id}.{_ENDINGS[kind]}"',
            "X-Galwad-Header-Length": str(len(files.header)),
            "X-Galwad-Payload-SHA256": facts.sha256,
        },
    )


async def recording_for(
    desk: ArchiveDesk, session: Session, call_id: str, reason: FetchReason
) -> RecordingSummary:
    """Return a recording that the user of this session may hear for this reason.

    Raises:
        ApiError: 403, the purpose is only for administrators, or a flag of the recording, or the
            disclosure or case, forbids it. 404, no recording has this id. 410, the recording was
            disposed of.
    """
    purpose = reason.purpose
    if purpose not in purposes_of(session):
        raise NotPermittedError(
            "only the recording administrator may fetch for this purpose",
            "ask an administrator to do it",
            facts={"purpose": purpose},
        )
    recording = _found(await desk.archive.catalogue.without_parts(checked_id(call_id)))
    flags = (await desk.archive.custodian.one(call_id)).flag_names
    if purpose not in purposes_of(session, flags):
        raise NotPermittedError(
            f"the recording is flagged: {', '.join(flags)}",
            "only an administrator may fetch a sensitive recording; a restricted one, only for: "
            + ", ".join(sorted(RESTRICTED_PURPOSES)),
            facts={"purpose": purpose, "call_id": call_id},
        )
    if wrong := await _why_no_authority(desk, call_id, reason):
        raise NotPermittedError(*wrong, facts={"purpose": purpose, "call_id": call_id})
    refuse_if_disposed(desk, recording)
    return recording


async def _why_no_authority(
    desk: ArchiveDesk, call_id: str, reason: FetchReason
) -> tuple[str, str] | None:
    """Return why the disclosure or case in a reason is wrong, and what to do; None if it is not."""
    number = reason.disclosure
    if reason.purpose not in DISCLOSURE_PURPOSES:
        hint = f"leave out the number, or choose: {', '.join(sorted(DISCLOSURE_PURPOSES))}"
        wrong = "this purpose has no disclosure and no case", hint
        return wrong if reason.authority() else None
    if reason.case is not None and number is None and reason.purpose == "legal-disclosure":
        wrong = (
            f"case {reason.case} is not open, or does not have this call",
            f"`galwad cases show {reason.case}` shows it",
        )
        return None if await desk.archive.case_has(reason.case, call_id) else wrong
    if number is None or reason.case is not None:
        return (
            "this purpose needs a disclosure of this recording",
            "`galwad disclosures open` asks for one; then give its number",
        )
    found = await desk.archive.disclosures.one(number)
    calls = await desk.archive.disclosures.calls(number)
    if found is None or found.purpose != reason.purpose or call_id not in calls:
        return (
            f"disclosure {number} does not have this recording and purpose",
            f"`galwad disclosures show {number}` shows what it has",
        )
    if found.may_be_used:
        return None
    waits = f"a second administrator approves it with `galwad disclosures approve {number}`"
    return (
        f"disclosure {number} is {found.state}, so it cannot be used",
        waits if found.state == "requested" else "`galwad disclosures open` opens another one",
    )


async def audit_fetch(
    desk: ArchiveDesk, session: Session, call_id: str, body: FetchReason, facts: Facts
) -> int:
    """Enter a fetch in the audit, with the reason in `body`; return the entry's number."""
    entry = NewEntry(
        FETCHED,
        {"call_id": call_id, "purpose": body.purpose, **body.authority(), **facts},
        {"actor": session.actor, "reference": body.reference},
    )

    async def note(connection: AsyncConnection) -> list[NewEntry]:
        await add_fetch_reference(connection, call_id, body.reference)
        return [entry]

    head = await desk.host.audit.append_after(note)
    return head.seq if head is not None else 0


def purposes_of(session: Session, flags: Collection[str] = ()) -> list[Purpose]:
    """Return the purposes for which a user may fetch and hear a recording with these flags.

    Only an administrator may hear a sensitive recording. A restricted recording may be heard only
    for `RESTRICTED_PURPOSES`.
    """
    is_admin = session.user.role == "admin"
    if "sensitive" in flags and not is_admin:
        return []
    return [
        purpose
        for purpose in get_args(Purpose)
        if (is_admin or purpose not in ADMIN_PURPOSES)
        and ("restricted" not in flags or purpose in RESTRICTED_PURPOSES)
    ]


def _requested_object(
    desk: ArchiveDesk, recording: RecordingSummary, *, raw: bool
) -> tuple[str, ObjectFacts]:
    """Return the kind of the requested file ("payload" or "raw"), and its size and digest.

    Raises:
        ApiError: 404, all packets could be decoded, so there is no "raw" file. 409, the manifest
            is not the one that was indexed.
    """
    if not raw:
        return "payload", ObjectFacts(recording.payload_size, recording.payload_sha256)
    if not recording.raw_size:
        raise ApiError(404, "all packets could be decoded", "fetch the audio: without `raw`")
    manifest = indexed_manifest(desk, recording)
    facts = None if manifest is None else manifest.raw
    if facts is None:
        raise ApiError(
            409, "the manifest is not the one that was indexed", "run `galwad recordings verify`"
        )
    return "raw", facts


async def recording_of(desk: ArchiveDesk, call_id: str) -> RecordingSummary:
    """Return the index row of the recording with this id; raise ApiError (404) if there is none."""
    return _found(await desk.archive.catalogue.get(checked_id(call_id)))


def _found(recording: RecordingSummary | None) -> RecordingSummary:
    if recording is None:
        raise ApiError(
            404, "no recording has this id", "check the id; the recording may not be sealed yet"
        )
    return recording


def refuse_if_disposed(desk: ArchiveDesk, recording: RecordingSummary) -> None:
    """Raise an `ApiError` (410) if the archive has a certificate of this recording's disposal."""
    if desk.archive.files.content(recording, "disposal") is not None:
        raise ApiError(
            410,
            "the recording was disposed of",
            "the certificate of its disposal says when and why",
        )


async def _search(desk: ArchiveDesk, session: Session, query: RecordingQuery) -> RecordingPage:
    filters, after = await search_in(desk, query), cursor_in(query.after)
    given = sorted(query.model_dump(exclude_none=True, exclude={"limit", "after"}))
    await desk.host.audit.append(
        "recordings.searched", {"by": ",".join(given)}, {"actor": session.actor}
    )
    page = await desk.archive.catalogue.search(filters, query.limit, after)
    call_ids = [row.call_id for row in page.rows]
    known, cards = (
        await desk.archive.custodian.of(call_ids),
        await desk.archive.captured_cards.of(call_ids),
    )
    return RecordingPage(
        rows=[
            row_in(desk, row, known.get(row.call_id, NOT_RETAINED), cards.get(row.call_id, ()))
            for row in page.rows
        ],
        after=None if page.after is None else str(page.after),
    )


async def search_in(desk: ArchiveDesk, query: RecordingQuery) -> Filters:
    """Return the filters of a query.

    Raises `ApiError` (422) if they contradict each other, or if a time cannot be read.
    """
    return await _with_known_line(desk, _filters(query, desk))


def _filters(query: RecordingQuery, desk: ArchiveDesk) -> Filters:
    span = span_of(query.when, desk)
    begins = [_start_of(query.since, desk, "since"), None if span is None else span.since]
    ends = [_start_of(query.until, desk, "until"), None if span is None else span.until]
    filters = Filters(
        number=indexed_number(query.number),
        advisor=query.advisor.lower() if query.advisor else None,
        extension=query.extension,
        line=query.line,
        since=max((t for t in begins if t is not None), default=None),
        until=min((t for t in ends if t is not None), default=None),
        min_us=_us(query.min_length_s),
        max_us=_us(query.max_length_s),
        gap_reason=query.gap_reason,
        reference=query.reference,
        flag=query.flag,
        hold=query.hold,
    )
    _reject_contradicting_filters(filters)
    return filters


def _reject_contradicting_filters(filters: Filters) -> None:
    """Raise an `ApiError` (422) for filters that no recording can match.

    Without this error, the empty result would look as if there were no such recordings.
    """
    since, until, at_least, at_most = filters.since, filters.until, filters.min_us, filters.max_us
    if since is not None and until is not None and since >= until:
        raise ApiError(
            422,
            "the filters `since`, `until` and `when` have no time in common",
            "choose `since` before `until`, and both within `when`",
        )
    if at_least is not None and at_most is not None and at_least > at_most:
        raise ApiError(422, "`min_length_s` is above `max_length_s`", "exchange the two lengths")


async def _with_known_line(desk: ArchiveDesk, filters: Filters) -> Filters:
    """Return the filters with `line` in the upper and lower case that the index has."""
    if filters.line is None:
        return filters
    return replace(filters, line=await desk.archive.catalogue.line_named(filters.line))


def _start_of(moment: float | str | None, desk: ArchiveDesk, field: str) -> float | None:
    if not isinstance(moment, str):
        return moment
    span = span_of(moment, desk, field)
    return None if span is None else span.since


def cursor_in(text: str | None) -> Cursor | None:
    """Return the place that a request's `after` names; None if it is None or empty.

    Raises `ApiError` (422) if it cannot be read.
    """
    try:
        return Cursor.parse(text) if text else None
    except ValueError:
        raise ApiError(
            422, "cannot read `after`", "look at: body.after; send the value of the page before"
        ) from None


def _us(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * _US)


def indexed_manifest(desk: ArchiveDesk, recording: RecordingSummary) -> Manifest | None:
    """Return the manifest that was indexed; None if it is missing, damaged or another one."""
    data = desk.archive.files.content(recording, "manifest")
    if data is None or hashlib.sha256(data).hexdigest() != recording.manifest_sha256:
        return None
    try:
        return read_manifest(data)
    except ManifestError:
        return None


def row_in(
    desk: ArchiveDesk,
    recording: RecordingSummary,
    custody: Custody,
    incidents: Collection[CapturedCard] = (),
) -> RecordingRow:
    """Return the response body for an index row, with the unexplained parts of its manifest."""
    manifest = indexed_manifest(desk, recording) if recording.unexplained_us else None
    return row_of(recording, custody, incidents, manifest)


def row_of(
    recording: RecordingSummary,
    custody: Custody = NOT_RETAINED,
    incidents: Collection[CapturedCard] = (),
    manifest: Manifest | None = None,
) -> RecordingRow:
    """Return the response body for an index row.

    `custody` says whether the recording is retained or disposed of. `incidents` are its incidents
    of captured cards. `manifest` is needed only if the row has unexplained time.
    """
    unexplained: Iterable[Interval] = () if manifest is None else manifest.unexplained
    if recording.unexplained_us and manifest is None:
        unexplained = balance(recording.talk_us, (), recording.gaps).unexplained
    states = {incident.state for incident in incidents}
    facts = {
        **msgspec.to_builtins(recording),
        "talk_s": recording.talk_us / _US,
        "unexplained_s": recording.unexplained_us / _US,
        "unexplained": [asdict(each) for each in unexplained],
        "custody": custody.label,
        "flags": list(custody.flag_names),
        "captured_card": "open" if "open" in states else "closed" if states else "",
        "named": recording.has_personal_facts,
    }
    return RecordingRow.model_validate(facts)
