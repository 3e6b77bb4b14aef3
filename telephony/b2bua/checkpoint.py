"""The checkpoint of a call: the state that the next process needs to continue or end it.

It has the legs with a confirmed dialog, their session timers and session descriptions, the INVITEs
without a final response, and the transfer in progress. Times are monotonic seconds, so a checkpoint
is valid until the machine restarts. It is stored as JSON. The next process may run another version:
a new field must have a default, and no field may be removed.

It contains phone numbers and the SRTP keys in the INVITEs without a final response. So store it
only in memory (the runtime folder), never on a disk. All other SRTP keys are left out. The next
process offers new keys, because it does not know how often the RTP sequence number has wrapped to 0
(RFC 3711 section 3.3.1).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import msgspec

from telephony.b2bua.core import CallCore, EndCause
from telephony.b2bua.events import Side
from telephony.b2bua.leg import Leg
from telephony.b2bua.leg_media import LegMedia
from telephony.b2bua.offers import Alignment
from telephony.b2bua.session_timer import SessionTimer
from telephony.b2bua.settings import NO_GRANTS, Grants, Target
from telephony.errors import NoPortsError, ParseError, ProtocolError, TelephonyError
from telephony.sdp import LocalMedia, Origin, SessionDescription, Srtp
from telephony.sip.dialog import DialogState
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, parse_message
from telephony.sip.message.uri import Uri
from telephony.sip.ua.uac import InviteClient
from telephony.sip.ua.uas import InviteServer

VERSION = 2
_REASON = (("Reason", 'SIP;cause=500;text="Restarted"'),)
_KEYS = re.compile(rb"(?<=inline:)[A-Za-z0-9+/]+", re.IGNORECASE)
_TEXT = "latin-1"
"""The encoding by which any bytes become text, and bytes again without loss."""


class TargetCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A target without `others` and `alternatives`, which are not needed after it has answered."""

    uri: str
    destination: Address
    name: str
    user: str
    trust: bool
    is_phone: bool = msgspec.field(name="pinned")
    srtp: Srtp
    path: tuple[str, ...] = ()
    grants: Grants | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, target: Target) -> TargetCheckpoint:
        """Return the checkpoint of `target`."""
        return cls(
            uri=str(target.uri),
            destination=target.destination,
            name=target.name,
            user=target.user,
            trust=target.trust,
            is_phone=target.is_phone,
            srtp=target.srtp,
            path=tuple(map(str, target.path)),
            grants=target.grants if target.grants != NO_GRANTS else msgspec.UNSET,
        )

    def target(self) -> Target:
        """Return the target that this describes; raise SipParseError if it cannot be read."""
        return Target(
            uri=Uri.parse(self.uri),
            destination=self.destination,
            name=self.name,
            user=self.user,
            trust=self.trust,
            is_phone=self.is_phone,
            srtp=self.srtp,
            path=tuple(map(NameAddr.parse, self.path)),
            grants=NO_GRANTS if self.grants is msgspec.UNSET else self.grants,
        )


class SavedSession:
    """A session description; the JSON has its text, with zeros in place of SRTP keys.

    The text is made only when the JSON of a checkpoint is made.
    """

    __slots__ = ("description",)

    def __init__(self, description: SessionDescription) -> None:
        self.description = description

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SavedSession) and self.description is other.description

    __hash__ = None  # type: ignore[assignment]  # as for other values that are compared

    @classmethod
    def of(cls, description: SessionDescription | None) -> SavedSession | None:
        """Return a description for a checkpoint; None for None."""
        return cls(description) if description is not None else None


class SavedInvite:
    """An INVITE without a final response; its values are made only when the JSON is made."""

    __slots__ = ("_request", "invite")

    def __init__(self, invite: InviteServer | InviteClient) -> None:
        self.invite = invite
        self._request = invite.request

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SavedInvite) and self._request is other._request

    __hash__ = None  # type: ignore[assignment]  # as for other values that are compared


class MediaCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The media of a leg."""

    origin: tuple[int, int]
    """The session id and the version in our o= line."""
    host: str
    port: int
    srtp: Srtp
    protected: bool
    """True if we and the leg's peer have agreed on SRTP."""
    said: SavedSession | None
    ours: SavedSession | None
    theirs: SavedSession | None
    holding: bool

    @classmethod
    def of(cls, media: LegMedia) -> MediaCheckpoint:
        """Return the checkpoint of a leg's media."""
        return cls(
            origin=(media.origin.session_id, media.origin.version),
            host=media.local.host,
            port=media.local.port,
            srtp=media.local.srtp,
            protected=media.remote is not None and media.remote.keys is not None,
            said=SavedSession.of(media.last_sent),
            ours=SavedSession.of(media.local_description),
            theirs=SavedSession.of(media.remote_description),
            holding=media.holds_other,
        )


class LegCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint of a leg whose dialog is confirmed."""

    leg_id: str
    side: Side
    dialog: dict[str, Any] | None
    """None only in a damaged checkpoint. The type follows that of `Leg.dialog`."""
    target: TargetCheckpoint | None
    media: MediaCheckpoint
    timer: tuple[int, bool, float] | None
    """The fields `interval`, `we_refresh` and `started` of the leg's `SessionTimer`."""
    min_se: int
    allow: tuple[str, ...]
    identity: tuple[str, str] | None

    @classmethod
    def of(cls, leg: Leg) -> LegCheckpoint:
        """Return the checkpoint of `leg`."""
        timer = leg.timer
        return cls(
            leg_id=leg.id,
            side=leg.side,
            dialog=leg.dialog.checkpoint() if leg.dialog is not None else None,
            target=TargetCheckpoint.of(leg.target) if leg.target is not None else None,
            media=MediaCheckpoint.of(leg.media),
            timer=(timer.interval, timer.we_refresh, timer.started) if timer else None,
            min_se=leg.min_se,
            allow=tuple(sorted(leg.allow)),
            identity=leg.identity,
        )


class TransferCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's INVITE, and the state of the call's transfer, if there is one."""

    request: str
    """The caller's INVITE as text, with zeros in place of the SRTP keys in its body."""
    max_forwards: int
    serial: int
    """The id of the newest transfer in this call; 0 if there was none."""
    accepted: bool
    """True while an accepted transfer is in progress."""
    event: str | None
    """The Event header field of the final NOTIFY; None if no NOTIFY is to be sent."""
    recall: TargetCheckpoint | None
    """The target to ring again if no callee is joined; None if there is none."""


class CallCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint of a whole call."""

    version: int
    call_id: str
    legs: tuple[LegCheckpoint, ...]
    partner: str | None
    """The id of the callee leg that is joined with the caller; None if no callee is joined."""
    invite: Any = None
    """A `SavedInvite` while the caller waits; None after our final response.

    After a restart, this and `branches` have plain values from the JSON, not `SavedInvite`s.
    """
    branches: tuple[Any, ...] = ()
    """A `SavedInvite` for each of our INVITEs without a final response."""
    transfers: TransferCheckpoint
    owner_holds: bool | msgspec.UnsetType = msgspec.UNSET
    """True if the call's owner holds the call; unset if not."""

    @classmethod
    def of(cls, core: CallCore, transfers: TransferCheckpoint) -> CallCheckpoint:
        """Return the checkpoint of a call from its state `core` and its transfer state."""
        live = [leg for leg in core.legs.values() if _confirmed(leg)]
        caller = core.caller if core.legs else None
        waits = caller is not None and caller.alive and not caller.talking
        invite = caller.server_invite if caller is not None and waits else None
        rung = [leg.client_invite for leg in core.legs.values() if leg.alive and not leg.talking]
        return cls(
            version=VERSION,
            call_id=core.call_id,
            legs=tuple(map(LegCheckpoint.of, live)),
            partner=core.callee.id if core.callee in live and core.callee else None,
            invite=SavedInvite(invite) if invite is not None else None,
            branches=tuple(SavedInvite(client) for client in rung if client is not None),
            transfers=transfers,
            owner_holds=core.owner_holds or msgspec.UNSET,
        )

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> CallCheckpoint:
        """Read the fields of `to_json`; raise ProtocolError if invalid or of another `VERSION`."""
        try:
            checkpoint = msgspec.convert(values, cls, dec_hook=_from_json)
        except (msgspec.ValidationError, ParseError) as error:
            raise ProtocolError("not the checkpoint of a call") from error
        if checkpoint.version != VERSION:
            raise ProtocolError("a checkpoint of another version")
        return checkpoint

    def to_json(self) -> bytes:
        """Return this checkpoint as a JSON object."""
        return msgspec.json.encode(self, enc_hook=_to_json)


