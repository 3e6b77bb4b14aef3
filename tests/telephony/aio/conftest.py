import asyncio
import socket

import pytest

from helpers.aio import LOOPBACK, Agent, Phone, packet
from telephony.aio.ports import PortPool
from telephony.aio.relay import Relay


@pytest.fixture
def rtp():
    return packet


@pytest.fixture
def pool(ports):
    return PortPool("127.0.0.1", *ports.pair)


@pytest.fixture
def told():
    """The arguments of the relay's callbacks, in order."""
    return []


@pytest.fixture
async def relay(pool, told):
    made = Relay(
        pool,
        silence_s=30,
        on_silence=lambda *what: told.append(("silence", *what)),
        on_refused=lambda *what: told.append(("refused", *what)),
        on_contested=lambda *what: told.append(("contested", *what)),
    )
    yield made
    made.close_all()


@pytest.fixture
async def pair(relay):
    """Two phones whose legs are joined."""
    phones = [Phone(relay, leg_id) for leg_id in "ab"]
    for phone in phones:
        phone.configure()
    relay.join("a", "b", {0: 0, 101: 101}, {0: 0, 101: 101})
    yield phones
    for phone in phones:
        phone.close()


@pytest.fixture
async def phone(relay):
    """Make phones that each have their own leg."""
    made = []

    def make(leg_id, host="127.0.0.1"):
        made.append(Phone(relay, leg_id, host))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def until():
    """Run the event loop until a condition holds; fail after half a minute or more."""

    async def wait(condition):
        for _ in range(30_000):
            if condition():
                return
            await asyncio.sleep(0.001)
        pytest.fail("the condition never held")

    return wait


@pytest.fixture
async def agents():
    """Makes agents: `await agents(local=…, tls=…)`."""
    made = []

    async def make(local=LOOPBACK, *, tls=None, **options):
        agent = Agent(**options)
        agent.address = await agent.transport.listen(local, tls=tls)
        made.append(agent)
        return agent

    yield make
    for agent in made:
        agent.transport.close()
    await asyncio.sleep(0)


@pytest.fixture
def stranger():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.2", 0))
    yield made
    made.close()
