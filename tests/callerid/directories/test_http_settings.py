"""The settings of systems in which callers are looked up, and the examples of docs/crm.md.

Tests callerid/directories/http.py and callerid/directories/base.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from callerid.directories.http import HttpDirectorySection

CRM = """\
[[directories]]
name = "crm"
kind = "http"
url = "https://crm.example/people"
people = "items"
[directories.fields]
id = "id"
name = "name"
numbers = "phone"
"""
SECRET = 'secret_file = "/run/credentials/galwad-desk.service/galwad.directory.crm"\n'
BLOCKS = re.findall(
    r"```toml\n(.*?)```",
    (Path(__file__).parents[3] / "docs/crm.md").read_text(encoding="utf-8"),
    re.DOTALL,
)
EXAMPLES = [each for each in BLOCKS if each.startswith("[[directories]]")]
PURPOSES = [each for each in BLOCKS if each.startswith("[contact_notes]")]


def test_the_required_settings_are_enough_for_http(read):
    (crm,) = read(CRM).directories
    assert (crm.name, crm.method, crm.authentication, crm.body) == ("crm", "GET", None, None)
    assert (crm.concurrency, crm.timeout, crm.keep_found, crm.keep_not_found) == (4, 8, 300, 60)
    assert (crm.not_found, crm.extensions) == ((404,), False)


@pytest.mark.parametrize("example", EXAMPLES, ids=[each.split('"')[1] for each in EXAMPLES])
def test_each_example_of_the_documentation_can_be_loaded(read, example):
    asked = [each for each in read(example).directories if isinstance(each, HttpDirectorySection)]
    assert asked
    assert all(each.authentication is not None for each in asked)


def test_the_documentation_has_four_examples_of_http_directories():
    assert [each.split('"')[1] for each in EXAMPLES] == [
        "request-tracker",
        "hubspot",
        "zendesk",
        "people",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example/people",
        "https://",
        "ftp://crm.example",
        "https://user:pw@crm.example",
        "https://crm.example/#x",
        "https://[",
        "https://crm.example:99999999",
        "people",
    ],
)
def test_an_address_without_tls_or_with_a_password_is_a_fault(faults, url):
    ((line, message),) = faults(CRM.replace("https://crm.example/people", url))
    assert line == 11
    assert message.startswith('"directories[1].url" must be an address that begins with "https://"')


@pytest.mark.parametrize(
    "page",
    [
        *(
            "http://crm.example/{id}",
            "javascript:alert('{id}')",
            "https://user:pw@crm.example/{id}",
        ),
        *("https://crm.example/contact", "https://{id}.example/", "https://crm.example:{id}/"),
        *(
            "https://crm.example/{id}/{e164}",
            "https://crm.example/{id} x",
            "https://crm.example/}{id}",
        ),
        *("{id}", "/contact/{id}", "https:///{id}", "data:text/html,{id}"),
    ],
)
def test_a_page_that_is_not_a_safe_template_is_a_fault(faults, page):
    ((line, message),) = faults(CRM.replace("people =", f'page = "{page}"\npeople ='))
    assert line == 12
    assert message.startswith('"directories[1].page" must be an address with {id}, such as')


@pytest.mark.parametrize(
    "page",
    [
        *("https://crm.example/contact/{id}/view", "https://rt.example/Summary.html?id={id}"),
        *("https://crm.example/app#/contacts/{id}", "http://localhost:8080/{id}"),
    ],
)
def test_a_page_with_the_record_id_after_the_host_is_accepted(read, page):
    (crm,) = read(CRM.replace("people =", f'page = "{page}"\npeople =')).directories
    assert (crm.page, crm.page_before_confirmation) == (page, False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost"])
def test_an_address_on_this_machine_needs_no_tls(read, url):
    assert read(CRM.replace("https://crm.example/people", url)).directories[0].url == url


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (CRM.replace('"items"', '"items["'), '"directories[1].people" must be a JMESPath'),
        (CRM.replace('"phone"', '"a.."'), '"directories[1].fields.numbers" must be a JMESPath'),
        (CRM.replace('"crm"', '"CRM 1"'), '"directories[1].name" must be 1 to 32 lower-case'),
        (CRM.replace('"crm"', '"directory"'), "[[directories]] number 1 needs another"),
        (CRM.replace('"http"', '"ftp"'), '"directories[1].kind" must be one of'),
        (
            CRM.replace("people =", "page_before_confirmation = true\npeople ="),
            'needs "page" for "page_before_confirmation"',
        ),
        (CRM + CRM, 'Two [[directories]] have the same "name"'),
        (CRM.replace('id = "id"\n', ""), 'Missing setting "directories[1].fields.id"'),
        (
            f'{CRM}[directories.authentication]\nkind = "basic"\n{SECRET}',
            'needs "user" for the kind "basic"',
        ),
        (
            f'{CRM}[directories.authentication]\nkind = "oauth2"\nclient_id = "x"\n{SECRET}',
            'needs "token_url" for the kind "oauth2"',
        ),
        (
            f'{CRM}[directories.authentication]\nkind = "bearer"\nsecret = "hunter2"\n{SECRET}',
            "Unknown setting",
        ),
        (
            f'{CRM}[directories.tls]\ncertificate = "/etc/galwad/crm.pem"\n',
            'needs both "certificate" and "key", or neither',
        ),
        (
            CRM.replace("people =", 'headers = { X = "a\\r\\nEvil: 1" }\npeople ='),
            '"directories[1].headers.X" must be a table',
        ),
        (CRM.replace("people =", "timeout = 60\npeople ="), "from 0.1 to 9"),
    ],
)
def test_each_faulty_setting_has_a_message_that_explains_it(faults, text, wanted):
    messages = [message for _, message in faults(text)]
    assert len(messages) == 1
    assert wanted in messages[0]
    assert "hunter2" not in messages[0]


def test_the_example_of_purposes_can_be_loaded(read):
    (example,) = PURPOSES
    notes = read(example).contact_notes
    assert (notes.free_text, [each.code for each in notes.purposes]) == (False, ["waste-1"])


FIND = 'url = "https://crm.example/find"\nrecords = "items"\ntext = "subject"\n'
PUT = """\
[directories.contact_notes]
url = "https://crm.example/notes/{note_id}"
method = "PUT"
body = { text = "{text}" }
"""
POST = """\
[directories.contact_notes]
url = "https://crm.example/notes"
body = { text = "{text}" }
record_id = "id"
"""
CHANGE = """\
[directories.contact_notes.change]
url = "https://crm.example/notes/{record_id}"
body = { text = "{text}" }
"""
REPEATABLE = CHANGE.replace("body", "idempotent = true\nbody")
AT_OWN_ADDRESS = CHANGE.replace("body", 'method = "PUT"\nbody')


@pytest.mark.parametrize(
    "notes",
    [
        PUT,
        f"{POST}[directories.contact_notes.find]\n{FIND}{REPEATABLE}",
        f"{POST}idempotent = true\n{AT_OWN_ADDRESS}",
        f"{POST}idempotent = true\n{CHANGE}[directories.contact_notes.change.find]\n{FIND}",
    ],
)
def test_notes_that_are_never_written_twice_are_accepted(read, notes):
    (crm,) = read(CRM + notes).directories
    assert crm.takes_notes


@pytest.mark.parametrize(
    ("notes", "wanted"),
    [
        (POST, 'needs the table "find", or "idempotent = true"'),
        (PUT.replace("{note_id}", "all"), 'needs the table "find", or "idempotent = true"'),
        (f"{POST}idempotent = true\n", 'needs the table "change"'),
        (f"{POST}idempotent = true\n{CHANGE}", 'needs the table "change.find"'),
        (
            POST.replace('record_id = "id"\n', "idempotent = true\n") + AT_OWN_ADDRESS,
            'needs "record_id"',
        ),
        (PUT.replace("crm.example", "{line}.example"), "must be an address"),
        (PUT.replace("PUT", "DELETE"), 'must be "POST", "PUT" or "PATCH"'),
    ],
)
def test_notes_that_could_be_written_twice_or_elsewhere_are_a_fault(faults, notes, wanted):
    assert wanted in faults(CRM + notes)[0][1]


def test_two_directories_with_contact_notes_are_a_fault(faults):
    text = CRM + PUT + CRM.replace('"crm"', '"housing"') + PUT
    ((_, message),) = faults(text)
    assert message.startswith("Two [[directories]] have a table [directories.contact_notes]")


CONTACTS = """
[directories.earlier_contacts]
url = "https://crm.example/contacts"
contacts = "items"
fields = { time = "when", subject = "subject" }
"""


def refused(faults, text):
    ((_, message),) = faults(CRM + text)
    return message


def test_a_request_for_earlier_contacts_without_the_id_of_the_person_is_a_fault(faults):
    said = refused(faults, CONTACTS)
    assert "{id}" in said
    assert "the contacts of all people" in said


@pytest.mark.parametrize(
    "condition", ['query = { person = "{id}" }', 'body = { all = [{ person = "x{id}" }] }']
)
def test_contacts_with_the_id_in_a_query_or_body_table_need_the_setting_fields_person(
    read, faults, condition
):
    text = CONTACTS.replace('contacts = "items"', f'contacts = "items"\n{condition}')
    assert '"fields.person"' in refused(faults, text)
    whole = text.replace('"subject" }', '"subject", person = "p" }')
    (crm,) = read(CRM + whole).directories
    assert crm.earlier_contacts.fields.person == "p"


def test_a_contacts_url_with_the_id_in_its_path_does_not_need_the_setting_fields_person(read):
    (crm,) = read(CRM + CONTACTS.replace("/contacts", "/people/{id}/contacts")).directories
    assert crm.earlier_contacts.fields.person is None


def test_a_contacts_url_with_the_id_in_its_query_needs_the_setting_fields_person(faults):
    assert '"fields.person"' in refused(faults, CONTACTS.replace("/contacts", "/contacts?p={id}"))
