"""A back-to-back user agent (RFC 3261): one call with its legs, of which at most two are joined.

The package does no I/O and reads no clock: endpoint events and the current time (`now`) go in.
Requests and responses leave through the `Endpoint`, and media commands through the `MediaPlane`.
`CallEvent`s report to the owner (the code that uses this package) what happened. `BackToBackCall`
is the main class; `find_call` finds the call that an endpoint event belongs to.
"""

from telephony.b2bua.attempt import decline
from telephony.b2bua.call import BackToBackCall, find_call
from telephony.b2bua.checkpoint import TargetCheckpoint, bye_from_checkpoint
from telephony.b2bua.core import EndCause
from telephony.b2bua.join import JoinPlan, plan_join
from telephony.b2bua.leg import Leg, LegState
from telephony.b2bua.media_plane import MediaPlane, RingbackPlane
from telephony.b2bua.replacement import leg_to_replace
from telephony.b2bua.restore import cancel_branches, replay_invite
from telephony.b2bua.settings import CallSettings, Target

__all__ = [
    "BackToBackCall",
    "CallSettings",
    "EndCause",
    "JoinPlan",
    "Leg",
    "LegState",
    "MediaPlane",
    "RingbackPlane",
    "Target",
    "TargetCheckpoint",
    "bye_from_checkpoint",
    "cancel_branches",
    "decline",
    "find_call",
    "leg_to_replace",
    "plan_join",
    "replay_invite",
]
