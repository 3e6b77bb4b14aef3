"""Callers are looked up in a real PostgreSQL, by a role that can read one view only.

The last test follows docs/crm/sql.md.

Tests callerid/directories/sql.py and callerid/directories/sql_database.py with a server.
"""

from __future__ import annotations

import asyncio
import re
import time
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from callerid.directories.sql import SqlDirectory, SqlDirectorySection, columns_of
from callerid.directories.sql_database import SqlAddress, SqlDatabase, select_texts
from callerid.errors import SqlError
from callerid.limited_source import LimitedSource, SourceLimits
from callerid.number import PhoneNumber
from callerid.source import AnswerState
from callerid.written_numbers import spellings
from config.section import TlsSection
from helpers.certificates import Authority
from helpers.peers.postgresql import PostgreSql
from helpers.peers.waiting import PATIENCE_S, wait_until
from net.breaker import BreakerLimits
from net.errors import ServerError

pytestmark = pytest.mark.peer

PASSWORD = "p@ss:w0rd/ŵ"
NUMBER = PhoneNumber("+441632960001")
LIMIT_S = 3.0
"""A short time limit, in which a busy machine can connect to the server all the same."""
SCHEMA = f"""
CREATE SCHEMA crm;
CREATE TABLE crm.people (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    phone varchar(40),
    mobile text,
    language char(10),
    shared boolean NOT NULL DEFAULT false,
    hidden boolean,
    born date,
    balance numeric,
    tags text[],
    photo bytea,
    extra jsonb
);
INSERT INTO crm.people (id, name, phone, mobile, language, shared, hidden, born, balance) VALUES
    (1, 'Siân ap Gwynn', '01632 960001', NULL, 'Cymraeg', true, false, '1990-02-01', 12.50),
    (2, 'Tŷ Ŵyr Cyf.', '01632 960002', '+447700900123', 'English', false, NULL, NULL, NULL),
    (3, 'Owen Hidden', '07700 900123', '01632960001', NULL, false, true, NULL, NULL);
UPDATE crm.people SET tags = '{{a,b}}', photo = '\\x0001', extra = '{{"a": "ŵ"}}' WHERE id = 1;
CREATE VIEW crm.callers AS SELECT * FROM crm.people;
CREATE ROLE galwad LOGIN PASSWORD '{PASSWORD}';
GRANT USAGE ON SCHEMA crm TO galwad;
GRANT SELECT ON crm.callers TO galwad;
CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}';
"""
RUNNING = "usename = 'galwad' AND state = 'active'"


def view_of(view="crm.callers", **columns):
    """Return the settings of a directory in a view with these columns."""
    known = {"id": "id", "name": "name", "numbers": ["phone"]}
    return SqlDirectorySection.model_validate(
        {
            "name": "crm",
            "kind": "sql",
            "url": "postgresql+asyncpg://galwad@127.0.0.1/crm",
            "view": view,
            "columns": {**known, **columns},
        }
    )


VIEW = view_of(
    numbers=["phone", "mobile"],
    language="language",
    shared="shared",
    do_not_pop="hidden",
    details={"date_of_birth": "born", "balance": "balance"},
)


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL with a view of people, and a role that can only read it."""
    server = PostgreSql()
    server.sql(SCHEMA)
    yield server
    server.end()


@pytest.fixture
def password(tmp_path):
    """The file with the role's password."""
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    return path


@pytest.fixture
async def open_database(server, password):
    """A function that opens the database; it is closed after the test."""
    opened = []

    def open_database(user="galwad", *, at=server, host="127.0.0.1", tls=None, timeout_s=9.0):
        url = f"postgresql+asyncpg://{user}@{host}:{at.port}/crm"
        address = SqlAddress(url, password, tls)
        database = SqlDatabase(address, access="read", timeout_s=timeout_s, connections=2)
        opened.append(database)
        return database

    yield open_database
    for database in opened:
        await database.close()


@pytest.fixture
def directory(open_database):
    return SqlDirectory(VIEW, open_database())


@pytest.fixture
def limited(open_database):
    """The directory with a short time limit and without a rest after failures."""
    source = SqlDirectory(VIEW, open_database(timeout_s=LIMIT_S))
    never = BreakerLimits(failures=1000)
    return LimitedSource(source, SourceLimits(concurrency=2, timeout_s=LIMIT_S, breaker=never))


