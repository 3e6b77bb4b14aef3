"""The values that are written to a spool and read from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

Field = None | bool | int | float | str | bytes | Sequence["Field"] | Mapping[str, "Field"]
"""The value of an event's field: anything that msgpack can encode."""


@dataclass(frozen=True, slots=True)
class Clock:
    """One instant on both clocks: Unix epoch seconds and monotonic seconds."""

    wall: float
    mono: float

    def at_us(self, mono: float) -> int:
        """Return the µs from this instant to `mono` (monotonic seconds), rounded to the nearest."""
        return int((mono - self.mono) * 1_000_000 + 0.5)


@dataclass(frozen=True, slots=True)
class SpoolHeader:
    """The header of a spool, which is not encrypted. It has no personal data."""

    call_id: str
    life: int
    """The number of this spool among the call's spools, from 1.

    A restart begins a new spool, and so does a disk change.
    """
    spool_id: bytes
    """16 random bytes."""
    started_wall_us: int
    """Offset 0 in Unix epoch microseconds."""
    lookback_us: int
    boot_wrapped: bytes
    """The spool key, encrypted under the boot key (`recording.spool.keys.wrap_spool_key`)."""
    recipients_wrapped: bytes
    """The spool key as an age file for the archive's recipients; empty without recipients."""
    key_check: bytes
    """Shows whether a spool key is the right one: made by `recording.spool.keys.key_check`."""
    started_mono_us: int = 0
    """Offset 0 by the machine's monotonic clock; 0 in spools of versions without this field."""

    def us_after(self, first: "SpoolHeader") -> int:
        """Return the microseconds from the start of the `first` life to the start of this one.

        Changes of the wall clock do not matter. All lives of a call belong to one boot, because the
        checkpoint that continues a call is in memory (a tmpfs), so their monotonic clocks agree.
        Without them, the wall clock is used.
        """
        if self.started_mono_us >= first.started_mono_us > 0:
            return self.started_mono_us - first.started_mono_us
        return self.started_wall_us - first.started_wall_us

    def continues(self, last: "SpoolHeader") -> bool:
        """Return whether one process wrote this spool after the `last` one, on another disk."""
        same = self.started_mono_us, self.started_wall_us
        return self.started_mono_us > 0 and same == (last.started_mono_us, last.started_wall_us)


class LossReason(StrEnum):
    """The reason why a part of a spool cannot be read."""

    DAMAGED = "damaged"
    """Bytes were changed, or are missing inside the file."""
    TRUNCATED = "truncated"
    """The file stops inside a frame."""
    UNRELEASED = "unreleased"
    """The key was never published, and the process that held it is gone."""
    ERASED = "erased"
    """The key was destroyed on purpose."""


@dataclass(frozen=True, slots=True)
class PacketRecord:
    """One RTP packet as it arrived."""

    at_us: int
    track: int
    data: bytes


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event of the call, in its place among the packets."""

    at_us: int
    kind: str
    fields: dict[str, Field]


@dataclass(frozen=True, slots=True)
class LostRecord:
    """Frames that cannot be read."""

    first_index: int
    last_index: int
    from_us: int | None
    """The earliest time of the lost media; None if it is unknown."""
    to_us: int | None
    """The latest time of the lost media; None if it is unknown, as at the end of a cut file."""
    why: LossReason


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The end of a spool that was closed properly; a spool without it is interrupted."""

    at_us: int


Record = PacketRecord | EventRecord | LostRecord | EndRecord
