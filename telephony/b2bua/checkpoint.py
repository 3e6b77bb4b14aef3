"""The state of a call that the next process needs to continue the call, or to end it.

A checkpoint holds a call's confirmed dialogs, the descriptions that each peer and
we have sent, the session timers, and which legs are joined. Times are monotonic seconds, so they
are valid only until the machine restarts. A checkpoint is stored in plain values (`dict`, `list`,
`str` and so on), under the names of the fields of these classes. The next process may be of another
version, so a field is only ever added, with a default.

It holds phone numbers and, while a caller with SRTP waits for an answer, the caller's key. Keep it
in memory (the runtime folder), never on a disk. Keys in use are not in it: after the end of the
process it is unknown how often an SRTP sequence number has wrapped (RFC 3711 3.3.1), so those legs
are offered new keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from telephony.b2bua.core import CallCore
from telephony.b2bua.events import Side
from telephony.b2bua.leg import Leg
from telephony.b2bua.leg_media import LegMedia
from telephony.b2bua.settings import Target
from telephony.errors import ProtocolError, TelephonyError
from telephony.sdp import SessionDescription, Srtp
from telephony.sip.dialog.dialog import DialogState
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address
from telephony.sip.message.headers import NameAddr
from telephony.sip.message.messages import Request
from telephony.sip.message.uri import Uri

VERSION = 2
_REASON = (("Reason", 'SIP;cause=500;text="Restarted"'),)
_KEYS = re.compile(rb"(?<=inline:)[A-Za-z0-9+/]+", re.IGNORECASE)
_TEXT = "latin-1"
"""The encoding that turns any bytes into text and back."""


class TargetCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A `Target`, without the further addresses that are only tried while it is rung."""

    uri: str
    destination: Address
    name: str
    user: str
    trust: bool
    is_phone: bool = msgspec.field(name="pinned")
    srtp: Srtp
    path: tuple[str, ...] = ()

    @classmethod
    def of(cls, target: Target) -> TargetCheckpoint:
        """Return the target's checkpoint."""
        return cls(
            uri=str(target.uri),
            destination=target.destination,
            name=target.name,
            user=target.user,
            trust=target.trust,
            is_phone=target.is_phone,
            srtp=target.srtp,
            path=tuple(map(str, target.path)),
        )

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> TargetCheckpoint:
        """Read a target from the plain values that `to_values` returned.

        Raises:
            ProtocolError: This is not a target.
        """
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise ProtocolError("not the checkpoint of a target") from error

    def to_values(self) -> dict[str, Any]:
        """Return the target in plain values."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values

    def target(self) -> Target:
        """Return the target.

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
        )


class MediaCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The media of a leg; descriptions are text with their SRTP keys blanked."""

    origin: tuple[int, int]
    """The session id and the version of our o= line."""
    host: str
    port: int
    srtp: Srtp
    protected: bool
    """True if the leg has agreed on SRTP."""
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
    """A leg with a confirmed dialog."""

    leg_id: str
    side: Side
    dialog: dict[str, Any] | None
    """The values of `Dialog.checkpoint`."""
    target: TargetCheckpoint | None
    media: MediaCheckpoint
    timer: tuple[int, bool, float] | None
    """The fields of the `SessionTimer`."""
    min_se: int
    allow: tuple[str, ...]
    identity: tuple[str, str] | None

    @classmethod
    def of(cls, leg: Leg) -> LegCheckpoint:
        """Return the leg's checkpoint."""
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
    """The caller's INVITE and the transfer in progress."""

    request: str
    """The caller's INVITE, with the SRTP keys in its body blanked."""
    max_forwards: int
    serial: int
    """The id of the last REFER."""
    accepted: bool
    """True if a transfer was in progress."""
    event: str | None
    """The Event header of that transfer's NOTIFYs; None if none is to be sent."""
    recall: TargetCheckpoint | None
    """The target to ring again if the transfer fails, or None."""


class CallCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a call."""

    version: int
    call_id: str
    legs: tuple[LegCheckpoint, ...]
    partner: str | None
    """The id of the callee leg that is joined with the caller, or None."""
    invite: dict[str, Any] | None = None
    """The values of `InviteServer.checkpoint` while the caller waits for an answer."""
    branches: tuple[dict[str, Any], ...] = ()
    """The values of `InviteClient.checkpoint` for each INVITE without a final response."""
    transfers: TransferCheckpoint

    @classmethod
    def of(cls, core: CallCore, transfers: TransferCheckpoint) -> CallCheckpoint:
        """Return the checkpoint of a call."""
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
        )

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> CallCheckpoint:
        """Read a checkpoint from the plain values that `to_values` returned.

        Raises:
            ProtocolError: This is not a checkpoint, or one of another version.
        """
        try:
            checkpoint = msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise ProtocolError("not the checkpoint of a call") from error
        if checkpoint.version != VERSION:
            raise ProtocolError("a checkpoint of another version")
        return checkpoint

    def to_values(self) -> dict[str, Any]:
        """Return the checkpoint in plain values."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values


def _confirmed(leg: Leg) -> bool:
    dialog = leg.dialog
    return dialog is not None and dialog.state is DialogState.CONFIRMED and leg.talking


def bye_from_checkpoint(endpoint: Endpoint, data: Mapping[str, Any], now: float) -> int:
    """Hang up every leg of a call in a checkpoint; skip legs that cannot be restored.

    Returns:
        The number of legs that got a BYE.
    """
    sent = 0
    legs = data.get("legs") if data.get("version") == VERSION else None
    for leg in legs if isinstance(legs, list) else ():
        try:
            endpoint.restore_dialog(leg["dialog"]).request("BYE", headers=_REASON, now=now)
        except (TelephonyError, KeyError, TypeError):
            continue
        sent += 1
    return sent


def session_to_text(session: SessionDescription | None) -> str | None:
    """Return a description as text with its SRTP keys blanked; None for None."""
    return _blanked(bytes(session)).decode(_TEXT) if session is not None else None


def session_from_text(text: str | None) -> SessionDescription | None:
    """Return the description that `session_to_text` made into text; None for None.

    Raises:
        SdpParseError: The text is not a description.
        UnicodeEncodeError: It has characters that no description can have.
    """
    return None if text is None else SessionDescription.parse(text.encode(_TEXT))


def request_to_text(request: Request) -> str:
    """Return a request as text, with the SRTP keys in its body blanked."""
    bare = Request(request.method, request.uri, request.headers, _blanked(request.body))
    return bytes(bare).decode(_TEXT)


def _blanked(body: bytes) -> bytes:
    """Replace each SRTP key (RFC 4568 6.1) by zeros in base64, of the same length."""
    if b"inline:" not in body.lower():
        return body
    return _KEYS.sub(lambda key: b"A" * len(key[0]), body)
