"""A whole sign-in at a provider that forges, fails, lies and renews its keys.

Covers `galwad/people/oidc/provider.py`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import pytest
from structlog.testing import capture_logs

from galwad.people.oidc import provider as provider_module
from galwad.people.oidc import provider_sign_in
from galwad.people.oidc.errors import (
    BusyProviderError,
    DeniedError,
    OidcError,
    ProviderError,
    ResponseError,
    StepUpError,
    TokenClockError,
    TokenError,
    UnknownKeyError,
)
from galwad.people.oidc.id_token import IdToken
from galwad.people.oidc.provider_sign_in import MOST_FROM_A_NETWORK, ProviderSignIn
from helpers.http_server import answer
from helpers.openid import (
    CLIENT,
    EC,
    OTHER_RSA,
    RSA,
    SECRET,
    provider,
    public,
    section,
    signed,
    signed_with_public_key,
)

__all__ = ["provider", "section"]

ORIGIN = "https://galwad.example"
NETWORK = "192.0.2.1"


@pytest.fixture
async def make(section):
    made = []

    def make(clock=time.time, **more):
        made.append(ProviderSignIn(section(**more), ORIGIN, clock))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def flow(make):
    return make()


async def sign_in(flow, provider, **response):
    """Sign in from the first redirect to the token, with changes of the response."""
    url, cookie = await flow.begin("")
    parameters = {**provider.approve(url), **response}
    given = {name: value for name, value in parameters.items() if value is not None}
    return await complete(flow, cookie, given)


async def complete(flow, cookie, response):
    """Take the sign-in of a response, and complete it."""
    return await flow.complete(flow.take(cookie, response), response, NETWORK)


async def test_a_person_signs_in_with_pkce_and_the_secret_in_the_header(flow, provider):
    token = await sign_in(flow, provider)
    assert token == IdToken(
        "00000000-0000-0000-0000-000000000001",
        frozenset({"Galwad.Advisor"}),
        "sian.parry@council.example",
    )
    assert flow.role_of(token) == "advisor"
    (form,) = provider.forms
    assert form["redirect_uri"] == f"{ORIGIN}/api/v1/sign-in/callback"
    assert 43 <= len(form["code_verifier"]) <= 128
    assert "client_secret" not in form
    (request,) = [each for each in provider.server.received if each.method == "POST"]
    user, _, secret = (
        base64.b64decode(request.headers["authorization"].split()[1]).decode().partition(":")
    )
    assert (unquote_plus(user), unquote_plus(secret)) == (CLIENT, SECRET)


async def test_the_secret_is_in_the_body_if_the_provider_takes_it_only_there(flow, provider):
    provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    await sign_in(flow, provider)
    (form,) = provider.forms
    assert (form["client_id"], form["client_secret"]) == (CLIENT, SECRET)


async def test_the_address_of_the_provider_keeps_its_own_query(flow, provider):
    url, _ = await flow.begin("", "cy")
    query = dict(parse_qsl(urlsplit(url).query))
    assert (query["tenant"], query["scope"], query["ui_locales"]) == ("x", "openid profile", "cy")
    assert url.startswith(f"{provider.issuer}/authorize?")


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        (["Galwad.Advisor", "Galwad.Admin"], "admin"),
        (["Galwad.Lead", "Galwad.Advisor"], "supervisor"),
        (["galwad.admin", "Other"], None),
        ([], None),
    ],
)
async def test_the_highest_known_role_is_given_and_an_unknown_one_gives_none(
    flow, provider, roles, role
):
    provider.claims = {"roles": roles}
    assert flow.role_of(await sign_in(flow, provider)) == role


FORGED = {
    "issuer": ({"iss": "https://evil.example"}, TokenError),
    "audience": ({"aud": "another"}, TokenError),
    "azp": ({"azp": "another"}, TokenError),
    "nonce": ({"nonce": "another"}, TokenError),
    "tenant": ({"tid": "another"}, TokenError),
    "missing": ({"oid": None}, TokenError),
    "expired": ({"exp": 1}, TokenError),
    "future": ({"iat": 4_000_000_000}, TokenClockError),
}


@pytest.mark.parametrize(("claims", "error"), FORGED.values(), ids=FORGED)
async def test_a_token_with_a_forged_claim_is_refused(flow, provider, claims, error):
    provider.claims = claims
    with pytest.raises(error):
        await sign_in(flow, provider)


@pytest.mark.parametrize(
    "forge",
    [signed_with_public_key, lambda claims: signed(claims, "RS256", OTHER_RSA)],
    ids=["an HMAC with the public key", "another key"],
)
async def test_a_token_that_the_provider_has_not_signed_is_refused(flow, provider, forge):
    url, cookie = await flow.begin("")
    response = provider.approve(url)
    provider.token = forge(provider.right_claims())
    with pytest.raises(TokenError):
        await complete(flow, cookie, response)


async def test_a_clock_that_is_ten_minutes_wrong_is_reported_with_the_difference(make, provider):
    flow = make(clock=lambda: time.time() + 600)
    with pytest.raises(TokenClockError, match=r"60\d s ahead"):
        await sign_in(flow, provider)


async def test_a_response_cannot_be_used_again(flow, provider):
    url, cookie = await flow.begin("")
    response = provider.approve(url)
    await complete(flow, cookie, response)
    with pytest.raises(ResponseError):
        await complete(flow, cookie, response)
    assert len(provider.forms) == 1


async def test_a_code_that_was_used_is_refused_by_the_provider(flow, provider):
    await sign_in(flow, provider)
    with pytest.raises(ResponseError, match="code"):
        await sign_in(flow, provider)


async def test_a_response_of_a_sign_in_in_another_browser_is_refused(flow, provider):
    url, _ = await flow.begin("")
    _, mine = await flow.begin("")
    with pytest.raises(ResponseError):
        await complete(flow, mine, provider.approve(url))
    assert provider.forms == []


async def test_the_code_of_another_sign_in_is_refused_by_its_nonce(flow, provider):
    """An attacker's code in the victim's browser (RFC 9700, section 4.5)."""
    theirs, _ = await flow.begin("")
    stolen = provider.approve(theirs, code="theirs")
    url, cookie = await flow.begin("")
    with pytest.raises(TokenError):
        await complete(flow, cookie, {**provider.approve(url), "code": stolen["code"]})


@pytest.mark.parametrize("issuer", ["https://evil.example", "", None])
async def test_the_code_in_a_response_of_another_provider_is_not_exchanged(flow, provider, issuer):
    with pytest.raises(ResponseError):
        await sign_in(flow, provider, iss=issuer)
    assert provider.forms == []


async def test_a_provider_that_never_names_itself_is_accepted(flow, provider):
    provider.metadata = {"authorization_response_iss_parameter_supported": None}
    assert await sign_in(flow, provider, iss=None)
    with pytest.raises(ResponseError):
        await sign_in(flow, provider, iss="https://evil.example")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("access_denied", DeniedError),
        ("login_required", DeniedError),
        ("<script>", DeniedError),
        ("server_error", ProviderError),
    ],
)
async def test_an_error_response_becomes_our_error_without_the_providers_text(
    flow, provider, code, error
):
    with pytest.raises(error) as caught:
        await sign_in(flow, provider, error=code, error_description="sian cancelled", code=None)
    assert not {"sian", "<script>"} & set(str(caught.value).split())


async def test_a_response_without_a_code_is_refused(flow, provider):
    with pytest.raises(ResponseError):
        await sign_in(flow, provider, code=None)


async def test_new_keys_are_read_once_for_a_token_that_names_them(flow, provider):
    await sign_in(flow, provider)
    provider.keys = public(EC, OTHER_RSA)
    newer = RSA.as_dict(private=True) | {"kid": "newer"}
    key = type(RSA).import_key(newer)
    provider.keys["keys"].append({**key.as_dict(private=False), "use": "sig"})
    flow.provider._keys_at -= provider_module.KEYS_RENEWED_S
    url, cookie = await flow.begin("")
    response = provider.approve(url, code="second")
    provider.token = signed(provider.right_claims("second"), "RS256", key)
    assert await complete(flow, cookie, response)
    assert provider.asked("/keys") == 2


async def test_unknown_key_ids_do_not_make_the_desk_read_the_keys_repeatedly(flow, provider):
    for number in range(4):
        url, cookie = await flow.begin("")
        code = f"code-{number}"
        response = provider.approve(url, code=code)
        provider.token = signed(provider.right_claims(code), kid="unknown")
        with pytest.raises(UnknownKeyError):
            await complete(flow, cookie, response)
    assert provider.asked("/keys") == 1


async def test_the_documents_of_the_provider_are_kept_for_an_hour(flow, provider):
    for number in range(3):
        url, cookie = await flow.begin("")
        await complete(flow, cookie, provider.approve(url, code=str(number)))
    assert provider.asked("openid-configuration") == 1
    flow.provider._read_at -= provider_module.KEPT_S
    await flow.begin("")
    assert provider.asked("openid-configuration") == 2


GARBAGE = {
    "no JSON": answer(b"<html>"),
    "a list": answer([]),
    "another issuer": answer({"issuer": "https://evil.example"}),
    "ten megabytes": answer(b"[" + b"1," * 5_000_000 + b"1]"),
    "a redirect": answer(b"", "302 Found", Location="https://evil.example/"),
    "an error": answer({"error": "no"}, "500 Internal Server Error"),
    "compressed": answer(b"\x1f\x8b", Content_Encoding="gzip"),
    "no HTTP": b"\x00\x01\x02\r\n\r\n",
}


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("path", ["openid-configuration", "/keys"])
async def test_a_document_that_cannot_be_read_raises_a_provider_error(flow, provider, path, sent):
    provider.broken = {path: sent}
    with pytest.raises(ProviderError):
        await flow.begin("")


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE)
async def test_an_unreadable_answer_to_a_code_raises_a_provider_error(flow, provider, sent):
    provider.broken = {"/token": sent}
    with pytest.raises(ProviderError):
        await sign_in(flow, provider)


async def test_a_silent_provider_is_given_up_after_the_timeout(make, provider):
    flow = make(timeout=0.2)
    provider.broken = {"openid-configuration": None}
    with pytest.raises(ProviderError, match="in time"):
        await flow.begin("")


async def test_many_sign_ins_at_a_silent_provider_share_one_request(make, provider):
    flow = make(timeout=0.5)
    provider.broken = {"openid-configuration": None}
    attempts = [flow.begin("") for _ in range(20)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert all(isinstance(each, ProviderError) for each in results)
    assert provider.asked("openid-configuration") == 1


async def test_a_provider_that_comes_back_is_asked_again(flow, provider):
    provider.broken = {"openid-configuration": GARBAGE["an error"]}
    with pytest.raises(ProviderError):
        await flow.begin("")
    provider.broken = {}
    flow.provider._failed_at -= provider_module.RETRY_S
    assert await sign_in(flow, provider)


async def test_a_provider_that_is_down_raises_a_provider_error(flow, provider):
    await provider.server.stop()
    with pytest.raises(ProviderError, match="cannot connect"):
        await flow.begin("")


async def test_a_secret_that_cannot_be_read_is_an_error_that_names_the_file(make, provider):
    flow = make(secret_file="/nowhere/secret")
    with pytest.raises(ProviderError, match="/nowhere/secret"):
        await sign_in(flow, provider)


async def test_a_network_has_a_limited_number_of_exchanges_at_a_time(make, provider):
    flow = make(timeout=2.0)
    await flow.begin("")
    provider.broken = {"/token": None}
    begun = [await flow.begin("") for _ in range(MOST_FROM_A_NETWORK + 1)]
    responses = [(cookie, provider.approve(url)) for url, cookie in begun]
    attempts = [complete(flow, cookie, each) for cookie, each in responses]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(each, BusyProviderError) for each in results) == 1
    assert sum(isinstance(each, ProviderError) for each in results) == MOST_FROM_A_NETWORK
    provider.broken = {}
    assert await sign_in(flow, provider)


async def test_exchanges_of_other_networks_delay_an_exchange_but_do_not_refuse_it(
    flow, provider, monkeypatch
):
    monkeypatch.setattr(provider_sign_in, "MOST_AT_ONCE", 1)
    url, cookie = await flow.begin("")
    response = provider.approve(url)
    order, ended = [], asyncio.Event()

    async def hold(name, network):
        async with flow.exchanges.turn(network):
            order.append(name)
            await ended.wait()

    async with asyncio.timeout(60):
        flood = [asyncio.create_task(hold(n, "203.0.113.66")) for n in range(8)]
        await asyncio.sleep(0)
        mine = asyncio.create_task(complete(flow, cookie, response))
        await asyncio.sleep(0.05)
        assert NETWORK in flow.exchanges._waiting
        flood[1].cancel()
        ended.set()
        assert await mine
        await asyncio.gather(*flood, return_exceptions=True)
    assert order == [0, *range(2, 8)]
    assert (flow.exchanges._running, dict(flow.exchanges._of_network)) == (0, {})


async def test_an_exchange_that_waits_too_long_is_refused_and_can_be_repeated(
    make, provider, monkeypatch
):
    monkeypatch.setattr(provider_sign_in, "MOST_AT_ONCE", 1)
    flow = make(timeout=0.5)
    url, cookie = await flow.begin("")
    response = provider.approve(url)
    async with flow.exchanges.turn("203.0.113.66"):
        with pytest.raises(BusyProviderError):
            await complete(flow, cookie, response)
    assert await complete(flow, cookie, response)
    assert flow.exchanges._running == 0


async def test_a_response_that_leads_to_no_exchange_can_be_followed_by_a_valid_response(
    flow, provider
):
    url, cookie = await flow.begin("")
    response = provider.approve(url)
    denied = {**response, "code": "", "error": "access_denied"}
    for wrong in (denied, {**response, "code": ""}, {**response, "iss": "https://evil.example"}):
        with pytest.raises((ResponseError, DeniedError)):
            await complete(flow, cookie, wrong)
    assert await complete(flow, cookie, response)


async def test_of_two_simultaneous_responses_with_the_same_state_only_one_is_exchanged(
    flow, provider
):
    url, cookie = await flow.begin("")
    response = provider.approve(url)
    results = await asyncio.gather(
        *(complete(flow, cookie, response) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in results) == ["IdToken", "ResponseError"]
    assert len(provider.forms) == 1


async def test_no_error_and_no_log_has_the_code_or_the_secret(flow, provider):
    with capture_logs() as logs:
        errors = []
        for broken in ({}, {"/token": answer({"error": "x", "code": "a-code"}, "400 Bad Request")}):
            provider.broken = broken
            try:
                await sign_in(flow, provider)
            except OidcError as error:
                errors.append(str(error))
    assert len(errors) == 1
    assert not any("a-code" in text or SECRET in text for text in (*errors, str(logs)))


async def test_the_address_of_the_sign_out_leads_back_to_the_page(flow, provider):
    assert flow.sign_out_address() is None
    await flow.begin("")
    url = urlsplit(flow.sign_out_address())
    assert dict(parse_qsl(url.query)) == {
        "client_id": CLIENT,
        "post_logout_redirect_uri": f"{ORIGIN}/",
    }


def asked_of(url):
    return dict(parse_qsl(urlsplit(url).query))


GOLD = {"step_up": "gold", "identity": "sub", "tenant": None}


async def step_up(flow, provider):
    url, cookie = await flow.begin("", session="the session")
    return await complete(flow, cookie, provider.approve(url))


async def test_a_sign_in_without_a_step_up_requests_no_stronger_sign_in(make):
    url, _ = await make(**GOLD).begin("")
    assert not {"acr_values", "claims", "prompt", "max_age"} & set(asked_of(url))


async def test_a_step_up_asks_for_the_stronger_sign_in_as_an_essential_claim(make):
    url, _ = await make(step_up="c1", step_up_claim="acrs").begin("", session="the session")
    wanted = {"id_token": {"acrs": {"essential": True, "value": "c1"}}}
    assert json.loads(asked_of(url)["claims"]) == wanted


async def test_a_step_up_returns_the_person_if_the_token_proves_the_step_up(make, provider):
    provider.claims = {"acr": "gold", "auth_time": int(time.time())}
    token = await step_up(make(**GOLD), provider)
    assert token.name == "sian.parry@council.example"


WEAK = {
    "no claim": {"auth_time": int(time.time())},
    "another value": {"acr": "silver", "auth_time": int(time.time())},
    "an old sign-in": {"acr": "gold", "auth_time": int(time.time()) - 3600},
    "another claim": {"acrs": ["gold"], "auth_time": int(time.time())},
}


@pytest.mark.parametrize("claims", WEAK.values(), ids=WEAK)
async def test_a_token_that_does_not_prove_the_step_up_is_refused(make, provider, claims):
    provider.claims = claims
    with pytest.raises(StepUpError):
        await step_up(make(**GOLD), provider)


async def test_a_sign_in_needs_no_proof_of_a_step_up(make, provider):
    assert await sign_in(make(**GOLD), provider)


async def test_the_response_of_a_step_up_can_be_used_only_once(make, provider):
    flow = make(**GOLD)
    provider.claims = {"acr": "gold", "auth_time": int(time.time())}
    url, cookie = await flow.begin("", session="the session")
    response = provider.approve(url)
    await complete(flow, cookie, response)
    with pytest.raises(ResponseError):
        flow.take(cookie, response)


async def test_the_response_to_a_sign_in_cannot_complete_a_step_up(make, provider):
    """The states differ, and the code of the one has not the nonce of the other."""
    flow = make(**GOLD)
    provider.claims = {"acr": "gold", "auth_time": int(time.time())}
    plain, cookie = await flow.begin("")
    url, cookie = await flow.begin(cookie, session="the session")
    assert not flow.take(cookie, provider.approve(plain, code="plain")).session
    with pytest.raises(TokenError):
        await complete(flow, cookie, {**provider.approve(url), "code": "plain"})
