"""A directory that is asked over LDAP: its filters, its people, and servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
import threading
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callerid.directories.ldap import LdapDirectory, LdapDirectorySection
from callerid.number import PhoneNumber
from config.section import TlsSection
from helpers.examples import examples
from helpers.ldap_answers import BIND, DONE, ENTRY, EXTENDED, REFERENCE, ber, entry, message, result
from net.errors import ServerBusyError, ServerError

NUMBER = PhoneNumber("+441632960001")
EXTENSION = PhoneNumber("", "201")


def staff_at(url, **more):
    """Return the settings of a directory at a server."""
    known = {"name": "staff", "kind": "ldap", "base": "dc=council"}
    attributes = {"details": {"email": "mail"}}
    return LdapDirectorySection.model_validate(
        {**known, "url": url, "attributes": attributes, **more}
    )


NOWHERE = staff_at("ldap://127.0.0.1:1")
ELIN = {
    "entryUUID": [b"8c5f9c1e-0000-1000-8000-00805f9b34fb"],
    "displayName": ["Elin Fictitious-Ŵyn".encode()],
    "telephoneNumber": [b"01632 960001"],
    "ipPhone": [b"201"],
    "preferredLanguage": [b"cy-GB, en;q=0.5"],
    "mail": [b"elin@council.example", b"other@council.example"],
}
BOUND = message(1, BIND, result(0))
FOUND = message(2, ENTRY, entry(b"uid=elin", {b"cn": [b"Elin"], b"ipPhone": [b"201"]}))
END = message(2, DONE, result(0))
PAGED = ber(0x30, ber(4, b"1.2.840.113556.1.4.319"))
"""A control that lacks its value."""


@pytest.fixture
async def directory():
    """Return a function that makes a directory, which is closed after the test."""
    made = []

    def directory(section=NOWHERE, **more):
        made.append(LdapDirectory(section.model_copy(update=more)))
        return made[-1]

    yield directory
    for each in made:
        await each.close()


async def test_a_person_has_the_texts_of_the_attributes(directory):
    (elin,) = directory().people_in([("uid=elin", ELIN)])
    assert elin.person_id == "staff:8c5f9c1e-0000-1000-8000-00805f9b34fb"
    assert (elin.name, elin.language) == ("Elin Fictitious-Ŵyn", "cy")
    assert elin.numbers == ("01632 960001", "201")
    assert elin.details == (("email", "elin@council.example"),)


async def test_attribute_names_match_regardless_of_case_and_options(directory):
    known = {"DISPLAYNAME;lang-en": [b"Elin"], "mobile": [b"1"], "Mobile;x-home": [b"2"]}
    (elin,) = directory().people_in([("uid=elin", known)])
    assert (elin.name, elin.numbers) == ("Elin", ("1", "2"))


async def test_a_number_is_searched_for_in_its_usual_spellings(directory):
    wanted = directory().filter_for(NUMBER)
    assert wanted.startswith("(&(|(telephoneNumber=")
    for name in ("telephoneNumber", "mobile"):
        for spelling in ("+441632960001", "01632 960001", "01632960001", r"\2801632\29 960001"):
            assert f"({name}={spelling})" in wanted
    assert "ipPhone" not in wanted


async def test_an_extension_is_searched_for_in_its_attributes_in_each_spelling(directory):
    spellings = ("201", "ext 201", "x201")
    names = ("ipPhone", "telephoneNumber")
    parts = "".join(f"({name}={each})" for name in names for each in spellings)
    assert directory().filter_for(EXTENSION) == f"(&(|{parts}))"


async def test_the_filter_of_the_settings_is_part_of_a_search_unchanged(directory):
    wanted = directory(filter="(a=%s)").filter_for(EXTENSION)
    assert wanted.startswith("(&(a=%s)(|(ipPhone=201)")


@pytest.mark.parametrize("hostile", ["*", ")(uid=*", "201)(|(uid=*", "\0", "\\2a", "%s"])
async def test_no_value_can_change_the_filter(directory, hostile):
    wanted = directory().filter_for(PhoneNumber("", hostile))
    assert wanted.count("(") == wanted.count(")") == 8
    assert not {"*", "\0"} & {*wanted}
    assert "\\2a" not in wanted.replace(r"\2a", "") or "2a" in hostile


async def test_an_object_guid_of_active_directory_becomes_a_uuid_in_the_usual_notation(directory):
    guid = UUID("01234567-89ab-cdef-fedc-ba9876543210")
    known = {"cn": [b"Elin"], "objectGUID": [guid.bytes_le], "telephoneNumber": [b"01632 960001"]}
    (elin,) = directory().people_in([("uid=elin", known)])
    assert elin.person_id == f"staff:{guid}"


async def test_an_entry_without_an_id_gets_a_stable_id_that_does_not_contain_the_name(directory):
    known = {"cn": [b"Elin"], "mobile": [b"01632 960001"]}
    entries = [(dn, known) for dn in ("cn=Elin,dc=x", "cn=Elin,dc=y", "cn=Elin,dc=x")]
    one, other, again = [each.person_id for each in directory().people_in(entries)]
    assert one == again != other
    assert "Elin" not in one


async def test_values_that_are_not_text_and_entries_without_a_name_are_left_out(directory):
    binary = {**ELIN, "displayName": [b"\xff\xfe", b"Elin"], "mail": [b"\x80"]}
    nameless = {"telephoneNumber": [b"01632 960001"]}
    people = directory().people_in([("uid=elin", binary), ("uid=x", nameless)])
    assert [(each.name, each.details) for each in people] == [("Elin", ())]


@given(
    st.dictionaries(
        st.sampled_from(["cn", "objectGUID", "entryUUID", "mobile", "preferredLanguage", "x"]),
        st.lists(st.binary(max_size=40), max_size=3),
    )
)
def test_any_entry_is_a_person_or_is_left_out(attributes):
    directory = LdapDirectory(staff_at(NOWHERE.url, attributes={"details": {"x": "x"}}))
    assert len(directory.people_in([("uid=x", attributes)])) <= 1


class LdapAnswering:
    """A server that answers each request by the next text, and then waits for the client's end."""

    def __init__(self, *answers):
        self.answers = answers
        self.received = []
        self.ended = asyncio.Event()

    async def serve(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            for answer in self.answers:
                self.received.append(await reader.read(4096))
                writer.write(answer)
            self.received.append(await reader.read())
        writer.close()
        self.ended.set()


class LdapEnding(LdapAnswering):
    """A server that ends the connection after its answers."""

    async def serve(self, reader, writer):
        for answer in self.answers:
            self.received.append(await reader.read(4096))
            writer.write(answer)
        writer.close()


@pytest.fixture
async def serve():
    """Return a function that starts a server with these answers, and returns its settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def serve(answering, **more):
            listening = await asyncio.start_server(answering.serve, "127.0.0.1", 0)
            await stack.enter_async_context(listening)
            port = listening.sockets[0].getsockname()[1]
            return staff_at(f"ldap://127.0.0.1:{port}", **more)

        yield serve


@pytest.fixture
def password(tmp_path):
    path = tmp_path / "password"
    path.write_text("hunter2\n")
    return path


async def test_a_search_asks_for_the_attributes_after_a_bind_and_before_an_unbind(serve, directory):
    answering = LdapAnswering(BOUND, FOUND + END)
    (elin,) = await directory(await serve(answering)).find(EXTENSION)
    assert elin.name == "Elin"
    await asyncio.wait_for(answering.ended.wait(), 20)
    _, search, leave = answering.received
    assert b"\x04\x0adc=council\x0a\x01\x02\x0a\x01\x00\x02\x02\x00\xc8\x02\x01\x08" in search
    for name in (b"entryUUID", b"displayName", b"mobile", b"preferredLanguage", b"mail"):
        assert name in search
    assert leave[5:6] == b"B"  # unbind


async def test_each_search_sends_the_password_that_is_in_the_file_now(serve, directory, password):
    answering = LdapAnswering(BOUND, FOUND + END)
    staff = directory(await serve(answering, user="cn=g", secret_file=password))
    for secret in (b"hunter2", b"hunter3"):
        password.write_bytes(secret)
        assert await staff.find(EXTENSION)
        assert any(secret in each for each in answering.received[-3:])


async def test_an_empty_password_is_never_sent_because_servers_take_it_as_anonymous(
    serve, directory, password
):
    password.write_text(" \n")
    answering = LdapAnswering(BOUND)
    server = await serve(answering, user="cn=g", secret_file=password)
    with pytest.raises(ServerError, match="the file must have one line with the secret"):
        await directory(server).find(EXTENSION)
    assert not answering.received


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([b""], "cannot connect to the server, or it has ended the connection"),
        ([b"HTTP/1.1 400 Bad Request\r\n"], "cannot connect to the server"),
        ([message(1, BIND, result(49, b"hunter2"))], "the search ends with INVALID_CREDENTIALS"),
        ([BOUND, message(2, DONE, result(32, b"x"))], "the search ends with NO_SUCH_OBJECT"),
        ([BOUND, FOUND + message(2, DONE, result(4))], "the search ends with SIZELIMIT_EXCEEDED"),
        ([BOUND, FOUND * 201 + END], "the answer is too large"),
        ([BOUND, message(2, ENTRY, entry(b"cn=\xff", {}))], "the answer is not LDAP that can be"),
        ([BOUND, message(2, DONE, result(0), PAGED)], "the answer is not LDAP that can be read"),
        ([BOUND, message(2, ENTRY, b"")], "the search ends with DECODING_ERROR"),
    ],
)
async def test_an_unusable_answer_raises_an_error_that_does_not_repeat_its_data(
    serve, directory, answers, reason
):
    with pytest.raises(ServerError) as caught:
        await directory(await serve(LdapEnding(*answers))).find(EXTENSION)
    assert str(caught.value).startswith(reason)
    assert "hunter2" not in str(caught.value)


async def test_a_huge_answer_is_refused(serve, directory):
    huge = message(2, ENTRY, entry(b"uid=x", {b"cn": [bytes(1 << 19)] * 3}))
    with pytest.raises(ServerError, match="the answer is too large"):
        await directory(await serve(LdapAnswering(BOUND, huge + END))).find(EXTENSION)


async def test_search_references_to_other_servers_are_left_out(serve, directory):
    reference = message(2, REFERENCE, ber(4, b"ldap://127.0.0.1:1/dc=x"))
    answering = LdapAnswering(BOUND, reference + FOUND + END)
    assert len(await directory(await serve(answering)).find(EXTENSION)) == 1


def test_libldap_reads_no_settings_from_files_or_the_environment(tmp_path):
    settings = tmp_path / "ldap.conf"
    settings.write_text("TLS_CACERT /from-a-file\n")
    read = "import ldap; print(ldap.get_option(ldap.OPT_X_TLS_CACERTFILE))"
    for variables in ({"LDAPCONF": str(settings)}, {"LDAPTLS_CACERT": "/from-a-variable"}):
        both = [
            subprocess.check_output(
                [sys.executable, "-c", code],
                env={key: value for key, value in os.environ.items() if key != "LDAPNOINIT"}
                | variables,
                text=True,
            ).strip()
            for code in (
                read,
                f"from callerid.directories.ldap import python_ldap; python_ldap(); {read}",
            )
        ]
        assert both[0].startswith("/from-a-")  # so there are settings to read
        assert both[1] == "None"


async def test_a_busy_ldap_server_raises_server_busy_error(serve, directory):
    answering = LdapAnswering(BOUND, message(2, DONE, result(51)))
    with pytest.raises(ServerBusyError):
        await directory(await serve(answering)).find(EXTENSION)


async def test_an_unreachable_server_raises_server_error(directory):
    for url in (NOWHERE.url, "ldap://dc1..council.example"):
        with pytest.raises(ServerError, match="cannot connect to the server"):
            await directory(NOWHERE, url=url).find(EXTENSION)


@pytest.mark.parametrize("answers", [[], [BOUND], [BOUND[:9]], [BOUND, FOUND[:40]]])
async def test_a_server_that_stops_answering_is_given_up(serve, directory, answers):
    answering = LdapAnswering(*answers)
    with pytest.raises(ServerError, match="no answer in time"):
        await directory(await serve(answering), timeout=0.3).find(EXTENSION)
    await asyncio.wait_for(answering.ended.wait(), 20)


async def test_a_server_that_sends_entries_for_ever_is_given_up(serve, directory):
    class Endless(LdapAnswering):
        async def serve(self, reader, writer):
            with contextlib.suppress(ConnectionError):
                await reader.read(4096)
                writer.write(BOUND)
                while not writer.is_closing():
                    writer.write(message(2, REFERENCE, ber(4, b"ldap://x")))
                    await writer.drain()
            self.ended.set()

    answering = Endless()
    with pytest.raises(ServerError, match="no answer in time"):
        await directory(await serve(answering), timeout=0.3).find(EXTENSION)
    await asyncio.wait_for(answering.ended.wait(), 20)


async def test_a_search_that_is_cancelled_ends_its_thread_even_inside_a_tls_record(
    serve, directory, authority
):
    """OpenSSL waits for the rest of a TLS record without a time limit."""
    certificate, key = authority.issue("ldap-half-record", "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    waiting = asyncio.Event()

    class HalfRecord(LdapAnswering):
        async def serve(self, reader, writer):
            await reader.read(4096)
            writer.write(message(1, EXTENDED, result(0)))
            plain = writer.transport
            await writer.start_tls(tls)
            await reader.read(4096)
            plain.write(b"\x17\x03\x03\x40\x00half")
            waiting.set()
            await asyncio.Event().wait()

    server = await serve(HalfRecord(), start_tls=True, tls=TlsSection(ca=authority.path))
    staff = directory(server, timeout=300.0, concurrency=1)
    task = asyncio.create_task(staff.find(EXTENSION))
    await asyncio.wait_for(waiting.wait(), 20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(60):  # far less than the time limit: the only thread is free
        await asyncio.get_running_loop().run_in_executor(staff._threads, threading.get_ident)


async def test_a_server_that_refuses_start_tls_gets_neither_password_nor_search(
    serve, directory, password
):
    answering = LdapAnswering(message(1, EXTENDED, result(52)))
    server = await serve(answering, start_tls=True, user="cn=g", secret_file=password)
    with pytest.raises(ServerError, match="the search ends with UNAVAILABLE"):
        await directory(server).find(EXTENSION)
    await asyncio.wait_for(answering.ended.wait(), 20)
    assert b"hunter2" not in b"".join(answering.received)


async def test_answers_that_were_injected_before_tls_are_not_used(serve, directory, authority):
    """An attacker on the network may inject unencrypted answers after the one to StartTLS."""
    certificate, key = authority.issue("ldap-start-tls", "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    class Injecting(LdapAnswering):
        async def serve(self, reader, writer):
            await reader.read(4096)
            found = message(3, ENTRY, entry(b"uid=x", {b"cn": [b"Eve"], b"ipPhone": [b"201"]}))
            bound = message(2, BIND, result(0))
            writer.write(message(1, EXTENDED, result(0)) + bound + found)
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                await writer.start_tls(tls)
            writer.close()

    server = await serve(Injecting(), start_tls=True, tls=TlsSection(ca=authority.path))
    with pytest.raises(ServerError):
        await directory(server).find(EXTENSION)


@pytest.mark.parametrize("known", [True, False])
async def test_a_server_that_asks_for_a_certificate_gets_that_of_the_settings(
    serve, directory, authority, known
):
    certificate, key = authority.issue("ldap-asking", "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.path)
    tls.load_cert_chain(certificate, key)
    tls.verify_mode = ssl.CERT_REQUIRED

    class Asking(LdapAnswering):
        async def serve(self, reader, writer):
            await reader.read(4096)
            writer.write(message(1, EXTENDED, result(0)))
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                await writer.start_tls(tls)
                await reader.read(4096)
                writer.write(message(2, BIND, result(0)))
                await reader.read(4096)
                found = entry(b"uid=elin", {b"cn": [b"Elin"], b"ipPhone": [b"201"]})
                writer.write(message(3, ENTRY, found) + message(3, DONE, result(0)))
                await reader.read()
            writer.close()

    ours = authority.issue("galwad", "galwad") if known else (None, None)
    files = TlsSection(ca=authority.path, certificate=ours[0], key=ours[1])
    server = await serve(Asking(), start_tls=True, tls=files)
    if known:
        assert len(await directory(server).find(EXTENSION)) == 1
    else:
        with pytest.raises(ServerError):
            await directory(server).find(EXTENSION)


async def test_a_missing_certificate_file_is_a_server_error(directory, tmp_path):
    server = staff_at(NOWHERE.url, start_tls=True, tls={"ca": tmp_path / "gone.pem"})
    with pytest.raises(ServerError, match="cannot use the TLS files"):
        await directory(server).find(EXTENSION)


ANSWERS = BOUND + FOUND + END


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(ANSWERS) - 1), st.binary(max_size=3)), max_size=4))
def test_a_damaged_answer_is_read_or_refused(damage):
    answers = bytearray(ANSWERS)
    for place, octets in damage:
        answers[place : place + len(octets)] = octets

    async def run():
        answering = LdapEnding(bytes(answers[: len(BOUND)]), bytes(answers[len(BOUND) :]))
        server = await asyncio.start_server(answering.serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            directory = LdapDirectory(staff_at(f"ldap://127.0.0.1:{port}", timeout=0.5))
            try:
                return len(await directory.find(EXTENSION))
            except ServerError:
                return 0
            finally:
                await directory.close()

    found = asyncio.run(run())
    assert found <= 1 if damage else found == 1
