"""Sign-ins with a second factor, and its setup, replacement and removal over HTTP.

Covers `galwad/people/proofs.py`, `galwad/people/second_factor.py` and the codes of
`galwad/people/sign_in/commands.py`.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import sys

import pytest
import structlog

from galwad.people import totp
from galwad.people.second_factor import SecondFactors, SecretBox
from galwad.people.sign_in.limits import CODES_ALARM, CODES_OF_STRANGERS
from helpers.desk import changed
from helpers.terminal import Answer, on_terminal
from recording.audit.log import AuditFilter

LOGIN = "/api/v1/login"
PATH = "/api/v1/me/second-factor"
ME = "/api/v1/me"
PASSWORD = "correct horse battery"
GOOD = {"user": "sian", "password": PASSWORD}
ORIGIN = "https://galwad.example"


@pytest.fixture
async def desk(running, clock):
    """The desk, whose second factors follow the clock that stands still."""
    stop_at(running, clock)
    return running


def stop_at(running, clock):
    box = SecretBox(running.settings.second_factor_key)
    running.desk.people.second_factors = SecondFactors(running.desk.host.engine, box, clock)


class App:
    """An authenticator app on a phone, and the recovery codes that its owner has printed."""

    def __init__(self, clock, secret, codes):
        self.clock, self.secret, self.codes = clock, secret, codes

    def code(self, *, off_s=0):
        """Return the code on a phone whose clock is off by so many seconds."""
        return totp.code_of(self.secret, totp.step_at(self.clock.now + off_s))

    def wrong(self):
        near = {self.code(off_s=seconds) for seconds in range(-60, 61, 30)}
        return next(f"{number:06}" for number in range(9) if f"{number:06}" not in near)


def secret_in(setup):
    return base64.b32decode(setup["secret"])


async def set_up(client, clock, proof=None):
    """Set up a second factor as the page does; the clock is a step later then."""
    reply = await client.post(f"{PATH}/setup", json={"password": PASSWORD, **(proof or {})})
    assert reply.status_code == 200, reply.text
    app = App(clock, secret_in(reply.json()), [])
    confirmed = await client.post(f"{PATH}/confirm", json={"code": app.code()})
    assert confirmed.status_code == 200, confirmed.text
    app.codes = confirmed.json()["recovery_codes"]
    clock.now += totp.STEP_S
    return app


@pytest.fixture
async def sian(desk):
    return (await desk.page("sian")).http


@pytest.fixture
async def app(sian, clock):
    """The authenticator app of sian, whose second factor is in force."""
    return await set_up(sian, clock)


async def sign_in(desk, code="", **more):
    client = desk.client(headers={"Origin": desk.url})
    return await client.post(LOGIN, json={**GOOD, "code": code, **more})


async def audited(desk, kind):
    found = await desk.desk.host.audit.search(AuditFilter(kind=kind), limit=99)
    return [
        (entry.facts, {key: value for key, (_, value) in entry.values.items()}) for entry in found
    ]


async def test_a_user_with_a_second_factor_signs_in_with_password_and_code(desk, app):
    asked = await sign_in(desk)
    assert (asked.status_code, asked.json()["reason"]) == (401, "code_needed")
    assert "set-cookie" not in asked.headers
    entered = await sign_in(desk, app.code())
    assert entered.status_code == 200
    assert entered.json()["needs_second_factor"] is False
    facts, personal = (await audited(desk, "sign-in.accepted"))[0]
    assert facts == {"client": "page", "second_factor": "code"}
    assert personal["user"] == "sian"
    (facts, personal), *_ = await audited(desk, "sign-in.code-asked")
    assert (facts, personal["user"]) == ({"client": "page"}, "sian")


async def test_a_wrong_password_gets_the_same_answer_with_and_without_a_second_factor(desk, app):
    answers = [
        await sign_in(desk, code, user=user, password="wrong")
        for user in ("sian", "huw", "no-such-user")
        for code in ("", app.code(), app.codes[0])
    ]
    assert {(each.status_code, each.text) for each in answers} == {(401, answers[0].text)}
    assert "reason" not in answers[0].json()
    assert (await sign_in(desk, app.code())).status_code == 200


async def test_a_user_without_a_second_factor_needs_no_code(desk, app):
    assert (await sign_in(desk, user="huw")).status_code == 200
    assert (await sign_in(desk, "123456", user="huw")).status_code == 200


async def test_a_code_is_accepted_only_once(desk, app):
    assert (await sign_in(desk, app.code())).status_code == 200
    replayed = await sign_in(desk, app.code())
    assert (replayed.status_code, replayed.json()["reason"]) == (401, "code_used")


async def test_of_simultaneous_sign_ins_with_the_same_code_only_one_is_accepted(desk, app):
    replies = await asyncio.gather(*(sign_in(desk, app.code()) for _ in range(4)))
    assert sorted(each.status_code for each in replies) == [200, 401, 401, 401]


async def test_a_used_code_is_refused_after_a_restart_of_the_desk(desk, app, clock):
    assert (await sign_in(desk, app.code())).status_code == 200
    await desk.stop()
    await desk.start()
    stop_at(desk, clock)
    assert (await sign_in(desk, app.code())).json()["reason"] == "code_used"
    clock.now += totp.STEP_S
    assert (await sign_in(desk, app.code())).status_code == 200


@pytest.mark.parametrize(("seconds", "status"), [(-30, 200), (30, 200), (-90, 401), (90, 401)])
async def test_a_phone_may_be_half_a_minute_off_but_not_ninety_seconds(
    desk, app, clock, seconds, status
):
    clock.now += 600
    reply = await sign_in(desk, app.code(off_s=seconds))
    assert reply.status_code == status
    if status == 401:
        assert reply.json()["reason"] == "code_wrong"
        assert "clock" in reply.json()["hint"]


async def test_a_recovery_code_signs_in_once_and_leaves_a_notice_and_an_entry(desk, app):
    entered = await sign_in(desk, f" {app.codes[0].upper()} ")
    assert entered.status_code == 200
    assert (await audited(desk, "sign-in.accepted"))[0][0]["second_factor"] == "recovery_code"
    again = await sign_in(desk, app.codes[0])
    assert (again.status_code, again.json()["reason"]) == (401, "code_wrong")
    client = desk.client(headers={"Origin": desk.url})
    await client.post(LOGIN, json={**GOOD, "code": app.code()})
    facts = (await client.get(PATH)).json()
    assert facts["recovery_left"] == 9
    assert facts["recovery_used"] == app.clock.now
    assert (await client.post(f"{PATH}/seen")).status_code == 204
    assert (await client.get(PATH)).json()["recovery_used"] is None


@pytest.fixture
async def proxied(desk, app, clock):
    """Sign in from an address that the request gives, as through a proxy on this machine."""
    await desk.stop()
    desk.settings = changed(desk.settings, desk={"public_origin": ORIGIN})
    await desk.start()
    stop_at(desk, clock)

    async def sign_in(code, address, **more):
        client = desk.client(headers={"Origin": ORIGIN, "X-Forwarded-For": address})
        return await client.post(LOGIN, json={**GOOD, "code": code, **more})

    return sign_in


async def test_after_many_wrong_codes_strangers_are_barred_but_the_owner_is_not(proxied, app, desk):
    home, new_place = "192.0.2.8", "198.51.100.200"
    assert (await proxied(app.code(), home)).status_code == 200
    app.clock.now += totp.STEP_S
    with structlog.testing.capture_logs() as logs:
        for number in range(CODES_OF_STRANGERS.most):
            reply = await proxied(app.wrong(), f"203.0.113.{number}")
            assert reply.json()["reason"] == "code_wrong"
    for _ in range(12):
        barred = await proxied(app.code(), new_place)
        assert (barred.status_code, barred.json()["reason"]) == (429, "codes_barred")
        assert int(barred.headers["retry-after"]) > 60
    assert (await proxied(app.code(), home)).status_code == 200
    assert (await proxied(app.codes[0], new_place)).status_code == 200
    alarms = [each["kind"] for each in logs if each["event"] == "alarm"]
    assert alarms == ["sign_in.codes_guessed"]
    assert "sian" not in str(logs)


async def test_after_ten_wrong_codes_a_known_device_must_wait(desk, app, monkeypatch):
    monkeypatch.setattr("galwad.people.sign_in.throttle.KNOWN_PACE_S", 0.0)
    replies = [await sign_in(desk, app.wrong()) for _ in range(11)]
    assert [each.status_code for each in replies] == [401] * 10 + [429]
    assert int(replies[10].headers["retry-after"]) <= 60


async def test_the_alarm_is_raised_once_at_the_fifth_wrong_code(desk, app):
    for _ in range(CODES_ALARM.most - 1):
        await sign_in(desk, app.wrong())
    assert [each.kind for each in desk.desk.calls.alarms.open()] == []
    for _ in range(3):
        await sign_in(desk, app.wrong())
    assert [each.kind for each in desk.desk.calls.alarms.open()] == ["sign_in.codes_guessed"]
    refused = await audited(desk, "sign-in.refused")
    assert [facts["reason"] for facts, _ in refused] == ["code"] * (CODES_ALARM.most + 2)


async def test_requests_without_a_code_do_not_make_a_stranger_known(proxied, app, desk):
    for _ in range(30):
        assert (await proxied("", "203.0.113.1")).json()["reason"] == "code_needed"
    throttle = desk.desk.people.sign_in_limits.throttle
    assert throttle.source("sian", "203.0.113.1") == ""
    assert not throttle.knows("203.0.113.1")


async def test_a_setup_needs_the_password_and_is_not_in_force_before_its_first_code(
    desk, sian, clock
):
    refused = await sian.post(f"{PATH}/setup", json={"password": "wrong"})
    assert refused.status_code == 403
    assert (await sian.post(f"{PATH}/setup", json={})).status_code == 403
    begun = (await sian.post(f"{PATH}/setup", json={"password": PASSWORD})).json()
    assert re.fullmatch(r"[A-Z2-7]{32}", begun["secret"])
    assert begun["address"].startswith("otpauth://totp/Galwad:sian@")
    assert begun["qr"]["size"] > 20
    assert (await sign_in(desk)).status_code == 200
    wrong = await sian.post(f"{PATH}/confirm", json={"code": "12345"})
    assert (wrong.status_code, wrong.json()["reason"]) == (422, "code_wrong")
    assert (await sian.get(PATH)).json()["since"] is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(600, "10 min ahead of the server"), (-600, "10 min behind the server")],
)
async def test_a_setup_with_a_phone_ten_minutes_off_names_the_clock(sian, clock, seconds, text):
    begun = (await sian.post(f"{PATH}/setup", json={"password": PASSWORD})).json()
    phone = App(clock, secret_in(begun), [])
    reply = await sian.post(f"{PATH}/confirm", json={"code": phone.code(off_s=seconds)})
    assert (reply.status_code, reply.json()["reason"]) == (422, "clock")
    assert text in reply.json()["error"]


async def test_a_setup_that_was_not_begun_cannot_be_confirmed(sian):
    reply = await sian.post(f"{PATH}/confirm", json={"code": "123456"})
    assert (reply.status_code, reply.json()["reason"]) == (409, "setup_expired")


async def test_a_setup_ends_the_other_sessions_opened_with_a_password(desk, sian, clock):
    other = await desk.page("sian")
    await other.open()
    await set_up(sian, clock)
    assert await other.next() is None
    assert (await other.http.get(ME)).status_code == 401
    assert (await sian.get(ME)).status_code == 200
    ((_, personal),) = await audited(desk, "user.second-factor-set")
    assert personal == {"user": "sian", "actor": "user:sian"}


@pytest.mark.parametrize("act", ["setup", "recovery-codes", "remove"])
async def test_a_change_of_the_second_factor_needs_the_password_and_a_code(desk, sian, app, act):
    for proof, status in (
        ({}, 403),
        ({"password": PASSWORD}, 403),
        ({"password": PASSWORD, "code": app.wrong()}, 403),
        ({"password": "wrong", "code": app.code()}, 403),
        ({"password": PASSWORD, "code": app.code()}, 204 if act == "remove" else 200),
    ):
        reply = await sian.post(f"{PATH}/{act}", json=proof)
        assert reply.status_code == status, reply.text
    refused = await audited(desk, "user.second-factor-change-refused")
    assert len(refused) == 4


async def test_the_old_second_factor_counts_until_its_replacement_is_confirmed(
    desk, sian, app, clock
):
    proof = {"password": PASSWORD, "code": app.codes[0]}
    begun = (await sian.post(f"{PATH}/setup", json=proof)).json()
    assert (await sign_in(desk, app.code())).status_code == 200
    new = App(clock, secret_in(begun), [])
    clock.now += totp.STEP_S
    confirmed = await sian.post(f"{PATH}/confirm", json={"code": new.code()})
    assert confirmed.status_code == 200
    clock.now += totp.STEP_S
    assert (await sign_in(desk, app.code())).json()["reason"] == "code_wrong"
    assert (await sign_in(desk, app.codes[1])).json()["reason"] == "code_wrong"
    assert (await sign_in(desk, new.code())).status_code == 200
    assert len(await audited(desk, "user.recovery-code-used")) == 1


async def test_new_recovery_codes_replace_the_old_ones(desk, sian, app):
    proof = {"password": PASSWORD, "code": app.code()}
    new = (await sian.post(f"{PATH}/recovery-codes", json=proof)).json()["recovery_codes"]
    assert (await sign_in(desk, app.codes[0])).status_code == 401
    assert (await sign_in(desk, new[0])).status_code == 200
    assert len(await audited(desk, "user.recovery-codes-made")) == 1


async def test_a_second_factor_that_was_switched_off_is_not_asked_for(desk, sian, app):
    proof = {"password": PASSWORD, "code": app.code()}
    assert (await sian.post(f"{PATH}/remove", json=proof)).status_code == 204
    assert (await sign_in(desk)).status_code == 200
    again = await sian.post(f"{PATH}/remove", json=proof)
    assert (again.status_code, again.json()["reason"]) == (409, "no_second_factor")
    assert len(await audited(desk, "user.second-factor-removed")) == 1


async def test_neither_secret_nor_code_is_in_the_log_or_the_audit(desk, sian, clock, capfd):
    with structlog.testing.capture_logs() as logs:
        app = await set_up(sian, clock)
        for code in (app.wrong(), app.codes[0], app.code()):
            await sign_in(desk, code)
    entries = await desk.desk.host.audit.search(AuditFilter(), limit=99)
    out, err = capfd.readouterr()
    everything = f"{logs}{entries}{out}{err}"
    for text in (totp.text_of(app.secret), app.code(), app.codes[0], app.codes[0].replace("-", "")):
        assert text not in everything


async def test_without_the_key_file_a_sign_in_says_so_and_takes_recovery_codes(desk, app, clock):
    desk.settings.second_factor_key.unlink()
    stop_at(desk, clock)
    for _ in range(CODES_ALARM.most + 1):
        reply = await sign_in(desk, app.code())
        assert (reply.status_code, reply.json()["reason"]) == (401, "code_unreadable")
    assert desk.desk.calls.alarms.open() == []
    assert (await sign_in(desk, app.codes[0])).status_code == 200


@pytest.fixture
async def required(desk, clock):
    """The desk, at which supervisors and administrators must have a second factor."""
    await desk.stop()
    desk.settings = changed(desk.settings, desk={"second_factor_roles": ("supervisor", "admin")})
    await desk.start()
    stop_at(desk, clock)
    return desk


async def test_a_user_of_a_required_role_cannot_use_the_desk_before_the_setup(required, clock):
    client = required.client(headers={"Origin": required.url})
    entered = await client.post(LOGIN, json={**GOOD, "user": "mair"})
    assert entered.json()["needs_second_factor"] is True
    requests = [
        *(("GET", path) for path in ("calls", "events", "recordings", "alarms", "presence")),
        *(("PUT", path) for path in ("payments", "presence")),
        ("POST", "me/tokens"),
        ("PUT", "me/password"),
        ("POST", "me/second-factor/remove"),
        ("POST", "me/second-factor/recovery-codes"),
    ]
    for method, path in requests:
        reply = await client.request(method, f"/api/v1/{path}", json={})
        assert (reply.status_code, reply.json().get("reason")) == (403, "second_factor_needed"), (
            path
        )
    assert (await client.get("/api/v1/health")).json()["version"] is None
    begun = (await client.post(f"{PATH}/setup", json={})).json()
    app = App(clock, secret_in(begun), [])
    await client.post(f"{PATH}/confirm", json={"code": app.code()})
    assert (await client.get(ME)).json()["needs_second_factor"] is False
    assert (await client.get("/api/v1/calls")).status_code == 200
    facts = (await client.get(PATH)).json()
    assert (facts["required"], facts["recovery_left"]) == (True, 10)
    clock.now += totp.STEP_S
    proof = {"password": PASSWORD, "code": app.code()}
    kept = await client.post(f"{PATH}/remove", json=proof)
    assert (kept.status_code, kept.json()["reason"]) == (409, "second_factor_needed")


async def test_a_session_that_lacks_a_second_factor_reaches_only_sign_in_setup_and_public_endpoints(
    required,
):
    client = required.client(headers={"Origin": required.url})
    await client.post(LOGIN, json={**GOOD, "user": "gwen"})
    paths = (await client.get("/api/v1/openapi.json")).json()["paths"]
    free = {
        *("/login", "/logout", "/me", "/sign-in", "/sign-in/begin", "/sign-in/callback"),
        *("/health", "/metrics", "/strings/{language}", "/payment-page"),
        *("/command-lines", "/command-lines/token", "/panels", "/panels/session"),
        *("/me/second-factor", "/me/second-factor/setup", "/me/second-factor/confirm"),
    }
    asked = 0
    for path, methods in paths.items():
        if path.removeprefix("/api/v1") in free:
            continue
        for method in methods:
            url = re.sub(r"\{\w+\}", "20261125-101500-aaaaaaaa", path)
            reply = await client.request(method.upper(), url, json={})
            assert reply.json().get("reason") == "second_factor_needed", (method, path, reply.text)
            asked += 1
    assert asked > 40


async def test_a_session_that_needs_the_setup_can_sign_out(required):
    client = required.client(headers={"Origin": required.url})
    await client.post(LOGIN, json={**GOOD, "user": "mair"})
    assert (await client.post("/api/v1/logout")).status_code == 204
    assert (await client.get(ME)).status_code == 401


async def test_requiring_a_second_factor_affects_neither_other_roles_nor_existing_sessions(
    desk, clock
):
    mair = await desk.page("mair")
    cookies = dict(mair.http.cookies)
    await desk.stop()
    desk.settings = changed(desk.settings, desk={"second_factor_roles": ("supervisor",)})
    await desk.start()
    old = desk.client(cookies={"galwad": cookies["galwad"]})
    assert (await old.get("/api/v1/calls")).status_code == 200
    assert (await sign_in(desk)).json()["needs_second_factor"] is False


async def test_the_command_line_is_refused_until_a_required_second_factor_is_set_up(required):
    reply = await sign_in(required, user="mair", client="cli")
    assert (reply.status_code, reply.json()["reason"]) == (403, "second_factor_needed")
    assert "token" not in reply.json()


async def test_machines_and_personal_tokens_need_no_code(required, clock):
    mair = required.client(headers={"Origin": required.url})
    await mair.post(LOGIN, json={**GOOD, "user": "mair"})
    begun = (await mair.post(f"{PATH}/setup", json={})).json()
    phone = App(clock, secret_in(begun), [])
    await mair.post(f"{PATH}/confirm", json={"code": phone.code()})
    secret = (await mair.post("/api/v1/me/tokens", json={"name": "key"})).json()["secret"]
    key = required.client(headers={"Authorization": f"Bearer {secret}"})
    assert (await key.put("/api/v1/payments")).status_code == 404  # no answered call
    pay = await required.machine("pay", "payments")
    assert (await pay.get(ME)).status_code == 200
    for client in (key, pay):
        assert (await client.get(PATH)).status_code == 403


@pytest.fixture
def login(desk, tmp_path):
    """Run `galwad login` as sian, with the password from standard input."""

    async def login(*words):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "galwad", "login", "--server", desk.url, "--user", "sian"),
            *("--password-stdin", *words),
            env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate(f"{PASSWORD}\n".encode())
        return process.returncode, out.decode()

    return login


async def test_the_command_line_signs_in_with_a_code(app, login):
    status, out = await login("--code", app.code())
    assert (status, "as sian" in out) == (0, True), out
    status, out = await login("--code", app.code())
    assert (status, "was used already" in out) == (1, True), out


async def test_without_a_terminal_a_missing_code_names_the_option(app, login):
    status, out = await login()
    assert (status, "hint: use --code" in out) == (2, True), out


async def test_a_missing_code_is_asked_for_at_the_terminal(desk, app, tmp_path):
    words = ["login", "--server", desk.url, "--user", "sian"]
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    answers = Answer("Password", PASSWORD), Answer("Code", app.code(), hidden=False)
    command = [sys.executable, "-m", "galwad", *words]
    said = await asyncio.to_thread(on_terminal, command, *answers, env=env)
    assert said.status == 0, said.shown
    assert b"as sian" in said.out
    assert PASSWORD not in said.shown
