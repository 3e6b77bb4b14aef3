"""What the three processes say to each other, as tagged msgpack structures.

The switch speaks to the desk and the finaliser over `switch.sock`, the finaliser to the
desk over `desk.sock`; `galwad.link` carries these structures. Messages of a call's state
are whole and idempotent, so a lost connection is mended by a `Snapshot`. Numbers and names
travel here and in the sealed files only: no process logs a message's content.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Role: TypeAlias = Literal["desk", "finaliser", "command"]
RecordingStateName: TypeAlias = Literal[
    "not_started", "recording", "paused", "ceased", "fault", "ended"
]
CallStateName: TypeAlias = Literal["ringing", "answered", "held", "ended"]


class Message(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=False):
    """Base of all messages; `type` on the wire is the class's name."""


class CallerFacts(msgspec.Struct, frozen=True):
    """What the signalling says of the caller, before any lookup.

    `from_user`/`from_host` are the From URI's parts, `asserted` the P-Asserted-Identity
    users in order, `privacy` the Privacy header's tokens in lower case, `trusted` whether
    the trunk's assertions are believed (RFC 3325, RFC 3323).
    """

    from_user: str
    from_host: str
    asserted: tuple[str, ...] = ()
    privacy: tuple[str, ...] = ()
    trusted: bool = False


class Party(msgspec.Struct, frozen=True):
    """An advisor's phone: its extension and the user who sits there ("" when nobody does)."""

    extension: str
    user: str = ""


class CallState(msgspec.Struct, frozen=True):
    """The whole state of one live call.

    `since`, `started` and `recording_since` are Unix times in seconds. `ringing` are the
    phones that ring now; `advisor` is the one that answered. `group` are those of whom one
    must be the advisor, while the PBX that answered has named no user. `durable` is False
    when the last pause or resume could not be made durable in time.
    """

    call_id: str
    version: int
    started: float
    since: float
    line: str
    called: str
    caller: CallerFacts
    state: CallStateName
    ringing: tuple[Party, ...] = ()
    advisor: Party | None = None
    group: tuple[Party, ...] = ()
    recording: RecordingStateName = "not_started"
    recording_since: float = 0.0
    holders: tuple[str, ...] = ()
    durable: bool = True


class Hello(Message, frozen=True):
    """First message of a client on either socket.

    The switch says a finaliser's back: of spools that are closed from then on it is told.
    """

    role: Role
    version: str


class Snapshot(Message, frozen=True):
    """Switch to desk on connection: every live call."""

    calls: tuple[CallState, ...]


class CallChanged(Message, frozen=True):
    """Switch to desk: a call is new, or its state has changed."""

    call: CallState


class CallEnded(Message, frozen=True):
    """Switch to desk: the call is over; `answered` says whether a recording will follow.

    `talk_us` is how long they talked by the monotonic clock, in microseconds; None where that is
    not known. `since` is when it was answered, in Unix seconds; 0: take it from these. `owed`: it
    was to be recorded, whatever became of that; it is said again until the desk says `Entered`.
    """

    call_id: str
    ended: float
    answered: bool
    talk_us: int | None = None
    since: float = 0.0
    owed: bool = False


class Entered(Message, frozen=True):
    """Desk to switch: the ledger has these calls' ends."""

    call_ids: tuple[str, ...]


class Alarm(Message, frozen=True):
    """Any process to the desk: something a person must know. `kind` is an event name."""

    kind: str
    call_id: str | None = None
    detail: str = ""


class PeerStanding(msgspec.Struct, frozen=True):
    """What is known of a neighbour of the switch: whether it answers, or holds our registration.

    `name` is the trunk's, its address, or both; never a number.
    """

    name: str
    asked_by: Literal["options", "register"]
    up: bool


class Figures(Message, frozen=True):
    """Switch to desk, every few seconds: how it fares.

    `loop_lag_ms` is the worst delay of the event loop since the last figures. The counts are
    since the process started: bursts of media from strangers, datagrams that were no SIP,
    exceptions that should not have been, calls refused for want of room, and what was not read
    because its source sends too much or is barred. `sources_banned` are barred now. `peers`: those
    of whom the settings want to know.
    """

    calls: int
    phones: int
    loop_lag_ms: float
    media_refused: int
    sip_dropped: int
    faults: int
    calls_refused: int = 0
    sip_shed: int = 0
    sources_banned: int = 0
    peers: tuple[PeerStanding, ...] = ()


class Account(msgspec.Struct, frozen=True):
    """SIP credentials of one phone: digest HA1 values (RFC 7616), never the password."""

    extension: str
    user: str = ""
    ha1_md5: str = ""
    ha1_sha256: str = ""


class SetPhones(Message, frozen=True):
    """Desk to switch: the complete set of accounts that may register and ring."""

    accounts: tuple[Account, ...]


class Hold(Message, frozen=True):
    """Desk to switch: a payment holder pauses a call (by id), or all calls of a phone.

    Exactly one of `call_id`, `extension`, `user` is given. `holder` names who must let go;
    `trigger` is "page" or "api"; `actor` goes into the manifest.
    """

    ref: int
    holder: str
    trigger: Literal["page", "api"]
    actor: str
    call_id: str = ""
    extension: str = ""
    user: str = ""


