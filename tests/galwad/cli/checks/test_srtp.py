"""`galwad check` warns of peers whose SRTP keys would be sent in clear text."""

import pytest

from galwad.cli.checks import srtp
from galwad.settings import load

SETTINGS = """
[sip]
listen = {listen}
tls_certificate = "/etc/galwad/tls.crt"
tls_key = "/etc/galwad/tls.key"
[[trunks]]
name = "pstn"
peers = ["192.0.2.1"]
{trunk}
[[phones]]
extension = "201"
ha1_md5 = "00000000000000000000000000000000"
{phone}
[[routes]]
called = "1"
target = "sip:600@192.0.2.20{parameter}"
{route}
[recording]
officer_key = "KwkUlZ3cD2rQKwd+trTdFK5XKpo9xov980Lv0Jm5VFc="
"""
UDP, BOTH = '["udp:127.0.0.1:5060"]', '["udp:127.0.0.1:5060", "tls:127.0.0.1:5061"]'
MUST, TLS = 'srtp = "required"', 'transport = "tls"'


@pytest.fixture
def warned(tmp_path):
    """The peers that the check names with these settings."""

    def check(listen=BOTH, **parts):
        path = tmp_path / "galwad.toml"
        blank = {"trunk": "", "phone": "", "route": "", "parameter": ""}
        text = SETTINGS.format(listen=listen, **(blank | parts))
        if listen == UDP:
            text = "\n".join(line for line in text.splitlines() if not line.startswith("tls_"))
        path.write_text(text)
        found = list(srtp.check(load(path)))
        assert all(finding.grade == "warning" and finding.fix for finding in found)
        return [finding.text.partition(" must")[0] for finding in found]

    return check


def test_no_warning_is_given_if_no_peer_requires_srtp(warned):
    assert warned(listen=UDP) == warned() == []


def test_without_tls_each_peer_that_requires_srtp_is_named(warned):
    named = warned(listen=UDP, trunk=MUST, phone=MUST, route=MUST)
    assert named == ["trunk pstn", "phone 201", "route 1"]


def test_a_peer_that_signals_only_over_tls_is_not_named(warned):
    parts = {"trunk": f"{MUST}\n{TLS}", "phone": f"{MUST}\n{TLS}", "route": MUST}
    assert warned(**parts, parameter=";transport=tls") == []
    assert warned(**parts) == ["route 1"]


def test_a_trunk_that_may_also_use_udp_is_named(warned):
    assert warned(trunk=MUST) == ["trunk pstn"]
