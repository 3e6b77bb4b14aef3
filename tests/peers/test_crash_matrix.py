"""kill -9 of each process at random instants, under fifty calls: at most a second is lost.

A few crashes are part of `scripts/test --all`; `--crashes 200` makes a longer run of it.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time

import pytest

from helpers.peers.crashes import NEVER, Cashier, Crowd, Spools, ports_in, within
from helpers.peers.programs import Callee, Sipp
from helpers.peers.service import CALLER
from helpers.peers.waiting import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.long]

CALLS = 50
VICTIMS = ("switch", "switch", "switch", "finaliser", "desk")
SECOND = 1.0


class Stadium:
    """Fifty answered calls, in which both parties talk."""

    def __init__(self, service, ended):
        self.service = service
        self.crowd = Crowd()
        caller_media, advisor_media = self.crowd.media
        self.callee = ended(
            Callee(
                *(service.folder, "uas", "127.0.0.3", "-timeout", "7200"),
                port=service.pbx_port,
                media=advisor_media,
                calls=CALLS,
            )
        )
        self.caller = ended(
            Sipp(
                *(service.folder, "uac", "127.0.0.2", "-timeout", "7200"),
                *("-s", "01970000200", "-r", "25", "-cid_str", "call-%u@peers"),
                f"{service.sip[0]}:{service.sip[1]}",
                media=caller_media,
                calls=CALLS,
                caller=CALLER,
            )
        )
        service.log.wait("call.answered", CALLS)
        self.call_ids = [event["call_id"] for event in service.log.events("call.answered")]
        for sipp in (self.caller, self.callee):
            wait_until(lambda s=sipp: len(ports_in(s)) == CALLS)
        self.crowd.begin(ports_in(self.caller), ports_in(self.callee))
        self.crowd.wait_all_heard()
        self.spools = Spools(service)
        self.cashier: Cashier

    def know_streams(self):
        """Read from the spools to which call each stream belongs."""
        self.call_of = {}
        wait_until(self._all_known, what="every stream in a spool")

    def _all_known(self):
        for call_id, path in self.spools.newest().items():
            for stream, _ in self.spools.packets(path)[0]:
                self.call_of[stream] = call_id
        return len(self.call_of) == self.crowd.streams

    def crash(self, victim):
        """Kill a process, check what is left, and start it again."""
        died = time.monotonic()
        self.service.kill(victim)
        if victim == "switch":
            self.judge(died - SECOND - self.crowd.late_s(died))
        self.service.start(victim)
        self.crowd.wait_all_heard()
        self.crowd.look_anew()  # late packets had waited for its start

    def judge(self, before):
        """Assert that spools hold the packets relayed before this time, and no paused ones."""
        cashier = self.cashier
        kept = {}
        for call_id, path in self.spools.newest().items():
            kept[call_id], damaged = self.spools.packets(path)
            assert not damaged, path
        missing = [
            (round(when, 2), self.call_of[stream], stream, tick)
            for when, stream, tick in self.crowd.heard
            if when < before
            and (stream, tick) not in kept[self.call_of[stream]]
            and not within(when, cashier.perhaps[self.call_of[stream]], 0.5, 0.5)
        ]
        assert missing == []
        held = [
            (call_id, stream, tick)
            for call_id, packets in kept.items()
            for stream, tick in packets
            for begin, end in cashier.surely[call_id]
            if begin <= self.crowd.times[tick] and self.crowd.gone[tick] <= end
        ]
        assert held == []
        return sum(len(packets) for packets in kept.values())

    def hang_up(self):
        """End every call by a BYE of its caller."""
        for number in range(1, CALLS + 1):
            self.caller.poke(f"call-{number}@peers")
        self.caller.wait(60)
        self.callee.wait(60)


@pytest.fixture
def stadium(start, ended):
    service = start(
        *("switch", "desk", "finaliser"),
        users=True,
        max_calls=CALLS + 10,
        erase_back="erase_back = 0",
    )
    stadium = Stadium(service, ended)
    ended(stadium.crowd)
    stadium.know_streams()
    stadium.cashier = ended(Cashier(service, stadium.call_ids, 7))
    return stadium


def test_fifty_calls_survive_random_kills_and_every_second_is_explained(
    stadium, pytestconfig, capsys
):
    service, chance = stadium.service, random.Random(pytestconfig.getoption("--crash-seed"))
    count = pytestconfig.getoption("--crashes")
    victims = [chance.choice(VICTIMS) for _ in range(count)]
    victims[:3] = ["switch", "finaliser", "desk"][:count]
    for number, victim in enumerate(victims, 1):
        time.sleep(chance.uniform(0.0, 2.5))
        stadium.crash(victim)
        if number % 20 == 0:
            with capsys.disabled():
                sys.stdout.write(f"\n  {number} of {count} crashes\n")
    assert "\nBYE " not in stadium.caller.messages() + stadium.callee.messages()
    stadium.cashier.end()
    stadium.hang_up()
    lives = victims.count("switch") + 1
    archive = service.state / "archive"
    wait_until(
        lambda: len(list(archive.rglob("*.manifest"))) == CALLS, 60 + count, what="manifests"
    )
    worst = 0.0
    for path in archive.rglob("*.manifest"):
        manifest = json.loads(path.read_bytes())["manifest"]
        assert len(manifest["lives"]) == lives
        assert [life["interrupted"] for life in manifest["lives"]] == [True] * (lives - 1) + [False]
        assert {gap["reason"] for gap in manifest["gaps"]} <= {"fault", "payment"}
        faults = [gap for gap in manifest["gaps"] if gap["reason"] == "fault"]
        assert {gap["trigger"] for gap in faults} <= {"crash"}
        assert manifest["unexplained"] == []
        worst = max([worst, *((gap["to_us"] - gap["from_us"]) / 1e6 for gap in faults)])
    found = wait_until(lambda: explained(service), 60, what="the index")
    assert (found["unexplained_us"], found["amiss"]) == (0, []), json.dumps(found["amiss"])
    with capsys.disabled():
        sys.stdout.write(
            f"\n  {count} crashes, {lives - 1} of the switch, under {CALLS} calls:"
            f" {found['talk_us'] / 6e7:.1f} min of talk, {found['recorded_us'] / 6e7:.1f} recorded,"
            f" {found['gap_us'] / 6e7:.1f} in gaps, 0 s unexplained;"
            f" the longest crash {worst:.1f} s\n"
        )


def explained(service):
    """Return the result of `coverage` once every call is indexed."""
    with service.sign_in("ceri") as client:
        found = client.get("/api/v1/coverage", params={"when": "last 2 days"}).json()
    return found if found["calls"] == CALLS else None


def test_a_switch_that_hands_over_by_sigusr1_loses_no_media(stadium):
    stadium.service.processes.pop("switch").end(signal.SIGUSR1)
    stadium.judge(NEVER)
    stadium.service.start("switch")
    stadium.crowd.wait_all_heard()
    stadium.cashier.end()
    stadium.hang_up()
