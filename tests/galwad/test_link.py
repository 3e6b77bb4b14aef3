"""Links between processes: greeting, new connections, garbage and permissions.

Covers `galwad/messages.py`.
"""

import asyncio
from pathlib import Path

import pytest

from galwad import link
from galwad.messages import Alarm, AnyMessage, CallsSnapshot, Hello, Pause, PauseReply


async def _listen(path: Path) -> tuple[asyncio.Server, asyncio.Queue[AnyMessage]]:
    received: asyncio.Queue[AnyMessage] = asyncio.Queue()

    async def on_message(peer: link.Link, message: AnyMessage) -> None:
        await received.put(message)
        if isinstance(message, Pause):
            peer.send(PauseReply(ref=message.ref, calls=("c",), state="paused", durable=True))

    return await link.serve(path, on_message), received


async def _ignore(_link: link.Link, _message: AnyMessage) -> None:
    await asyncio.sleep(0)


async def test_a_connector_sends_its_hello_and_receives_replies(tmp_path: Path) -> None:
    server, received = await _listen(tmp_path / "s")
    replies: asyncio.Queue[AnyMessage] = asyncio.Queue()

    async def on_message(_link: link.Link, message: AnyMessage) -> None:
        await replies.put(message)

    def hello(fresh: link.Link) -> None:
        fresh.send(Hello(role="desk", version="1"))
        fresh.send(Pause(ref=7, holder="page", trigger="page", actor="user:a", call_id="c"))

    connector = link.Connector(tmp_path / "s", hello, on_message)
    task = asyncio.create_task(connector.run())
    assert await received.get() == Hello(role="desk", version="1")
    assert isinstance(await received.get(), Pause)
    assert await replies.get() == PauseReply(ref=7, calls=("c",), state="paused", durable=True)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    server.close()


async def test_a_link_reconnects_after_its_reader_fails_on_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_LONGEST_WAIT_S", 0.05)
    server, _ = await _listen(tmp_path / "s")
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def on_message(_link: link.Link, _message: AnyMessage) -> None:
        failed.append("once")
        await heard.put("again" if len(failed) > 1 else "once")
        if len(failed) == 1:
            raise RuntimeError("a fault of ours")

    failed: list[str] = []

    def ask(fresh: link.Link) -> None:
        fresh.send(Pause(ref=7, holder="page", trigger="page", actor="user:a", call_id="c"))

    task = asyncio.create_task(link.Connector(tmp_path / "s", ask, on_message).run())
    async with asyncio.timeout(60):
        while (await heard.get()) != "again":
            continue
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    server.close()


async def test_a_connector_reconnects_when_the_listener_returns(tmp_path: Path) -> None:
    connector = link.Connector(tmp_path / "s", lambda fresh: fresh.send(Alarm(kind="up")), _ignore)
    assert connector.send(Alarm(kind="lost")) is False
    task = asyncio.create_task(connector.run())
    for _ in range(2):
        server, received = await _listen(tmp_path / "s")
        assert await received.get() == Alarm(kind="up")
        server.close()
        assert connector.link is not None
        await connector.link.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\0\0\1"])
async def test_garbage_closes_only_the_connection_on_which_it_arrives(
    tmp_path: Path, garbage: bytes
) -> None:
    server, received = await _listen(tmp_path / "s")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
    writer.write(garbage)
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    connector = link.Connector(
        tmp_path / "s", lambda fresh: fresh.send(CallsSnapshot(calls=())), _ignore
    )
    task = asyncio.create_task(connector.run())
    assert await received.get() == CallsSnapshot(calls=())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    server.close()


async def test_the_socket_is_accessible_only_to_its_user_and_group(tmp_path: Path) -> None:
    server, _ = await _listen(tmp_path / "s")
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o660
    server.close()
