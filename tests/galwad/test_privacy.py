"""A planted phone number reaches no log, whatever fails in the desk.

Covers `galwad/logs.py`.
"""

from __future__ import annotations

import io
import sys

import msgspec
import pytest
import structlog

from callerid.limited_source import SourceLimits
from galwad.logs import configure
from helpers.directory import import_people
from helpers.fake_directory import Directory

CALL = "20261125-101500-aaaaaaaa"
PLANTED = "01632960123"
TRACES = ("960123", "960 123", "Planted", "Plas Plannu")
PEOPLE = f"reference,name,numbers,address\nC-9,Planted Person,{PLANTED},Plas Plannu\n"


@pytest.fixture
def journal(monkeypatch):
    """All output of the process, with the real log configuration."""
    text = io.StringIO()
    monkeypatch.setattr(sys, "stderr", text)
    monkeypatch.setattr(sys, "stdout", text)
    before = structlog.get_config()
    configure("desk", as_json=True)
    yield text
    structlog.configure(**before)


async def test_a_callers_number_and_name_reach_no_log_even_when_requests_fail(
    running, sealed, journal
):
    import_people(running.settings.directory_file, PEOPLE)
    mair = await running.page("mair")
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL, number=PLANTED)
    await sian.filled(CALL)
    running.switch.answer(CALL, "201", "sian")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    await sian.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "confirmed"})
    await sian.http.put(f"/api/v1/calls/{CALL}/contact", json={"purpose": PLANTED, "x": PLANTED})
    await sian.http.put(f"/api/v1/calls/{CALL}/contact", json={"purpose": PLANTED})
    await running.seal(msgspec.structs.replace(sealed, number=PLANTED, unexplained_us=9))
    await mair.http.post("/api/v1/recordings/search", json={"number": PLANTED})
    async with running.desk.host.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE recordings RENAME TO elsewhere")
        await connection.exec_driver_sql("ALTER TABLE contacts RENAME TO gone")
    broken = await mair.http.post("/api/v1/recordings/search", json={"number": PLANTED})
    assert broken.status_code == 503
    failed = await sian.http.put(f"/api/v1/calls/{CALL}/contact", json={"purpose": PLANTED + "1"})
    assert failed.status_code == 500
    await mair.http.get(f"/api/v1/nowhere?number={PLANTED}")
    async with running.desk.host.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE gone RENAME TO contacts")
    await running.stop()
    await running.start([(Directory("crm", error=RuntimeError(PLANTED)), SourceLimits())])
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(f"{CALL}x", number=PLANTED)
    await sian.filled(f"{CALL}x")
    await running.stop()
    written = journal.getvalue()
    assert "lookup.done" in written
    assert "lookup.source_failed" in written
    assert "request.failed" in written
    assert "storage.failed" in written
    assert CALL in written
    for trace in TRACES:
        assert trace not in written
