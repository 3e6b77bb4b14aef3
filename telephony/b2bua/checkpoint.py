"""The checkpoint of a call: the state that the next process needs to continue or end it.

It has the confirmed dialogs, the session timers, the ids of the joined legs, and both session
descriptions of each leg. Times are monotonic seconds, so it is valid until the machine restarts. It
is stored as simple values under the field names of the classes here. The next process may run
another version: a new field must have a default, and no field may be removed.

It contains phone numbers and, until the call is answered, the SRTP key of a caller with SRTP. So
store it only in memory (the runtime folder), never on a disk. SRTP keys that already encrypt media
are not in it: the next process could not use them, because it does not know how often the RTP
sequence number has wrapped to 0 (RFC 3711 section 3.3.1). It offers new keys instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from telephony.b2bua.core import CallCore
from telephony.b2bua.events import Side
from telephony.b2bua.leg import Leg
from telephony.b2bua.leg_media import LegMedia
from telephony.b2bua.settings import Target
from telephony.b2bua.trust import NO_GRANTS, Grants
from telephony.errors import ProtocolError, TelephonyError
from telephony.sdp import SessionDescription, Srtp
from telephony.sip.dialog import DialogState
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request
from telephony.sip.message.uri import Uri

VERSION = 2
_REASON = (("Reason", 'SIP;cause=500;text="Restarted"'),)
_KEYS = re.compile(rb"(?<=inline:)[A-Za-z0-9+/]+", re.IGNORECASE)
_TEXT = "latin-1"
"""Turns any bytes into text and back without loss."""


class TargetCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Without `Target.others` and `alternatives`, which are needed only until it answers."""

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

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> TargetCheckpoint:
        """Read a checkpoint from the result of `to_values`.

        Raises:
            ProtocolError: The values are not the checkpoint of a target.
        """
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise ProtocolError("not the checkpoint of a target") from error

    def to_values(self) -> dict[str, Any]:
        """Return this checkpoint as a `dict` of simple values that can be stored."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values

    def target(self) -> Target:
        """Return the target that this checkpoint describes.

        Raises:
            SipParseError: The URI or the path cannot be read.
        """
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


class MediaCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The media of a leg. Session descriptions are stored as text without their SRTP keys."""

    origin: tuple[int, int]
    """The session id and the version in our o= line."""
    host: str
    port: int
    srtp: Srtp
    protected: bool
    """True if we and the leg's peer have agreed on SRTP."""
    said: str | None
    ours: str | None
    theirs: str | None
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
            said=session_to_text(media.last_sent),
            ours=session_to_text(media.local_description),
            theirs=session_to_text(media.remote_description),
            holding=media.holds_other,
        )


class LegCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint of a leg whose dialog is confirmed."""

    leg_id: str
    side: Side
    dialog: dict[str, Any] | None
    """Never None: the leg's dialog is confirmed. The type follows that of `Leg.dialog`."""
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
    """The SRTP keys in its body are replaced by zeros."""
    max_forwards: int
    serial: int
    """The id of the newest REFER in this call."""
    accepted: bool
    """True if a REFER was accepted and its transfer has not ended yet."""
    event: str | None
    """The Event header field of the final NOTIFY; None if no NOTIFY is to be sent."""
    recall: TargetCheckpoint | None
    """The target to ring again if the transfer fails; None if there is none."""


class CallCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint of a whole call."""

    version: int
    call_id: str
    legs: tuple[LegCheckpoint, ...]
    partner: str | None
    """The id of the callee leg that is joined with the caller; None if none is."""
    invite: dict[str, Any] | None = None
    """`InviteServer.checkpoint` while the caller waits; None after our final response."""
    branches: tuple[dict[str, Any], ...] = ()
    """`InviteClient.checkpoint` of each of our INVITEs without a final response."""
    transfers: TransferCheckpoint
    owner_holds: bool | msgspec.UnsetType = msgspec.UNSET
    """True if the call's owner holds the call; unset if not."""

    @classmethod
    def of(cls, core: CallCore, transfers: TransferCheckpoint) -> CallCheckpoint:
        """Return the checkpoint of a call from its state `core` and its transfer state."""
        live = [leg for leg in core.legs.values() if _confirmed(leg)]
        ringing = bool(core.legs) and core.caller.alive and not core.caller.talking
        invite = core.caller.server_invite if ringing else None
        rung = [leg.client_invite for leg in core.legs.values() if leg.alive and not leg.talking]
        return cls(
            version=VERSION,
            call_id=core.call_id,
            legs=tuple(map(LegCheckpoint.of, live)),
            partner=core.callee.id if core.callee in live and core.callee else None,
            invite=invite.checkpoint() if invite is not None else None,
            branches=tuple(client.checkpoint() for client in rung if client is not None),
            transfers=transfers,
            owner_holds=core.owner_holds or msgspec.UNSET,
        )

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> CallCheckpoint:
        """Read a checkpoint from the result of `to_values`.

        Raises:
            ProtocolError: The values are not a checkpoint, or not of the version `VERSION`.
        """
        try:
            checkpoint = msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise ProtocolError("not the checkpoint of a call") from error
        if checkpoint.version != VERSION:
            raise ProtocolError("a checkpoint of another version")
        return checkpoint

    def to_values(self) -> dict[str, Any]:
        """Return this checkpoint as a `dict` of simple values that can be stored."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values


def _confirmed(leg: Leg) -> bool:
    dialog = leg.dialog
    return dialog is not None and dialog.state is DialogState.CONFIRMED and leg.talking


def bye_from_checkpoint(endpoint: Endpoint, data: Mapping[str, Any], now: float) -> int:
    """Send a BYE on every leg whose dialog can be restored; return their number."""
    legs = data.get("legs") if data.get("version") == VERSION else None
    dialogs = (
        leg.get("dialog") if isinstance(leg, dict) else None
        for leg in (legs if isinstance(legs, list) else ())
    )
    return bye_in_dialogs(endpoint, dialogs, now)


def bye_in_dialogs(
    endpoint: Endpoint, dialogs: Iterable[object], now: float, *, skipped: int = 0
) -> int:
    """Send a BYE in each dialog that can be restored (`Dialog.checkpoint`); return their number.

    `skipped` CSeq numbers are left out, because requests may have been sent since the checkpoint:
    the peer refuses a CSeq that is not higher than the one before (RFC 3261 section 12.2.2).
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


def session_to_text(session: SessionDescription | None) -> str | None:
    """Return a session description as text, with each SRTP key replaced by zeros; None for None."""
    return _blanked(bytes(session)).decode(_TEXT) if session is not None else None


def session_from_text(text: str | None) -> SessionDescription | None:
    """Return the session description of `session_to_text`; None for None.

    Raises:
        SdpParseError: The text is not a session description.
        UnicodeEncodeError: The text has characters outside Latin-1.
    """
    return None if text is None else SessionDescription.parse(text.encode(_TEXT))


def request_to_text(request: Request) -> str:
    """Return a request as text; the SRTP keys in its body are replaced by zeros."""
    bare = Request(request.method, request.uri, request.headers, _blanked(request.body))
    return bytes(bare).decode(_TEXT)


def _blanked(body: bytes) -> bytes:
    """Replace each character of an SRTP key (RFC 4568 section 6.1) by "A", base64 for 0."""
    if b"inline:" not in body.lower():
        return body
    return _KEYS.sub(lambda key: b"A" * len(key[0]), body)
