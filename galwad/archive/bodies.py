"""Request and response bodies about the archive.

The bodies are for rewrapping headers, for retaining and disposing of recordings, and for
reindexing.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, Field, StringConstraints, model_validator

from galwad.archive.recording_bodies import RecordingRow
from galwad.host.bodies import NO_CARD_NUMBER, RequestBody, RequiredText
from recording.archive.summary import MOST_LATER_ADVISORS, MOST_LATER_CALLERS

OrdinaryReason: TypeAlias = Literal["retention", "erasure", "mistake", "order"]
"""The reasons for a disposal that need no prevention record."""
DisposalReason: TypeAlias = OrdinaryReason | Literal["captured-card"]


class SignedSet(BaseModel):
    """The text of the file with the set of recipients, which the recording officer has signed.

    The desk does not verify the signature. The client that receives the set must verify it.
    """

    content: str


class HeaderQuery(RequestBody):
    """A request to list headers, sorted by call id.

    The list has at most `limit` headers. It begins with the first call id that comes after `after`
    in this order, or with the first of all if `after` is "".
    """

    after: Annotated[
        str, StringConstraints(max_length=24, pattern=r"^[0-9a-z-]*$"), NO_CARD_NUMBER
    ] = ""
    limit: int = Field(default=500, ge=1, le=500)


class HeaderState(BaseModel):
    """The state of a recording's header.

    `recipients` has the fingerprints of the recipients who can open the header.

    `current` is true if the header is the one that the most recent rewrap made or, if there was no
    rewrap, the sealing. The header's digest is compared with the digest in the record of the
    rewrap, or in the manifest. A manifest of older software may have no digest; `current` is then
    true for any header. `current` is false if the header or the manifest is missing, or if the
    manifest or the record cannot be read.
    """

    call_id: str
    recipients: list[str]
    current: bool
    disposed: bool = False


class HeaderPage(BaseModel):
    """A list of headers, sorted by call id. `more` is true if more headers follow this list."""

    rows: list[HeaderState]
    more: bool


class HeaderReason(RequestBody):
    """A request to fetch a header. `reference` is the reason, such as the number of a case.

    The reason is entered in the audit chain before the header is sent.
    """

    reference: RequiredText


class SealedHeader(BaseModel):
    """A recording's header and manifest, and the record of its most recent rewrap.

    With the manifest and the record, the client can check that the header is genuine. `rewrap` is
    None if the header was never replaced by another header.
    """

    header: str
    manifest: str
    rewrap: str | None


class NewHeader(RequestBody):
    """A new header for a recording, and the record of this rewrap (the file `ID.rewrap`).

    The recording officer has signed the record.
    """

    header: str = Field(max_length=128 * 1024)
    rewrap: str = Field(max_length=64 * 1024)


class StagedHeader(BaseModel):
    """The new header, read from the disk after it was stored.

    The old header stays in force until the client sends a `HeaderCommit`.
    """

    header: str


class HeaderCommit(RequestBody):
    """A request to put a recording's new header in force.

    The client sends this request after it has checked the new header. `sha256` is the digest of the
    new header, and `reference` is the reason for the rewrap.
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    reference: RequiredText


class RetainReason(RequestBody):
    """A request with a reason, either to retain a recording or to end its retention."""

    reason: RequiredText


class Recover(RequestBody):
    """A notice that an officer gets the decrypted key of a spool.

    With this key, the officer can decrypt the audio in the spool. `life` is the number of the spool
    within its call, and `reference` is the reason. Both are entered in the audit chain.
    """

    life: int = Field(ge=1, le=1_000_000)
    reference: RequiredText


class Purge(RequestBody):
    """A request to dispose of a recording.

    `reason` is the kind of reason, such as "erasure", and `reference` is the reference of the case.
    Both are entered in the audit chain before anything is destroyed.

    The reason "captured-card" needs a prevention record, and no other reason may have one:
    `missing_trigger` is the trigger that should have paused the recording, and `changed` is what
    was changed so that it does so in future.
    """

    reason: DisposalReason
    reference: RequiredText
    missing_trigger: RequiredText | None = None
    changed: RequiredText | None = None

    @model_validator(mode="after")
    def _check_prevention(self) -> Self:
        given = self.missing_trigger is not None, self.changed is not None
        if set(given) != {self.reason == "captured-card"}:
            raise ValueError(
                'the reason "captured-card" needs both "missing_trigger" and "changed"; '
                "no other reason may have them"
            )
        return self


class Purged(BaseModel):
    """The response after a disposal: the signed certificate of disposal."""

    certificate: str


class Unindexed(BaseModel):
    """The call ids, sorted, of the archived recordings that have no row in the index."""

    call_ids: list[str]


SealedText: TypeAlias = Annotated[str, StringConstraints(max_length=1000)]
"""A text exactly as it was sealed. It is compared with a commitment, so it is not changed."""
PublicKey: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]


class Reindex(RequestBody):
    """A request to index a recording again. `reference` is the reason.

    `node_keys` and `officer_keys` are earlier public keys of the node and of officers, in base64.
    Signatures that were made with these keys are also accepted. If `dry_run` is true, the recording
    is verified but nothing is written.
    """

    reference: RequiredText
    node_keys: list[PublicKey] = Field(default=[], max_length=10)
    officer_keys: list[PublicKey] = Field(default=[], max_length=10)
    dry_run: bool = False


class SealedCaller(RequestBody):
    """A later caller exactly as it was sealed. It is compared with a commitment.

    `from_us` is in microseconds since the recording's start.
    """

    from_us: int
    number: SealedText | None
    withheld: bool


class SealedAdvisor(RequestBody):
    """A later advisor exactly as it was sealed. It is compared with a commitment.

    `from_us` is in microseconds since the recording's start.
    """

    from_us: int
    advisor: SealedText
    extension: SealedText


class RestoreFacts(RequestBody):
    """A request to restore the facts about people in the row of a recording that was reindexed.

    A recipient has decrypted the facts and the salt (hexadecimal) from the recording's manifest.
    `reference` is the reason.
    """

    reference: RequiredText
    number: SealedText | None
    line: SealedText
    advisor: SealedText
    extension: SealedText
    salt: str = Field(pattern=r"^[0-9a-f]{64}$")
    later_callers: list[SealedCaller] = Field(default=[], max_length=MOST_LATER_CALLERS)
    later_advisors: list[SealedAdvisor] = Field(default=[], max_length=MOST_LATER_ADVISORS)


class Reindexed(BaseModel):
    """The index row of a recording.

    `state` is "indexed" if this request wrote the row, and "known" if a right row existed before. A
    dry run writes no row: `state` is then "provable" if the recording was verified and its row
    could be written.
    """

    state: Literal["indexed", "known", "provable"]
    row: RecordingRow
