"""The sign-in of a command line that a person approves on the page.

Covers `galwad/people/sign_in/approval_routes.py`, and `galwad/people/sign_in/commands.py` with the
option `--browser`.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from galwad.cli import main
from galwad.people.sign_in.approvals import CODES
from helpers.desk import until
from helpers.people import change
from recording.audit.log import AuditFilter

URL = "/api/v1/command-lines"


async def begun(running):
    reply = await running.client().post(URL)
    assert reply.status_code == 201, reply.text
    return reply.json()


async def fetch(running, waiting):
    return await running.client().post(f"{URL}/token", json={"secret": waiting["secret"]})


async def test_a_command_line_that_a_person_approves_gets_a_token_once(running):
    waiting = await begun(running)
    assert waiting["page"] == f"{running.settings.desk.origin}/#command-line"
    early = await fetch(running, waiting)
    assert (early.status_code, early.json()["reason"]) == (409, "waiting")
    sian = (await running.page("sian")).http
    shown = await sian.post(f"{URL}/show", json={"code": waiting["code"].lower()})
    assert shown.json() == {"address": "127.0.0.1"}
    approved = await sian.post(f"{URL}/approve", json={"code": waiting["code"]})
    assert approved.status_code == 204
    me = (await fetch(running, waiting)).json()
    assert (me["user"], me["role"]) == ("sian", "advisor")
    bearer = running.client(headers={"Authorization": f"Bearer {me['token']}"})
    assert (await bearer.get("/api/v1/me")).json()["user"] == "sian"
    assert (await fetch(running, waiting)).status_code == 410


async def test_the_approval_and_the_sign_in_are_audited_with_both_addresses(running):
    waiting = await begun(running)
    sian = (await running.page("sian")).http
    await sian.post(f"{URL}/approve", json={"code": waiting["code"]})
    await fetch(running, waiting)
    (approved,) = await running.desk.host.audit.search(
        AuditFilter(kind="sign-in.approved"), limit=9
    )
    values = {name: value for name, (_, value) in approved.values.items()}
    assert values == {"user": "sian", "address": "127.0.0.1", "approved_at": "127.0.0.1"}
    newest = (await running.desk.host.audit.search(AuditFilter(kind="sign-in.accepted"), limit=1))[
        0
    ]
    assert newest.facts == {"client": "cli", "method": "page"}
    assert waiting["code"] not in str([approved, newest])


@pytest.mark.parametrize("action", ["show", "approve"])
async def test_strangers_machines_and_other_sites_cannot_approve(running, action):
    waiting = await begun(running)
    body = {"code": waiting["code"]}
    machine = await running.machine("pay", "payments")
    assert (await machine.post(f"{URL}/{action}", json=body)).status_code == 403
    assert (await running.client().post(f"{URL}/{action}", json=body)).status_code == 401
    sian = (await running.page("sian")).http
    foreign = {"Origin": "https://evil.example"}
    reply = await sian.post(f"{URL}/{action}", json=body, headers=foreign)
    assert reply.status_code == 403
    assert (await fetch(running, waiting)).status_code == 409


async def test_a_user_who_guesses_codes_must_wait(running):
    sian = (await running.page("sian")).http
    for _ in range(CODES.most):
        reply = await sian.post(f"{URL}/show", json={"code": "BCDF-GHJK"})
        assert reply.status_code == 404
    reply = await sian.post(f"{URL}/show", json={"code": "BCDF-GHJK"})
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) > 0


async def test_idle_waiting_clients_do_not_block_others_of_their_network(running, monkeypatch):
    monkeypatch.setattr("galwad.people.sign_in.approvals.MOST_OF_A_NETWORK", 20)
    sian = (await running.page("sian")).http
    for _ in range(30):
        await begun(running)
    waiting = await begun(running)
    for _ in range(3):
        reply = await running.client().post(f"{URL}/token", json={"secret": waiting["secret"]})
        assert (reply.status_code, reply.json()["reason"]) == (409, "waiting")
        for _ in range(9):
            await begun(running)
    assert (await sian.post(f"{URL}/approve", json={"code": waiting["code"]})).status_code == 204
    reply = await running.client().post(f"{URL}/token", json={"secret": waiting["secret"]})
    assert (reply.status_code, reply.json()["user"]) == (200, "sian")


async def test_a_user_who_was_disabled_after_the_approval_gets_no_token(running):
    waiting = await begun(running)
    sian = (await running.page("sian")).http
    await sian.post(f"{URL}/approve", json={"code": waiting["code"]})
    await change(running.desk.people.users, "sian", disabled=True)
    assert (await fetch(running, waiting)).status_code == 401


async def test_a_secret_or_code_of_a_wrong_length_is_refused(running):
    sian = (await running.page("sian")).http
    assert (await sian.post(f"{URL}/show", json={"code": "x" * 21})).status_code == 422
    assert (await running.client().post(f"{URL}/token", json={"secret": ""})).status_code == 410
    long = {"secret": "x" * 101}
    assert (await running.client().post(f"{URL}/token", json=long)).status_code == 422


async def test_galwad_login_with_a_browser_waits_for_the_approval_and_stores_the_token(
    running, monkeypatch, tmp_path, capfd
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("GALWAD_SERVER", "GALWAD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    words = ["login", "--browser", "--server", running.url]
    command = asyncio.create_task(asyncio.to_thread(main.run, words))
    said = ""

    def code():
        nonlocal said
        said += capfd.readouterr().err
        return re.search(r"[B-Z]{4}-[B-Z]{4}", said)

    await until(lambda: code() is not None)
    found = re.search(r"[B-Z]{4}-[B-Z]{4}", said)
    assert found is not None
    assert f"{running.settings.desk.origin}/#command-line" in said
    sian = (await running.page("sian")).http
    await sian.post(f"{URL}/approve", json={"code": found[0]})
    assert await command == 0
    assert "as sian (advisor)" in capfd.readouterr().out
    text = (tmp_path / "galwad" / "client.toml").read_text()
    assert running.url in text


async def test_a_browser_and_a_user_name_together_are_wrong_usage(running, capfd):
    words = ["login", "--browser", "--user", "sian", "--server", running.url]
    assert await asyncio.to_thread(main.run, words) == 2
    assert "--browser" in capfd.readouterr().err