async def wait_for(source, state):
    """Search until the answer has this state."""
    limit = time.monotonic() + PATIENCE_S
    while (answer := await source.ask(NUMBER)).state is not state:
        assert time.monotonic() < limit, answer
        source.forget_answers()
        await asyncio.sleep(0.1)
    source.forget_answers()
    return answer


async def test_people_are_found_in_each_column_with_their_details(directory):
    sian, owen = sorted(await directory.find(NUMBER), key=lambda person: person.person_id)
    assert (sian.person_id, sian.name, sian.language) == ("crm:1", "Siân ap Gwynn", "cy")
    assert (sian.shared, sian.do_not_pop) == (True, False)
    assert sian.details == (("date_of_birth", "1990-02-01"), ("balance", "12.50"))
    assert (owen.name, owen.do_not_pop) == ("Owen Hidden", True)
    found = await directory.find(PhoneNumber("+441632960002"))
    assert [(each.name, each.do_not_pop) for each in found] == [("Tŷ Ŵyr Cyf.", False)]
    assert await directory.find(PhoneNumber("+441632960099")) == []


async def test_values_of_several_types_are_read_as_text_and_can_set_do_not_pop(open_database):
    details = {"tags": "tags", "photo": "photo", "extra": "extra"}
    for hide in ("tags", "photo", "extra", "balance", "name"):
        view = view_of(do_not_pop=hide, details=details)
        (person,) = await SqlDirectory(view, open_database()).find(NUMBER)
        assert person.do_not_pop
        assert dict(person.details) == {
            "tags": "{a,b}",
            "photo": "\\x0001",
            "extra": '{"a": "ŵ"}',
        }


async def test_a_huge_value_is_cut_by_the_server(server, directory):
    server.sql("INSERT INTO crm.people VALUES (9, repeat('x', 9000000), '01632 960009')")
    (person,) = await directory.find(PhoneNumber("+441632960009"))
    assert len(person.name) == 2000


@pytest.mark.parametrize(
    "number",
    ["' OR '1'='1", "'; DELETE FROM crm.people; --", "\\'; SELECT pg_sleep(9); --", "$1", "%s"],
)
async def test_a_number_that_contains_sql_finds_no_person_and_changes_nothing(
    server, directory, number
):
    assert await directory.find(PhoneNumber("", number)) == []
    assert server.sql("SELECT count(*) > 2 FROM crm.people") == ["t"]


async def test_a_number_that_the_server_cannot_read_is_an_error_without_the_number(directory):
    with pytest.raises(ServerError) as caught:
        await directory.find(PhoneNumber("", "201\x00"))
    assert "201" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ['x"; DROP SCHEMA crm; --', "x'; --", "Full Name", "user", "100% :a", "%(a)s", "$1", "ŵ"],
)
async def test_a_name_of_a_view_or_column_that_contains_sql_is_used_only_as_a_name(
    server, open_database, name
):
    quoted = '"' + name.replace('"', '""') + '"'
    server.sql(
        f"""CREATE VIEW crm.{quoted} AS SELECT id, name AS {quoted}, phone FROM crm.people;
        GRANT SELECT ON crm.{quoted} TO galwad;"""
    )
    view = view_of(f"crm.{name}", name=name)
    (person,) = await SqlDirectory(view, open_database()).find(NUMBER)
    assert person.name == "Siân ap Gwynn"
    assert server.sql("SELECT count(*) > 2 FROM crm.people") == ["t"]


async def test_the_connection_is_read_only_even_for_a_role_that_may_write(server, open_database):
    server.sql("CREATE TABLE crm.open (a int); GRANT ALL ON crm.open TO galwad")
    for statement in ("INSERT INTO crm.open VALUES (1)", "CREATE TEMP TABLE t (a int)"):
        with pytest.raises(SqlError, match=r"\(25006\)"):
            await run(open_database(), statement)
    assert server.sql("SELECT count(*) FROM crm.open") == ["0"]


async def run(database, statement):
    async with database.transaction() as connection:
        return (await connection.execute(text(statement))).all()


