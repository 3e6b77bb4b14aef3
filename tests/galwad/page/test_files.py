"""The page's files have addresses that change with their content, and browsers keep them."""

from __future__ import annotations

import re

from galwad.page.files import PageFiles

VERSION = re.compile(r'"/static/([0-9a-f]{16})/app\.js"')


async def version_of(client):
    """Return the version in the addresses of the page's files."""
    found = VERSION.search((await client.get("/")).text)
    assert found is not None
    return found[1]


async def test_a_file_with_the_present_version_may_be_kept_for_a_year(running):
    client = running.client()
    path = f"/static/{await version_of(client)}/app.js"
    reply = await client.get(path)
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert reply.content == (await client.get("/static/app.js")).content


async def test_every_file_that_the_page_names_exists_under_its_version(running):
    client = running.client()
    paths = re.findall(r'"(/static/[^"]+)"', (await client.get("/")).text)
    assert len(paths) >= 3
    for path in paths:
        assert VERSION.fullmatch(f'"{path.rpartition("/")[0]}/app.js"')
        assert (await client.get(path)).status_code == 200


async def test_a_page_from_before_an_upgrade_gets_the_present_file_and_may_not_keep_it(running):
    client = running.client()
    reply = await client.get("/static/0123456789abcdef/app.js")
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-cache"


async def test_a_browser_asks_for_the_page_itself_each_time(running):
    client = running.client()
    assert (await client.get("/")).headers["cache-control"] == "no-cache"


async def test_a_browser_may_not_keep_the_response_for_a_missing_file(running):
    client = running.client()
    reply = await client.get(f"/static/{await version_of(client)}/missing.js")
    assert reply.status_code == 404
    assert reply.headers["cache-control"] == "no-cache"


async def test_a_path_with_a_version_does_not_leave_the_folder_of_the_page(running):
    client = running.client()
    version = await version_of(client)
    for path in (f"/static/{version}/../../service.py", f"/static/{version}/%2e%2e/service.py"):
        assert (await client.get(path)).status_code == 404


def test_the_version_changes_with_the_content_or_the_name_of_a_file(monkeypatch, tmp_path):
    (tmp_path / "static").mkdir()
    monkeypatch.setattr("galwad.page.files.files", lambda _package: tmp_path)
    script = tmp_path / "static" / "app.js"
    script.write_text("1;")
    first = PageFiles().version
    script.write_text("2;")
    second = PageFiles().version
    script.rename(script.with_name("other.js"))
    assert len({first, second, PageFiles().version}) == 3


def test_a_page_keeps_the_addresses_of_the_files_with_which_it_was_loaded(tmp_path, monkeypatch):
    """An upgrade replaces the files before it restarts the desk."""
    monkeypatch.setattr("galwad.page.files.files", lambda _: tmp_path)
    (tmp_path / "static").mkdir()
    page = tmp_path / "static" / "index.html"
    page.write_text('<script src="/static/app.js"></script>')
    served = PageFiles()
    page.unlink()
    assert served.page("index.html").body == (
        f'<script src="/static/{served.version}/app.js"></script>'.encode()
    )
