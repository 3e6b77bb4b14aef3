"""`galwad check` finds secrets of the receiver of call events that cannot be used."""

from __future__ import annotations

import pytest

from galwad.cli.checks import credentials, webhook
from galwad.settings import load
from galwad.settings.events import WebhookSection

FINE = [("fine", "the settings and files of the receiver of call events can be used")]


@pytest.fixture
def results(settings_file):
    """Return a function that checks a receiver with these settings."""

    def results(**values):
        section = WebhookSection.model_validate({"url": "https://crm.example/calls", **values})
        settings = load(settings_file).model_copy(update={"webhook": section})
        return [(each.grade.value, each.text) for each in webhook.check(settings)]

    return results


def test_without_a_receiver_there_is_no_result(settings_file):
    assert [*webhook.check(load(settings_file))] == []


def test_a_key_is_looked_for_in_the_store_of_the_unit_and_must_be_a_key(
    results, tmp_path, monkeypatch
):
    monkeypatch.setattr(credentials, "_STORE", tmp_path)
    path = "/run/credentials/galwad-desk.service/galwad.webhook.key"
    stored = tmp_path / "galwad.webhook.key"
    assert results(secret_file=path) == [("fault", f"{stored} does not exist")]
    stored.write_text("hunter2")
    ((grade, text),) = results(secret_file=path)
    assert (grade, "24 to 64 octets" in text, "hunter2" in text) == ("fault", True, False)
    stored.write_text("a" * 43 + "=\n")
    assert results(secret_file=path) == FINE


def test_a_token_must_have_one_line(results, tmp_path):
    token = tmp_path / "token"
    token.write_text("one\ntwo\n")
    ((grade, text),) = results(format="zammad", token_file=str(token))
    assert (grade, text) == (
        "fault",
        f"cannot use {token}: it must have one line with the secret",
    )
    token.write_text("one\n")
    assert results(format="zammad", token_file=str(token)) == FINE


def test_a_certificate_that_cannot_be_used_is_a_fault(results, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("not PEM")
    ((grade, text),) = results(format="sipgate", tls={"ca": str(ca)})
    assert (grade, "cannot use the TLS files" in text) == ("fault", True)
