"""The state of a call that the next process needs to continue the call, or to end it.

A checkpoint holds, in plain values: a call's confirmed dialogs, the descriptions that each peer and
we have sent, the session timers, and which legs are joined. Times are monotonic seconds, so they
are valid only until the machine restarts.

It holds phone numbers and, while a caller with SRTP waits for an answer, the caller's key. Keep it
in memory (the runtime folder), never on a disk. Keys in use are not in it: after the end of the
process it is unknown how often an SRTP sequence number has wrapped (RFC 3711 3.3.1), so those legs
are offered new keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from telephony.b2bua.core import CallCore
from telephony.b2bua.leg import Leg
from telephony.b2bua.leg_media import LegMedia
from telephony.b2bua.settings import Target
from telephony.errors import TelephonyError
from telephony.sdp import SessionDescription, Srtp
from telephony.sip.dialog import DialogState
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address
from telephony.sip.headers import NameAddr
from telephony.sip.message import Request
from telephony.sip.uri import Uri

VERSION = 2
_REASON = (("Reason", 'SIP;cause=500;text="Restarted"'),)
_KEYS = re.compile(rb"(?<=inline:)[A-Za-z0-9+/]+", re.IGNORECASE)
_TEXT = "latin-1"
"""The encoding that turns any bytes into text and back."""


def take(core: CallCore, transfers: dict[str, Any]) -> dict[str, Any]:
    """Return the state that `restore.py` needs; `transfers` is the part of `Transfers`."""
    live = [leg for leg in core.legs.values() if _confirmed(leg)]
    ringing = bool(core.legs) and core.caller.alive and not core.caller.talking
    invite = core.caller.invite if ringing else None
    rung = [leg.client for leg in core.legs.values() if leg.alive and not leg.talking]
    return {
        "version": VERSION,
        "call_id": core.call_id,
        "legs": [_leg(leg) for leg in live],
        "partner": core.callee.id if core.callee in live and core.callee else None,
        "invite": invite.checkpoint() if invite is not None else None,
        "branches": [client.checkpoint() for client in rung if client is not None],
        "transfers": transfers,
    }


def _confirmed(leg: Leg) -> bool:
    dialog = leg.dialog
    return dialog is not None and dialog.state is DialogState.CONFIRMED and leg.talking


def _leg(leg: Leg) -> dict[str, Any]:
    timer = leg.timer
    return {
        "leg_id": leg.id,
        "side": leg.side.value,
        "dialog": leg.dialog.checkpoint() if leg.dialog is not None else None,
        "target": target_to(leg.target),
        "media": _media(leg.media),
        "timer": [timer.interval, timer.we_refresh, timer.started] if timer else None,
        "min_se": leg.min_se,
        "allow": sorted(leg.allow),
        "identity": leg.identity,
    }


def _media(media: LegMedia) -> dict[str, Any]:
    return {
        "origin": [media.origin.session_id, media.origin.version],
        "host": media.local.host,
        "port": media.local.port,
        "srtp": media.local.srtp.value,
        "protected": media.remote is not None and media.remote.keys is not None,
        "said": session_to(media.said),
        "ours": session_to(media.ours),
        "theirs": session_to(media.theirs),
        "holding": media.holding,
    }


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


# --- conversion to plain values and back --------------------------------------------------------


def session_to(session: SessionDescription | None) -> str | None:
    """Return a description as text with its SRTP keys blanked; None for None."""
    return _blanked(bytes(session)).decode(_TEXT) if session is not None else None


def session_from(text: str | None) -> SessionDescription | None:
    """Return the description that `session_to` made into text; None for None.

    Raises:
        SdpParseError: The text is not a description.
    """
    return None if text is None else SessionDescription.parse(text.encode(_TEXT))


def request_to(request: Request) -> str:
    """Return a request as text, with the SRTP keys in its body blanked."""
    bare = Request(request.method, request.uri, request.headers, _blanked(request.body))
    return bytes(bare).decode(_TEXT)


def _blanked(body: bytes) -> bytes:
    """Replace each SRTP key (RFC 4568 6.1) by zeros in base64, of the same length."""
    if b"inline:" not in body.lower():
        return body
    return _KEYS.sub(lambda key: b"A" * len(key[0]), body)


def target_to(target: Target | None) -> dict[str, Any] | None:
    """Return a target in plain values; None for None."""
    if target is None:
        return None
    return {
        "uri": str(target.uri),
        "destination": list(target.destination),
        "name": target.name,
        "user": target.user,
        "trust": target.trust,
        "pinned": target.pinned,
        "srtp": target.srtp.value,
        "path": [str(proxy) for proxy in target.path],
    }


def target_from(data: dict[str, Any] | None) -> Target | None:
    """Return the target that `target_to` made into plain values; None for None.

    Raises:
        ParseError, KeyError, TypeError, ValueError: These are not the values of a target.
    """
    if data is None:
        return None
    return Target(
        uri=Uri.parse(data["uri"]),
        destination=Address(*cast("list[Any]", data["destination"])),
        name=str(data["name"]),
        user=str(data["user"]),
        trust=bool(data["trust"]),
        pinned=bool(data["pinned"]),
        srtp=Srtp(data["srtp"]),
        path=tuple(NameAddr.parse(proxy) for proxy in data.get("path", ())),
    )
