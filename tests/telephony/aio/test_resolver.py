"""The resolver, against a name server that this test runs on loopback."""

from __future__ import annotations

import asyncio

import pytest

from helpers.name_server import NameServer
from telephony.aio.resolver import Resolver
from telephony.sip.transport.location import Naptr, Question, Srv

PATIENCE_S = 60.0
ZONE = {
    ("example.com.", "NAPTR"): '10 20 "s" "SIP+D2U" "" _sip._udp.example.com.',
    ("_sip._udp.example.com.", "SRV"): "1 2 5060 pbx.example.com.",
    ("pbx.example.com.", "A"): "192.0.2.1",
    ("pbx.example.com.", "AAAA"): "2001:db8::1",
}


@pytest.fixture
def server():
    server = NameServer(ZONE)
    yield server
    server.end()


@pytest.fixture
def make_resolver(server, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n# 192.0.2.66 wrong\n192.0.2.77 PBX pbx.local # old\n")

    def make(timeout_s):
        made = Resolver(
            timeout_s=timeout_s, nameservers=["127.0.0.1"], port=server.port, hosts=hosts
        )
        made._resolver.timeout = timeout_s  # one try, without a repeated question
        return made

    return make


@pytest.fixture
def resolver(make_resolver):
    return make_resolver(PATIENCE_S)


@pytest.fixture
def impatient(make_resolver):
    return make_resolver(0.2)


@pytest.mark.parametrize(
    ("question", "records"),
    [
        (("example.com", "NAPTR"), [Naptr(10, 20, "s", "SIP+D2U", "_sip._udp.example.com")]),
        (("_sip._udp.example.com", "SRV"), [Srv(1, 2, 5060, "pbx.example.com")]),
        (("pbx.example.com", "A"), ["192.0.2.1"]),
        (("pbx.example.com", "AAAA"), ["2001:db8::1"]),
        (("example.com", "SRV"), []),
        (("nobody.example.com", "A"), []),
        (("..", "A"), None),
        (("x" * 70 + ".example.com", "A"), None),
        (("pbx.local", "A"), ["192.0.2.77"]),
        (("pbx", "A"), ["192.0.2.77"]),
    ],
)
async def test_each_question_gets_its_records_from_dns_or_the_hosts_file(
    resolver, question, records
):
    assert await resolver.ask(Question(*question)) == records


async def test_a_question_to_a_silent_server_ends_at_the_timeout(impatient):
    async with asyncio.timeout(PATIENCE_S):
        assert await impatient.ask(Question("deaf.example.com", "A")) is None


async def test_an_answer_is_cached_for_its_time_to_live(resolver, server):
    for _ in range(3):
        await resolver.ask(Question("pbx.example.com", "A"))
    assert server.asked == [("pbx.example.com.", "A")]


async def test_several_questions_are_asked_at_the_same_time(impatient, server):
    names = [f"deaf{number}.example.com" for number in range(10)]
    async with asyncio.timeout(PATIENCE_S):
        answers = await impatient.ask_all(Question(name, "A") for name in names)
    assert answers == [None] * 10
