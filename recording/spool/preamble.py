"""The preamble of a call's next spool: copies of the old spool's events that still apply.

When the disk of a spool is gone, the call continues in a new spool (`SpoolOutbox.move`), which must
be readable even if the old one is lost. If it is not lost, these events are read twice, with the
same content and time, which makes no difference.
"""

from collections.abc import Iterator, Mapping

from recording.spool.records import Event, Field

_GAP = ("gap-start", None)


class Preamble:
    """The events with which the next spool of a call must begin."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, Field], Event] = {}

    def note(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Add an event that was written to the spool. Remove events that it ends or replaces."""
        fact = kind, fields, at_us
        match kind:
            case "call":
                self._facts[kind, None] = fact
            case "caller":
                self._facts[kind, at_us] = fact
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

    def __iter__(self) -> Iterator[Event]:
        yield from list(self._facts.values())
