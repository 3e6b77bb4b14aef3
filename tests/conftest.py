"""What holds for all tests: ports, and certificates for whatever speaks TLS."""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, settings

from helpers import loopback

# How long an example takes says something of the machine's load, not of the code; and fixtures
# that each example could spoil for the next make classes, or folders, here.
settings.register_profile(
    "galwad",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("galwad")


def pytest_addoption(parser):
    parser.addoption("--crashes", type=int, default=5, help="of the crash matrix (200 for proof)")
    parser.addoption("--crash-seed", type=int, default=1, help="when, and of which process")


_SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A certificate authority that lives in a folder."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self.key, name, [], ca=True)
        self.path = folder / f"{name}.crt"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name, *alternatives, days=90):
        """The paths of a certificate for `alternatives` (names or addresses) and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._sign(key, name, alternatives, ca=False, days=days)
        certificate, secret = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, secret

    def _sign(self, key, name, alternatives, *, ca, days=90):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if ca else self.certificate.subject
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=min(days, 0) - 1))
            .not_valid_after(now + dt.timedelta(days=days, hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False
            )
        )
        if ca:
            builder = builder.add_extension(_SIGNS, critical=True)
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(text) for text in alternatives]), False
            )
        return builder.sign(self.key, hashes.SHA256())


def _general(text):
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@pytest.fixture
def ports():
    """A hundred ports in a row that nobody else has."""
    claimed = loopback.claim(100)
    yield claimed
    claimed.close()


@pytest.fixture(scope="session")
def make_authority(tmp_path_factory):
    return lambda name: Authority(tmp_path_factory.mktemp("ca"), name)


@pytest.fixture(scope="session")
def authority(make_authority):
    return make_authority("authority")
