"""The first events of a call's further spool: the facts from the last spool that still apply.

A spool whose disk went away is continued in another one (`SpoolOutbox.move`). The new spool must be
readable without the first, in case that is lost; if the first is there, these events must add
nothing. So each event is repeated unchanged, with the time at which it became true.
"""

from collections.abc import Iterator, Mapping

from recording.spool.records import Field

_Fact = tuple[str, Mapping[str, Field], int]
_GAP = ("gap-start", None)


class Preamble:
    """Remembers those events of one call that still apply, and iterates over them in order."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, Field], _Fact] = {}

    def note(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Note an event that was written, and drop the events that no longer apply after it."""
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
