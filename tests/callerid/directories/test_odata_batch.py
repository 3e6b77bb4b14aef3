"""A batch with one request: its exact text, and any answer is one response or an error of ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.directories.dataverse import batch_of, batch_type, response_in
from net.errors import ServerError

KIND = "multipart/mixed; boundary=batchresponse_1"
PART = b"--batchresponse_1\r\nContent-Type: application/http\r\n\r\n"
ONE = PART + b'HTTP/1.1 200 OK\r\nRetry-After: 7\r\n\r\n{"value": []}'
WHOLE = ONE + b"\r\n--batchresponse_1--\r\n"


def test_a_batch_has_one_request_whose_query_is_encoded():
    query = {"$filter": "name eq 'O''Brien & Co'", "$top": "5"}
    batch = batch_of("batch_1", "/api/contacts", query, {"Accept": "application/json"})
    assert batch.decode() == (
        "--batch_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        "GET /api/contacts?$filter=name%20eq%20%27O%27%27Brien%20%26%20Co%27&$top=5 HTTP/1.1\r\n"
        "Accept: application/json\r\n\r\n\r\n--batch_1--\r\n"
    )
    assert batch_type("batch_1") == "multipart/mixed; boundary=batch_1"


def test_a_query_value_with_line_breaks_and_a_boundary_adds_no_line_to_the_batch():
    batch = batch_of("b", "/x", {"$filter": " HTTP/1.1\r\nEvil: 1\r\n\r\n--b--\r\n&$top=1#ŵ"}, {})
    assert batch.count(b"\r\n") == batch_of("b", "/x", {"$filter": ""}, {}).count(b"\r\n")
    assert b"&" not in batch
    assert b"#" not in batch


@pytest.mark.parametrize(
    "kind",
    [
        KIND,
        'multipart/mixed; boundary="batchresponse_1"',
        "Multipart/Mixed;boundary=batchresponse_1",
    ],
)
def test_a_batch_with_one_response_is_read(kind):
    response = response_in(kind, WHOLE)
    assert (response.status, response.body) == (200, b'{"value": []}')
    assert response.headers["retry-after"] == "7"


def test_a_response_without_a_body_is_read():
    body = PART + b"HTTP/1.1 429 Too Many Requests\r\n\r\n\r\n--batchresponse_1--"
    assert response_in(KIND, body).body == b""


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", WHOLE),
        ("multipart/mixed", WHOLE),
        ("multipart/mixed; boundary=", WHOLE),
        ("multipart/mixed; boundary=other", WHOLE),
        ('multipart/mixed; boundary="batchresponse_1', WHOLE),
        (KIND, b""),
        (KIND, ONE),  # cut off
        (KIND, ONE + b"\r\n--batchresponse_1"),
        (KIND, ONE + b"\r\n--batchresponse_1-"),
        (KIND, ONE + b"\r\n" + WHOLE),  # two responses
        (KIND, WHOLE + WHOLE),
        (KIND, b"x" + WHOLE),
        (KIND, WHOLE + b"x"),
        (KIND, WHOLE.replace(b"application/http", b"application/json")),
        (KIND, WHOLE.replace(b"Content-Type: application/http\r\n", b"")),
        (KIND, WHOLE.replace(b"HTTP/1.1 200 OK", b"HTTP/1.1 2000 OK")),
        (KIND, WHOLE.replace(b"HTTP/1.1 200 OK", b"200 OK")),
        (KIND, WHOLE.replace(b"Retry-After: 7", b"Retry-After 7")),
        (KIND, WHOLE.replace(b"Retry-After: 7", b"A: 1\r\n" * 100 + b"A: 1")),
        (KIND, WHOLE.replace(b"\r\n", b"\n")),
    ],
)
def test_an_answer_that_is_not_a_batch_with_one_response_is_an_error(kind, body):
    with pytest.raises(ServerError) as caught:
        response_in(kind, body)
    assert str(caught.value) == "the answer is not a batch with one response"


PIECES = [b"\r\n", b"--batchresponse_1", b"--", b"HTTP/1.1 200 OK", b"Content-Type: ", b"{}", b":"]


@given(
    st.sampled_from([KIND, 'multipart/mixed; boundary="b"']) | st.text(max_size=60),
    st.binary(max_size=200)
    | st.lists(st.sampled_from([*PIECES, PART]) | st.binary(max_size=5), max_size=12).map(b"".join),
)
def test_any_bytes_give_a_response_or_raise_server_error(kind, body):
    try:
        response = response_in(kind, body)
    except ServerError:
        return
    assert 100 <= response.status <= 599


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_an_answer_with_one_wrong_byte_gives_a_response_or_raises_server_error(at, byte):
    try:
        response_in(KIND, WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :])
    except ServerError:
        return
