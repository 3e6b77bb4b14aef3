"""The certificate authorities that the command line accepts: the system's, or one from `login`.

Covers `galwad/cli/support/client.py` and `galwad/cli/login.py`.
"""

from __future__ import annotations

import io
import ssl
import subprocess
import sys
import threading
from http.server import ThreadingHTTPServer

import pytest

from helpers.cli import POLL_S

PASSWORD = "correct horse battery\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate, as councils use; its key is in a file beside it."""
    file = tmp_path_factory.mktemp("tls") / "galwad.crt"
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=galwad -days 2"
    names = "-addext", "subjectAltName=IP:127.0.0.1"
    files = "-out", file, "-keyout", file.with_suffix(".key")
    subprocess.run(["openssl", *made.split(), *names, *files], check=True, capture_output=True)
    return file


@pytest.fixture
def address(certificate, handler, run, monkeypatch):
    del run  # it clears the environment first
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    http.socket = context.wrap_socket(http.socket, server_side=True)
    monkeypatch.setattr(http, "handle_error", lambda *_: None)  # a distrusting client hangs up
    thread = threading.Thread(target=http.serve_forever, args=(POLL_S,), daemon=True)
    thread.start()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    yield f"https://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def login(run, address, monkeypatch):
    def login(*more):
        monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD))
        return run("login", "--server", address, "--user", "officer", "--password-stdin", *more)

    return login


def test_a_certificate_of_an_unknown_authority_is_refused_with_a_hint(login):
    done = login()
    assert done.status == 1
    assert done.err == (
        "error: the server's certificate is not trusted: self-signed certificate\n"
        "hint: give the authority that signed it: galwad login --tls-ca FILE\n"
    )


def test_an_authority_given_to_login_is_trusted_by_later_commands(
    login, run, certificate, monkeypatch
):
    monkeypatch.chdir(certificate.parent)
    assert login("--tls-ca", certificate.name).err == ""
    monkeypatch.chdir("/")
    assert run("calls", "list").out == "No calls in progress.\n"


def test_an_authority_of_the_system_is_trusted(login, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # the system's authorities in OpenSSL
    assert login().err == ""
