"""The directories of the settings are opened, and one that cannot be used does no harm.

Tests the opening of callerid/directories/http.py too.
"""

from __future__ import annotations

from base64 import b64encode

import pytest
import structlog

from callerid.directories.http import HttpDirectorySection
from callerid.errors import TemplateError
from callerid.limited_source import LimitedSource
from callerid.number import PhoneNumber
from callerid.source import AnswerState
from galwad.directories.subject import open_directories
from helpers.http_server import HttpServer, answer
from net.errors import ServerError

NUMBER = PhoneNumber("+441632960001")
FIELDS = {"id": "id", "name": "name", "numbers": "phones"}
ELIN = {"id": 7, "name": "Elin", "phones": ["01632 960001"], "address": "1 Heol Fawr"}


@pytest.fixture
async def server():
    server = HttpServer()
    await server.start()
    server.answers = [answer({"items": [ELIN]})]
    yield server
    await server.stop()


@pytest.fixture
def section(server):
    """Return a function that returns the settings of a directory at the server."""

    def section(**more):
        known = {"name": "crm", "kind": "http", "url": f"{server.url}/people", "people": "items"}
        return HttpDirectorySection.model_validate({**known, "fields": FIELDS, **more})

    return section


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("hunter2\n")
    return str(path)


async def search(section):
    directory = section.open()
    try:
        return await directory.find(NUMBER)
    finally:
        await directory.close()


async def test_query_headers_and_body_of_a_template_are_sent_and_fields_read_from_the_answer(
    section, server
):
    fields = {**FIELDS, "language": "lang", "shared": "many", "details": {"address": "address"}}
    settings = section(
        method="POST",
        query={"fields": "all", "limit": 100},
        headers={"X-Application": "galwad"},
        body={"phones": "{spellings}"},
        fields=fields,
    )
    server.answers = [answer({"items": [{**ELIN, "lang": "Welsh", "many": True}]})]
    (person,) = await search(settings)
    assert (person.person_id, person.language, person.shared) == ("crm:7", "cy", True)
    assert person.details == (("address", "1 Heol Fawr"),)
    (request,) = server.received
    assert request.query == [("fields", "all"), ("limit", "100")]
    assert request.headers["x-application"] == "galwad"
    assert "01632 960001" in request.json["phones"]


async def test_each_kind_of_authentication_is_sent(section, server, secret):
    pair = b64encode(b"galwad:hunter2").decode()
    for authentication, sent in (
        ({"kind": "basic", "user": "galwad"}, f"Basic {pair}"),
        ({"kind": "bearer"}, "Bearer hunter2"),
        ({"kind": "bearer", "scheme": "token"}, "token hunter2"),
    ):
        settings = section(authentication={**authentication, "secret_file": secret})
        await search(settings)
        assert server.received[-1].headers["authorization"] == sent
    oauth = {"kind": "oauth2", "client_id": "galwad", "token_url": f"{server.url}/token"}
    token = answer({"access_token": "t1", "expires_in": 60})
    server.answers = [token, answer({"items": []})]
    await search(section(authentication={**oauth, "secret_file": secret}))
    assert server.received[-1].headers["authorization"] == "Bearer t1"


async def test_a_directory_that_cannot_be_used_fails_each_search_and_its_reason_is_logged(
    section, tmp_path
):
    missing = section(tls={"ca": str(tmp_path / "ca.pem")})
    with structlog.testing.capture_logs() as logs:
        ((source, limits),) = open_directories([missing])
    assert [log["directory"] for log in logs if log["event"] == "directory.unusable"] == ["crm"]
    seen: list = []
    limited = LimitedSource(source, limits, observe=seen.append)
    assert (await limited.ask(NUMBER)).state is AnswerState.UNAVAILABLE
    assert seen[0].reason == "cannot use the TLS files: No such file or directory"
    await limited.close()


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"body": {"x": ["{phone}"]}}, '"body" has an unknown placeholder: {phone}'),
        ({"people": "lenght(items)"}, '"people" calls an unknown function: lenght'),
        ({"query": {"q": "{spelling}"}}, '"query.q" has {spelling} outside a list'),
    ],
)
def test_a_wrong_placeholder_or_function_is_named_with_its_setting(section, more, fault):
    with pytest.raises(TemplateError) as caught:
        section(**more).open()
    assert str(caught.value) == fault


async def test_a_secret_that_cannot_be_read_makes_the_directory_unavailable(section, tmp_path):
    missing = {"kind": "bearer", "secret_file": str(tmp_path / "none")}
    with pytest.raises(ServerError, match=r"cannot read .*none: No such file"):
        await search(section(authentication=missing))


def test_the_limits_of_a_directory_are_those_of_its_settings(section):
    limits = section(concurrency=2, timeout=3, keep_found=9, keep_not_found=1).limits
    assert (limits.concurrency, limits.timeout_s) == (2, 3)
    assert (limits.cache.found_s, limits.cache.not_found_s) == (9, 1)
