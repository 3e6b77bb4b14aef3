"""The values that go into a spool and come out of it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

Field = None | bool | int | float | str | bytes | Sequence["Field"] | Mapping[str, "Field"]
"""What an event's field may hold: what msgpack can say."""


@dataclass(frozen=True, slots=True)
class Clock:
    """One instant on both clocks: Unix epoch seconds and monotonic seconds."""

    wall: float
    mono: float

    def at_us(self, mono: float) -> int:
        """Microseconds from this instant to `mono` (monotonic seconds), to the nearest."""
        return int((mono - self.mono) * 1_000_000 + 0.5)


@dataclass(frozen=True, slots=True)
class SpoolHeader:
    """What a spool says of itself in the clear. Nothing in it is personal."""

    call_id: str
    life: int
    """From 1: a restart opens a new file, and so does a disk that is gone under the last one."""
    spool_id: bytes
    """16 random bytes."""
    started_wall_us: int
    """Unix epoch microseconds of offset 0."""
    lookback_us: int
    boot_wrapped: bytes
    """The spool key, sealed to the boot key (`spool_keys.wrap_spool_key`)."""
    recipients_wrapped: bytes
    """The spool key, sealed to the archive's recipients (an age file); empty without any."""
    key_check: bytes
    """Tells a wrong spool key from a damaged file."""
    started_mono_us: int = 0
    """Offset 0 by the monotonic clock of its boot; 0 in spools that were written before it was."""

    def later_us(self, first: "SpoolHeader") -> int:
        """How long after another life of its call this one began, whatever the wall clock did.

        The lives of a call are of one boot: what a life leaves to the next lies in memory.
        """
        if self.started_mono_us >= first.started_mono_us > 0:
            return self.started_mono_us - first.started_mono_us
        return self.started_wall_us - first.started_wall_us

    def goes_on_from(self, last: "SpoolHeader") -> bool:
        """Whether the process that wrote the `last` one wrote this, too, on another disk."""
        same = self.started_mono_us, self.started_wall_us
        return self.started_mono_us > 0 and same == (last.started_mono_us, last.started_wall_us)


class LossReason(StrEnum):
    """Why a stretch of a spool cannot be read."""

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
    """Something that happened, in its place among the packets."""

    at_us: int
    kind: str
    fields: dict[str, Field]


@dataclass(frozen=True, slots=True)
class LostRecord:
    """Frames that cannot be read."""

    first_index: int
    last_index: int
    from_us: int | None
    """The earliest that lost media can be; None where nothing tells."""
    to_us: int | None
    """The latest that lost media can be; None where nothing tells (a cut tail)."""
    why: LossReason


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The spool was closed properly; without this record it is interrupted."""

    at_us: int


Record = PacketRecord | EventRecord | LostRecord | EndRecord
