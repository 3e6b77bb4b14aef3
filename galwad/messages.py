"""The messages between the three processes, as tagged msgpack structures.

The switch speaks to the desk and the finaliser over `switch.sock`, and the finaliser to the desk
over `desk.sock`. `galwad.link` carries the messages. A message about a call contains its whole
state and may be repeated, so a `CallsSnapshot` repairs a lost link. Phone numbers and names travel
only here and in the sealed files: no process logs the content of a message.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from recording.archive.summary import RecordingSummary

Role: TypeAlias = Literal["desk", "finaliser", "command"]
RecordingStateName: TypeAlias = Literal[
    "not_started", "recording", "paused", "ceased", "fault", "ended"
]
CallStateName: TypeAlias = Literal["ringing", "answered", "held", "ended"]


class LinkMessage(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=False):
    """Base of all messages.

    On the wire, `type` is the name of the class, or the class's `tag`: the name that the class had
    in the first release. During an upgrade, processes of two releases talk to each other.
    """


class CallerFacts(msgspec.Struct, frozen=True):
    """The facts that the signalling gives about the caller, before any lookup.

    `from_user` and `from_host` are parts of the From URI. `asserted` are the P-Asserted-Identity
    users in order. `privacy` are the Privacy header field's tokens in lower case. `trusted` says
    whether the trunk's assertions are believed (RFC 3325, RFC 3323).
    """

    from_user: str
    from_host: str
    asserted: tuple[str, ...] = ()
    privacy: tuple[str, ...] = ()
    trusted: bool = False


class Party(msgspec.Struct, frozen=True):
    """An advisor's phone: its extension, and its user ("" if it has none or none is known)."""

    extension: str
    user: str = ""


class CallStatus(msgspec.Struct, frozen=True):
    """The whole state of one live call.

    `started`, `since` (of the state) and `recording_since` are Unix times in seconds. `ringing` are
    the phones that ring now; `advisor` is the phone that answered. `group` are the advisors of whom
    one has the call, while the PBX that answered has not named a user. `durable` is False if the
    last pause or resume could not be made durable in time.
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


class Hello(LinkMessage, frozen=True):
    """First message of a client on either socket.

    The switch sends a finaliser's `Hello` back. From then on, the finaliser is notified of each
    closed spool.
    """

    role: Role
    version: str


class CallsSnapshot(LinkMessage, frozen=True, tag="Snapshot"):
    """Switch to desk on connection: every live call."""

    calls: tuple[CallStatus, ...]


class CallChanged(LinkMessage, frozen=True):
    """Switch to desk: a call is new, or its state has changed."""

    call: CallStatus


class CallEnded(LinkMessage, frozen=True):
    """Switch to desk: the call is over; `answered` says whether a recording will follow.

    `talk_us` is the talk time by the monotonic clock, in microseconds; None: not known. `since` is
    the time of the answer in Unix seconds; 0: compute it from `ended` and `talk_us`. `for_ledger`
    means that the call was answered and was to be recorded, even if it was not. Such a message is
    repeated until the desk sends `LedgerHas`.
    """

    call_id: str
    ended: float
    answered: bool
    talk_us: int | None = None
    since: float = 0.0
    for_ledger: bool = msgspec.field(name="owed", default=False)


class LedgerHas(LinkMessage, frozen=True, tag="Entered"):
    """Desk to switch: the ledger contains the ends of these calls."""

    call_ids: tuple[str, ...]


class Alarm(LinkMessage, frozen=True):
    """Any process to the desk: an event that a person must know. `kind` is an event name."""

    kind: str
    call_id: str | None = None
    detail: str = ""


class PeerStatus(msgspec.Struct, frozen=True):
    """The state of a peer of the switch: whether it answers OPTIONS, or accepts our registration.

    `name` is the trunk's name, its address, or both; never a phone number.
    """

    name: str
    asked_by: Literal["options", "register"]
    up: bool


class Figures(LinkMessage, frozen=True):
    """Switch to desk, every few seconds: load and error counts.

    `loop_lag_ms` is the longest delay of the event loop since the last figures. The following are
    counted since the process started: `media_refused` (bursts of media from strangers),
    `sip_dropped` (datagrams that were not SIP), `faults` (unexpected exceptions), `calls_refused`
    (for lack of resources), and `sip_shed` (messages not read because their source sends too much
    or is banned). `sources_banned` are banned now. `peers` are those that the settings ask to
    watch.
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
    peers: tuple[PeerStatus, ...] = ()


class PhoneCredentials(msgspec.Struct, frozen=True):
    """SIP credentials of one phone: digest HA1 values (RFC 7616), never the password."""

    extension: str
    user: str = ""
    ha1_md5: str = ""
    ha1_sha256: str = ""


class SetPhones(LinkMessage, frozen=True):
    """Desk to switch: the complete set of accounts that may register and ring."""

    accounts: tuple[PhoneCredentials, ...]