def _confirmed(leg: Leg) -> bool:
    dialog = leg.dialog
    return dialog is not None and dialog.state is DialogState.CONFIRMED and leg.talking


def bye_from_checkpoint(endpoint: Endpoint, data: Mapping[str, Any], now: float) -> int:
    """Send a BYE on each leg whose dialog can be restored; return the number of BYEs."""
    legs = data.get("legs") if data.get("version") == VERSION else None
    dialogs = (
        leg.get("dialog") if isinstance(leg, dict) else None
        for leg in (legs if isinstance(legs, list) else ())
    )
    return bye_in_dialogs(endpoint, dialogs, now)


def bye_in_dialogs(
    endpoint: Endpoint, dialogs: Iterable[object], now: float, *, skipped: int = 0
) -> int:
    """Send a BYE in each of the dialogs that can be restored; return the number of BYEs.

    `dialogs` are values of `Dialog.checkpoint`. `skipped` CSeq numbers are left out, because
    requests may have been sent since the checkpoint: the peer refuses a CSeq that is not higher
    than the previous (RFC 3261 section 12.2.2).
    """
    sent = 0
    for dialog in dialogs:
        try:
            values = dict(cast("dict[str, Any]", dialog))
            values["local_cseq"] += skipped
            endpoint.restore_dialog(values).request("BYE", headers=_REASON, now=now)
        except (TelephonyError, LookupError, TypeError, ValueError):
            continue
        sent += 1
    return sent


def _to_json(saved: SavedSession | SavedInvite) -> object:
    if isinstance(saved, SavedInvite):
        return saved.invite.checkpoint()
    return _blanked(bytes(saved.description)).decode(_TEXT)


def _from_json(_kind: type, text: object) -> SavedSession:
    """Return the description in a text of `_to_json`; raise SdpParseError or ValueError."""
    if not isinstance(text, str):
        raise ValueError("not a session description")  # noqa: TRY004 - msgspec reports it
    return SavedSession(SessionDescription.parse(text.encode(_TEXT)))


def request_to_text(request: Request) -> str:
    """Return a request as text; the SRTP keys in its body are replaced by zeros."""
    bare = Request(request.method, request.uri, request.headers, _blanked(request.body))
    return bytes(bare).decode(_TEXT)


def _blanked(body: bytes) -> bytes:
    """Replace each character of an SRTP key (RFC 4568 section 6.1) by "A", base64 for 0."""
    if b"inline:" not in body.lower():
        return body
    return _KEYS.sub(lambda key: b"A" * len(key[0]), body)


_DAMAGED = (LookupError, ValueError, ParseError)
"""Errors from a damaged checkpoint, whose values have the right types but cannot be used."""
_NO_CHECKPOINT = "not the checkpoint of a call"


def invite_of(checkpoint: CallCheckpoint) -> Request:
    """Return the caller's INVITE in a checkpoint; raise ProtocolError if it cannot be read."""
    try:
        request = parse_message(checkpoint.transfers.request.encode("latin-1"))
    except _DAMAGED as error:
        raise ProtocolError(_NO_CHECKPOINT) from error
    if not isinstance(request, Request):
        raise ProtocolError(_NO_CHECKPOINT)
    return request


def cancel_branches(endpoint: Endpoint, data: Mapping[str, Any], now: float) -> None:
    """Cancel the INVITEs of a checkpoint that had no final response; skip invalid entries.

    If a 2xx crosses our CANCEL, the endpoint emits an `InviteAnswered` that belongs to no call. The
    application must pass it to `decline`.
    """
    branches = data.get("branches")
    for branch in branches if isinstance(branches, list) else ():
        with contextlib.suppress(ProtocolError, TypeError):
            endpoint.cancel_restored(branch, now=now)


