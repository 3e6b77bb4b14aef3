"""A back-to-back user agent: one call as a set of legs, at most one pair of them joined.

No I/O and no clock: endpoint events and `now` go in; requests and responses leave through
the `Endpoint`, media orders through the `MediaPlane`, and `CallEvent`s tell the owner what
happened. `BackToBackCall` is the face of the package.
"""

from telephony.b2bua.call import BackToBackCall
from telephony.b2bua.plane import MediaPlane
from telephony.b2bua.settings import CallSettings, Target

__all__ = ["BackToBackCall", "CallSettings", "MediaPlane", "Target"]
