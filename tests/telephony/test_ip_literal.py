"""IP addresses as text, read once and then from the cache."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.ip_literal import ip_literal


@given(st.ip_addresses())
def test_an_address_is_the_same_at_the_first_and_the_second_reading(address):
    assert ip_literal(str(address)) == ip_literal(str(address)) == address
    assert type(ip_literal(str(address))) is type(ip_address(str(address)))


@pytest.mark.parametrize("text", ["", "pbx.example", "[2001:db8::1]", "192.0.2.256"])
def test_a_text_that_is_no_address_is_refused_each_time(text):
    for _ in range(2):
        with pytest.raises(ValueError, match="does not appear to be"):
            ip_literal(text)
