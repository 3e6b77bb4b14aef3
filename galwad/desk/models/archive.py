"""Bodies of the endpoints that change the archive: headers, retaining, disposing, reindexing."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, StringConstraints

from galwad.desk.models.base import RequestBody, RequiredText
from galwad.desk.models.recordings import RecordingRow

DisposalReason: TypeAlias = Literal["retention", "erasure", "mistake", "order"]


class SignedSet(BaseModel):
    """The signed recipient set, exactly as in the officer's file; the client must verify it."""

    content: str


class HeaderQuery(RequestBody):
    """A request to list the headers of the calls after this id, in order."""

    after: str = Field(default="", max_length=24, pattern=r"^[0-9a-z-]*$")
    limit: int = Field(default=500, ge=1, le=500)


class HeaderState(BaseModel):
    """The fingerprints of the recipients to whom a recording's header is sealed now.

    `current` is false when the header in the archive is not the one that the manifest or the last
    rewrap names, or when a file is missing.
    """

    call_id: str
    recipients: list[str]
    current: bool
    disposed: bool = False


class HeaderPage(BaseModel):
    """Headers in rising order of call id; `more` is true when a further page follows."""

    rows: list[HeaderState]
    more: bool


class HeaderReason(RequestBody):
    """The reason why a header leaves the archive; it is first entered in the audit."""

    reference: RequiredText


class SealedHeader(BaseModel):
    """A header with its evidence: the manifest, and the record of its last rewrap, if any."""

    header: str
    manifest: str
    rewrap: str | None


class NewHeader(RequestBody):
    """A new header, and the officer's signed record of it (`ID.rewrap`)."""

    header: str = Field(max_length=128 * 1024)
    rewrap: str = Field(max_length=64 * 1024)


class StagedHeader(BaseModel):
    """The new header as it was read back from the disk; the old one is still in force."""

    header: str


class HeaderCommit(RequestBody):
    """The digest of the staged header that was proven, and the reason for putting it in force."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    reference: RequiredText


class RetainReason(RequestBody):
    """The reason why a recording is retained, or is no longer retained."""

    reason: RequiredText


class Recover(RequestBody):
    """The life of the spool whose key is taken, and the reason; both are entered in the audit."""

    life: int = Field(ge=1, le=1_000_000)
    reference: RequiredText


class Purge(RequestBody):
    """The reason why a recording is disposed of; it is first entered in the audit."""

    reason: DisposalReason
    reference: RequiredText


class Purged(BaseModel):
    """The certificate of a recording that was disposed of."""

    certificate: str


class Unindexed(BaseModel):
    """The call ids of recordings in the archive that have no row, in order."""

    call_ids: list[str]


PublicKey: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]


class Reindex(RequestBody):
    """The reason why a recording is indexed again, and the former public keys to accept (base64).

    With `dry_run` the recording is proven and nothing is written.
    """

    reference: RequiredText
    node_keys: list[PublicKey] = Field(default=[], max_length=10)
    officer_keys: list[PublicKey] = Field(default=[], max_length=10)
    dry_run: bool = False


class Reindexed(BaseModel):
    """The row; `state` says whether it is new, existed already, or could be made."""

    state: Literal["indexed", "known", "provable"]
    row: RecordingRow
