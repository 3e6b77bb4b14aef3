"""The lost forks of a PBX in front that rings several extensions, each with a call of its own."""

from dataclasses import replace

import pytest

from galwad.settings.switch import Route
from helpers.switch import Centre, asserted

ELSEWHERE = ("Reason", 'SIP;cause=200;text="Call completed elsewhere"')
CITIZEN = "01632960001"


@pytest.fixture
async def forks(settings, phones, register):
    """A centre with a line for each of the extensions 201 and 202."""
    lines = [{"called": f"2{extension}", "ring": [extension]} for extension in ("201", "202")]
    routes = (*map(Route.model_validate, lines), *settings.routes)
    centre = Centre(settings.model_copy(update={"routes": routes}), phones)
    for extension in ("201", "202"):
        centre.phone(f"192.0.2.{extension}", extension, register)
    yield centre
    centre.end()
    assert centre.calls == {}
    assert centre.relay.open_legs == {}


@pytest.fixture
def ring_all(forks):
    """A function that lets a PBX call 201 and 202, and hang up the call of 202.

    Return both calls. The caller of the second call may be another one.
    """

    def ring_all(*bye, second="2202", other=CITIZEN, prepare=lambda call: None):
        pbx = forks.phone("192.0.2.20", CITIZEN)
        pbx.call("2201")
        (won,) = forks.calls.values()
        pbx.user = other
        pbx.call(second)
        lost = next(call for call in forks.calls.values() if call is not won)
        prepare(lost)
        pbx.ask("BYE", *bye)
        return won, lost

    return ring_all


def spools(centre):
    """Return the ids of the calls that have a spool."""
    return {path.name.partition(".")[0] for path in centre.settings.spool_folder.glob("*.spool")}


@pytest.mark.parametrize("bye", [(ELSEWHERE,), ()], ids=["with a reason", "without"])
async def test_a_lost_fork_leaves_no_recording_and_no_advisor(forks, ring_all, bye):
    won, lost = ring_all(*bye)
    assert spools(forks) == {won.call_id}
    assert forks.links.lost_forks == forks.links.ended == [lost.call_id]
    assert forks.links.unanswered == {lost.call_id: "cancelled"}
    assert lost.call_id not in forks.links.for_ledger
    assert lost.call_id not in forks.links.closed
    assert list(forks.settings.node.runtime.rglob(f"{lost.call_id}*")) == []
    forks.end()
    assert forks.links.closed == [won.call_id]


async def test_a_fork_whose_bye_says_completed_elsewhere_is_lost_even_with_another_caller(
    forks, ring_all
):
    _, lost = ring_all(ELSEWHERE, other="01632960002")
    assert forks.links.lost_forks == [lost.call_id]


def talks_longer(call):
    """Let the call have been answered a second earlier."""
    call._answered_at -= 1.0


def is_untrusted(call):
    """Let the call have come from a trunk that is not trusted."""
    call.admission = replace(call.admission, trusted=False)


def calls_for_help(call):
    """Let the call be one to an emergency number."""
    call.admission = replace(call.admission, emergency=True)


def began_later(call):
    """Let the call have begun three seconds later."""
    call.started += 3.0


@pytest.mark.parametrize(
    ("bye", "facts"),
    [
        ((), {"other": "01632960002"}),
        ((), {"other": "anonymous"}),
        ((), {"second": "2201"}),
        ((), {"prepare": began_later}),
        ((), {"prepare": talks_longer}),
        ((ELSEWHERE,), {"prepare": talks_longer}),
        ((ELSEWHERE,), {"prepare": is_untrusted}),
        ((ELSEWHERE,), {"prepare": calls_for_help}),
    ],
)
async def test_a_short_call_that_may_be_a_conversation_is_recorded(forks, ring_all, bye, facts):
    won, short = ring_all(*bye, **facts)
    assert spools(forks) == {won.call_id, short.call_id}
    assert list(forks.links.for_ledger) == [short.call_id]
    assert forks.links.lost_forks == []


async def test_two_calls_with_withheld_callers_are_not_forks_of_one_call(forks):
    pbx = forks.phone("192.0.2.20", "anonymous")
    for number in ("2201", "2202"):
        pbx.call(number)
    pbx.ask("BYE")
    assert forks.links.lost_forks == []


async def test_two_calls_with_the_same_asserted_caller_are_forks_of_one_call(forks):
    pbx = forks.phone("192.0.2.20", "anonymous")
    for number in ("2201", "2202"):
        pbx.call(number, asserted(CITIZEN))
    pbx.ask("BYE")
    assert len(forks.links.lost_forks) == 1
