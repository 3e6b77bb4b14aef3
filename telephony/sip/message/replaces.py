"""The Replaces header (RFC 3891): it names the dialog that a new dialog replaces."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.errors import SipParseError
from telephony.sip.message.grammar import is_token


@dataclass(frozen=True, slots=True)
class Replaces:
    """One Replaces value, from the point of view of its receiver."""

    call_id: str
    to_tag: str
    """The receiver's own tag in the dialog; `0` means no tag (RFC 2543)."""
    from_tag: str
    """The other peer's tag in the dialog."""
    early_only: bool = False
    """If true, the dialog must not be replaced once it is confirmed."""

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """Parse a header's value.

        Raises:
            SipParseError: The Call-ID is missing, or a tag is missing or occurs twice.
        """
        call_id, *parameters = (part.strip() for part in text.split(";"))
        found: dict[str, str] = {}
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if (key := name.strip().lower()) in found:
                raise SipParseError("a Replaces parameter is there twice")
            found[key] = value.strip()
        tags = found.get("to-tag", ""), found.get("from-tag", "")
        if not call_id or any(c.isspace() for c in call_id) or not all(map(is_token, tags)):
            raise SipParseError("Replaces wants a Call-ID, a to-tag and a from-tag")
        return cls(call_id, *tags, early_only="early-only" in found)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"
