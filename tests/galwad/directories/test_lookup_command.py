"""`galwad directory test` shows what each directory answers, without names."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from helpers.directory import import_people

PEOPLE = """\
reference,name,numbers,language,do_not_pop
P1,Mair Evans,01632 960001,cy,no
P2,Owen Hidden,01632 960001 x12,en,yes
P3,Siân Colleague,ext 201,,no
"""
ANSWER = {
    "people": [
        {"id": 7, "name": "Mair Evans", "phones": ["+44 1632 960001", "07700 900123"], "town": "X"},
        {"id": 8, "name": "Eve Suffix", "phones": ["01970 960001"], "town": ""},
    ]
}
CRM = """
[[directories]]
name = "crm"
kind = "http"
url = "http://127.0.0.1:{port}/people"
people = "people"
query = {{ phone = "{{e164}}" }}
fields = {{ id = "id", name = "name", numbers = "phones", details = {{ town = "town" }} }}
authentication = {{ kind = "bearer", secret_file = "{secret}" }}
"""


class Answering(BaseHTTPRequestHandler):
    """A CRM that asks for a token."""

    def do_GET(self):
        fine = self.headers["Authorization"] == "Bearer hunter2"
        body = json.dumps(ANSWER).encode() if fine else b""
        self.send_response(200 if fine else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Stay silent."""


@pytest.fixture
def crm():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def config(settings_file, crm, tmp_path):
    """Settings with the CRM, and an embedded directory with three people."""
    secret = tmp_path / "token"
    secret.write_text("hunter2\n")
    more = CRM.format(port=crm.server_port, secret=secret)
    settings_file.write_text(settings_file.read_text(encoding="utf-8") + more, encoding="utf-8")
    import_people(settings_file.with_name("state") / "desk" / "directory.db", PEOPLE)
    return settings_file


def test_directory_test_lists_kept_records_of_each_directory_and_why_a_record_is_discarded(
    run, config, crm
):
    done = run("directory", "test", "01632 960001", "--config", config)
    assert done.status == 0, done.err
    assert "The number is +441632960001; its spellings are +441632960001, 01632960001" in done.out
    assert f"crm  GET http://127.0.0.1:{crm.server_port}/people" in done.out
    assert "kept       crm:7: 2 numbers; language unknown; details: town" in done.out
    assert "discarded  crm:8: it has another number" in done.out
    assert "kept       directory:1: 1 number; language cy; details: reference" in done.out
    for secret in ("Mair", "Eve", "07700", "01970", "hunter2"):
        assert secret not in done.out


def test_the_answer_as_json_has_the_same_facts(run, config):
    words = ("directory", "test", "+441632960001", "--source", "crm", "--config", config)
    found = json.loads(run(*words, "--json").out)
    (crm,) = found["directories"]
    assert (found["number"], crm["name"], crm["error"]) == ("+441632960001", "crm", "")
    assert [(each["person_id"], each["kept"]) for each in crm["people"]] == [
        ("crm:7", True),
        ("crm:8", False),
    ]


def test_a_main_line_and_a_hidden_person_are_marked_as_such(run, config):
    words = ("directory", "test", "01632960001 x99", "--source", "directory", "--config", config)
    done = run(*words)
    assert "found by the main line" in done.out
    assert "directory:2: 1 number; language en; found by the main line" in done.out
    assert "never shown (do_not_pop)" in done.out


def test_an_internal_extension_is_searched_for_only_in_directories_with_extensions(run, config):
    done = run("directory", "test", "201", "--config", config)
    assert "kept       directory:3" in done.out
    assert "error: the directory is not asked for internal extensions" in done.out
    assert done.status == 1


def test_a_directory_that_refuses_the_token_is_an_error_with_status_1(run, config, tmp_path):
    (tmp_path / "token").write_text("wrong")
    done = run("directory", "test", "01632960001", "--config", config)
    assert "error: the server refuses the credentials (401)" in done.out
    assert done.status == 1


VIEW = """
[[directories]]
name = "view"
kind = "sql"
url = "sqlite+aiosqlite:///{path}"
view = "callers"
columns = {{ id = "id", name = "name", numbers = ["phone"], details = {{ town = "town" }} }}
"""


def test_directory_test_lists_the_records_of_a_database_view_and_names_a_missing_column(
    run, config, tmp_path
):
    path = tmp_path / "view.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE callers (id, name, phone, town)")
        connection.execute("INSERT INTO callers VALUES (7, 'Mair Evans', '01632 960001', 'X')")
        connection.commit()
        config.write_text(config.read_text(encoding="utf-8") + VIEW.format(path=path))
        words = ("directory", "test", "01632960001", "--source", "view", "--config", config)
        done = run(*words)
        assert f"view  SELECT … FROM callers at {path}" in done.out
        assert "kept       view:7: 1 number; language unknown; details: town" in done.out
        assert "Mair" not in done.out
        connection.execute("ALTER TABLE callers DROP COLUMN town")
        assert 'error: the view lacks these columns: "town"' in run(*words).out


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (("nonsense",), '"nonsense" is not a telephone number', "such as +441632960001"),
        (("01632960001", "--source", "x"), 'there is no directory "x"', "directory, crm"),
    ],
)
def test_a_wrong_number_or_directory_is_one_error_with_a_hint(run, config, words, error, hint):
    done = run("directory", "test", *words, "--config", config)
    assert done.status == 1
    assert error in done.err
    assert hint in done.err
