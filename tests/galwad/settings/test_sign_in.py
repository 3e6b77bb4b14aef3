"""The settings of the sign-in at an OpenID provider, and their example."""

from __future__ import annotations

import re
import tomllib

import pytest
from pydantic import ValidationError

from galwad.settings import EXAMPLE
from galwad.settings.desk import SignInSection

TENANT = "6f1c4f0e-5a54-4b6f-9a0e-0d4d5b1d7c11"
LEAST = {
    "issuer": "https://login.example/realm",
    "client_id": "galwad",
    "secret_file": "/run/credentials/galwad-desk.service/galwad.sign-in.secret",
    "roles": {"advisors": "advisor"},
}


def section(**values):
    return SignInSection.model_validate({**LEAST, **values})


def test_minimal_sign_in_settings_identify_people_by_their_subject():
    found = section()
    assert (found.identity, found.tenant, found.scopes) == ("sub", "", ("openid", "profile"))
    assert found.password_users is None
    assert (found.step_up, found.step_up_claim, found.step_up_lifetime) == (None, "acr", 600.0)


def test_a_provider_on_this_machine_needs_no_tls():
    assert section(issuer="http://127.0.0.1:3000")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"issuer": "http://login.example"}, "https://"),
        ({"issuer": "https://login.example/?a=b"}, "issuer"),
        ({"issuer": "https://a:b@login.example/"}, "https://"),
        ({"client_id": ""}, "client_id"),
        ({"scopes": ["profile"]}, "openid"),
        ({"scopes": ["openid", "a b"]}, "scopes"),
        ({"roles": {}}, "roles"),
        ({"roles": {"programs": "machine"}}, "roles"),
        ({"identity": "oid"}, "tenant"),
        ({"tenant": TENANT}, "tenant"),
        ({"identity": "oid", "tenant": TENANT.upper()}, "tenant"),
        ({"identity": "email"}, "identity"),
        ({"step_up": "c1", "identity": "oid", "tenant": TENANT}, "step_up_claim"),
        ({"step_up": ""}, "step_up"),
        ({"step_up": "a b"}, "step_up"),
        ({"step_up": "c1", "step_up_claim": "amr"}, "step_up_claim"),
        ({"step_up": "c1", "step_up_lifetime": 5}, "step_up_lifetime"),
        ({"secret_file": "secret"}, "full path"),
    ],
)
def test_settings_with_which_no_one_or_the_wrong_people_could_sign_in_are_refused(values, words):
    with pytest.raises(ValidationError, match=re.escape(words)):
        section(**values)


def test_the_example_of_entra_id_is_valid():
    _, _, after = EXAMPLE.read_text(encoding="utf-8").partition("\n# [sign_in]\n")
    lines = [line[2:] for line in after.splitlines() if re.match(r"# \w+ = ", line)]
    found = SignInSection.model_validate(tomllib.loads("\n".join(lines)))
    assert (found.identity, found.tenant) == ("oid", TENANT)
    assert found.roles == {"Galwad.Advisor": "advisor", "Galwad.Admin": "admin"}
    assert (found.step_up, found.step_up_claim) == ("c1", "acrs")
