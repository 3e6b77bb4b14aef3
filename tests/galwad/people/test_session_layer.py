"""A session moves its connection to a better place; a request without one can send little."""

from __future__ import annotations

import asyncio

import pytest

from helpers.desk import changed

LOGIN = "/api/v1/login"


async def test_a_session_protects_its_connection_until_a_request_without_the_session(running):
    sian = await running.page("sian")
    places = running.desk.host.places
    assert (await sian.http.get("/api/v1/me")).status_code == 200
    assert places.counts() == {"signed-in": 1, "known": 0, "stranger": 0}
    assert (await sian.http.get("/static/app.js")).status_code == 200
    assert places.counts()["signed-in"] == 1
    sian.http.cookies.clear()
    assert (await sian.http.get("/api/v1/me")).status_code == 401
    assert places.counts() == {"signed-in": 0, "known": 1, "stranger": 0}


async def test_a_payment_pages_token_protects_its_connection(running):
    crm = await running.machine("crm", "payments")
    running.switch.ring("20261125-101500-aaaaaaaa")
    running.switch.answer("20261125-101500-aaaaaaaa", "201", "sian")
    await asyncio.sleep(0.05)
    made = await crm.post("/api/v1/payment-tokens", json={"extension": "201"})
    await crm.aclose()
    page = running.client(headers={"Authorization": f"Bearer {made.json()['token']}"})
    assert (await page.put("/api/v1/payment-page")).json()["state"] == "paused"
    assert running.desk.host.places.counts() == {"signed-in": 1, "known": 0, "stranger": 0}


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_stranger_can_send_only_a_small_body(running, chunked):
    async def parts():
        yield b"x" * 20_000

    content = parts() if chunked else b"x" * 20_000
    reply = await running.client().post(LOGIN, content=content)
    assert reply.status_code == 413
    assert reply.json()["hint"] == "sign in, or send at most 16 kB, with Content-Length"


async def test_behind_a_proxy_each_clients_network_has_its_own_places(running):
    await running.stop()
    running.settings = changed(running.settings, desk={"public_origin": "https://galwad.example"})
    await running.start()
    places = running.desk.host.places
    client = running.client()
    assert (await client.get("/api/v1/me")).status_code == 401
    assert places.counts() == {"signed-in": 0, "known": 1, "stranger": 0}
    stranger = {"X-Forwarded-For": "203.0.113.66"}
    assert (await client.get("/api/v1/me", headers=stranger)).status_code == 401
    assert places.counts() == {"signed-in": 0, "known": 0, "stranger": 1}
