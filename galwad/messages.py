"""The messages between the three processes and `galwad` commands, as tagged msgpack structures.

The desk, the finaliser and commands connect to the switch over `switch.sock`. The finaliser and
commands connect to the desk over `desk.sock`. `galwad.link` sends and receives the messages.

`CallChanged` contains the whole state of the call, so it does no harm if it is received twice. When
a desk connects again, the switch sends a `CallsSnapshot`, and repeats each `CallEnded` that the
ledger must contain and no desk has confirmed. Messages contain phone numbers and names of people,
so no process logs a whole message, except an `Alarm`.
"""

from __future__ import annotations

import math
from functools import cache
from importlib.metadata import version
from typing import Literal, Self, TypeAlias

import msgspec

from recording.archive.disposal import AppliedRule
from recording.archive.summary import RecordingSummary

Role: TypeAlias = Literal["desk", "finaliser", "command"]
RecordingStateName: TypeAlias = Literal[
    "not_started", "recording", "paused", "ceased", "fault", "ended"
]
CallStateName: TypeAlias = Literal["ringing", "answered", "held", "ended"]
Unanswered: TypeAlias = Literal["", "cancelled", "refused", "no_answer"]


@cache
def own_version() -> str:
    """Return the version of this process.

    The first call must be at the start of the process, because an upgrade changes what is
    installed. Later calls return the same version.
    """
    return version("galwad")


class LinkMessage(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=False):
    """The base class of all messages.

    In an encoded message, the field `type` contains the name of the message's class. If the class
    sets a `tag`, the field contains this tag instead. The tag is the name that the class had in the
    first release. The tag must not change, because processes of two releases exchange messages
    during an upgrade.
    """


class CallerFacts(msgspec.Struct, frozen=True):
    """The facts about the caller in a SIP message, before the caller is looked up.

    Normally, this message is the caller's INVITE. If a trusted trunk names another caller during
    the call, this message is the one with the new name.

    `from_user` and `from_host` are the user part and the host of the INVITE's From URI. For a later
    caller, they are "" unless this caller is anonymous. `asserted` are the user parts in
    P-Asserted-Identity, in their order. If a later message has no such header field, `asserted` has
    the new name. `privacy` are the values of the Privacy header field (RFC 3323), in lower case;
    "id" may be from Remote-Party-ID. `trusted` says whether Galwad believes the asserted identities
    (RFC 3325).
    """

    from_user: str
    from_host: str
    asserted: tuple[str, ...] = ()
    privacy: tuple[str, ...] = ()
    trusted: bool = False


class Party(msgspec.Struct, frozen=True):
    """A phone, or another party at the advisor's end of a call, and the user to whom it belongs.

    `user` is "" if the phone belongs to no user, or if the user is not known. `extension` is "" if
    a user behind a PBX is known, but not the phone. For a party outside, it is the party's number.
    """

    extension: str
    user: str = ""


class ActState(msgspec.Struct, frozen=True):
    """An act that the call's advisor can ask for on the page, such as "hold".

    `refused` is the reason why the act is not possible now; "" if it is possible.
    """

    act: str
    refused: str = ""


