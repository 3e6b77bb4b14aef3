"""Signing in and out, the checks of every request, and the desk's HTTP server.

Covers `galwad/api/system.py`, `galwad/people/sign_in/limits.py`, `galwad/host/request_guard.py`,
`galwad/host/errors.py`, `galwad/host/metrics.py`, `galwad/host/app.py`,
`galwad/people/sign_in/routes.py` and `galwad/people/sign_in/commands.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import pytest
from starlette.requests import Request
from structlog.testing import capture_logs

from config.values import HostPort
from galwad.api.system import _is_from_here
from galwad.desk import Desk, server_of
from galwad.host.app import UnsafeListenerError
from galwad.people.sign_in import order as sign_in_order
from galwad.people.sign_in import throttle
from galwad.people.sign_in.order import RETRY_S
from helpers import people
from helpers.desk import changed
from helpers.examples import long_after
from recording.audit.log import AuditFilter

LOGIN = "/api/v1/login"
GOOD = {"user": "sian", "password": "correct horse battery"}
BAD = {"user": "sian", "password": "wrong"}
AWAY = "203.0.113.66"


async def test_a_session_cookie_is_samesite_strict_and_httponly(running):
    client = running.client()
    reply = await client.post(LOGIN, json=GOOD)
    cookie = reply.headers["set-cookie"].lower()
    assert cookie.startswith("galwad=")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    me = reply.json()
    assert me.pop("until") > time.time()
    assert me == {
        "user": "sian",
        "role": "advisor",
        "language": "en",
        "extension": "201",
        "token": None,
        "idle": 1800,
        "csrf": None,
        "changes_password": True,
        "needs_second_factor": False,
    }


async def test_behind_a_tls_proxy_the_cookie_is_secure_and_bound_to_the_host(running):
    await running.stop()
    running.settings = changed(running.settings, desk={"public_origin": "https://galwad.example"})
    await running.start()
    client = running.client(headers={"Origin": "https://galwad.example"})
    reply = await client.post(LOGIN, json=GOOD)
    assert reply.headers["set-cookie"].startswith("__Host-galwad=")
    assert "secure" in reply.headers["set-cookie"].lower()
    assert "strict-transport-security" in reply.headers


async def test_signing_out_ends_the_session_and_its_stream(running):
    sian = await running.page("sian")
    await sian.open()
    assert (await sian.http.get("/api/v1/me")).json()["user"] == "sian"
    token = sian.http.cookies["galwad"]
    assert (await sian.http.post("/api/v1/logout")).status_code == 204
    assert await sian.next() is None
    old = running.client(cookies={"galwad": token})
    assert (await old.get("/api/v1/me")).status_code == 401


async def test_a_page_learns_the_end_of_its_session_and_a_machine_has_no_end(running):
    sian = await running.page("sian")
    me = (await sian.http.get("/api/v1/me")).json()
    assert me["idle"] == running.desk.people.sessions.idle
    assert (await sian.open())["me"] == me
    again = (await sian.http.get("/api/v1/me")).json()
    assert again["until"] == me["until"]
    pay = await running.machine("pay", "payments")
    machine = (await pay.get("/api/v1/me")).json()
    assert (machine["idle"], machine["until"]) == (None, None)


async def test_disabling_a_user_ends_all_their_sessions(running):
    sian = await running.page("sian")
    await people.change(running.desk.people.users, "sian", disabled=True)
    assert (await sian.http.get("/api/v1/me")).status_code == 401
    assert (await running.client().post(LOGIN, json=GOOD)).status_code == 401


async def test_a_command_line_gets_a_bearer_token(running):
    client = running.client()
    reply = await client.post(LOGIN, json={**GOOD, "client": "cli"})
    assert "set-cookie" not in reply.headers
    bearer = running.client(headers={"Authorization": f"Bearer {reply.json()['token']}"})
    assert (await bearer.get("/api/v1/me")).json()["user"] == "sian"


async def test_a_request_from_another_origin_or_without_an_origin_is_refused(running):
    sian = await running.page("sian")
    evil = {"Origin": "https://evil.example"}
    assert (await sian.http.post("/api/v1/logout", headers=evil)).status_code == 403
    del sian.http.headers["Origin"]
    assert (await sian.http.post("/api/v1/logout")).status_code == 403
    assert (await sian.http.get("/api/v1/me")).status_code == 200


@pytest.fixture
async def proxied(running):
    """Sign in from an address that the request gives, as through a proxy on this machine."""
    await running.stop()
    running.settings = changed(running.settings, desk={"public_origin": "https://galwad.example"})
    await running.start()
    client = running.client(headers={"Origin": "https://galwad.example"})

    async def sign_in(body, address):
        return await client.post(LOGIN, json=body, headers={"X-Forwarded-For": address})

    return sign_in


@pytest.fixture
def paces(monkeypatch):
    """Let all paces after failed sign-ins be a tenth of their length."""
    for name in ("KNOWN_PACE_S", "STRANGER_PACE_S", "KNOWN_NETWORK_PACE_S"):
        monkeypatch.setattr(throttle, name, getattr(throttle, name) / 10)


@pytest.fixture
def impatient(monkeypatch):
    """Turn away each client that would have to wait for a pace."""
    for name in ("KNOWN_PACE_S", "STRANGER_PACE_S"):
        monkeypatch.setattr(throttle, name, 600.0)
    for kind in (sign_in_order._Kind.KNOWN, sign_in_order._Kind.STRANGER):
        monkeypatch.setitem(sign_in_order._LONGEST_WAIT_S, kind, 1.0)


async def test_many_failed_sign_ins_give_the_account_a_pace_only_at_that_address(
    proxied, impatient
):
    for _ in range(throttle.FAILURES.most):
        assert (await proxied(BAD, AWAY)).status_code == 401
    assert (await proxied(GOOD, AWAY)).status_code == 429
    assert (await proxied(GOOD, "192.0.2.8")).status_code == 200
    assert (await proxied({**GOOD, "user": "huw"}, AWAY)).status_code == 200


async def test_a_right_password_is_checked_once_the_pace_allows_it(proxied, paces):
    for _ in range(throttle.FAILURES.most):
        assert (await proxied(BAD, AWAY)).status_code == 401
    began = time.monotonic()
    assert (await proxied(GOOD, AWAY)).status_code == 200
    assert time.monotonic() - began >= throttle.STRANGER_PACE_S * 0.5


async def tries(sign_in, address, most=4):
    """Return the statuses of sign-ins with the right password, until one is accepted."""
    statuses: list[int] = []
    while len(statuses) < most and 200 not in statuses:
        if statuses:
            await asyncio.sleep(RETRY_S)
        statuses.append((await sign_in(GOOD, address)).status_code)
    return statuses


@pytest.mark.parametrize("known", [True, False])
async def test_a_guesser_behind_the_same_address_does_not_lock_the_user_out(proxied, paces, known):
    if known:
        assert (await proxied(GOOD, AWAY)).status_code == 200
    ended = asyncio.Event()

    async def guess():
        number = 0
        while not ended.is_set():
            number += 1
            await proxied({**BAD, "password": f"guess {number}"}, AWAY)

    guessing = [asyncio.create_task(guess()) for _ in range(4)]
    await asyncio.sleep(2)
    statuses = await tries(proxied, AWAY)
    ended.set()
    await asyncio.gather(*guessing)
    assert statuses[-1] == 200


@pytest.mark.parametrize(
    "address", long_after(1, ["198.51.100.{}", "2001:db8:{:x}::1", "2001:db8:bad:{:x}::1"])
)
async def test_sixty_networks_that_flood_the_sign_in_do_not_keep_a_new_place_out(
    proxied, address, running, monkeypatch
):
    users, ended = running.desk.people.users, asyncio.Event()
    verify = users._verify

    def slowly(hashed, password):
        time.sleep(0.1)  # the hasher of the tests is much faster than that of a desk
        return verify(hashed, password)

    monkeypatch.setattr(users, "_verify", slowly)

    async def flood(number):
        while not ended.is_set():
            reply = await proxied({**BAD, "user": f"user{number}"}, address.format(number))
            await asyncio.sleep(0 if reply.status_code == 401 else 0.05)

    flooding = [asyncio.create_task(flood(number)) for number in range(60)]
    await asyncio.sleep(1)
    # The flood computes in this process too, so a busy machine answers it late and all at once.
    statuses = await tries(proxied, "192.0.2.8", most=12)
    ended.set()
    await asyncio.gather(*flooding)
    assert statuses[-1] == 200


async def test_an_unknown_account_gets_the_same_answers_as_an_account_known_in_the_network(
    proxied, paces
):
    assert (await proxied(GOOD, AWAY)).status_code == 200
    seen = {}
    for account in ("sian", "unknown"):
        seen[account] = [
            (reply.status_code, reply.text, reply.headers.get("retry-after"))
            for _ in range(12)
            if (reply := await proxied({**BAD, "user": account}, AWAY))
        ]
    assert seen["sian"] == seen["unknown"]


async def test_a_sign_in_that_is_turned_away_gets_429_with_the_same_wait_for_all(
    proxied, monkeypatch, running
):
    assert (await proxied(GOOD, "192.0.2.8")).status_code == 200
    monkeypatch.setattr(sign_in_order, "_MOST", dict.fromkeys(sign_in_order._Kind, 0))
    for account in ("sian", "unknown"):
        for address in ("192.0.2.8", AWAY):
            reply = await proxied({**GOOD, "user": account}, address)
            assert (reply.status_code, reply.headers["retry-after"]) == (429, str(RETRY_S))
            assert reply.json()["error"] == "too many sign-ins at once"
    assert (
        'sign_ins_total{outcome="throttled"} 4.0'
        in (await running.client().get("/api/v1/metrics")).text
    )


async def test_twelve_wrong_passwords_leave_log_lines_and_one_alarm(proxied, impatient, running):
    with capture_logs() as logs:
        statuses = [(await proxied(BAD, AWAY)).status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    lines = [each for each in logs if each["event"] == "sign_in.wrong_password"]
    assert [each["network"] for each in lines] == [AWAY] * 10
    assert "sian" not in str(logs)
    alarms = [(each.kind, each.count) for each in running.desk.calls.alarms.open()]
    assert alarms == [("sign_in.passwords_guessed", 1)]


async def test_failed_sign_ins_by_others_do_not_end_a_session(running, paces):
    sian = await running.page("sian")
    for _ in range(12):
        await running.client().post(LOGIN, json=BAD)
    assert (await sian.http.get("/api/v1/me")).json()["user"] == "sian"


async def test_sign_ins_are_audited_without_unknown_user_names(running):
    client = running.client()
    await client.post(LOGIN, json=GOOD)
    await running.client().post(LOGIN, json={**BAD, "user": "my secret password"})
    entries = [e for e in await running.desk.host.audit.entries() if e.kind.startswith("sign-in")]
    assert [(e.kind, e.personal["user"]) for e in entries] == [
        ("sign-in.accepted", "sian"),
        ("sign-in.refused", ""),
    ]


async def test_a_body_that_fails_validation_is_not_echoed(running):
    client = running.client()
    reply = await client.post(LOGIN, json={"user": "sian", "07700900123": "07700900123"})
    assert reply.status_code == 422
    assert set(reply.json()) == {"error", "hint"}
    assert "07700900123" not in reply.text
    assert "password" in reply.json()["hint"]


async def test_pages_files_and_api_answers_carry_the_security_headers(running):
    client = running.client()
    pages = ("/", "/static/app.js", "/api-reference")
    for path in (*pages, "/api/v1/me", "/nowhere", "/api/v1/openapi.json"):
        headers = (await client.get(path)).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert (await client.get("/nowhere")).json()["error"]
    assert (await client.get("/api/v1/me")).headers["cache-control"] == "no-store"
    assert "server" not in (await client.get("/")).headers


async def test_the_page_and_its_texts_are_served(running):
    client = running.client()
    assert "<html" in (await client.get("/")).text
    assert "api_reference.js" in (await client.get("/api-reference")).text
    texts = (await client.get("/api/v1/strings/cy")).json()
    assert texts["key.label"]
    assert not [key for key in texts if key.startswith(("explain.", "promise."))]
    assert (await client.get("/static/../../service.py")).status_code == 404


async def test_health_and_metrics_show_the_connection_to_the_switch(running):
    client = running.client()
    assert (await client.get("/api/v1/health")).json()["switch"] is True
    text = (await client.get("/api/v1/metrics")).text
    assert "galwad_desk_switch_connected 1.0" in text


async def test_a_body_beyond_the_limit_is_refused(running):
    client = running.client()
    reply = await client.post(LOGIN, content=b"x" * 300_000)
    assert reply.status_code == 413
    assert reply.json()["error"]


@pytest.mark.parametrize("body", [b"\xff\xfe01632960123", b"[" * 16_000, b'{"01632960123'])
async def test_a_body_that_is_not_json_is_refused_and_not_echoed(running, body):
    client = running.client()
    reply = await client.post(LOGIN, content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in {400, 422}
    assert all(reply.json()[part] for part in ("error", "hint"))
    assert "0163" not in reply.text


async def test_without_tls_only_a_loopback_address_is_allowed(running):
    node = {"state": running.folder / "other"}
    desk = Desk(changed(running.settings, node=node, desk={"listen": HostPort("0.0.0.0", 0)}))
    with pytest.raises(UnsafeListenerError):
        await server_of(desk).start()
    await desk.host.stop()


async def test_a_tls_key_that_cannot_be_read_stops_the_start(running):
    nothing = running.folder / "nothing.pem"
    other = running.folder / "other"
    settings = changed(
        running.settings,
        node={"state": other, "runtime": other},
        desk={"tls_certificate": nothing, "tls_key": nothing},
    )
    server = server_of(Desk(settings))
    with pytest.raises(FileNotFoundError):
        await server.start()
    await server.stop()


async def test_behind_a_local_proxy_the_forwarded_address_is_throttled(proxied, paces, running):
    for _ in range(throttle.FAILURES.most):
        await proxied(BAD, AWAY)
    limits = running.desk.people.sign_in_limits.throttle
    assert limits.ready_at("sian", AWAY) > 0
    assert limits.ready_at("sian", "127.0.0.1") == limits.ready_at("sian", "192.0.2.8") == 0.0


async def test_a_server_whose_task_was_cancelled_closes_its_listener(running):
    server = running.server
    listener = server._listener
    server._task.cancel()
    await asyncio.wait([server._task])
    await running.stop()
    assert listener.fileno() == -1


@pytest.mark.parametrize(
    ("client", "server", "here"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "::1", True),
        ("192.0.2.10", "192.0.2.10", True),
        ("2001:db8::1", "2001:db8:0::1", True),
        ("192.0.2.11", "192.0.2.10", False),
        ("testclient", "192.0.2.10", False),
        ("192.0.2.10", "galwad.example", False),
    ],
)
def test_a_request_for_metrics_is_local_if_its_client_has_the_desks_own_address(
    client, server, here
):
    scope = {"type": "http", "client": (client, 40000), "server": (server, 8443), "headers": []}
    assert _is_from_here(Request(scope)) is here
    assert not _is_from_here(Request({**scope, "client": None}))


async def test_a_browser_that_signed_in_before_is_not_held_back_by_others(
    proxied, running, impatient
):
    reply = await proxied(GOOD, AWAY)
    cookie = {"Cookie": f"__Secure-galwad-devices={reply.cookies['__Secure-galwad-devices']}"}
    limits = running.desk.people.sign_in_limits.throttle
    for user in ("sian", "huw"):
        for _ in range(throttle.FAILURES.most):
            limits.failed(user, AWAY)
    browser = running.client(headers={"Origin": "https://galwad.example"})

    async def sign_in(user, headers):
        body, headers = {**GOOD, "user": user}, {"X-Forwarded-For": AWAY, **headers}
        return (await browser.post(LOGIN, json=body, headers=headers)).status_code

    assert await sign_in("sian", cookie) == 200
    assert await sign_in("huw", cookie) == 429
    assert await sign_in("sian", {"Cookie": ""}) == 429


async def test_the_cookie_of_a_device_is_sent_only_with_a_sign_in(running):
    client = running.client()
    reply = await client.post(LOGIN, json=GOOD)
    (cookie,) = [each for each in client.cookies.jar if each.name == "galwad-devices"]
    assert cookie.path == LOGIN
    text = next(
        each for each in reply.headers.get_list("set-cookie") if each.startswith("galwad-devices")
    )
    assert "httponly" in text.lower()
    assert "samesite=strict" in text.lower()


async def test_a_refused_sign_in_sets_no_cookie_and_gives_the_same_answer_for_unknown_accounts(
    running,
):
    replies = [
        await running.client().post(LOGIN, json={"user": name, "password": "wrong"})
        for name in ("sian", "unknown")
    ]
    assert len({(reply.status_code, reply.text) for reply in replies}) == 1
    assert all("set-cookie" not in reply.headers for reply in replies)


async def test_a_restart_during_an_attack_does_not_make_known_addresses_strangers(running):
    assert (await running.client().post(LOGIN, json=GOOD)).status_code == 200
    await running.stop()
    await running.start()
    for number in range(40):
        running.desk.people.sign_in_limits.throttle.failed("sian", f"203.0.113.{number}")
    assert running.desk.people.sign_in_limits.throttle.ready_at("sian", "127.0.0.1") == 0
    assert running.desk.people.sign_in_limits.throttle.knows("127.0.0.1")
    await running.client().get("/api/v1/me")
    assert running.desk.host.places.counts()["known"] == 1


PASSWORD_PATH = "/api/v1/me/password"
NEW_PASSWORD = "tatws pum munud"


def change(**changed):
    return {"current": GOOD["password"], "new": NEW_PASSWORD, **changed}


async def test_a_person_changes_the_password_and_only_the_other_sessions_end(running):
    sian, other = await running.page("sian"), await running.page("sian")
    mair = await running.page("mair")
    await other.open()
    assert (await sian.http.put(PASSWORD_PATH, json=change())).status_code == 204
    assert await other.next() is None
    assert (await other.http.get("/api/v1/me")).status_code == 401
    assert (await sian.http.get("/api/v1/me")).status_code == 200
    assert (await mair.http.get("/api/v1/me")).status_code == 200
    client = running.client()
    assert (await client.post(LOGIN, json=GOOD)).status_code == 401
    assert (await client.post(LOGIN, json={**GOOD, "password": NEW_PASSWORD})).status_code == 200
    (entry,) = await running.desk.host.audit.search(AuditFilter(kind="user.password-set"), limit=9)
    assert entry.values["user"][1] == "sian"
    assert NEW_PASSWORD not in str(entry)


async def test_a_wrong_present_password_changes_nothing_and_is_slowed_down(running, paces):
    sian = await running.page("sian")
    for _ in range(throttle.FAILURES.most):
        assert (await sian.http.put(PASSWORD_PATH, json=change(current="x"))).status_code == 403
    began = time.monotonic()
    assert (await sian.http.put(PASSWORD_PATH, json=change(current="x"))).status_code == 403
    assert time.monotonic() - began >= throttle.KNOWN_PACE_S * 0.5
    assert await running.desk.people.users.check("sian", GOOD["password"]) is not None
    assert (await sian.http.get("/api/v1/me")).status_code == 200


async def test_failed_sign_ins_of_others_do_not_delay_the_change_of_a_password(running, impatient):
    sian = await running.page("sian")
    for _ in range(throttle.FAILURES.most):
        running.desk.people.sign_in_limits.throttle.failed("sian", "127.0.0.1")
    assert (await running.client().post(LOGIN, json=GOOD)).status_code == 429
    assert (await sian.http.put(PASSWORD_PATH, json=change())).status_code == 204


@pytest.mark.parametrize("new", ["short", "sian-2026-2026", "password1234", "aaaaaaaaaaaa"])
async def test_a_new_password_that_is_easy_to_guess_is_refused_without_repeating_it(running, new):
    sian = await running.page("sian")
    reply = await sian.http.put(PASSWORD_PATH, json=change(new=new))
    assert reply.status_code == 422
    assert new not in reply.text
    assert await running.desk.people.users.check("sian", GOOD["password"]) is not None


async def test_a_machine_and_a_stranger_cannot_change_a_password(running):
    pay = await running.machine("pay", "payments")
    assert (await pay.put(PASSWORD_PATH, json=change())).status_code == 403
    assert (await running.client().put(PASSWORD_PATH, json=change())).status_code == 401


async def test_another_site_cannot_change_a_password(running):
    sian = await running.page("sian")
    headers = {"Origin": "https://evil.example"}
    reply = await sian.http.put(PASSWORD_PATH, json=change(), headers=headers)
    assert reply.status_code == 403
    assert await running.desk.people.users.check("sian", GOOD["password"]) is not None


@pytest.fixture
async def galwad(running, tmp_path):
    """Run a command that reads these lines, as a user of the desk elsewhere."""

    async def galwad(*words, lines=()):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "galwad", *words, "--password-stdin"),
            env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate("".join(f"{line}\n" for line in lines).encode())
        return process.returncode, out.decode()

    login = ("login", "--server", running.url, "--user", "sian")
    status, out = await galwad(*login, lines=[GOOD["password"]])
    assert status == 0, out
    return galwad


async def test_the_command_line_changes_the_password_and_stays_signed_in(running, galwad):
    sian = await running.page("sian")
    status, out = await galwad("password", lines=[GOOD["password"], "short"])
    assert (status, "too easy to guess" in out) == (2, True)
    status, out = await galwad("password", lines=[GOOD["password"], NEW_PASSWORD])
    assert (status, "is changed" in out) == (0, True)
    assert (await sian.http.get("/api/v1/me")).status_code == 401
    status, out = await galwad("password", "--json", lines=[NEW_PASSWORD, "pum munud arall"])
    assert (status, json.loads(out)) == (0, {"changed": True})
