"""The values that are written to a spool and read from it: its header and its records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

Field = None | bool | int | float | str | bytes | Sequence["Field"] | Mapping[str, "Field"]
"""A value in an event: any value that msgpack can encode."""
Event = tuple[str, Mapping[str, Field], int]
"""An event to write: its kind, its fields and its offset in µs since the spool's start."""


@dataclass(frozen=True, slots=True)
class Clock:
    """One instant, by the wall clock (Unix epoch seconds) and by the monotonic clock (seconds)."""

    wall: float
    mono: float

    def at_us(self, mono: float) -> int:
        """Return the µs from this instant to `mono` (monotonic seconds), rounded."""
        return int((mono - self.mono) * 1_000_000 + 0.5)


@dataclass(frozen=True, slots=True)
class SpoolHeader:
    """The file header of a spool. It is not encrypted, and has no personal data."""

    call_id: str
    life: int
    """The number of this spool among the call's spools, from 1.

    A call gets a new spool after a restart of the switch, or when it continues on another disk.
    """
    spool_id: bytes
    """16 random bytes that identify this spool."""
    started_wall_us: int
    """The start of the spool (offset 0) in Unix epoch microseconds."""
    lookback_us: int
    boot_wrapped: bytes
    """The spool key, encrypted under the boot key (`recording.spool.keys.wrap_spool_key`)."""
    recipients_wrapped: bytes
    """The spool key as an age file for the archive's recipients; empty if the archive has none."""
    key_check: bytes
    """`recording.spool.keys.key_check` of the spool key."""
    started_mono_us: int = 0
    """The start in µs of the monotonic clock; 0 if a version without this field wrote the spool."""

    def us_after(self, first: "SpoolHeader") -> int:
        """Return the µs from the start of the call's spool `first` to that of this one.

        The monotonic times are compared, because the wall clock may have been changed; it counts
        only if a spool has no monotonic time. No call continues after a reboot, because its
        checkpoint is in a tmpfs.
        """
        if self.started_mono_us >= first.started_mono_us > 0:
            return self.started_mono_us - first.started_mono_us
        return self.started_wall_us - first.started_wall_us

    def continues(self, last: "SpoolHeader") -> bool:
        """Return whether the process that wrote the call's spool `last` wrote this one too.

        It begins another one when the disk fails, and all its spools of a call have the same start.
        """
        same = self.started_mono_us, self.started_wall_us
        return self.started_mono_us > 0 and same == (last.started_mono_us, last.started_wall_us)


class LossReason(StrEnum):
    """The reason why a part of a spool cannot be read."""

    DAMAGED = "damaged"
    """Bytes were changed, or bytes are missing before the end of the file."""
    TRUNCATED = "truncated"
    """The file ends inside a frame."""
    UNRELEASED = "unreleased"
    """The frame's key was never written to the file, and the process that had the key ended."""
    ERASED = "erased"
    """The frame's key was destroyed on purpose."""


@dataclass(frozen=True, slots=True)
class PacketRecord:
    """One RTP packet as it arrived, at `at_us` (µs since the spool's start)."""

    at_us: int
    track: int
    data: bytes


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event of the call, at `at_us` (µs since the spool's start)."""

    at_us: int
    kind: str
    fields: dict[str, Field]


@dataclass(frozen=True, slots=True)
class LostRecord:
    """A loss: the consecutive frames `first_index` to `last_index` cannot be read."""

    first_index: int
    last_index: int
    from_us: int | None
    """The earliest possible arrival of a lost packet, in µs since the spool's start, or None."""
    to_us: int | None
    """The latest possible arrival; None if unknown, as at the end of a truncated file."""
    why: LossReason


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The end of a spool that was closed properly."""

    at_us: int


Record = PacketRecord | EventRecord | LostRecord | EndRecord
