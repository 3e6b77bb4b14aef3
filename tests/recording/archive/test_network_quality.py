"""The network's effects on a track, in the manifest and for the index.

Covers `recording/archive/summary.py`.
"""

from dataclasses import asdict

import msgspec
import pytest

from recording.archive.summary import PartyNetwork, party_networks
from recording.audio.network_quality import NetworkCount, estimated_mos, network_facts
from recording.audio.track_counts import NetworkFacts, TrackFacts, no_track_packets

OLD_TRACK = {
    "channel": "caller",
    "codecs": {"PCMA/8000": 10},
    "received": 10,
    "lost": 1,
    "late": 2,
    "duplicate": 3,
    "malformed": 0,
    "undecoded": 0,
}
FACTS = NetworkFacts(5, 3, 1200, 9000, 4.1)


def count(received=950, lost=50, *, bursts=48, codec="PCMA/8000", **fields):
    """The packets of a track, and the effects of the network on them."""
    facts = {**OLD_TRACK, "late": 0, "codecs": {codec: received}, "received": received}
    network = NetworkCount(10_000.4, 10, 2500.6, bursts, 2)
    return msgspec.convert({**facts, "lost": lost, **fields}, TrackFacts), network


def test_network_facts_have_the_jitter_in_whole_microseconds_and_the_counted_bursts():
    facts = network_facts(*count())
    assert (facts.jitter_us, facts.jitter_most_us) == (1000, 2501)
    assert (facts.loss_bursts, facts.longest_loss) == (48, 2)


def test_the_score_is_that_of_the_codec_with_the_most_packets():
    wide = count(lost=0, bursts=0, codec="G722/8000")
    wide[0].codecs["telephone-event/8000"] = 3
    assert network_facts(*wide).mos == pytest.approx(estimated_mos("G722", 0), abs=0.005)


def test_lost_packets_in_long_bursts_give_a_worse_score_than_random_losses():
    random, long = network_facts(*count()), network_facts(*count(bursts=5))
    assert random.mos == pytest.approx(estimated_mos("PCMA", 0.05), abs=0.01)
    assert random.mos is not None
    assert long.mos is not None
    assert long.mos < random.mos - 0.05


def test_packets_that_were_too_late_count_as_lost_in_the_score():
    assert network_facts(*count(lost=0, bursts=0, late=48)).mos == pytest.approx(
        estimated_mos("PCMA", 48 / 950), abs=0.005
    )


@pytest.mark.parametrize(
    "silent",
    [
        (no_track_packets("caller"), NetworkCount()),
        count(codec="G723/8000"),
        count(codec="payload-type-77/8000"),
    ],
)
def test_a_track_without_a_known_codec_has_no_score(silent):
    assert network_facts(*silent).mos is None


def test_the_index_gets_the_network_facts_of_the_track():
    track = msgspec.convert({**OLD_TRACK, "network": asdict(FACTS)}, TrackFacts)
    assert party_networks([track]) == (PartyNetwork("caller", 10, 1, 2, 3, 5, 3, 1200, 9000, 4.1),)


def test_a_track_of_older_software_is_read_without_network_facts():
    track = msgspec.convert(OLD_TRACK, TrackFacts)
    assert track.network is None
    assert party_networks([track]) == ()
