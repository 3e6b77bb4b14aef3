"""`galwad check` asks each directory, and says what to correct if it does not answer.

Covers `galwad/cli/checks/services.py`.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from callerid.directories.http import HttpDirectorySection
from galwad.cli.checks.services import check_directory_answers
from galwad.settings import load
from helpers.loopback import free_port

CRM = {
    "name": "crm",
    "kind": "http",
    "people": "items",
    "timeout": 5.0,
    "query": {"phone": "{e164}"},
    "fields": {"id": "id", "name": "name", "numbers": "phone"},
}


class Server(ThreadingHTTPServer):
    """A server that answers every request in the same way, and keeps the addresses."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.body = 200, b'{"items": []}'
        self.fields: dict[str, str] = {}
        self.asked: list[str] = []
        self.gate: threading.Event | None = None


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.server.gate is not None:
            self.server.gate.wait(60)
        self.send_response(self.server.status)
        fields = {**self.server.fields, "Content-Length": str(len(self.server.body))}
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_):
        """Stay silent."""


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    if server.gate is not None:
        server.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def results(settings_file, server):
    """Return a function that asks a directory with these settings."""

    def results(**more):
        url = f"http://127.0.0.1:{server.server_port}/people"
        section = HttpDirectorySection.model_validate({**CRM, "url": url, **more})
        settings = load(settings_file).model_copy(update={"directories": (section,)})
        checked = check_directory_answers(settings)
        return [(each.grade.value, each.text, each.fix) for each in checked]

    return results


def test_a_directory_that_answers_is_fine_and_is_asked_for_a_fictitious_number(results, server):
    assert results() == [("fine", "crm: it answers", "")]
    assert server.asked == ["/people?phone=%2B441632960999"]


def test_a_directory_that_ignores_the_number_is_a_warning(results, server):
    server.body = b"""{"items": [
        {"id": 1, "name": "Elin", "phone": "01632 960001"}, {"id": 2, "name": "Eve", "phone": ""}
    ]}"""
    ((grade, text, fix),) = results()
    assert grade == "warning"
    assert text.startswith("crm: it returns 2 people who do not have the number that was sought")
    assert "view of its database" in fix
    server.body = b'{"items": [{"id": 3, "name": "Test", "phone": "01632 960999"}]}'
    assert results() == [("fine", "crm: it answers", "")]


@pytest.mark.parametrize(
    ("answer", "text", "fix"),
    [
        ((401, b""), "refuses the credentials (401)", "correct the user"),
        ((403, b""), "the server answers 403", "give Galwad's account the right"),
        ((500, b""), "the server answers 500", "correct the settings"),
        ((200, b"<html>"), "the answer is not JSON", "correct the settings"),
        ((200, b"{}"), "the answer has no list where", "correct the settings"),
    ],
)
def test_each_fault_of_a_directory_has_a_remedy(results, server, answer, text, fix):
    server.status, server.body = answer
    ((grade, found, remedy),) = results()
    assert grade == "fault"
    assert text in found
    assert remedy.startswith(fix)


def test_a_server_that_cannot_be_reached_is_a_fault(results):
    ((grade, text, fix),) = results(url=f"http://127.0.0.1:{free_port()}/people")
    assert (grade, text) == ("fault", "crm: cannot connect to the server")
    assert fix.startswith("correct the address")


def test_a_server_that_does_not_answer_is_a_fault(results, server):
    server.gate = threading.Event()
    ((grade, text, _),) = results(timeout=0.1)
    assert (grade, text) == ("fault", "crm: no answer within 0.1 s")


def test_a_server_that_answers_429_is_a_warning(results, server):
    server.status, server.fields = 429, {"Retry-After": "17"}
    ((grade, text, _),) = results()
    assert (grade, text) == ("warning", "crm: the server asks us to wait for 17 s")


def test_a_directory_that_cannot_be_opened_is_not_asked(results, server):
    assert results(query={"phone": "{number}"}) == []
    assert server.asked == []
