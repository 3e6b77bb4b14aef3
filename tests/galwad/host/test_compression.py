"""The page's public files are compressed; answers with personal data never are (BREACH)."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

STATIC = files("galwad.page") / "static"
MOST_FOR_A_PAGE = 100_000
"""The bytes that a browser may have to receive before it shows the page."""
IMPORT = re.compile(r'^(?:import|export)\b[^;]*?from "\./([a-z_]+\.js)";', re.MULTILINE)


def loaded_by(name: str) -> set[str]:
    """Return the script `name` and all scripts that it imports when it is loaded."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += IMPORT.findall(STATIC.joinpath(each).read_text(encoding="utf-8"))
    return found


async def received(client, path, encoding="gzip"):
    """Return the response's headers and the number of bytes of its body on the wire."""
    async with client.stream("GET", path, headers={"Accept-Encoding": encoding}) as response:
        assert response.status_code == 200
        return response.headers, len(b"".join([part async for part in response.aiter_raw()]))


async def test_scripts_styles_and_texts_are_compressed_if_the_browser_allows_it(running):
    client = running.client()
    for path in ("/static/app.js", "/static/style.css", "/api/v1/strings/cy"):
        headers, short = await received(client, path)
        assert headers["content-encoding"] == "gzip"
        assert headers["vary"] == "Accept-Encoding"
        plain, long = await received(client, path, "identity")
        assert "content-encoding" not in plain
        assert short < long / 2


@pytest.mark.parametrize("path", ["/static/app.js", "/api/v1/strings/cy"])
async def test_a_script_or_text_that_has_not_changed_is_not_sent_again(running, path):
    client = running.client()
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/calls", "/api/v1/today", "/"])
async def test_an_answer_that_may_have_personal_data_is_not_compressed(running, path):
    page = await running.page("sian")
    headers, _ = await received(page.http, path)
    assert "content-encoding" not in headers


async def test_a_browser_receives_at_most_100_kb_for_the_page(running):
    client = running.client()
    paths = ["/", "/static/style.css", "/static/icon.svg", "/api/v1/strings/cy"]
    paths += [f"/static/{name}" for name in loaded_by("app.js")]
    assert len(paths) > 40
    assert sum([(await received(client, path))[1] for path in paths]) <= MOST_FOR_A_PAGE
