"""Calls between two phones with protected media.

Covers `telephony/phone/media.py` and `telephony/phone/stream.py`.
"""

import asyncio
import contextlib

import pytest

from helpers.phone import tone
from telephony.phone import CallFailedError, CallState, VoIPCall
from telephony.sdp import fresh_keys
from telephony.sdp.crypto import Suite


async def within(awaitable, seconds=5):
    return await asyncio.wait_for(awaitable, seconds)


@pytest.fixture
async def ringing(make_phone):
    """Let a phone call another, each with its SRTP rule; return the call as each side has it."""
    async with contextlib.AsyncExitStack() as stack:

        async def ring(first, second):
            came = asyncio.Queue[VoIPCall]()
            called = make_phone(user="202", call_callback=came.put, srtp=second)
            await stack.enter_async_context(called)
            caller = await stack.enter_async_context(make_phone(called.address, srtp=first))
            placed = await caller.call("202")
            return placed, await within(came.get())

        yield ring


@pytest.fixture
def talking(ringing):
    async def talk(first, second):
        placed, taken = await ringing(first, second)
        await taken.answer()
        await within(placed.wait_for(CallState.ANSWERED))
        return placed, taken

    return talk


@pytest.mark.parametrize(
    ("rules", "protected"),
    [
        (("off", "off"), False),
        (("off", "optional"), False),
        (("optional", "optional"), False),
        (("required", "optional"), True),
        (("required", "required"), True),
    ],
)
async def test_two_phones_use_srtp_if_one_requires_it_and_both_allow_it(
    talking, hears, rules, protected
):
    placed, taken = await talking(*rules)
    assert placed.protected == taken.protected == protected
    await asyncio.gather(placed.write_audio(tone(440)), taken.write_audio(tone(1000)))
    assert await hears(taken, 440)
    assert await hears(placed, 1000)


@pytest.mark.parametrize(
    "rules", [("off", "required"), ("optional", "required"), ("required", "off")]
)
async def test_a_call_between_phones_with_conflicting_srtp_rules_fails_with_488(ringing, rules):
    placed, taken = await ringing(*rules)
    with pytest.raises(CallFailedError):
        await taken.answer()
    with pytest.raises(CallFailedError) as failed:
        await within(placed.wait_for(CallState.ANSWERED))
    assert failed.value.status == 488


async def test_media_stays_protected_after_hold_and_resume_by_either_side(talking, hears):
    placed, taken = await talking("required", "optional")
    for holder in (placed, taken):
        await within(holder.hold())
        await within(holder.resume())
        assert placed.protected
        assert taken.protected
    await placed.write_audio(tone(440))
    assert await hears(taken, 440)


async def test_dtmf_keys_arrive_over_srtp(talking):
    placed, taken = await talking("required", "required")
    await placed.send_dtmf("12#")
    await within(taken.changes.until(lambda: taken.media.stream.keys == "12#"))


@pytest.mark.parametrize("suite", Suite)
async def test_each_srtp_suite_protects_audio_and_rtcp_reports(talking, monkeypatch, hears, suite):
    monkeypatch.setattr("telephony.phone.stream.fresh_keys", lambda: {suite: fresh_keys()[suite]})
    placed, taken = await talking("required", "required")
    assert f" {suite} ".encode() in placed.media.local_sdp
    await placed.write_audio(tone(440))
    assert await hears(taken, 440)
    placed.media.stream._report_due = 0.0
    await within(taken.changes.until(lambda: taken.media.stream.reports._last_sr is not None))
