"""Callers are looked up in a real OpenLDAP server."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import subprocess
import textwrap
from pathlib import Path

import pytest
import uvloop

from callerid.directories.ldap import LdapDirectorySection
from callerid.limited_source import LimitedSource
from callerid.number import PhoneNumber
from callerid.source import AnswerState
from helpers.examples import long_after
from helpers.peers.openldap import BASE, PASSWORD, USER, OpenLdap, person
from helpers.peers.programs import program
from helpers.peers.waiting import wait_until
from net.errors import ServerError

pytestmark = pytest.mark.peer

PAGE = (Path(__file__).parents[2] / "docs/crm/ldap.md").read_text(encoding="utf-8")

SPELLINGS = (
    "+441632960001",
    "01632960002",
    "+44 1632 960003",
    "01632-960004",
    "(01632) 960005",
    "00441632960006",
)
"""The numbers of people whose names are these numbers, as clerks write them."""
SAME = 5_000
"""The number of people whose numbers have the same beginning."""


def entries(elsewhere):
    """Return the people of the directory, and a referral to a server at the port `elsewhere`."""
    people = [
        person(
            "sian",
            displayName="Siân Ŵyn Fictitious",
            telephoneNumber="01632 960100",
            mobile="07700 900100",
            ipPhone="201",
            preferredLanguage="cy",
            mail="sian@council.example",
            employeeType="officer",
            description=["Prif Swyddog Tŷ", "second"],
        ),
        person("owen", telephoneNumber="ext 202", employeeType="contractor"),
        person("star", cn="a*b", telephoneNumber="01632 960101", employeeType="(x)"),
        "\n".join(
            [
                f"dn: ou=elsewhere,{BASE}",
                "objectClass: referral",
                "objectClass: extensibleObject",
                f"ref: ldap://127.0.0.1:{elsewhere}/ou=elsewhere,{BASE}",
            ]
        ),
    ]
    people += [
        person(f"clerk{n}", cn=text, telephoneNumber=text) for n, text in enumerate(SPELLINGS)
    ]
    people += [person(f"same{n}", telephoneNumber=f"01970 62{n:04}") for n in range(SAME)]
    people += [person(f"main{n}", mobile="01970 630000") for n in range(SAME)]
    return people


@pytest.fixture(scope="module")
def elsewhere():
    """A listener, to which the server refers for a part of the tree."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture(scope="module")
def slapd(tmp_path_factory, authority, elsewhere):
    people = entries(elsewhere.getsockname()[1])
    slapd = OpenLdap(tmp_path_factory.mktemp("slapd"), authority, people)
    yield slapd
    slapd.end()


