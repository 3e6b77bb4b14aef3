"""CSeq (RFC 3261 section 20.16): the sequence number of a request, and the request's method."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.grammar import is_token

MAX_NUMBER: Final = 2**31 - 1
"""RFC 3261 section 8.1.1.5 requires a number less than 2**31."""

_CSEQ: Final = re.compile(r"([0-9]{1,12})[ \t]+([A-Za-z0-9\-.!%*_+`'~]+)")


@dataclass(frozen=True, slots=True, order=True)
class CSeq:
    """The CSeq value of a message; `method` is as received (methods are case-sensitive)."""

    number: int
    method: str

    def __post_init__(self) -> None:
        if not 0 <= self.number <= MAX_NUMBER or not is_token(self.method):
            raise ProtocolError("a CSeq is out of range, or its method is not a token")

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Parse a number and a method; raise SipParseError if the text is not a CSeq value."""
        found = _CSEQ.fullmatch(text.strip(" \t"))
        if found is None:
            raise SipParseError("not a CSeq")
        number = int(found[1])
        if number > MAX_NUMBER:
            raise SipParseError("a CSeq number is too large")
        return cls(number, found[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
