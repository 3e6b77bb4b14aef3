"""The requests to Salesforce's REST API, and the errors with which it answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.directories.salesforce import SalesforceApi, check_token, error_code
from config.section import TlsSection
from helpers.http_server import answer
from net.errors import ServerBusyError, ServerError, StatusError
from net.json_client import Authentication, JsonClient

URL = "https://council.my.salesforce.com"
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["errorCode", "x"]), inner),
)


@pytest.fixture
async def api(server):
    client = JsonClient(Authentication(), TlsSection().context(), connections=1)
    api = SalesforceApi(client, server.url, "65.0")
    yield api
    await api.close()


async def test_a_request_has_the_version_of_the_api_in_its_address(api, server):
    server.answers = [answer({"fine": True})]
    assert await api.send("PATCH", "sobjects/Task", {"a": 1}, [("b", "c")]) == {"fine": True}
    (request,) = server.received
    assert (request.method, request.target) == ("PATCH", "/services/data/v65.0/sobjects/Task?b=c")
    assert request.json == {"a": 1}


async def test_a_used_up_daily_request_limit_asks_for_a_rest_of_a_minute(api, server):
    used_up = [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    server.answers = [answer(used_up, "403 Forbidden")]
    with pytest.raises(ServerBusyError) as caught:
        await api.send("POST", "parameterizedSearch", {})
    assert caught.value.seconds == 60


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (
            [{"errorCode": "INVALID_FIELD", "message": "Elin's"}],
            "the server answers 400 (INVALID_FIELD)",
        ),
        ([{"errorCode": "Elin's number"}], "the server answers 400"),
        ([{"errorCode": ["INVALID_FIELD"]}], "the server answers 400"),
        ([], "the server answers 400"),
        ({"errorCode": "INVALID_FIELD"}, "the server answers 400"),
    ],
)
async def test_an_error_repeats_only_the_error_code_of_a_salesforce_answer(
    api, server, document, reason
):
    server.answers = [answer(document, "400 Bad Request")]
    with pytest.raises(StatusError) as caught:
        await api.send("POST", "parameterizedSearch", {})
    assert str(caught.value) == reason


@given(st.binary() | DOCUMENTS.map(lambda document: json.dumps(document).encode()))
def test_the_code_read_from_any_error_document_is_in_capitals_or_empty(text):
    code = error_code(text)
    assert not code or code.replace("_", "").isupper()


@pytest.mark.parametrize("instance", [URL, f"{URL}/", URL.upper()])
def test_a_token_for_my_domain_is_accepted(instance):
    check_token({"access_token": "t", "instance_url": instance}, URL)


@pytest.mark.parametrize(
    "document",
    [
        {"instance_url": "https://evil.example"},
        {"instance_url": f"{URL}.evil.example"},
        {"instance_url": f"{URL}@evil.example"},
        {"instance_url": "http://council.my.salesforce.com"},
        {"instance_url": None},
        {"instance_url": [URL]},
        {},
        [],
        None,
    ],
)
def test_a_token_for_another_server_is_refused(document):
    with pytest.raises(ServerError, match='set "url" to your My Domain') as caught:
        check_token(document, URL)
    assert "evil" not in str(caught.value)