def replay_invite(endpoint: Endpoint, data: Mapping[str, Any], now: float) -> str:
    """Handle the caller's unanswered INVITE as if it arrived now; return its Call-ID.

    Raises `ProtocolError` if the checkpoint has no such INVITE, or if it cannot be read.
    """
    invite = data.get("invite")
    if not isinstance(invite, Mapping):
        raise ProtocolError(_NO_CHECKPOINT)
    return endpoint.restore_invite(invite, now)


def restore(
    core: CallCore,
    alignment: Alignment,
    checkpoint: CallCheckpoint,
    now: float,
    *,
    resume: Callable[[TransferCheckpoint, float], None],
) -> None:
    """Create and join the legs of a call from its checkpoint. After an error, no leg remains.

    Steps that were in progress are lost: an offer without an answer is forgotten, and a transfer
    counts as failed. If the sender of the REFER has already left the call, `resume` plans a recall.

    Raises:
        ProtocolError: The checkpoint is damaged, it has no caller, or we no longer have the local
            address of a dialog.
        NoPortsError: The ports that a leg had before are not available.
    """
    try:
        for leg in checkpoint.legs:
            _restore_leg(core, leg)
        _require_caller(core)
        if checkpoint.partner is not None:
            core.join(core.legs[checkpoint.partner])
            core.set_owner_hold(held=checkpoint.owner_holds is True)
        resume(checkpoint.transfers, now)
    except (*_DAMAGED, TelephonyError) as error:
        core.forget_legs()
        if isinstance(error, ProtocolError | NoPortsError):
            raise
        raise ProtocolError(_NO_CHECKPOINT) from error
    _hang_up_leavers(core, now)
    _offer_new_keys(core, alignment, now)


def _hang_up_leavers(core: CallCore, now: float) -> None:
    """Send a BYE to each callee leg that is not joined with the caller after the restart."""
    for leg in list(core.legs.values()):
        if leg.side is Side.CALLEE and leg is not core.callee:
            core.end_leg(leg, EndCause.TRANSFERRED, now)


def _offer_new_keys(core: CallCore, alignment: Alignment, now: float) -> None:
    """Offer new keys to each joined leg with SRTP, which has no media until they are accepted."""
    callee = core.callee
    if callee is not None:
        for leg, other in ((core.caller, callee), (callee, core.caller)):
            if leg.media.local_description is None:
                alignment.align(leg, other, now)


def _restore_leg(core: CallCore, before: LegCheckpoint) -> None:
    facts = before.media
    srtp = Srtp.REQUIRED if facts.protected else facts.srtp
    origin, ports = Origin(*facts.origin), LocalMedia(facts.host, facts.port)
    target = before.target.target() if before.target is not None else None
    media = LegMedia(core.plane, before.leg_id, origin, srtp, restored=ports)
    leg = core.restore_leg(before.side, target, media)
    leg.timer = SessionTimer(*before.timer) if before.timer is not None else None
    leg.min_se = before.min_se
    leg.allow = frozenset(before.allow)
    leg.identity = before.identity
    if before.dialog is None:
        raise ProtocolError(_NO_CHECKPOINT)
    leg.dialog = core.endpoint.restore_dialog(before.dialog)
    leg.dialog.owner = leg
    _agree(media, facts)
    core.emit_media(leg)


def _require_caller(core: CallCore) -> None:
    if not core.legs or core.caller.side is not Side.CALLER:
        raise ProtocolError("the checkpoint has no caller")


def _agree(media: LegMedia, facts: MediaCheckpoint) -> None:
    ours = facts.ours.description if facts.ours is not None else None
    theirs = facts.theirs.description if facts.theirs is not None else None
    media.last_sent = facts.said.description if facts.said is not None else None
    media.holds_other = facts.holding
    if facts.protected:
        # The SRTP keys in `theirs` are not used, only the codecs. We will send an offer with new
        # keys.
        media.remote_description = theirs
    elif ours is not None and theirs is not None:
        media.agree(ours, theirs)
