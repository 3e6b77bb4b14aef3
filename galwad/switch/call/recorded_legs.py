"""The recorded legs of a call: track 0 is the caller's leg, and track 1 the advisor's leg."""

from __future__ import annotations

from recording.recorder import Recorder
from recording.spool.packet_counts import Arrivals
from telephony.aio.media_leg import Counters
from telephony.aio.relay import Relay
from telephony.b2bua.events import MediaNegotiated, Side

TRACKS = {Side.CALLER: 0, Side.CALLEE: 1}


class RecordedLegs:
    """Connects the legs of one call with the call's recorder.

    The media relay gives each packet of these legs to the recorder's tap, a function that receives
    packets.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._recorder: Recorder | None = None
        self._negotiated: dict[str, MediaNegotiated] = {}
        self._tracks: dict[str, int] = {}
        self._counting: dict[int, tuple[Counters, Arrivals]] = {}
        """For each track, the counters of the present leg, and the counts when it was attached."""
        self._earlier: dict[int, Arrivals] = {}
        """For each track, the sums of the counts of its earlier legs."""

    def connect(self, recorder: Recorder, caller_leg: str, advisor_leg: str | None) -> None:
        """Record the audio of the legs `caller_leg` and `advisor_leg` with `recorder` from now on.

        `advisor_leg` is None if the caller talks with no party at present.
        """
        self._recorder = recorder
        recorder.packets.arrivals = self.arrivals
        self._tracks = {caller_leg: TRACKS[Side.CALLER]}
        self._attach(caller_leg, recorder)
        if advisor_leg is not None:
            self.follow(advisor_leg)

    def follow(self, advisor_leg: str) -> None:
        """From now on, record the audio of `advisor_leg` on track 1, the advisor's track.

        The leg that was recorded on track 1 before is not recorded any more. Without a recorder,
        nothing happens.
        """
        if self._recorder is None:
            return
        for leg_id, track in list(self._tracks.items()):
            if track == TRACKS[Side.CALLEE]:
                del self._tracks[leg_id]
                self._relay.set_tap(leg_id, track, None)
                self._earlier[track] = self.arrivals(track)
                self._counting.pop(track, None)
        self._tracks[advisor_leg] = TRACKS[Side.CALLEE]
        counters = self._attach(advisor_leg, self._recorder)
        self._recorder.attached(TRACKS[Side.CALLEE], counters.last if counters else None)

    def negotiated(self, event: MediaNegotiated) -> None:
        """Store the codecs of a leg; a recorded leg's go into the spool before its first packet."""
        self._negotiated[event.leg_id] = event
        if self._recorder is not None and event.leg_id in self._tracks:
            self._record_media(event.leg_id, self._recorder)

    def catch_up(self) -> None:
        """Make the relay handle all packets of these legs that have already arrived."""
        self._relay.drain(*self._tracks)

    def arrivals(self, track: int) -> Arrivals:
        """Return the counts of a track's packets, as the relay has counted them on all its legs.

        Packets that arrived before a leg was attached are not counted.
        """
        earlier = self._earlier.get(track, Arrivals())
        if track not in self._counting:
            return earlier
        counters, base = self._counting[track]
        return earlier.plus(_arrivals(counters) - base)

    def _attach(self, leg_id: str, recorder: Recorder) -> Counters | None:
        self._record_media(leg_id, recorder)
        track = self._tracks[leg_id]
        listeners = recorder.tap, recorder.media_lost, recorder.media_reported
        counters = self._relay.set_tap(leg_id, track, *listeners)
        if counters is not None:
            self._counting[track] = counters, _arrivals(counters)
        return counters

    def _record_media(self, leg_id: str, recorder: Recorder) -> None:
        event = self._negotiated.get(leg_id)
        if event is not None:
            payloads = {
                number: (name, rate, channels, fmtp)
                for number, name, rate, channels, fmtp in event.payloads
            }
            recorder.media(self._tracks[leg_id], payloads)


def _arrivals(counters: Counters) -> Arrivals:
    return Arrivals(counters.received, counters.refused, counters.unwanted)
