"""The Replaces header field (RFC 3891). It identifies the dialog that a new dialog replaces."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.errors import SipParseError
from telephony.sip.message.grammar import is_token


@dataclass(frozen=True, slots=True)
class Replaces:
    """The value of a Replaces header field: the Call-ID and tags of the dialog to replace."""

    call_id: str
    to_tag: str
    """The local tag, as seen by the UA that receives the Replaces; `0` for none (RFC 2543)."""
    from_tag: str
    """The remote tag, as seen by the UA that receives the Replaces."""
    early_only: bool = False
    """True if the dialog must not be replaced after it was confirmed."""

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """Parse the value of a Replaces header field.

        Raises:
            SipParseError: The Call-ID or a tag is missing, or a parameter occurs twice.
        """
        call_id, *parameters = (part.strip() for part in text.split(";"))
        found: dict[str, str] = {}
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if (key := name.strip().lower()) in found:
                raise SipParseError("a Replaces parameter occurs twice")
            found[key] = value.strip()
        tags = found.get("to-tag", ""), found.get("from-tag", "")
        if not call_id or any(c.isspace() for c in call_id) or not all(map(is_token, tags)):
            raise SipParseError("Replaces has no valid Call-ID, to-tag or from-tag")
        return cls(call_id, *tags, early_only="early-only" in found)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"
