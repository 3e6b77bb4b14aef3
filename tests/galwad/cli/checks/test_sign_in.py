"""`galwad check` finds a secret of the sign-in at a provider that cannot be used."""

from __future__ import annotations

import pytest

from galwad.cli.checks import credentials, sign_in
from galwad.settings import load
from galwad.settings.sign_in import SignInSection


@pytest.fixture
def results(settings_file):
    """Return a function that checks a provider with these settings."""

    def results(**values):
        section = SignInSection.model_validate(
            {
                "issuer": "https://login.example",
                "client_id": "galwad",
                "roles": {"advisors": "advisor"},
                **values,
            }
        )
        settings = load(settings_file).model_copy(update={"sign_in": section})
        return [(each.grade.value, each.text) for each in sign_in.check(settings)]

    return results


def test_without_a_provider_there_is_no_result(settings_file):
    assert [*sign_in.check(load(settings_file))] == []


def test_the_secret_is_looked_for_in_the_store_of_the_unit_and_has_one_line(
    results, tmp_path, monkeypatch
):
    monkeypatch.setattr(credentials, "_STORE", tmp_path)
    path = "/run/credentials/galwad-desk.service/galwad.sign-in.secret"
    stored = tmp_path / "galwad.sign-in.secret"
    assert results(secret_file=path) == [("fault", f"{stored} does not exist")]
    stored.write_text("hunter2\nhunter3\n")
    ((grade, text),) = results(secret_file=path)
    assert (grade, "one line" in text, "hunter" in text) == ("fault", True, False)
    stored.write_text("hunter2\n")
    assert results(secret_file=path) == [
        ("fine", "the settings and files of the sign-in at the provider can be used")
    ]
    stored.with_name("ca").write_text("no certificate")
    ((grade, _),) = results(secret_file=path, tls={"ca": str(stored.with_name("ca"))})
    assert grade == "fault"
