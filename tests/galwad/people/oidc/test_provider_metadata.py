"""The discovery document: which ones are used, and which are refused with an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galwad.people.oidc.errors import ProviderError
from galwad.people.oidc.provider import ProviderMetadata

ISSUER = "https://login.example/v2.0"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://login.example/authorize",
    "token_endpoint": "https://login.example/token",
    "jwks_uri": "https://keys.example/keys",
}


def parse(**changes):
    return ProviderMetadata.parse({**DOCUMENT, **changes}, ISSUER)


def test_a_document_with_only_the_required_parts_can_be_used():
    found = parse()
    assert (found.token, found.keys) == (DOCUMENT["token_endpoint"], DOCUMENT["jwks_uri"])
    assert (found.end_session, found.secret_place, found.names_issuer) == ("", "header", False)


def test_optional_parts_say_where_the_secret_goes_and_whether_responses_name_the_issuer():
    found = parse(
        end_session_endpoint="https://login.example/logout",
        token_endpoint_auth_methods_supported=["client_secret_post", "private_key_jwt"],
        authorization_response_iss_parameter_supported=True,
        code_challenge_methods_supported=["plain", "S256"],
    )
    assert (found.secret_place, found.names_issuer) == ("body", True)
    assert found.end_session == "https://login.example/logout"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issuer": "https://login.example/common/v2.0"}, "is not \\[sign_in\\] issuer"),
        ({"issuer": f"{ISSUER}/"}, "is not \\[sign_in\\] issuer"),
        ({"issuer": None}, "is not \\[sign_in\\] issuer"),
        ({"token_endpoint": None}, "token_endpoint"),
        ({"token_endpoint": "http://login.example/token"}, "token_endpoint"),
        ({"token_endpoint": "https://a:b@login.example/token"}, "token_endpoint"),
        ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri"),
        ({"jwks_uri": "https://keys.example:port/"}, "jwks_uri"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint"),
        ({"authorization_endpoint": "https://login.example/a#b"}, "authorization_endpoint"),
        ({"authorization_endpoint": "https://login.example/a\nb"}, "authorization_endpoint"),
        ({"authorization_endpoint": "https://[::1"}, "authorization_endpoint"),
        ({"authorization_endpoint": "https://é.example/"}, "authorization_endpoint"),
        ({"authorization_endpoint": "https://a.example/" + "a" * 3000}, "authorization_endpoint"),
        ({"end_session_endpoint": "http://login.example/logout"}, "end_session_endpoint"),
        ({"code_challenge_methods_supported": ["plain"]}, "S256"),
        ({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}, "client secret"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused(changes, reason):
    with pytest.raises(ProviderError, match=reason):
        parse(**changes)


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
NAMES = [
    *DOCUMENT,
    "end_session_endpoint",
    "token_endpoint_auth_methods_supported",
    "code_challenge_methods_supported",
]


@settings(deadline=None)
@given(changes=st.dictionaries(st.sampled_from(NAMES), VALUES), whole=VALUES)
def test_a_document_of_any_shape_is_used_or_refused_with_our_own_error(changes, whole):
    for document in ({**DOCUMENT, **changes}, whole):
        try:
            found = ProviderMetadata.parse(document, ISSUER)
        except ProviderError:
            continue
        assert found.authorization.startswith("http")


@settings(deadline=None)
@given(st.from_regex(r"https?://[ -~]{0,30}", fullmatch=True))
def test_an_address_that_is_accepted_has_tls_or_is_of_this_machine(address):
    try:
        found = parse(token_endpoint=address)
    except ProviderError:
        return
    assert found.token.startswith(("https://", "http://127.", "http://localhost", "http://[::1]"))
