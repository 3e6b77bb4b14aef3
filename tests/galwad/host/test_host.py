"""Subjects register steps of the start and stop, loops and handlers with the host."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
import structlog

from galwad.host.host import Host
from galwad.messages import Alarm, Figures
from helpers.database import create_database
from helpers.desk import settings_in


@dataclass(frozen=True)
class Rained:
    """An event of a subject."""

    mm: int


class BrokenError(Exception):
    """The error of a handler."""


@pytest.fixture
def host(tmp_path):
    settings = settings_in(tmp_path)
    create_database(settings.database)
    return Host(settings)


def step(done, name):
    async def run():
        done.append(name)

    return run


async def test_steps_run_in_the_sequence_of_their_kinds_and_steps_after_the_stop_in_reverse(host):
    done: list[str] = []

    async def loop():
        done.append("loop begins")
        try:
            await asyncio.Event().wait()
        finally:
            done.append("loop ends")

    kinds = (
        *(host.after_stop, host.on_stop, host.before_stop),
        *(host.after_start, host.on_start, host.before_start),
    )
    for register in kinds:
        register(step(done, f"first {register.__name__}"))
        register(step(done, f"second {register.__name__}"))
    host.loop(loop)
    await host.start()
    await asyncio.sleep(0)
    host.background.spawn(step(done, "work")())
    await host.stop()
    assert host.streams.closed
    assert done == [
        *("first before_start", "second before_start"),
        *("first on_start", "second on_start"),
        *("first after_start", "second after_start"),
        "loop begins",
        *("first before_stop", "second before_stop"),
        *("work", "loop ends"),
        *("first on_stop", "second on_stop"),
        *("second after_stop", "first after_stop"),
    ]


def test_handlers_receive_only_their_type_and_in_the_sequence_of_registration(host):
    heard: list[object] = []
    host.hear(Rained, lambda event: heard.append(("first", event.mm)))
    host.hear(Rained, lambda event: heard.append(("second", event.mm)))
    host.hear(Figures, lambda _: heard.append("figures"))
    host.publish(Rained(3))
    assert heard == [("first", 3), ("second", 3)]


async def test_the_error_of_a_handler_is_raised_and_later_handlers_are_not_called(host):
    heard: list[object] = []

    def fail(event):
        raise BrokenError

    async def fail_later(event):
        raise BrokenError

    host.hear(Rained, fail)
    host.hear(Rained, heard.append)
    with pytest.raises(BrokenError):
        host.publish(Rained(3))
    host.hear_and_wait(Rained, fail_later)
    host.hear_and_wait(Rained, lambda event: step(heard, event)())
    with pytest.raises(BrokenError):
        await host.publish_and_wait(Rained(3))
    assert heard == []


async def test_a_publisher_waits_for_one_handler_after_the_other(host):
    heard: list[object] = []

    async def slow(event):
        await asyncio.sleep(0)
        heard.append("slow")

    host.hear_and_wait(Rained, slow)
    host.hear_and_wait(Rained, lambda _: step(heard, "fast")())
    await host.publish_and_wait(Rained(3))
    assert heard == ["slow", "fast"]


def test_an_alarm_is_logged_counted_and_published(host):
    heard: list[object] = []
    host.hear(Alarm, heard.append)
    alarm = Alarm("disk.full", None, "12 GB")
    with structlog.testing.capture_logs() as logs:
        host.alarm(alarm)
    assert logs == [
        {
            "event": "alarm",
            "kind": "disk.full",
            "call_id": None,
            "detail": "12 GB",
            "log_level": "warning",
        }
    ]
    assert heard == [alarm]
    assert b'galwad_desk_alarms_total{kind="disk.full"} 1.0' in host.metrics.text()
