"""Which ID tokens prove a stronger sign-in: the value, and that it is of this step-up."""

from __future__ import annotations

import json

import pytest

from galwad.people.oidc.errors import StepUpError, TokenError
from galwad.people.oidc.id_token import SLACK_S, StepUp

NOW = 1_800_000_000.0
GOLD = StepUp("gold", "acr")
CONTEXT = StepUp("c1", "acrs")


def claims(**more):
    return {"iat": NOW, "auth_time": NOW, **more}


def test_a_step_up_by_acr_requests_the_value_as_essential_and_a_new_sign_in():
    asked = GOLD.parameters()
    assert json.loads(asked["claims"]) == {
        "id_token": {
            "acr": {"essential": True, "value": "gold"},
            "auth_time": {"essential": True},
        }
    }
    assert (asked["acr_values"], asked["prompt"], asked["max_age"]) == ("gold", "login", "0")


def test_the_authentication_context_of_entra_id_is_requested_by_its_claim_only():
    asked = CONTEXT.parameters()
    assert json.loads(asked.pop("claims")) == {
        "id_token": {"acrs": {"essential": True, "value": "c1"}}
    }
    assert asked == {}


@pytest.mark.parametrize("given", [["c1"], ["c2", "c1"], "c1"])
def test_the_claim_acrs_may_be_a_text_or_a_list_and_needs_no_auth_time(given):
    CONTEXT.check({"iat": NOW, "acrs": given}, 1.0)


@pytest.mark.parametrize("given", [None, [], "", "c12", "C1", ["c12"], [["c1"]], {"c1": True}, 1])
def test_acrs_without_the_value_proves_nothing(given):
    with pytest.raises(StepUpError, match="acrs"):
        CONTEXT.check(claims(acrs=given), 1.0)


@pytest.mark.parametrize("given", [None, "", "golden", "GOLD", ["gold"], 5, {"gold": 1}])
def test_acr_with_another_value_or_type_proves_nothing(given):
    with pytest.raises(StepUpError, match="acr"):
        GOLD.check(claims(acr=given), 1.0)


@pytest.mark.parametrize("age", [0.0, 30.0, 30.0 + SLACK_S, -50.0])
def test_a_sign_in_since_the_step_up_began_proves_the_step_up(age):
    GOLD.check(claims(acr="gold", auth_time=NOW - age), 30.0)


@pytest.mark.parametrize("age", [30.0 + SLACK_S + 1, 3600.0, -61.0])
def test_a_sign_in_from_before_the_step_up_or_from_the_future_proves_nothing(age):
    with pytest.raises(StepUpError, match="auth_time"):
        GOLD.check(claims(acr="gold", auth_time=NOW - age), 30.0)


@pytest.mark.parametrize("age", [None, "now", True, float("nan")])
def test_acr_without_a_time_of_the_sign_in_proves_nothing(age):
    with pytest.raises(TokenError, match="auth_time"):
        GOLD.check(claims(acr="gold", auth_time=age), 30.0)


def test_a_provider_whose_clock_is_behind_can_prove_a_step_up():
    """Both times are the provider's, so the difference to this machine's clock does not count."""
    GOLD.check({"acr": "gold", "iat": NOW - 200, "auth_time": NOW - 210}, 15.0)
