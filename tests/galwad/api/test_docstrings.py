"""Summaries, descriptions and errors are read from docstrings as docs/style.md has them."""

from __future__ import annotations

import pytest

from galwad.api.docstrings import DocstringError, description_of, refusals_of, summary_of


def documented(text):
    """Return a function with this docstring."""

    def endpoint() -> None: ...

    endpoint.__doc__ = text
    return endpoint


FULL = documented(
    """Save the note. It is kept
    for good.

    A supervisor may
    also do this.

    Args:
        note: The note.

    Raises:
        ApiError: 404 or 403, the call is another
            advisor's. 409, the call has ended. It is not open again.
        ContactError: the note is empty.
    """
)


def test_the_summary_is_the_first_sentence_without_its_full_stop():
    assert summary_of(FULL) == "Save the note"


def test_the_description_has_the_rest_without_the_sections():
    assert description_of(FULL) == "It is kept for good.\n\nA supervisor may also do this."


def test_a_function_without_a_docstring_has_neither_summary_nor_errors():
    bare = documented(None)
    assert (summary_of(bare), description_of(bare), refusals_of([bare])) == ("", "", {})


def test_a_reason_without_a_status_has_that_of_the_reason_before_or_if_first_of_its_error_class():
    assert refusals_of([FULL]) == {
        404: ["The call is another advisor's."],
        403: ["The call is another advisor's."],
        409: ["The call has ended.", "It is not open again.", "The note is empty."],
    }


def test_a_reason_that_two_functions_share_is_listed_once():
    assert refusals_of([FULL, FULL]) == refusals_of([FULL])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ApiError: the user is a machine.", 'begin "the user is a machine." with its status'),
        ("OddError: 404, gone.", "OddError has no known status"),
    ],
)
def test_an_error_without_a_known_status_is_refused_with_what_is_missing(text, expected):
    with pytest.raises(DocstringError, match=expected):
        refusals_of([documented(f"Do it.\n\nRaises:\n    {text}\n")])
