"""A new node for each test."""

import pytest

from helpers.site import Site


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path)