@pytest.fixture
def section(slapd, tmp_path, authority):
    """Return a function that returns the settings of a directory at the server."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n", encoding="utf-8")

    def section(**more):
        known = {
            "name": "staff",
            "kind": "ldap",
            "url": slapd.url,
            "base": BASE,
            "user": USER,
            "secret_file": str(secret),
            "tls": {"ca": str(authority.path)},
            "timeout": 9.0,
        }
        return LdapDirectorySection.model_validate({**known, **more})

    return section


async def ask(section, text):
    """Return the answer of a directory that is asked as the desk asks it, and the reason."""
    seen: list = []
    source = LimitedSource(section.open(), section.limits, observe=seen.append)
    number = PhoneNumber("", text) if len(text) < 7 else PhoneNumber.parse(text)
    answer = await source.ask(number)
    await source.close()
    return answer, seen[0].reason


async def names(section, text):
    answer, reason = await ask(section, text)
    assert not reason
    return [each.name for each in answer.people]


async def test_a_colleague_is_found_by_each_number_and_by_the_extension(section):
    settings = section(attributes={"details": {"email": "mail", "notes": "description"}})
    for text in ("01632960100", "07700 900100", "201"):
        answer, _ = await ask(settings, text)
        (sian,) = answer.people
        assert (sian.name, sian.language) == ("Siân Ŵyn Fictitious", "cy")
        assert re.fullmatch(r"staff:[0-9a-f-]{36}", sian.person_id)
        assert sian.details == (("email", "sian@council.example"), ("notes", "Prif Swyddog Tŷ"))
    assert await names(settings, "202") == ["owen"]
    assert await names(settings, "203") == []


@pytest.mark.parametrize("written", SPELLINGS)
async def test_a_number_is_found_in_each_spelling_that_clerks_use(section, written):
    assert await names(section(), f"0163296000{written[-1]}") == [written]


async def test_a_filter_in_the_settings_leaves_people_out(section):
    officers = section(filter="(&(objectClass=person)(!(employeeType=contractor)))")
    assert await names(officers, "201") == ["Siân Ŵyn Fictitious"]
    assert await names(officers, "202") == []


@pytest.mark.parametrize(
    "hostile", ["*", "20*", "201)(uid=*", ")(uid=*", "*)(|(uid=*", "\0", "2\0", "\\2a", "\\", "ŵ"]
)
async def test_a_hostile_text_in_place_of_a_number_finds_no_person(section, hostile):
    directory = section().open()
    assert await directory.find(PhoneNumber("", hostile)) == []


async def test_a_filter_that_libldap_cannot_read_gives_a_clear_reason(section):
    _, reason = await ask(section(filter="(objectClass)"), "201")
    assert reason == '"filter" is not an LDAP filter (RFC 4515)'


@pytest.mark.parametrize("kind", ["ldaps", "start_tls", "address", "anonymous"])
async def test_a_colleague_is_found_over_ldaps_over_starttls_and_anonymously(section, slapd, kind):
    more = {
        "ldaps": {"url": slapd.tls_url},
        "start_tls": {"url": slapd.url.replace("127.0.0.1", "127.1"), "start_tls": True},
        "address": {"url": slapd.url, "start_tls": True},
        "anonymous": {"user": "", "secret_file": None},
    }[kind]
    answer, reason = await ask(section(**more), "201")
    assert not reason
    assert [each.name for each in answer.people] == ["Siân Ŵyn Fictitious"]
    # The server lets only Galwad's account read the language.
    assert answer.people[0].language == ("" if kind == "anonymous" else "cy")


@pytest.mark.parametrize("start_tls", [True, False])
async def test_a_certificate_of_a_foreign_authority_is_refused(
    section, slapd, make_authority, start_tls
):
    foreign = {"ca": str(make_authority("foreign").path)}
    url = slapd.url if start_tls else slapd.tls_url
    answer, reason = await ask(section(url=url, start_tls=start_tls, tls=foreign), "201")
    assert answer.state is AnswerState.UNAVAILABLE
    assert reason == "the server's certificate is not accepted"


async def test_without_an_authority_in_the_settings_only_those_of_the_system_are_trusted(
    section, slapd
):
    _, reason = await ask(section(url=slapd.tls_url, tls={}), "201")
    assert reason == "the server's certificate is not accepted"


async def test_a_certificate_for_another_name_is_refused(section, slapd):
    url = slapd.tls_url.replace("127.1", "127.0.0.2")
    with pytest.raises(ServerError, match="certificate is not accepted"):
        await section(url=url).open().find(PhoneNumber("", "201"))


async def test_a_wrong_password_gives_a_clear_reason_until_the_file_is_right(section, tmp_path):
    settings = section()
    (tmp_path / "password").write_text("wrong")
    answer, reason = await ask(settings, "201")
    assert answer.state is AnswerState.UNAVAILABLE
    assert reason == "the search ends with INVALID_CREDENTIALS"
    (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
    assert await names(settings, "201") == ["Siân Ŵyn Fictitious"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"base": f"ou=none,{BASE}"}, "the search ends with NO_SUCH_OBJECT"),
        ({"base": "not a DN"}, "the search ends with INVALID_DN_SYNTAX"),
        ({"user": "not a DN"}, "the search ends with INVALID_DN_SYNTAX"),
    ],
)
async def test_a_wrong_name_in_the_settings_gives_a_clear_reason(section, more, reason):
    assert (await ask(section(**more), "201"))[1] == reason


async def test_a_number_among_similar_ones_finds_one_person_and_too_many_matches_are_refused(
    section,
):
    assert await names(section(), "01970 624321") == ["same4321"]
    answer, reason = await ask(section(), "01970 630000")
    assert answer.state is AnswerState.UNAVAILABLE
    assert reason == "the search ends with SIZELIMIT_EXCEEDED"


async def test_a_referral_is_not_followed(section, slapd, elsewhere):
    command = [program("ldapsearch", "ldap-utils"), "-x", "-H", slapd.url, "-b", BASE, "uid=owen"]
    answer = await asyncio.to_thread(subprocess.check_output, command, timeout=60)
    assert b"ref: ldap://" in answer  # so there is one to follow
    assert await names(section(), "202") == ["owen"]
    _, reason = await ask(section(base=f"ou=elsewhere,{BASE}"), "201")
    assert reason == "the search ends with REFERRAL"
    with pytest.raises(BlockingIOError):
        elsewhere.accept()


class Heartbeat:
    """Counts how often the event loop takes a turn; a call that blocks lets it take none."""

    def __init__(self):
        self._beats = 0
        self._task = asyncio.create_task(self._beat())

    async def _beat(self):
        while True:
            self._beats += 1
            await asyncio.sleep(0.01)

    def end(self):
        self._task.cancel()
        return self._beats


@pytest.mark.parametrize("url", ["url", "tls_url"])
def test_a_server_that_stands_still_is_unavailable_in_time_and_the_event_loop_goes_on(
    section, slapd, url
):
    settings = section(url=getattr(slapd, url))

    async def run():
        assert await names(settings, "201") == ["Siân Ŵyn Fictitious"]
        heartbeat = Heartbeat()
        slapd.stop()
        try:
            answer, reason = await ask(section(url=settings.url, timeout=3.0), "201")
        finally:
            slapd.go_on()
        assert (answer.state, reason) == (AnswerState.UNAVAILABLE, "no answer in time")
        assert heartbeat.end() > 10  # a client that blocks takes all of the three seconds
        assert await names(settings, "201") == ["Siân Ŵyn Fictitious"]

    uvloop.run(run())


async def test_a_server_that_was_restarted_is_found_again(section, slapd):
    directory = section().open()
    extension = PhoneNumber("", "201")
    assert len(await directory.find(extension)) == 1
    slapd.end()
    with pytest.raises(ServerError, match="cannot connect to the server"):
        await directory.find(extension)
    slapd.restart()
    assert len(await directory.find(extension)) == 1


def open_files():
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("kind", long_after(1, ["start_tls", "ldaps", "plain"]))
def test_searches_that_are_cancelled_leave_no_connection_open(section, slapd, runner, kind):
    more = {
        "plain": {},
        "ldaps": {"url": slapd.tls_url},
        "start_tls": {"start_tls": True},
    }[kind]
    rng = random.Random(1)

    async def run():
        directory = section(**more).open()
        extension = PhoneNumber("", "201")
        assert len(await directory.find(extension)) == 1
        before = open_files()
        for _ in range(100):
            task = asyncio.create_task(directory.find(extension))
            await asyncio.sleep(rng.uniform(0, 0.02))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert len(await directory.find(extension)) == 1
        async with asyncio.timeout(60):
            while open_files() > before:  # noqa: ASYNC110 - the kernel sends no event
                await asyncio.sleep(0.05)

    runner(run())


def block(kind, first):
    """Return the block of the documentation that begins with this line."""
    found = re.search(rf"```{kind}\n( *{re.escape(first)}\n.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return textwrap.dedent(found[1])


@pytest.fixture(scope="module")
def documented(tmp_path_factory, authority):
    """A server with the account, the rights and the index of the documentation."""
    account = block("ldif", f"dn: {USER}")
    assert "objectClass: simpleSecurityObject" in account
    people = [
        f"dn: ou=People,{BASE}\nobjectClass: organizationalUnit\nou: People",
        person(
            "mair",
            place="ou=People",
            displayName="Mair Ffug",
            telephoneNumber=["+441632960200", "+44 1632 960123", "201"],
            preferredLanguage="cy",
            title="Swyddog",
            homePhone="01632 960300",
        ),
    ]
    rights = block("ldif", "dn: olcDatabase={1}mdb,cn=config")
    server = OpenLdap(tmp_path_factory.mktemp("documented"), authority, people, rights)
    yield server
    server.end()


@pytest.fixture
def example(documented, authority, tmp_path):
    """The settings of the documentation, with this server and its password."""
    (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
    text = block("toml", "[[directories]]").replace(
        "ldaps://ldap.council.example", documented.tls_url
    )
    text = text.replace("/etc/galwad/council-ca.pem", str(authority.path))
    return re.sub(r'secret_file = ".*"', f'secret_file = "{tmp_path}/password"', text)


def test_the_account_of_the_documentation_reads_names_but_no_home_number_uid_or_password(
    documented,
):
    command = [program("ldapsearch", "ldap-utils"), "-x", "-LLL", "-H", documented.url]
    command += ["-D", USER, "-w", PASSWORD, "-b", BASE, "(objectClass=*)"]
    assert subprocess.run(command, check=False, capture_output=True).stdout == b""
    command[-2] = f"ou=People,{BASE}"
    read = subprocess.check_output(command, text=True)
    assert "displayName: Mair Ffug" in read
    assert not re.search(r"homePhone|userPassword|^uid:", read, re.MULTILINE)


def test_the_example_of_the_documentation_finds_an_extension_and_shows_no_name(start, example):
    service = start(more=example.replace("{", "{{").replace("}", "}}"))
    shown = service.galwad("directory", "test", "201", "--source", "staff")
    assert re.search(r"staff  ldaps://127\.1:\d+ ou=People,dc=council,dc=example", shown)
    assert re.search(
        r"kept       staff:[0-9a-f-]{36}: 3 numbers; language cy; details: title", shown
    )
    assert "Mair" not in shown


def test_a_call_shows_the_colleague_and_keeps_the_details_for_the_confirmation(
    start, place_call_on, example
):
    more = example.replace('kind = "ldap"', 'kind = "ldap"\ntimeout = 9.0')  # for a busy machine
    more = more.replace("{", "{{").replace("}", "}}")
    service = start("switch", "desk", "finaliser", users=True, more=more)
    call = place_call_on(service)
    with service.sign_in() as page:

        def caller():
            return page.get(f"/api/v1/calls/{call.call_id}").json()["caller"]

        wait_until(lambda: caller()["status"] == "found")
        assert [one["name"] for one in caller()["candidates"]] == ["Mair Ffug"]
        assert caller()["candidates"][0]["language"] == "cy"
        assert caller()["details"] == {}
        answer = page.post(f"/api/v1/calls/{call.call_id}/confirm", json={"outcome": "confirmed"})
        assert answer.json()["caller"]["details"] == {"title": "Swyddog"}
    call.hang_up()
