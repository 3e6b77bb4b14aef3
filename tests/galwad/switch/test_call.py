import asyncio

import pytest

from galwad.switch.call import LiveCall, is_handover
from galwad.switch.codes import Code
from recording.policy import DestinationClass, Trigger


@pytest.mark.parametrize("destination", list(DestinationClass))
def test_another_name_in_mid_call_is_a_handover(destination):
    assert is_handover("201", destination)


@pytest.mark.parametrize(
    ("destination", "handover"),
    [
        (DestinationClass.CENTRE, False),
        (DestinationClass.UNKNOWN, False),
        (DestinationClass.DEPARTMENT, True),
        (DestinationClass.EXTERNAL, True),
        (DestinationClass.PAYMENT, True),
    ],
)
def test_the_first_name_is_a_handover_only_where_it_lies_outside_the_centre(destination, handover):
    assert is_handover("", destination) is handover


class FakeCall:
    """What a `LiveCall` needs to heed its phone: a disk that answers when the test says so."""

    def __init__(self):
        self.told = []
        self.done = []
        self.disk = asyncio.get_running_loop().create_future()
        self._b2bua = self.recording = self
        self._wishes = 0
        self._actor = "phone:201"
        self._settle = lambda _now: None

    def answer_record(self, request_id, status, _now, _reason):
        self.told.append((request_id, status))

    def shut(self, holder, trigger, _actor, _arrived):
        self.done.append(("shut", holder, trigger))

    async def release(self, holder, _actor):
        self.done.append(("release", holder))
        return await self.disk

    async def _confirm_hold(self):
        return await self.disk

    _let_go = LiveCall._let_go

    def press(self, request_id, wish):
        done = LiveCall._heed(self, wish, Trigger.PHONE, 0.0)
        return asyncio.ensure_future(LiveCall._answer_key(self, request_id, done))


@pytest.mark.parametrize(("durable", "status"), [(True, 200), (False, 500)])
@pytest.mark.parametrize("wish", list(Code))
async def test_a_record_key_is_answered_when_the_disk_has_answered(wish, durable, status):
    call = FakeCall()
    answering = call.press(7, wish)
    await asyncio.sleep(0)
    assert call.told == []
    assert call.done[0][0] == ("shut" if wish is Code.PAUSE else "release")
    call.disk.set_result(durable)
    await answering
    assert call.told == [(7, status)]


async def test_a_pause_shuts_before_anything_waits():
    call = FakeCall()
    answering = call.press(7, Code.PAUSE)
    assert call.done == [("shut", "phone:201", Trigger.PHONE)]
    call.disk.set_result(True)
    await answering


async def test_a_pause_that_comes_together_with_a_resumption_before_it_stands():
    call = FakeCall()
    both = call.press(7, Code.RESUME), call.press(8, Code.PAUSE)
    call.disk.set_result(True)
    await asyncio.gather(*both)
    assert call.done == [("shut", "phone:201", Trigger.PHONE)]
    assert sorted(call.told) == [(7, 200), (8, 200)]
