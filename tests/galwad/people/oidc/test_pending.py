"""The sign-ins that a browser has begun: one use, a short life, and only in that browser."""

from __future__ import annotations

import base64
import hashlib

import pytest

from galwad.people.oidc import pending
from galwad.people.oidc.errors import ResponseError
from galwad.people.oidc.pending import LIFETIME_S, MOST_IN_A_BROWSER, PendingSignIns
from helpers.desk import Clock

HOME, AWAY = "192.0.2.7", "203.0.113.66"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def floods():
    return []


@pytest.fixture
def sign_ins(clock, floods):
    return PendingSignIns(clock, floods.append)


def use(sign_ins, count, network):
    """Use this number of new sign-ins; return their cookies and states."""
    begun = []
    for _ in range(count):
        new, cookie = sign_ins.begin("")
        sign_ins.use(new, network)
        begun.append((cookie, new.state))
    return begun


def test_a_sign_in_can_be_used_only_once(sign_ins):
    begun, cookie = sign_ins.begin("")
    assert sign_ins.find(cookie, begun.state) == begun
    sign_ins.use(begun, AWAY)
    with pytest.raises(ResponseError):
        sign_ins.use(begun, AWAY)
    with pytest.raises(ResponseError):
        sign_ins.find(cookie, begun.state)


def test_looking_up_a_sign_in_stores_nothing_and_can_be_repeated(sign_ins):
    begun, cookie = sign_ins.begin("")
    for _ in range(5):
        assert sign_ins.find(cookie, begun.state) == begun
    assert sign_ins._used == {}


def test_a_sign_in_that_ends_before_its_exchange_cannot_be_used(sign_ins, clock):
    begun, cookie = sign_ins.begin("")
    found = sign_ins.find(cookie, begun.state)
    clock.now += LIFETIME_S
    with pytest.raises(ResponseError):
        sign_ins.use(found, AWAY)


def test_the_cookie_shows_neither_the_state_nor_the_verifier(sign_ins):
    begun, cookie = sign_ins.begin("")
    opened = cookie.encode() + base64.urlsafe_b64decode(cookie)
    for secret in (begun.state, begun.nonce, begun.verifier):
        assert secret.encode() not in opened


def test_the_challenge_is_the_digest_of_the_verifier(sign_ins):
    begun, _ = sign_ins.begin("")
    digest = hashlib.sha256(begun.verifier.encode()).digest()
    assert base64.urlsafe_b64decode(begun.challenge + "=") == digest
    assert 43 <= len(begun.verifier) <= 128


def test_a_response_for_another_browser_is_refused_and_leaves_the_state_usable(sign_ins):
    begun, cookie = sign_ins.begin("")
    _, other = sign_ins.begin("")
    for wrong in (other, "", "nonsense", "é", "a" * 5000, cookie[:-4] + "AAAA"):
        with pytest.raises(ResponseError):
            sign_ins.find(wrong, begun.state)
    assert sign_ins.find(cookie, begun.state) == begun


@pytest.mark.parametrize("state", ["", "nonsense", "\ud800"])
def test_a_state_that_was_never_given_out_is_refused(sign_ins, state):
    _, cookie = sign_ins.begin("")
    with pytest.raises(ResponseError):
        sign_ins.find(cookie, state)


def test_a_sign_in_ends_after_ten_minutes(sign_ins, clock):
    begun, cookie = sign_ins.begin("")
    clock.now += LIFETIME_S
    with pytest.raises(ResponseError):
        sign_ins.find(cookie, begun.state)


def test_several_tabs_of_a_browser_can_sign_in_and_the_oldest_are_forgotten(sign_ins):
    cookie, states = "", []
    for _ in range(MOST_IN_A_BROWSER + 1):
        begun, cookie = sign_ins.begin(cookie)
        states.append(begun.state)
    assert len(cookie) < 4096
    with pytest.raises(ResponseError):
        sign_ins.find(cookie, states[0])
    for state in states[1:]:
        assert sign_ins.find(cookie, state).state == state


def test_a_cookie_from_before_a_restart_is_refused(sign_ins, clock):
    begun, cookie = sign_ins.begin("")
    with pytest.raises(ResponseError):
        PendingSignIns(clock).find(cookie, begun.state)


def test_above_the_limit_of_a_network_only_its_own_oldest_used_state_is_forgotten(
    sign_ins, floods, monkeypatch
):
    monkeypatch.setattr(pending, "MOST_USED_OF_A_NETWORK", 2)
    ((mine, state),) = use(sign_ins, 1, HOME)
    theirs = use(sign_ins, 3, AWAY)
    assert floods == [AWAY]
    assert sign_ins.find(*theirs[0])
    for cookie, used in [(mine, state), *theirs[1:]]:
        with pytest.raises(ResponseError):
            sign_ins.find(cookie, used)


def test_a_flood_of_used_states_prevents_no_new_sign_in(sign_ins, clock, floods, monkeypatch):
    monkeypatch.setattr(pending, "MOST_USED", 20)
    for number in range(60):
        use(sign_ins, 1, f"198.51.100.{number}")
    assert len(sign_ins._used) == 20
    assert len(sign_ins._of_network) == 20
    assert len(floods) == 40
    begun, cookie = sign_ins.begin("")
    assert sign_ins.find(cookie, begun.state) == begun
    sign_ins.use(begun, HOME)
    clock.now += LIFETIME_S
    use(sign_ins, 1, HOME)
    assert len(sign_ins._used) == 1


def test_a_begun_step_up_has_its_session_its_place_and_its_time(sign_ins, clock):
    cookie = ""
    for _ in range(MOST_IN_A_BROWSER):
        begun, cookie = sign_ins.begin(cookie, session="5" * 64, place="command-line")
    assert len(cookie) < 4096
    found = sign_ins.find(cookie, begun.state)
    assert (found.session, found.place, found.begun) == ("5" * 64, "command-line", clock.now)
