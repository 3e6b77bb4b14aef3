"""The values RSeq and RAck, and the option tag 100rel (RFC 3262 section 7).

RSeq numbers a reliable provisional response, and the RAck of its PRACK contains that number. The
behaviour is not in this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.cseq import CSeq
from telephony.sip.message.messages import Request, Response

RELIABLE: Final = "100rel"
MAX_FIRST: Final = 2**31 - 1
"""The largest RSeq of a request's first reliable response; later ones go to `MAX_RSEQ`."""
MAX_RSEQ: Final = 2**32 - 1

_RSEQ: Final = re.compile(r"[0-9]{1,10}")
_RACK: Final = re.compile(r"([0-9]{1,10})[ \t]+([^ \t].*)")


@dataclass(frozen=True, slots=True)
class RAck:
    """The RAck of a PRACK: RSeq (1 to 2**32 - 1) and CSeq of the response it acknowledges."""

    rseq: int
    cseq: CSeq

    def __post_init__(self) -> None:
        if not 1 <= self.rseq <= MAX_RSEQ:
            raise ProtocolError("an RSeq is out of range")

    @classmethod
    def parse(cls, text: str) -> RAck:
        """Parse the text of an RAck: an RSeq, a CSeq number and a method.

        Raises:
            SipParseError: The text is not an RAck.
        """
        found = _RACK.fullmatch(text.strip(" \t"))
        if found is None or not 1 <= int(found[1]) <= MAX_RSEQ:
            raise SipParseError("not an RAck")
        return cls(int(found[1]), CSeq.parse(found[2]))

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq}"


def rseq_of(response: Response) -> int | None:
    """Return the RSeq of a reliable provisional response; None for any other response."""
    if not 100 < response.status < 200 or not _names(response, "Require"):
        return None
    text = (response.headers.get("RSeq") or "").strip(" \t")
    number = int(text) if _RSEQ.fullmatch(text) else 0
    return number if 1 <= number <= MAX_RSEQ else None


def requires_reliable(request: Request) -> bool:
    """Return whether the Require of `request` demands that all 1xx except 100 are reliable."""
    return _names(request, "Require")


def takes_reliable(request: Request) -> bool:
    """Return whether the sender supports reliable responses (100rel in Supported or Require)."""
    return _names(request, "Supported") or _names(request, "Require")


def _names(message: Request | Response, header: str) -> bool:
    return any(tag.strip().lower() == RELIABLE for tag in message.headers.get_list(header))