class CallStatus(msgspec.Struct, frozen=True):
    """The whole state of one live call.

    While the same switch process runs, each newer state of a call has a higher `version`.
    `started` is the start of the call. `since` is the time of the answer, or `started` before the
    answer. `recording_since` is the start of the present state in `recording`. These times are in
    Unix seconds.

    `callers` is the number of callers that the call has had until now, and `caller` the present
    caller. `ringing` are the parties that ring now. `advisor` is the party that has the call at the
    advisor's end, or None before the answer. In an outgoing call, that is the called party. If a
    PBX has answered without naming a user, `group` lists the advisors who may have the call.
    `outgoing` is True if one of our phones has made the call, or if it is a consultation of an
    advisor at a PBX.

    `holders` are the pause holders. `durable` is False if the disk did not confirm the most recent
    pause or resume in time. `recorded` is False for a call that is not to be recorded, such as a
    consultation.

    `transfers` is the number of complete transfers. A new party that a PBX has named counts too.
    `destination` is the class of the most recent complete transfer's destination, such as
    "department", or "". `transferring` is the class of the destination that rings now because of a
    transfer, or "". `transfers_begun` is the number of transfers that have begun to ring a target.
    `transfer_failed` is the SIP status of the most recent transfer if it failed; otherwise 0.

    `acts` are the acts of the page that the switch knows for this call's advisor (`PhoneAct`).
    `acts` is empty while no party talks with the caller, or if the switch is of the first release.
    `answerable` are the ringing phones that the switch can ask to answer the call.
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
    callers: int = 1
    recorded: bool = True
    outgoing: bool = False
    transfers: int = 0
    destination: str = ""
    transferring: str = ""
    transfers_begun: int = 0
    transfer_failed: int = 0
    acts: tuple[ActState, ...] = ()
    answerable: tuple[Party, ...] = ()


class Hello(LinkMessage, frozen=True):
    """The first message that a client sends on `switch.sock` or `desk.sock`.

    `role` says which kind of process the client is: a desk, a finaliser or a `galwad` command. When
    a finaliser sends its `Hello` to the switch, the switch sends the same `Hello` back. From then
    on, the switch notifies the finaliser of each closed spool.

    During an upgrade, processes of two versions talk with each other for a while. They exchange
    only the messages that the first release knew, such as messages about calls and pauses.
    """

    role: Role
    version: str

    @classmethod
    def of(cls, role: Role) -> Self:
        """Return the `Hello` of this process."""
        return cls(role, own_version())


class CallsSnapshot(LinkMessage, frozen=True, tag="Snapshot"):
    """From the switch to a desk that has just connected: the states of all live calls.

    `version` is the version of the switch, as in `Hello`; the first release leaves it empty.
    """

    calls: tuple[CallStatus, ...]
    version: str = ""


class CallChanged(LinkMessage, frozen=True):
    """From the switch to the desk: the state of a call that is new or has changed."""

    call: CallStatus


class CallEnded(LinkMessage, frozen=True):
    """From the switch to the desk: a call has ended, or another call continues in its place.

    `ended` is the time of the call's end in Unix seconds. `answered` is true if the call was
    answered and recorded. `talk_us` is the talk time in microseconds by the monotonic clock;
    None if it is not known. `since` is the time of the answer in Unix seconds. If `since` is 0, the
    desk computes this time from `ended` and `talk_us`.

    `for_ledger` is true if the call was answered and had to be recorded, even if the recording
    failed. The switch then repeats the message to each desk that connects, until `LedgerHas`.

    `unanswered` says how a call ended that was not answered: the caller hung up ("cancelled"), the
    party at the advisor's end was busy or declined ("refused"), or no party answered ("no_answer").

    `lost_fork` is true if the call was answered, and its caller at once talked with a party of
    another call (see `is_lost_fork` in `galwad.switch.call.pbx`). This call counts as not answered.
    """

    call_id: str
    ended: float
    answered: bool
    talk_us: int | None = None
    since: float = 0.0
    for_ledger: bool = msgspec.field(name="owed", default=False)
    unanswered: Unanswered = ""
    lost_fork: bool = False


class LedgerHas(LinkMessage, frozen=True, tag="Entered"):
    """From the desk to the switch: the desk's ledger now contains these ended calls."""

    call_ids: tuple[str, ...]


class Alarm(LinkMessage, frozen=True):
    """From the switch or the finaliser to the desk: an event that a person must know about.

    The desk also uses this class for its own alarms. `kind` is the name of the event. `call_id` is
    None if the alarm is not about a certain call.
    """

    kind: str
    call_id: str | None = None
    detail: str = ""


