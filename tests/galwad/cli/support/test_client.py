"""Requests to the server: sign-in, certificates, proxies, and errors of connection and token.

Covers `galwad/people/sign_in/commands.py` too.
"""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import subprocess
import sys
import threading
from http.server import ThreadingHTTPServer

import httpx2
import pytest

from galwad.cli.support.client import cached_context, check_response
from galwad.cli.support.console import CliError
from helpers.cli import POLL_S


def test_login_stores_the_token_in_a_file_that_only_its_owner_can_read(
    run, server, monkeypatch, tmp_path
):
    monkeypatch.delenv("GALWAD_TOKEN")
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery\n"))
    done = run("login", "--server", server, "--user", "officer", "--password-stdin")
    assert done.status == 0, done.err
    file = tmp_path / "xdg" / "galwad" / "client.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "correct horse" not in file.read_text()
    assert run("calls", "list").out == "No calls in progress.\n"


def test_a_wrong_password_shows_the_servers_error_and_hint(run, server, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.StringIO("wrong\n"))
    done = run("login", "--user", "officer", "--password-stdin")
    assert (done.status, done.err) == (1, "error: no\nhint: try\n")
    assert not (tmp_path / "xdg").exists()


def test_without_a_token_no_request_is_sent(run, server, archive, monkeypatch):
    monkeypatch.delenv("GALWAD_TOKEN")
    done = run("recordings", "list")
    assert done.err == "error: not signed in\nhint: run `galwad login` first\n"
    assert archive.asked == []


def test_an_unreachable_server_is_reported_with_a_hint(run, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", "x")
    done = run("calls", "list", "--server", "http://127.0.0.1:1")
    assert done.status == 1
    assert done.err.startswith("error: cannot reach the server\nhint: ")


def test_a_token_is_never_sent_over_plain_http(run, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", "x")
    done = run("calls", "list", "--server", "http://galwad.example")
    assert done.status == 2
    assert "plain http" in done.err


def test_an_unknown_setting_in_the_client_file_is_reported_with_its_line(run, tmp_path):
    file = tmp_path / "xdg" / "galwad" / "client.toml"
    file.parent.mkdir(parents=True)
    file.write_text('server = "https://x"\ntokn = "t"\n')
    done = run("calls", "list")
    assert done.status == 1
    assert f'{file}:2: Unknown setting "tokn"; did you mean "token"?' in done.err


@pytest.mark.parametrize(
    "made", [lambda file: file.mkdir(), lambda file: file.write_bytes(b"\xff")]
)
def test_an_unreadable_client_file_is_reported_with_a_hint(run, tmp_path, made):
    file = tmp_path / "xdg" / "galwad" / "client.toml"
    file.parent.mkdir(parents=True)
    made(file)
    done = run("calls", "list")
    assert done.status in {1, 2}
    assert "hint: " in done.err


def test_an_expired_token_gives_the_hint_to_log_in(run, server, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", "old")
    done = run("recordings", "list")
    assert (done.status, done.err.splitlines()[1:]) == (
        1,
        ["hint: run `galwad login`; if $GALWAD_TOKEN is set, correct or unset it first"],
    )


def test_a_session_that_needs_a_stronger_sign_in_gives_the_hint_for_it():
    refused = {"error": "this needs a stronger sign-in", "hint": "go", "reason": "step_up_needed"}
    with pytest.raises(CliError) as caught:
        check_response(httpx2.Response(403, json=refused))
    assert caught.value.hint.startswith("run `galwad login --browser` again")


def test_a_token_that_cannot_be_stored_is_reported(run, server, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery\n"))
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(occupied))
    done = run("login", "--server", server, "--user", "mair", "--password-stdin")
    assert done.status == 1
    assert "error: cannot write " in done.err


@pytest.fixture
def proxy(monkeypatch):
    """A proxy that refuses all requests; returns the first lines of those that it received."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    received: list[str] = []

    def refuse():
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                connection, _ = listener.accept()
                with connection:
                    received.append(connection.recv(4096).decode().splitlines()[0])
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        yield received
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_request_to_this_machine_passes_through_no_proxy(run, server, proxy, host):
    done = run("calls", "list", "--server", server.replace("127.0.0.1", host))
    assert proxy == []
    assert (done.status, done.out) == (0, "No calls in progress.\n")


def test_a_request_to_another_machine_passes_through_the_proxy_of_the_environment(
    run, proxy, monkeypatch
):
    monkeypatch.setenv("GALWAD_TOKEN", "x")
    done = run("calls", "list", "--server", "https://galwad.example")
    assert proxy == ["CONNECT galwad.example:443 HTTP/1.1"]
    assert done.status == 1
    assert done.err == (
        "error: the proxy refused the connection: 403 Forbidden\n"
        "hint: correct $HTTPS_PROXY; to use no proxy, set $NO_PROXY to the server's name\n"
    )


@pytest.mark.parametrize("variable", ["https_proxy", "all_proxy"])
@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1080", "ftp://127.0.0.1", "http://x:y"])
def test_a_proxy_that_is_not_an_http_proxy_gives_one_error_line_and_a_hint(
    run, monkeypatch, variable, address
):
    monkeypatch.setenv("GALWAD_TOKEN", "x")
    monkeypatch.setenv(variable, address)
    done = run("calls", "list", "--server", "https://galwad.example")
    assert done.status == 1
    assert done.err == (
        "error: cannot use the proxy that the environment names\n"
        "hint: set $HTTPS_PROXY, $HTTP_PROXY and $ALL_PROXY to http://HOST:PORT, or unset them\n"
    )


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
        "hint: if its authority is not known here, name it: galwad login --tls-ca FILE, or "
        "$GALWAD_CERTIFICATE; else correct the server's certificate\n"
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
    cached_context.cache_clear()
    assert login().err == ""
    cached_context.cache_clear()
