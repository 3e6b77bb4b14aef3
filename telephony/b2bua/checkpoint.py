"""What must outlive the process so that nobody is left in a call that is gone."""

from __future__ import annotations

from typing import Any

from telephony.b2bua.core import CallCore
from telephony.errors import TelephonyError
from telephony.sip.dialog import DialogState
from telephony.sip.endpoint import Endpoint

VERSION = 1
_REASON = (("Reason", 'SIP;cause=500;text="Restarted"'),)


def take(core: CallCore) -> dict[str, Any]:
    """Every confirmed dialog of a call, in plain values. Holds numbers: keep it in memory."""
    legs = [
        {"leg_id": leg.id, "side": leg.side.value, "dialog": leg.dialog.checkpoint()}
        for leg in core.legs.values()
        if leg.dialog is not None and leg.dialog.state is DialogState.CONFIRMED and leg.talking
    ]
    return {"version": VERSION, "call_id": core.call_id, "legs": legs}


def bye_from_checkpoint(endpoint: Endpoint, data: dict[str, Any], now: float) -> int:
    """Hang up every leg of a checkpointed call; legs that cannot be restored are passed over.

    Returns:
        How many got a BYE.
    """
    sent = 0
    for leg in data.get("legs", []) if data.get("version") == VERSION else []:
        try:
            endpoint.restore_dialog(leg["dialog"]).request("BYE", headers=_REASON, now=now)
        except (TelephonyError, KeyError, TypeError):
            continue
        sent += 1
    return sent