class PeerStatus(msgspec.Struct, frozen=True):
    """The state of a peer that the switch monitors.

    If `asked_by` is "options", `up` says whether the peer answers OPTIONS. If `asked_by` is
    "register", `up` says whether the peer accepts our registration. `name` is a trunk's name, the
    peer's address, or both. `name` is never a phone number.
    """

    name: str
    asked_by: Literal["options", "register"]
    up: bool


class Figures(LinkMessage, frozen=True):
    """From the switch to the desk, every few seconds: the load, and counts of errors.

    A `galwad` command that connects gets the latest `Figures` too.

    `calls` is the number of live calls, and `phones` the number of registered bindings.
    `loop_lag_ms` is the longest delay of the event loop since the previous `Figures`, in ms.
    `sources_banned` is the number of sources that are banned now. `peers` are the states of the
    peers to which the switch sends OPTIONS or REGISTER, as set in the settings. `naming` says for
    trusted trunks whether they name the parties that answer. A trunk is left out while this is
    uncertain. `emergency_route` is true if an emergency call of a phone can leave the centre now,
    or if the settings have no emergency numbers. Since the process started, these are counted:

    - `media_refused`: how often an unexpected sender began to send media to one of our ports, or a
      sender began to send media that is not authentic;
    - `sip_dropped`: received messages that had no effect, such as keep-alives and malformed ones;
    - `faults`: unexpected exceptions while SIP messages and timers were handled;
    - `calls_refused`: calls refused because of overload;
    - `sip_shed`: messages and connections refused because their source sends too much or is banned,
      and datagrams dropped because there was too much work.
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
    naming: dict[str, bool] = {}
    emergency_route: bool = False


class PhoneCredentials(msgspec.Struct, frozen=True):
    """The SIP credentials of one phone.

    `ha1_md5` and `ha1_sha256` are digest HA1 values (RFC 7616).
    """

    extension: str
    user: str = ""
    ha1_md5: str = ""
    ha1_sha256: str = ""


class SetPhones(LinkMessage, frozen=True):
    """From the desk to the switch: all phone accounts that the desk manages.

    The phones with these accounts may register, and the switch may ring them. The accounts replace
    all accounts that the desk sent before.
    """

    accounts: tuple[PhoneCredentials, ...]


class SetAway(LinkMessage, frozen=True):
    """From the desk to the switch: the names of all users who are on a break or in wrap-up.

    A route with `skip_away` rings their phones last. The users replace all users that the desk sent
    before.
    """

    users: tuple[str, ...]


class RegisteredPhone(msgspec.Struct, frozen=True):
    """The number of devices that are registered for an extension; 0 if there is none any more."""

    party: Party
    devices: int


class PhonesRegistered(LinkMessage, frozen=True):
    """From the switch to the desk: how many devices are registered for extensions.

    If `complete` is true, no other extension has a registered device. Otherwise `phones` has only
    the extensions whose number has changed.
    """

    phones: tuple[RegisteredPhone, ...]
    complete: bool = False


class HolderRequest(LinkMessage, frozen=True):
    """From the desk to the switch: a request of a pause holder for one or more calls.

    Exactly one of `call_id`, `extension` and `user` says for which calls: one call, the calls of a
    phone, or the calls of a user. `trigger` says whether the page or the API sent the request.
    `actor` names the user or system that sent it, such as `user:anna`, and is written to the
    manifest.
    """

    ref: int
    holder: str
    trigger: Literal["page", "api"]
    actor: str
    call_id: str = ""
    extension: str = ""
    user: str = ""


class Pause(HolderRequest, frozen=True, tag="Hold"):
    """The holder pauses the recording of the calls, until a `Resume` with the same holder.

    `arrived_mono` is the time at which the desk received the request, in seconds of the machine's
    monotonic clock; 0 means the time at which the switch reads this message.
    """

    arrived_mono: float = 0.0


class Resume(HolderRequest, frozen=True, tag="Release"):
    """The pause of `holder` ends."""


class ClaimCall(LinkMessage, frozen=True, tag="Take"):
    """From the desk to the switch: `advisor` is the advisor who has the call.

    The switch does not know the advisor if a PBX answered the call without naming a user. `advisor`
    must be in the call's `group`.
    """

    call_id: str
    advisor: Party


class PauseReply(LinkMessage, frozen=True, tag="HoldReply"):
    """From the switch to the desk: the result of the `Pause` or `Resume` with the same `ref`.

    `calls` lists the calls that the request meant; it is empty if there was none. `state` is
    the recording state of the last call in `calls` that must be recorded. If no call must be
    recorded, `state` is that of the last call. `durable` is False if the disk did not confirm the
    change in time: within 250 ms for a pause, within 5 s for a resume.
    """

    ref: int
    calls: tuple[str, ...]
    state: RecordingStateName
    durable: bool


class PhoneAct(LinkMessage, frozen=True):
    """From the desk to the switch: carry out an act of the page on a call.

    `act` is "answer", "hold", "resume", "hangup" or "transfer". `user` and `extension` name the
    person who asks. The switch refuses the act if it is not possible now, or if the call neither
    belongs to this person nor rings for this person. `number` is the number or destination of a
    transfer. `actor` names the person as the manifest does, such as `user:anna`.
    """

    ref: int
    call_id: str
    act: str
    user: str
    extension: str
    actor: str
    number: str = ""


class DialNumber(LinkMessage, frozen=True):
    """From the desk to the switch: ring the phone of a user, then call a number for this phone.

    The phone `extension` must belong to `user`. The number gets the route that it would get if the
    phone had dialled it. If `answers_itself` is true, the phone is asked to answer without ringing.
    """

    ref: int
    user: str
    extension: str
    number: str
    answers_itself: bool = False


class PhoneReply(LinkMessage, frozen=True):
    """From the switch to the desk: the result of the request with the same `ref`.

    The request is a `PhoneAct` or a `DialNumber`. `refused` is the reason why the request failed;
    "" if the act has begun.
    """

    ref: int
    refused: str = ""


class SpoolClosed(LinkMessage, frozen=True):
    """From the switch to the finaliser: the spools of this call are complete.

    The switch will not write to these spools any more.
    """

    call_id: str


class Sealed(RecordingSummary, LinkMessage, frozen=True):
    """From the finaliser to the desk: a recording is complete in the archive.

    The personal fields, such as the phone number, are read from the spool. So the index is complete
    even if the desk was not running during the call. If the personal fields cannot be decrypted,
    they are empty and `personal` is False; the index then keeps the values that it has. `undecoded`
    is the number of packets that could not be decoded. `recovered` lists the life numbers of the
    spools that were opened with a key from an officer.
    """

    personal: bool = True
    undecoded: int = 0
    recovered: tuple[int, ...] = ()


class WaitingSpool(msgspec.Struct, frozen=True):
    """A file in a spool folder that still waits to be sealed, or to be removed after sealing.

    `since` is the time of the file's most recent change, in Unix seconds. `call_id` is "" if `name`
    is not the file name of a spool. `why` is the `kind` of an alarm about the call, such as one
    about failed sealing; "" if there was no alarm.
    """

    name: str
    call_id: str
    since: float
    why: str = ""


class WaitingSpools(LinkMessage, frozen=True, tag="SpoolsLeft"):
    """From the finaliser to the desk: files that have waited in spool folders for 5 minutes."""

    spools: tuple[WaitingSpool, ...]


class Indexed(LinkMessage, frozen=True):
    """From the desk to the finaliser: the call's spools can be removed.

    The spools are not needed any more, because the recording's index row is committed to the
    database.
    """

    call_id: str


class StageHeader(LinkMessage, frozen=True):
    """From the desk to the finaliser: store a new header and its signed record.

    The header belongs to the recording of `call_id`. The officer has signed the record, which
    describes the header. The new header and its record are stored beside the present ones. Until
    `CommitHeader`, the present header and its record stay in force.
    """

    ref: int
    call_id: str
    payload_sha256: str
    header: bytes
    record: bytes


class CommitHeader(LinkMessage, frozen=True):
    """From the desk to the finaliser: put the new header with this digest into force.

    An earlier `StageHeader` has stored this header.
    """

    ref: int
    call_id: str
    payload_sha256: str
    header_sha256: str


class Dispose(LinkMessage, frozen=True):
    """From the desk to the finaliser: certify the disposal of a recording and destroy its header.

    `reason` is why the recording is disposed of. The audit chain has an entry about the disposal:
    `audit_node`, `audit_seq` and `audit_hash` are this entry's node, number and hash. `rule` is the
    rule of retention that orders the disposal, None if a person does. The certificate contains
    `reason`, `actor`, these three values and the rule. The order is valid until `until`, in seconds
    of the monotonic clock, which all processes of the machine share.
    """

    ref: int
    call_id: str
    payload_sha256: str
    reason: str
    actor: str
    audit_node: str
    audit_seq: int
    audit_hash: str
    rule: AppliedRule | None = None
    until: float = math.inf


class VerifyRecording(LinkMessage, frozen=True, tag="Prove"):
    """From the desk to the finaliser: check that a recording is complete and its signer is known.

    The signing key of the recording must be the node's own key or one of `node_keys`. If the
    recording has received a new header, the signing key of the new header must be the officer key
    in the settings or one of `officer_keys`. All keys are public keys in base64. The field
    `content` of the reply is an encoded `VerifiedRecording`.
    """

    ref: int
    call_id: str
    node_keys: tuple[str, ...] = ()
    officer_keys: tuple[str, ...] = ()


class VerifiedRecording(msgspec.Struct, frozen=True):
    """The facts for a recording's index row, read from the recording's files.

    If the desk has lost its database, it can write the index row again from these facts. In
    `sealed`, the personal fields are empty and `personal` is False, because only a spool contains
    these fields. `node_key` is the key that signed the manifest. `disposed` and `disposal` come
    from the disposal certificate. `disposed` is the time of the disposal in Unix seconds, or 0 if
    the recording is not disposed of. `disposal` is the reason for the disposal.
    """

    sealed: Sealed
    node_key: str
    disposed: float = 0.0
    disposal: str = ""


class ProveSpools(LinkMessage, frozen=True):
    """From the desk to the finaliser: check the spools that are not sealed, even of live calls.

    The field `content` of the reply is an encoded tuple of `SpoolProof`, for the calls with
    findings.
    """

    ref: int


class ArchiveReply(LinkMessage, frozen=True):
    """From the finaliser to the desk: the result of the request with the same `ref`.

    `error` is empty if the request was carried out. `content` has the data for which the request
    asked; it is empty if the request asked for no data.
    """

    ref: int
    error: str = ""
    content: bytes = b""


class UsersChanged(LinkMessage, frozen=True):
    """From a `galwad` command to the desk: the users have changed.

    The desk reads the users again, and sends the phone accounts to the switch.
    """


AnyMessage: TypeAlias = (
    Hello
    | CallsSnapshot
    | CallChanged
    | CallEnded
    | LedgerHas
    | Alarm
    | Figures
    | SetPhones
    | SetAway
    | PhonesRegistered
    | ClaimCall
    | Pause
    | Resume
    | PauseReply
    | PhoneAct
    | DialNumber
    | PhoneReply
    | SpoolClosed
    | Sealed
    | WaitingSpools
    | Indexed
    | StageHeader
    | CommitHeader
    | Dispose
    | VerifyRecording
    | ProveSpools
    | ArchiveReply
    | UsersChanged
)
