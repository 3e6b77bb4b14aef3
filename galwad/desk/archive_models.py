"""Bodies of the API that change the archive; `galwad.desk.models` has the others, and the table."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, StringConstraints

from galwad.desk.models import Asked, Needed, RecordingRow

DisposalReason: TypeAlias = Literal["retention", "erasure", "mistake", "order"]


class SignedSet(BaseModel):
    """The signed set of recipients, as the officer's file has it; whoever reads it verifies it."""

    content: str


class HeaderQuery(Asked):
    """Which headers to list: those of calls after this id, in order."""

    after: str = Field(default="", max_length=24, pattern=r"^[0-9a-z-]*$")
    limit: int = Field(default=500, ge=1, le=500)


class HeaderState(BaseModel):
    """To whom a recording's header is sealed now, by fingerprint.

    `current` is false when the header in the archive is not the one that the manifest or the last
    rewrap names, or when something is missing.
    """

    call_id: str
    recipients: list[str]
    current: bool
    disposed: bool = False


class HeaderPage(BaseModel):
    """Headers in rising order of call id; `more` when a further page follows."""

    rows: list[HeaderState]
    more: bool


class HeaderReason(Asked):
    """Why a header leaves the archive; it goes into the audit first."""

    reference: Needed


class SealedHeader(BaseModel):
    """A header with what proves it: the manifest, and the record of its last rewrap."""

    header: str
    manifest: str
    rewrap: str | None


class NewHeader(Asked):
    """A new header, and the officer's signed record of it (`ID.rewrap`)."""

    header: str = Field(max_length=128 * 1024)
    rewrap: str = Field(max_length=64 * 1024)


class StagedHeader(BaseModel):
    """The new header as it was read back from the disk. The old one is still in force."""

    header: str


class HeaderCommit(Asked):
    """The digest of the staged header that was proven, and why it is put in force."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    reference: Needed


class HoldReason(Asked):
    """Why a recording is held back from disposal, or why no longer."""

    reason: Needed


class Recover(Asked):
    """Which spool's key is taken, by life, and why; it goes into the audit."""

    life: int = Field(ge=1, le=1_000_000)
    reference: Needed


class Purge(Asked):
    """Why a recording is disposed of; it goes into the audit first."""

    reason: DisposalReason
    reference: Needed


class Purged(BaseModel):
    """The certificate of a recording that was disposed of."""

    certificate: str


class Unindexed(BaseModel):
    """Recordings that lie in the archive and have no row, by call id, in order."""

    call_ids: list[str]


PublicKey: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]


class Reindex(Asked):
    """Why a recording gets its row again, and which former keys are believed (base64).

    `dry_run`: it is proven, and nothing is written.
    """

    reference: Needed
    node_keys: list[PublicKey] = Field(default=[], max_length=10)
    officer_keys: list[PublicKey] = Field(default=[], max_length=10)
    dry_run: bool = False


class Reindexed(BaseModel):
    """The row; `state` says whether it is new, was there, or would be made."""

    state: Literal["indexed", "known", "provable"]
    row: RecordingRow


ASKED: tuple[type[Asked], ...] = (
    HeaderQuery,
    HeaderReason,
    NewHeader,
    HeaderCommit,
    HoldReason,
    Recover,
    Purge,
    Reindex,
)
