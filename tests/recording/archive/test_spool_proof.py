"""The spools of calls that are in progress, or not sealed, are proved like sealed recordings."""

from __future__ import annotations

import pytest

from helpers.site import Site
from recording.archive.packet_ledger import prove
from recording.spool import Field, SpoolWriter
from recording.spool.recovery import SpoolKeys

CALL = "20260301-120000-abcdefgh"
US = 1_000_000


class Leaking:
    """A call of ten seconds with a pause from 4 s to 8 s, in which packets may be stored."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.writer: SpoolWriter = site.writer(CALL)
        self.writer.event("call", {"line": "main"}, 0)
        self.writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
        self.writer.event("segment", {"class": "centre", "to": ""}, 0)

    def packets(self, from_s, to_s):
        """Store fifty packets of the caller a second."""
        for at_us in range(round(from_s * US), round(to_s * US), 20_000):
            self.writer.packet(0, at_us, bytes([0x80, 8]) + bytes(170))
            if at_us % US == 0:
                self.writer.tick(at_us)

    def pause(self, *, leaks, gap=True):
        """Pause from 4 s to 8 s."""
        if gap:
            cause = {"reason": "payment", "trigger": "phone", "actor": "phone:201"}
            self.writer.event("gap-start", cause, 4 * US)
        fields: dict[str, Field] = {"trigger": "phone", "actor": "phone:201", "erase_us": 0}
        self.writer.event("trigger", fields, 4 * US)
        if leaks:
            self.packets(4, 8)
        if gap:
            self.writer.event("gap-end", {}, 8 * US)
            self.writer.event("segment", {"class": "centre", "to": ""}, 8 * US)

    def prove(self, *, live):
        """Read the spool as the finaliser does."""
        keys = SpoolKeys(self.site.boot_key, self.site.root / "run" / "spool-keys")
        reader = keys.follow(self.writer.path) if live else keys.open(self.writer.path)
        try:
            return prove(CALL, [reader])
        finally:
            reader.close()


@pytest.fixture
def call(tmp_path):
    leaking = Leaking(Site(tmp_path))
    leaking.packets(0, 4)
    yield leaking
    leaking.writer.abandon()


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("leaks", [True, False])
def test_packets_in_a_pause_are_found_in_a_live_and_in_a_closed_spool(call, live, leaks):
    call.pause(leaks=leaks)
    call.packets(8, 16)
    call.writer.tick(16 * US)
    if not live:
        call.writer.event("ended", {"cause": "bye"}, 16 * US)
        call.writer.close(16 * US)
    proof = call.prove(live=live)
    assert [(each.channel, each.packets) for each in proof.stored] == [("caller", 200)] * leaks
    assert (proof.call_id, proof.started, proof.ignored) == (CALL, 1_772_355_600.0, ())
    assert bool(proof.problems) is leaks


def test_a_trigger_without_effect_is_found_in_a_live_spool(call):
    call.pause(leaks=False, gap=False)
    call.packets(8, 16)
    call.writer.tick(16 * US)
    (found,) = call.prove(live=True).problems
    assert found.startswith("a trigger (phone, phone:201) at 4.0 s had no effect")


def test_packets_in_a_pause_that_continues_are_found_up_to_the_lookback(call):
    cause = {"reason": "payment", "trigger": "phone", "actor": "phone:201"}
    call.writer.event("gap-start", cause, 4 * US)
    call.packets(4, 14)
    call.writer.tick(14 * US)
    (stored,) = call.prove(live=True).stored
    # The newest frames, as far back as the lookback of five seconds, can still be erased.
    assert 150 <= stored.packets < 500