class Release(Message, frozen=True):
    """Desk to switch: a payment holder lets go; fields as in `Hold`."""

    ref: int
    holder: str
    trigger: Literal["page", "api"]
    actor: str
    call_id: str = ""
    extension: str = ""
    user: str = ""


class Take(Message, frozen=True):
    """Desk to switch: one of a call's `group` is its advisor."""

    call_id: str
    advisor: Party


class HoldReply(Message, frozen=True):
    """Switch to desk: the outcome of the `Hold` or `Release` with the same `ref`.

    `calls` lists the calls it reached (empty: no such call); `state` is the recording state
    of the last of them; `durable` is False when the disk did not confirm within 250 ms.
    """

    ref: int
    calls: tuple[str, ...]
    state: RecordingStateName
    durable: bool


class SpoolClosed(Message, frozen=True):
    """Switch to finaliser: no more will be written to this call's spools."""

    call_id: str


class GapFacts(msgspec.Struct, frozen=True):
    """A gap as the index keeps it: microseconds since the recording's start."""

    reason: str
    trigger: str
    actor: str
    from_us: int
    to_us: int


class Sealed(Message, frozen=True):
    """Finaliser to desk: a recording lies complete in the archive.

    `folder` is relative to the archive. The personal fields come from the sealed spool, so
    the index is complete even where the desk was down during the call. Where that cannot be
    opened any more, they are empty and `personal` is false: an index that has them keeps them.
    `raw_size`: bytes of the object with what could not be decoded; `undecoded`: its packets.
    `recovered`: the spools, by life, for which an officer had brought a key.
    `gaps` as in the manifest. `unexplained_us` is talk time that neither segments nor gaps cover.
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
    gaps: tuple[GapFacts, ...]
    payload_size: int
    payload_sha256: str
    manifest_sha256: str
    unexplained_us: int = 0
    personal: bool = True
    raw_size: int = 0
    undecoded: int = 0
    recovered: tuple[int, ...] = ()


class LeftSpool(msgspec.Struct, frozen=True):
    """A spool that nobody writes to; `since` (Unix seconds) its last change.

    `why` is the kind of the alarm that was raised when it was tried; empty if it was not.
    """

    name: str
    call_id: str
    since: float
    why: str = ""


class SpoolsLeft(Message, frozen=True):
    """Finaliser to desk: every spool that waits, as it stands now."""

    spools: tuple[LeftSpool, ...]


class Indexed(Message, frozen=True):
    """Desk to finaliser: the row is committed; the spool may go."""

    call_id: str


class StageHeader(Message, frozen=True):
    """Desk to finaliser: lay a new header and the officer's record beside those in force."""

    ref: int
    call_id: str
    payload_sha256: str
    header: bytes
    record: bytes


class CommitHeader(Message, frozen=True):
    """Desk to finaliser: put the staged header with this digest in force."""

    ref: int
    call_id: str
    payload_sha256: str
    header_sha256: str


class Dispose(Message, frozen=True):
    """Desk to finaliser: certify that this recording is disposed of, and destroy its header.

    `actor` goes into the certificate, and so do the audit's entry and its hash.
    """

    ref: int
    call_id: str
    payload_sha256: str
    reason: str
    actor: str
    audit_node: str
    audit_seq: int
    audit_hash: str


class Prove(Message, frozen=True):
    """Desk to finaliser: is this recording whole, and ours? The reply's content is a `Proven`.

    Believed are the node's own signing key and `node_keys`; of officers, who may have given it a
    new header, the one of the settings and `officer_keys`. All are public keys in base64.
    """

    ref: int
    call_id: str
    node_keys: tuple[str, ...] = ()
    officer_keys: tuple[str, ...] = ()


class Proven(msgspec.Struct, frozen=True):
    """What a recording's row is made from, when only its files are left.

    `sealed.personal` is false. `node_key` signed the manifest. `disposed` (Unix seconds, 0: it was
    not) and `disposal` (why) are its certificate's.
    """

    sealed: Sealed
    node_key: str
    disposed: float = 0.0
    disposal: str = ""


class ArchiveReply(Message, frozen=True):
    """Finaliser to desk: what came of the request with the same `ref`.

    `error` is empty when it was done; `content` is what was read back, if that was asked for.
    """

    ref: int
    error: str = ""
    content: bytes = b""


class UsersChanged(Message, frozen=True):
    """Command line to desk: read the users again and tell the switch."""


AnyMessage: TypeAlias = (
    Hello
    | Snapshot
    | CallChanged
    | CallEnded
    | Entered
    | Alarm
    | Figures
    | SetPhones
    | Take
    | Hold
    | Release
    | HoldReply
    | SpoolClosed
    | Sealed
    | SpoolsLeft
    | Indexed
    | StageHeader
    | CommitHeader
    | Dispose
    | Prove
    | ArchiveReply
    | UsersChanged
)
