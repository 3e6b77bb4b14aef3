"""What a further spool of a call begins with: the facts that were told before and still hold.

A spool whose disk went away is continued in another (`SpoolOutbox.move`). That one must be read
alone if the first is never seen again, and beside the first must say nothing new: so each fact is
told again as it was, with the time at which it became true.
"""

from collections.abc import Iterator, Mapping

from recording.spool_records import Field

_Fact = tuple[str, Mapping[str, Field], int]
_GAP = ("gap-start", None)


class Preamble:
    """Remembers, of the events of one call, those that still hold. Iterates over them in order."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, Field], _Fact] = {}

    def note(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """An event was written."""
        fact = kind, fields, at_us
        match kind:
            case "call":
                self._facts[kind, None] = fact
            case "answered":
                self._facts.setdefault((kind, None), fact)
            case "media":
                self._facts[kind, fields.get("track")] = fact
            case "holder":
                self._facts[kind, fields.get("holder")] = fact
            case "release":
                self._facts.pop(("holder", fields.get("holder")), None)
            case "gap-start":
                self._facts.pop(_GAP, None)
                self._facts[_GAP] = fact
            case "gap-end" | "segment":
                self._facts.pop(_GAP, None)

    def __iter__(self) -> Iterator[_Fact]:
        yield from list(self._facts.values())
