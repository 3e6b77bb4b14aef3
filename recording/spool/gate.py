"""The gate in front of a call's spool. The gate stores or drops each packet as it arrives."""

from collections.abc import Callable
from dataclasses import dataclass, field

from recording.errors import RecordingError
from recording.spool.packet_counts import DropCounts
from recording.spool.send_times import OVERTAKEN_US, Octets, SavedSendTimes, SendTimes
from recording.spool.writer import SpoolWriter

FAILURES = (RecordingError, OSError)
"""The errors that a spool raises when data cannot be written to the disk or runtime folder."""

Tap = Callable[[int, Octets, float, bool], None]
"""Gets each packet of a recorded leg from the relay: `(track, data, arrival_mono, withheld)`.

The track is 0 for the caller and 1 for the advisor. `data` is the datagram: the function must copy
it, because the relay overwrites it afterwards. The arrival is in monotonic seconds. The RTP payload
of a `withheld` packet must not be stored.
"""
_HEADER_BYTES = 12
_NEVER_US = 1 << 62
_SEQUENCE_LOW_BYTE = 3
_SAMPLE = 7
"""A mask for the RTP sequence number: it selects one of eight packets for `SendTimes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedLateness:
    """The state by which the next process recognises late packets of a payment or transfer.

    Times are µs on the monotonic clock, so they are valid until the machine is rebooted.
    """

    sent_after_us: int
    """The end of the latest payment or transfer."""
    checked_until_us: int
    """Packets that arrive before this time may be late packets from before `sent_after_us`.

    It is far in the future while a track has not proven that its packets were sent later.
    """
    send_times: SavedSendTimes


@dataclass(slots=True, eq=False)
class RecordingGate:
    """Decides for each packet whether it is stored. The recorder opens and shuts the gate.

    A packet is stored if it arrived while the gate was open, even if it is read later. A packet
    that was sent during a payment or transfer is not stored, even if the network delays it until
    the gate is open. So after a payment or transfer, each track must prove that its packets were
    sent later.

    `store` runs for each packet, so it reads few attributes.
    """

    started: float
    """The spool's start in monotonic seconds."""
    on_failure: Callable[[RecordingError | OSError], None]
    """Receives the error when packets cannot be written to the disk."""
    quarantine_us: int = 0
    """The time in µs for which a stream is not stored after a payment or transfer.

    It applies only to streams whose timestamps do not show when the audio was sent.
    """
    writer: SpoolWriter | None = None
    stored: int = 0
    """The packets of both tracks that were given to a writer since the recorder was created."""
    dropped: int = 0
    drops: DropCounts = field(default_factory=DropCounts)
    """The dropped packets of each track, and why they were dropped."""
    send_times: SendTimes = field(default_factory=SendTimes)
    _checked_until_us: int = 0
    """Packets that arrived before this time are checked before they are stored."""
    _until_us: int = 0
    """Packets that arrived at or after this time are dropped; 0 while the gate is shut."""
    _open_from_us: int = 0
    """The time at which the gate opened most recently. Packets that arrived earlier are dropped."""
    _sent_after_us: int = 0
    """The end of the latest payment or transfer. Packets that were sent before it are dropped."""
    _is_confidential: bool = False
    """True if there was a payment or a transfer since the gate was last open."""
    _settled_us: list[int] = field(default_factory=lambda: [0, 0])
    """For each track, the arrival from which packets need not prove when they were sent.

    It is `_NEVER_US` until one packet proves that it was sent after `_sent_after_us`. Then it is
    `OVERTAKEN_US` after this packet: until that time, packets that were sent earlier may still
    arrive, so each packet must prove that it was sent later.
    """

    @property
    def is_open(self) -> bool:
        """True while packets that arrive now may be stored."""
        return self._until_us == _NEVER_US

    def shut(self, *, confidential: bool = False) -> None:
        """Store no packet from now on.

        With `confidential`, packets that are sent while the gate is shut must not be stored even if
        the network delays them until it is open again.
        """
        self._until_us = 0
        self._is_confidential |= confidential

    def stop_at(self, at_us: int) -> None:
        """Store no packet that arrived at or after `at_us`.

        Earlier packets that are not read yet can still be stored, until `shut` is called. After
        reading them, call `shut`, `open` or `reopen`. If the gate is shut, nothing changes.
        """
        self._until_us = min(self._until_us, at_us)

    def open(self, from_us: int) -> None:
        """Store packets that arrive at or after `from_us` (µs since the spool's start).

        After a payment or transfer, packets that were sent before `from_us` are not stored.
        """
        self._open_from_us = from_us
        self._checked_until_us = max(self._checked_until_us, from_us)
        if self._is_confidential:
            self._check_after(from_us)
        self._is_confidential = False
        self._until_us = _NEVER_US

    def _check_after(self, sent_after_us: int) -> None:
        """Check all packets, until each track has proven that its packets were sent later."""
        self._sent_after_us = sent_after_us
        self._settled_us = [_NEVER_US, _NEVER_US]
        self._checked_until_us = _NEVER_US

    def reopen(self) -> None:
        """Undo `stop_at`, because the gate need not be shut after all."""
        if self._until_us:
            self._until_us = _NEVER_US

    def saved(self) -> SavedLateness:
        """Return the state with which the next process recognises late packets."""
        start_us = self._start_us
        return SavedLateness(
            sent_after_us=self._sent_after_us + start_us,
            checked_until_us=self._checked_until_us + start_us,
            send_times=self.send_times.saved(start_us),
        )

    def restore(self, saved: SavedLateness, at_us: int, *, is_open: bool = False) -> None:
        """Continue at `at_us` with an earlier process's state; call this before the first `open`.

        `is_open` is true if the gate opens at once, because neither a payment nor a transfer is in
        progress.
        """
        start_us = self._start_us
        is_checking = saved.checked_until_us - start_us > at_us
        if is_checking:
            self._check_after(saved.sent_after_us - start_us)
        self.send_times.restore(saved.send_times, start_us, at_us)
        if is_open and not is_checking:
            self.send_times.assume_usual_delay(at_us)

    @property
    def _start_us(self) -> int:
        return round(self.started * 1_000_000)

    def store(self, track: int, data: Octets, arrival_mono: float, withheld: bool) -> None:  # noqa: FBT001 - the relay's hot path: keywords cost a packet 50 ns
        """Store a packet, or drop it if it may not be stored.

        Of a `withheld` packet, for example with a DTMF digit, only the fixed RTP header is stored,
        so that it is not counted as lost.
        """
        at_us = int((arrival_mono - self.started) * 1_000_000 + 0.5)
        writer = self.writer
        if not self._checked_until_us <= at_us < self._until_us and not self._may_store(
            track, data, at_us, withheld=withheld
        ):
            self.dropped += 1
            return
        if writer is None:
            self.dropped += 1
            self.drops.failed[track] += 1
            return
        if withheld:
            data = data[:_HEADER_BYTES]
        elif not data[_SEQUENCE_LOW_BYTE] & _SAMPLE and at_us >= self._settled_us[track]:
            self.send_times.note_stored(track, data, at_us)
        self.stored += 1
        try:
            writer.packet(track, at_us, data)
        except FAILURES as error:
            self.drops.failed[track] += 1
            self.on_failure(error)

    def attach(self, track: int, at_us: int, heard_us: int | None) -> None:
        """Expect the packets of another leg on a track from now on (see `SendTimes.attach`)."""
        if self.send_times.attach(track, at_us, heard_us) < self._sent_after_us:
            self._settled_us[track] = self._checked_until_us = _NEVER_US

    def note_report(self, track: int, data: Octets, arrival_mono: float) -> None:
        """Note an RTCP datagram, which can show when the audio of a stream was sent."""
        at_us = int((arrival_mono - self.started) * 1_000_000 + 0.5)
        self.send_times.note_report(track, data, at_us)

    def _may_store(self, track: int, data: Octets, at_us: int, *, withheld: bool) -> bool:
        """Return whether to store a packet that must be checked; count it in `drops` if not.

        The sending time of a withheld packet is not checked: only the packet's header is stored,
        and the timestamp of a telephone event is that of its beginning.
        """
        drops = self.drops
        if at_us >= self._until_us:
            if not withheld:
                self.send_times.note_dropped(track, data, at_us)
            drops.shut[track] += 1
            return False
        if at_us < self._open_from_us:
            if not withheld:
                self.send_times.note_dropped(track, data, at_us)
            drops.early[track] += 1
            return False
        if withheld or at_us >= self._settled_us[track]:
            return True
        end_us = self._sent_after_us
        if self.send_times.is_after(track, data, at_us, end_us, end_us + self.quarantine_us):
            if self._settled_us[track] == _NEVER_US:
                self._settled_us[track] = at_us + OVERTAKEN_US
                self._checked_until_us = max(self._settled_us)
            return True
        drops.late[track] += 1
        drops.late_us[track] = max(drops.late_us[track], at_us - end_us)
        return False