async def test_a_role_without_rights_and_a_wrong_password_are_clear_errors(
    server, open_database, password
):
    people = view_of("crm.people")
    for view, user, reason in (
        (people, "galwad", "the user lacks a right on the table or view (42501)"),
        (VIEW, "stranger", "the user lacks a right on the table or view (42501)"),
        (VIEW, "nobody", "the server refuses the user or the password (28P01)"),
    ):
        with pytest.raises(SqlError) as caught:
            await SqlDirectory(view, open_database(user)).find(NUMBER)
        assert str(caught.value) == reason
    password.write_text("wrong")
    with pytest.raises(SqlError, match=r"refuses the user or the password \(28P01\)"):
        await SqlDirectory(VIEW, open_database()).find(NUMBER)


async def test_a_password_that_was_changed_is_used_for_the_next_connection(
    server, directory, password
):
    await directory.find(NUMBER)
    server.sql("ALTER ROLE galwad PASSWORD 'new'")
    password.write_text("new")
    end_connections(server)
    assert len(await directory.find(NUMBER)) == 2
    server.sql(f"ALTER ROLE galwad PASSWORD '{PASSWORD}'")


def end_connections(server):
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'galwad'")


async def test_missing_columns_and_columns_of_another_type_are_named(server, open_database):
    view = view_of(id="ID", numbers=["tel", "phone"])
    with pytest.raises(ServerError) as caught:
        await SqlDirectory(view, open_database()).find(NUMBER)
    assert str(caught.value) == 'the view lacks these columns: "ID", "tel"'
    view = view_of(numbers=["balance"])
    with pytest.raises(SqlError, match=r"the type of a searched column is not text \(42883\)"):
        await SqlDirectory(view, open_database()).find(NUMBER)


async def test_a_server_that_stands_still_is_unavailable_in_time_and_found_when_it_goes_on(
    server, limited
):
    await wait_for(limited, AnswerState.FOUND)
    server.stop()
    try:
        for _ in range(2):  # a connection of the pool, and a new one
            answer = await asyncio.wait_for(limited.ask(NUMBER), PATIENCE_S)
            assert answer.state is AnswerState.UNAVAILABLE
    finally:
        server.go_on()
    assert len((await wait_for(limited, AnswerState.FOUND)).people) == 2
    await limited.close()


async def test_after_a_restart_of_the_server_people_are_found_again(server, limited):
    await wait_for(limited, AnswerState.FOUND)
    server.kill()
    assert (await limited.ask(NUMBER)).state is AnswerState.UNAVAILABLE
    server.begin()
    await wait_for(limited, AnswerState.FOUND)
    await limited.close()


async def test_connections_that_the_server_has_ended_do_not_fail_a_search(server, directory):
    await asyncio.gather(*(directory.find(NUMBER) for _ in range(2)))
    end_connections(server)
    assert len(await directory.find(NUMBER)) == 2


async def test_a_search_in_a_locked_table_ends_at_its_time_limit_on_the_server_too(
    server, open_database
):
    directory = SqlDirectory(VIEW, open_database(timeout_s=LIMIT_S))
    with server.locked("crm.people"):
        with pytest.raises(SqlError, match=r"the statement took too long \(57014\)"):
            await directory.find(NUMBER)
        assert server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE {RUNNING}") == ["0"]
    assert len(await directory.find(NUMBER)) == 2


async def test_cancelled_searches_leave_no_connection_and_no_statement_behind(
    server, open_database
):
    database = open_database()
    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await run(database, "SELECT pg_sleep(5)")
    assert len(await SqlDirectory(VIEW, database).find(NUMBER)) == 2
    running = f"SELECT count(*) FROM pg_stat_activity WHERE {RUNNING}"
    await asyncio.to_thread(wait_until, lambda: server.sql(running) == ["0"])


def test_an_index_on_the_columns_of_numbers_is_used(server):
    server.sql(
        """CREATE TABLE crm.many AS SELECT g AS id, 'x' AS name, '0163' || g AS phone
        FROM generate_series(1000000, 1050000) g;
        CREATE INDEX ON crm.many (phone); ANALYZE crm.many; GRANT SELECT ON crm.many TO galwad"""
    )
    view = view_of("crm.many")
    plan = explained(server, view)
    assert any("Index" in line for line in plan), plan


