"""A back-to-back user agent (RFC 3261): it connects a caller with one callee at a time.

It has one leg for the caller, joined with at most one of the legs of the callees that were rung. No
I/O, no clock: the application gives each call its endpoint events and the current time (`now`). The
call sends through the `Endpoint`, controls its media through the `MediaPlane`, and reports each
change as a `CallEvent`. `find_call` returns the call of an endpoint event.
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