class Pause(LinkMessage, frozen=True, tag="Hold"):
    """Desk to switch: a pause holder pauses a call (by id), or all calls of a phone or user.

    Exactly one of `call_id`, `extension` and `user` is given. `holder` names the pause holder, who
    must later send `Resume`. `trigger` is "page" or "api". `actor` is written to the manifest.
    """

    ref: int
    holder: str
    trigger: Literal["page", "api"]
    actor: str
    call_id: str = ""
    extension: str = ""
    user: str = ""


class Resume(LinkMessage, frozen=True, tag="Release"):
    """Desk to switch: a pause holder ends its pause; the fields are those of `Pause`."""

    ref: int
    holder: str
    trigger: Literal["page", "api"]
    actor: str
    call_id: str = ""
    extension: str = ""
    user: str = ""


class ClaimCall(LinkMessage, frozen=True, tag="Take"):
    """Desk to switch: one advisor of a call's `group` has the call."""

    call_id: str
    advisor: Party


class PauseReply(LinkMessage, frozen=True, tag="HoldReply"):
    """Switch to desk: the outcome of the `Pause` or `Resume` with the same `ref`.

    `calls` lists the calls that it reached (empty: there is no such call). `state` is the recording
    state of the last of them. `durable` is False if the disk did not confirm in time: 250 ms for a
    pause, 5 s for a release.
    """

    ref: int
    calls: tuple[str, ...]
    state: RecordingStateName
    durable: bool


class SpoolClosed(LinkMessage, frozen=True):
    """Switch to finaliser: the switch writes no more to this call's spools."""

    call_id: str


class Sealed(RecordingSummary, LinkMessage, frozen=True):
    """Finaliser to desk: a recording is complete in the archive.

    The personal fields come from the sealed spool, so that the index is complete even if the desk
    was down during the call. If they cannot be decrypted any more, they are empty and `personal` is
    False; an index that has them keeps them. `undecoded` is the number of packets that could not be
    decoded. `recovered` are the spools, by life, for which an officer supplied a key.
    """

    personal: bool = True
    undecoded: int = 0
    recovered: tuple[int, ...] = ()


class WaitingSpool(msgspec.Struct, frozen=True):
    """A spool that no process writes to; `since` is its last change, in Unix seconds.

    `call_id` is "" if the name is not a spool's. `why` is the kind of the alarm that sealing
    raised; "" if there was no attempt.
    """

    name: str
    call_id: str
    since: float
    why: str = ""


class WaitingSpools(LinkMessage, frozen=True, tag="SpoolsLeft"):
    """Finaliser to desk: every spool that waits to be sealed now."""

    spools: tuple[WaitingSpool, ...]


class Indexed(LinkMessage, frozen=True):
    """Desk to finaliser: the recording's row is committed, so the spools can be removed."""

    call_id: str


class StageHeader(LinkMessage, frozen=True):
    """Desk to finaliser: store a new header and the officer's record beside the present ones."""

    ref: int
    call_id: str
    payload_sha256: str
    header: bytes
    record: bytes


class CommitHeader(LinkMessage, frozen=True):
    """Desk to finaliser: put the staged header with this digest into force."""

    ref: int
    call_id: str
    payload_sha256: str
    header_sha256: str


class Dispose(LinkMessage, frozen=True):
    """Desk to finaliser: certify the disposal of this recording and destroy its header.

    `actor`, and the node, number and hash of the audit entry, are written to the certificate.
    """

    ref: int
    call_id: str
    payload_sha256: str
    reason: str
    actor: str
    audit_node: str
    audit_seq: int
    audit_hash: str


class VerifyRecording(LinkMessage, frozen=True, tag="Prove"):
    """Desk to finaliser: check that this recording is complete and signed by a known key.

    The content of the reply is a `VerifiedRecording`. Known node keys are the node's own signing
    key and `node_keys`. Known officer keys, for recordings with a new header, are the one in the
    settings and `officer_keys`. All are public keys in base64.
    """

    ref: int
    call_id: str
    node_keys: tuple[str, ...] = ()
    officer_keys: tuple[str, ...] = ()


class VerifiedRecording(msgspec.Struct, frozen=True):
    """The facts from which the index row of a recording is made when only its files are left.

    `sealed.personal` is False. `node_key` signed the manifest. `disposed` (Unix seconds; 0: not
    disposed of) and `disposal` (the reason) come from the disposal certificate.
    """

    sealed: Sealed
    node_key: str
    disposed: float = 0.0
    disposal: str = ""


class ArchiveReply(LinkMessage, frozen=True):
    """Finaliser to desk: the result of the request with the same `ref`.

    `error` is empty if the request was carried out. `content` is the requested data; empty if none
    was requested.
    """

    ref: int
    error: str = ""
    content: bytes = b""


class UsersChanged(LinkMessage, frozen=True):
    """Command line to desk: read the users again and send the accounts to the switch."""


AnyMessage: TypeAlias = (
    Hello
    | CallsSnapshot
    | CallChanged
    | CallEnded
    | LedgerHas
    | Alarm
    | Figures
    | SetPhones
    | ClaimCall
    | Pause
    | Resume
    | PauseReply
    | SpoolClosed
    | Sealed
    | WaitingSpools
    | Indexed
    | StageHeader
    | CommitHeader
    | Dispose
    | VerifyRecording
    | ArchiveReply
    | UsersChanged
)
