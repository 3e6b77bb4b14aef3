"""Ports for tests: no two test runs on one machine share a port."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import helpers
from helpers import loopback

EVERY = """
from helpers.loopback import FIRST, LAST, claim
claim(LAST + 1 - FIRST)
"""


def another_process_claims_every_port():
    return subprocess.run(
        [sys.executable, "-c", EVERY],
        env={"PYTHONPATH": str(Path(helpers.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_two_claimed_ranges_of_ports_overlap():
    ranges = [loopback.claim(count) for count in (1, 100, 101, 400)]
    ports = [port for each in ranges for port in range(each.first, each.last + 1)]
    assert len(ports) == len(set(ports)) == 602
    assert all(each.first % 2 == 0 for each in ranges)
    for each in ranges:
        each.close()


def test_another_process_cannot_claim_a_port_that_is_held():
    held = loopback.claim(100)
    assert "ports in a row are left" in another_process_claims_every_port().stderr
    held.close()


def test_a_port_in_use_is_skipped():
    port = loopback.free_port()
    following = port + 1
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", following))
        assert loopback.free_port() != following


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.3", "::1"])
def test_a_free_port_can_be_bound(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as bound:
        bound.bind((host, loopback.free_port(host)))
