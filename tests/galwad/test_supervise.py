"""The supervisor, with real processes in place of the service's three."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from galwad import supervise
from galwad.supervise import START_ORDER, Supervisor

# Reports that it is ready, records its start and end in a file, obeys SIGTERM.
OBEDIENT = textwrap.dedent("""
    import os, signal, sys
    from galwad import supervise
    name, book = sys.argv[1:]
    def note(what):
        with open(book, "a") as file:
            file.write(f"{name} {what}\\n")
    def end(*_):
        note("ends")
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    supervise.die_with_parent()
    note("starts")
    supervise.ready()
    while True:
        signal.pause()
""")

# Serves its watchdog until a callback never returns.
HANGING = textwrap.dedent("""
    import asyncio, signal
    from galwad import supervise
    async def main():
        asyncio.get_running_loop().call_later(0.2, signal.sigwait, [signal.SIGUSR1])
        await supervise.watchdog()
    asyncio.run(main())
""")


@pytest.fixture
def book(tmp_path):
    """The file in which the children record their starts and ends."""
    path = tmp_path / "book"
    path.touch()
    return path


@pytest.fixture
async def announced(tmp_path, monkeypatch):
    """Our own notification socket; returns an awaitable for the next message."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.setblocking(False)
    listener.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

    async def receive() -> bytes:
        return await asyncio.get_running_loop().sock_recv(listener, 4096)

    yield receive
    listener.close()


HOPELESS = """
import pathlib, sys, time
while "desk starts" not in pathlib.Path(sys.argv[2]).read_text():
    time.sleep(0.02)
raise SystemExit(1)
"""


def commands(book, **others):
    return {
        name: [sys.executable, "-c", others.get(name, OBEDIENT), name, str(book)]
        for name in START_ORDER
    }


async def noted(book, line: str, times: int = 1) -> None:
    async with asyncio.timeout(120):
        while book.read_text().splitlines().count(line) < times:  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.02)


async def test_the_supervisor_is_ready_with_all_three_children_and_stops_the_desk_last(
    book, announced
):
    supervisor = Supervisor(commands(book))
    running = asyncio.create_task(supervisor.run())
    assert await announced() == b"READY=1"
    supervisor.signalled()
    assert await announced() == b"STOPPING=1"
    assert await running == 0
    ends = [line for line in book.read_text().splitlines() if line.endswith("ends")]
    assert ends == ["switch ends", "finaliser ends", "desk ends"]


async def test_a_killed_desk_is_restarted_while_the_switch_keeps_running(book, announced):
    supervisor = Supervisor(commands(book))
    running = asyncio.create_task(supervisor.run())
    await announced()
    switch, desk = supervisor.children["switch"].pid, supervisor.children["desk"].pid
    assert desk is not None
    os.kill(desk, signal.SIGKILL)
    await noted(book, "desk starts", times=2)
    assert supervisor.children["switch"].pid == switch
    supervisor.signalled()
    assert await running == 0


async def test_a_child_that_never_becomes_ready_ends_the_service(book):
    supervisor = Supervisor(commands(book, finaliser=HOPELESS))
    assert await supervisor.run() == 1
    assert "desk ends" in book.read_text()


async def test_a_second_signal_stops_the_switch_without_waiting_for_its_calls(book, announced):
    stubborn = OBEDIENT.replace('note("ends")\n    sys.exit(0)', 'note("drains")')
    supervisor = Supervisor(commands(book, switch=stubborn))
    running = asyncio.create_task(supervisor.run())
    await announced()
    supervisor.signalled()
    await noted(book, "switch drains")
    supervisor.signalled()
    assert await running == 0
    assert book.read_text().splitlines()[-1] == "desk ends"


async def test_the_children_end_when_the_supervisor_is_killed(book, tmp_path):
    script = textwrap.dedent("""
        import asyncio, sys
        from galwad.supervise import START_ORDER, Supervisor
        child, book = sys.argv[1:]
        command = {n: [sys.executable, "-c", child, n, book] for n in START_ORDER}
        asyncio.run(Supervisor(command).run())
    """)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, OBEDIENT, str(book), env=environment
    )
    for name in START_ORDER:
        await noted(book, f"{name} starts")
    process.kill()
    await process.wait()
    for name in START_ORDER:
        await noted(book, f"{name} ends")


async def test_no_ready_message_is_sent_without_a_notify_socket(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert supervise.ready() is False


@pytest.mark.parametrize(
    ("usec", "pid", "interval"),
    [("10000000", "", 5.0), ("10000000", "1", None), ("", "", None), ("soon", "", None)],
)
def test_the_watchdog_interval_is_half_of_what_systemd_allows(monkeypatch, usec, pid, interval):
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert supervise.watchdog_interval() == interval


async def test_the_watchdog_notifies_systemd_and_rearms_its_own_timer(monkeypatch, announced):
    wound = []
    monkeypatch.setattr(signal, "setitimer", lambda _, seconds: wound.append(seconds))
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    task = asyncio.create_task(supervise.watchdog())
    assert await announced() == b"WATCHDOG=1"
    assert await announced() == b"WATCHDOG=1"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert set(wound) == {0.03, 0}
    assert wound[-1] == 0


def test_a_process_whose_event_loop_hangs_is_ended_by_its_own_timer():
    command = [sys.executable, "-c", HANGING]
    environment = {**os.environ, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": ""}
    ended = subprocess.run(command, env=environment, timeout=120, check=False)
    assert ended.returncode == -signal.SIGALRM


def test_a_galwad_package_in_the_working_directory_is_not_imported(tmp_path):
    (tmp_path / "galwad").mkdir()
    (tmp_path / "galwad" / "__init__.py").write_text("raise SystemExit('a stranger ran')\n")
    command = supervise.child("desk", tmp_path / "none.toml")
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "none.toml: Cannot read the file: no such file" in ended.stderr
