"""Log events: fields, priorities for the journal, and no text that a stranger wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SECRET = "01970 000001"
BEGIN = """\
import logging, structlog
from galwad.logs import configure
configure("switch", as_json=True)
"""


def logged(script: str, status: int = 0) -> dict[str, object]:
    """Return the only log entry of a new process that runs this script."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status
    (line,) = done.stderr.splitlines()
    assert SECRET not in line
    assert done.stdout == ""
    return json.loads(line)


def test_an_event_carries_its_fields_and_its_process():
    entry = logged("structlog.get_logger().info('call.answered', call_id='x')")
    assert entry["event"] == "call.answered"
    assert entry["process"] == "switch"
    assert entry["call_id"] == "x"


@pytest.mark.parametrize(
    ("level", "priority"), [("info", 6), ("warning", 4), ("error", 3), ("critical", 2)]
)
def test_entries_for_the_journal_begin_with_their_priority(level, priority):
    line = written(f"structlog.get_logger().{level}('alarm')", "{0.st_dev}:{0.st_ino}")
    assert line.startswith(f"<{priority}>{{")
    assert json.loads(line[3:])["event"] == "alarm"


def test_entries_for_an_output_other_than_the_journal_have_no_priority():
    line = written("structlog.get_logger().error('alarm')", "{0.st_dev}:1{0.st_ino}")
    assert json.loads(line)["level"] == "error"


def written(script: str, stream: str) -> str:
    """Return what a process writes to a stderr that `stream` describes as systemd does."""
    reader, writer = os.pipe()
    environment = {**os.environ, "JOURNAL_STREAM": stream.format(os.fstat(writer))}
    with os.fdopen(reader, encoding="utf-8") as log:
        try:
            subprocess.run(
                [sys.executable, "-c", BEGIN + script],
                stderr=writer,
                env=environment,
                timeout=60,
                check=True,
            )
        finally:
            os.close(writer)
        (line,) = log.read().splitlines()
    return line


def test_an_exception_is_logged_without_its_text():
    script = f"try:\n    int({SECRET!r})\nexcept ValueError:\n"
    entry = logged(script + "    structlog.get_logger().exception('call.broke')")
    assert entry["exception"] == "ValueError"
    assert entry["passed"] == ["<string>:5"]


def test_a_record_of_another_library_keeps_only_its_logger_name():
    entry = logged(f"logging.getLogger('some.library').error('cannot look up %s', {SECRET!r})")
    assert entry["logger"] == "some.library"


def test_an_exception_that_ends_the_process_is_logged_without_its_text():
    entry = logged(f"int({SECRET!r})", status=1)
    assert entry["event"] == "process.failed"
    assert entry["exception"] == "ValueError"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_process_knows_whether_it_writes_json(as_json):
    """The finaliser starts its workers with the same kind of log."""
    script = (
        "from galwad import logs\n"
        f"logs.configure('finaliser', as_json={as_json})\n"
        "known = logs.are_json()\n"
        "logs.configure('finaliser', as_json=True)\n"
        "structlog.get_logger().info('known', json=known)"
    )
    assert logged(script)["json"] is as_json