def explained(server, view, **more):
    """Return the server's plan for the search in a view."""
    columns = view.columns
    statement = select_texts(
        view.view, columns_of(columns), columns.numbers, spellings(NUMBER)
    ).compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    return server.sql(f"EXPLAIN {statement}", **more)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"), "ours")


def files_of(servers, ours):
    """Return the settings with the authority of the servers, and our certificate."""
    certificate, key = ours.issue("galwad", "galwad")
    return TlsSection(ca=servers.path, certificate=certificate, key=key)


@pytest.fixture(scope="module")
def tls_server(ours):
    """A PostgreSQL that is known by its name, and accepts only clients with a certificate."""
    server = PostgreSql(tls=ours)
    server.sql(SCHEMA)
    yield server
    server.end()


async def test_a_tls_connection_is_encrypted_and_the_server_sees_the_clients_certificate(
    tls_server, ours, open_database
):
    tls = files_of(ours, ours).context()
    database = open_database(at=tls_server, host="localhost", tls=tls)
    shown = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert await run(database, shown) == [(True, "/CN=galwad")]
    assert len(await SqlDirectory(VIEW, database).find(NUMBER)) == 2


async def test_a_server_with_a_wrong_certificate_is_refused(
    tls_server, ours, tmp_path, open_database
):
    other = Authority(tmp_path, "other")
    for host, authority, reason in (
        ("localhost", other, "certificate is not accepted: self-signed certificate in"),
        ("127.0.0.1", ours, "certificate is not accepted: IP address mismatch"),
    ):
        tls = files_of(authority, ours).context()
        with pytest.raises(ServerError, match=reason):
            await run(open_database(at=tls_server, host=host, tls=tls), "SELECT 1")


async def test_a_client_without_a_certificate_is_refused_where_one_is_needed(
    tls_server, ours, open_database
):
    tls = TlsSection(ca=ours.path).context()
    with pytest.raises(SqlError, match=r"the kind of connection \(28000\)"):
        await run(open_database(at=tls_server, host="localhost", tls=tls), "SELECT 1")


async def test_a_server_without_tls_is_refused_if_tls_is_required(server, ours, open_database):
    with pytest.raises(ServerError, match="cannot connect to the database"):
        await run(open_database(tls=TlsSection(ca=ours.path).context()), "SELECT 1")


PAGE = (Path(__file__).parents[2] / "docs/crm/sql.md").read_text(encoding="utf-8")
PEOPLE = """
CREATE SCHEMA crm;
CREATE TABLE crm.people (
    id serial, first_name text, last_name text, phone varchar(40), mobile varchar(40),
    language text, at_risk boolean, customer_number text, address text);
INSERT INTO crm.people (first_name, last_name, phone, mobile, language, customer_number)
    VALUES ('Siân', 'ap Gwynn', '01632 960 001 (gyda''r nos)', NULL, 'Welsh', 'P1');
INSERT INTO crm.people (first_name, phone, mobile)
    SELECT 'Other', '01632 ' || n, '07700 ' || n FROM generate_series(100000, 120000) AS n;
"""


def in_page(kind, place):
    """Return the examples of a kind on the page that have this text."""
    found = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return "\n".join(dedent(each) for each in found if place in each)


async def test_the_statements_and_settings_of_the_documentation_find_people(
    server, tmp_path, password
):
    server.sql("CREATE DATABASE example", database="postgres")
    statements = in_page("sql", "crm.").replace("ROLE galwad", "ROLE reader")
    statements = statements.replace("TO galwad", "TO reader")
    statements = statements.replace("a long random password", PASSWORD)
    server.sql(PEOPLE + statements, database="example")
    (settings,) = tomllib.loads(in_page("toml", "postgresql"))["directories"]
    url = f"postgresql+asyncpg://reader@127.0.0.1:{server.port}/example"
    changed = {"url": url, "password_file": str(password), "tls": {}}
    section = SqlDirectorySection.model_validate({**settings, **changed})
    directory = section.open()
    (person,) = await directory.find(NUMBER)
    await directory.close()
    assert (person.name, person.language) == ("Siân ap Gwynn", "cy")
    assert person.details == (("reference", "P1"),)
    view = view_of(numbers=section.columns.numbers)
    plan = explained(server, view, database="example")
    assert not any("Seq Scan" in line for line in plan), plan
