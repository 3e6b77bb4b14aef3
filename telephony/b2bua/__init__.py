"""A back-to-back user agent (RFC 3261): it connects a caller with one callee at a time.

A call has one leg for the caller and one for each party that was rung or joined with the caller. A
call does no I/O and reads no clock: the application passes endpoint events and the current time
(`now`) to it. The call sends through the `Endpoint`, controls its media through the `MediaPlane`,
and reports to the application by events (`events.py`). `find_call` returns the call of an event.
"""

from telephony.b2bua.call import BackToBackCall, find_call
from telephony.b2bua.checkpoint import (
    TargetCheckpoint,
    bye_from_checkpoint,
    bye_in_dialogs,
    cancel_branches,
    replay_invite,
)
from telephony.b2bua.core import EndCause, decline
from telephony.b2bua.join import JoinPlan, leg_to_replace, plan_join
from telephony.b2bua.leg import Leg, LegState
from telephony.b2bua.leg_media import MediaPlane, RingbackPlane
from telephony.b2bua.placed import CallerInvite
from telephony.b2bua.settings import (
    NO_GRANTS,
    CallSettings,
    Grants,
    LaterTargets,
    SessionInterval,
    Target,
)

__all__ = [
    "NO_GRANTS",
    "BackToBackCall",
    "CallSettings",
    "CallerInvite",
    "EndCause",
    "Grants",
    "JoinPlan",
    "LaterTargets",
    "Leg",
    "LegState",
    "MediaPlane",
    "RingbackPlane",
    "SessionInterval",
    "Target",
    "TargetCheckpoint",
    "bye_from_checkpoint",
    "bye_in_dialogs",
    "cancel_branches",
    "decline",
    "find_call",
    "leg_to_replace",
    "plan_join",
    "replay_invite",
]
