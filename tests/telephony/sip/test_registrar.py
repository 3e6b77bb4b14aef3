"""The registrar: bindings are created, refreshed, replaced and removed (RFC 3261 10.3)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.sip.events import Address
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request, parse_message
from telephony.sip.message.uri import Uri
from telephony.sip.registrar import Registrar

SOURCE = Address("203.0.113.9", 40000)
OTHER = Address("203.0.113.10", 40001)


def request(*contacts, cseq=1, call_id="c1", expires=None):
    headers = Headers(
        [
            ("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"),
            ("From", "<sip:201@h>;tag=1"),
            ("To", "<sip:201@h>"),
            ("Call-ID", call_id),
            ("CSeq", f"{cseq} REGISTER"),
        ]
    )
    for contact in contacts:
        headers.add("Contact", contact)
    if expires is not None:
        headers.add("Expires", expires)
    return Request("REGISTER", Uri(host="h"), headers)


@pytest.fixture
def registrar():
    return Registrar()


def test_a_phone_whose_contact_has_its_source_host_is_reached_at_the_contacts_port(registrar):
    registrar.register("201", request("<sip:201@203.0.113.9:5070>"), SOURCE, 100.0)
    registrar.register("202", request("<sip:202@203.0.113.9>"), SOURCE, 100.0)
    assert registrar.contacts("201", 101.0)[0][1] == Address("203.0.113.9", 5070)
    assert registrar.contacts("202", 101.0)[0][1] == Address("203.0.113.9", 5060)


def test_a_phone_with_a_private_contact_is_reached_at_its_source_address(registrar):
    response = registrar.register("201", request("<sip:201@10.0.0.5:5060>"), SOURCE, 100.0)
    assert response.status == 200
    assert response.headers.get_all("Contact") == ["<sip:201@10.0.0.5:5060>;expires=3600"]
    assert registrar.contacts("201", 101.0) == [(Uri.parse("sip:201@10.0.0.5:5060"), SOURCE)]
    assert registrar.count(101.0) == 1
    assert parse_message(bytes(response)).headers == response.headers


def test_a_query_lists_the_bindings_with_their_remaining_seconds(registrar):
    registrar.register("201", request("<sip:a@h>;expires=90;q=0.5"), SOURCE, 100.0)
    response = registrar.register("201", request(cseq=2), SOURCE, 129.5)
    assert response.headers.get_all("Contact") == ["<sip:a@h>;q=0.5;expires=61"]


def test_a_binding_expires(registrar):
    registrar.register("201", request("<sip:a@h>;expires=60"), SOURCE, 100.0)
    assert registrar.count(159.9) == 1
    assert registrar.contacts("201", 160.0) == []
    assert registrar.expire(159.0) == []
    assert registrar.expire(160.0) == ["201"]


def test_a_refresh_replaces_the_source_address(registrar):
    registrar.register("201", request("<sip:a@h>"), SOURCE, 100.0)
    registrar.register("201", request("<sip:a@h>", cseq=2), OTHER, 200.0)
    assert registrar.contacts("201", 3800.0 - 1) == [(Uri.parse("sip:a@h"), OTHER)]


def test_a_register_with_the_same_call_id_and_no_higher_cseq_changes_nothing(registrar):
    registrar.register("201", request("<sip:a@h>", cseq=5), SOURCE, 100.0)
    for cseq in (4, 5):
        late = request("<sip:b@h>", "<sip:a@h>;expires=0", cseq=cseq)
        assert registrar.register("201", late, OTHER, 101.0).status == 400
    assert registrar.contacts("201", 102.0) == [(Uri.parse("sip:a@h"), SOURCE)]


def test_a_contact_listed_twice_is_bound_once_with_the_last_expiry(registrar):
    contact = "<sip:anna@192.0.2.10:5060>"
    twice = request(f"{contact};expires=600", f"{contact};expires=900")
    response = registrar.register("201", twice, SOURCE, 100.0)
    assert response.status == 200
    (binding,) = registrar.bindings("201", 100.0)
    assert binding.expires_at == 1000.0


def test_a_restarted_phone_may_use_a_lower_cseq_with_a_new_call_id(registrar):
    registrar.register("201", request("<sip:a@h>", cseq=5), SOURCE, 100.0)
    again = registrar.register("201", request("<sip:a@h>", cseq=1, call_id="c2"), OTHER, 101.0)
    assert again.status == 200
    assert registrar.contacts("201", 102.0) == [(Uri.parse("sip:a@h"), OTHER)]


def test_the_same_instance_at_a_new_port_replaces_its_old_binding(registrar):
    for call_id, port in (("c1", 1), ("c2", 2)):
        contact = f'<sip:a@h:{port}>;+sip.instance="<urn:uuid:1>"'
        registrar.register("201", request(contact, call_id=call_id), SOURCE, 100.0)
    assert registrar.contacts("201", 101.0) == [(Uri.parse("sip:a@h:2"), SOURCE)]


def test_an_expiry_below_the_minimum_is_refused_with_423_and_min_expires(registrar):
    response = registrar.register("201", request("<sip:a@h>", expires="59"), SOURCE, 100.0)
    assert response.status == 423
    assert response.headers.get("Min-Expires") == "60"
    assert registrar.count(100.0) == 0


@pytest.mark.parametrize("wish", ["99999", "4294967295", "soon", "-1", "٣"])
def test_an_expiry_that_is_too_long_or_unreadable_becomes_the_default(registrar, wish):
    response = registrar.register("201", request("<sip:a@h>", expires=wish), SOURCE, 100.0)
    assert response.headers.get("Contact") == "<sip:a@h>;expires=3600"


def test_a_contacts_own_expiry_overrides_the_expires_header(registrar):
    contacts = ("<sip:a@h>;expires=120, <sip:b@h>", "<sip:c@h>;expires=0")
    response = registrar.register("201", request(*contacts, expires="180"), SOURCE, 100.0)
    assert sorted(response.headers.get_all("Contact")) == [
        "<sip:a@h>;expires=120",
        "<sip:b@h>;expires=180",
    ]


def test_a_phone_unregisters_one_contact(registrar):
    registrar.register("201", request("<sip:a@h>", "<sip:b@h>"), SOURCE, 100.0)
    registrar.register("201", request("<sip:a@h>;expires=0", cseq=2), SOURCE, 101.0)
    assert [uri.user for uri, _ in registrar.contacts("201", 102.0)] == ["b"]


def test_a_wildcard_contact_removes_all_bindings(registrar):
    registrar.register("201", request("<sip:a@h>", "<sip:b@h>"), SOURCE, 100.0)
    response = registrar.register("201", request("*", cseq=2, expires="0"), SOURCE, 101.0)
    assert response.status == 200
    assert registrar.count(102.0) == 0


@pytest.mark.parametrize(
    "wrong",
    [request("*", cseq=2), request("*", cseq=2, expires="1"),
     request("*", "<sip:a@h>", cseq=2, expires="0"), request("*", cseq=1, expires="0")],
)  # fmt: skip
def test_an_invalid_or_outdated_wildcard_contact_gets_400_and_removes_nothing(registrar, wrong):
    registrar.register("201", request("<sip:a@h>"), SOURCE, 100.0)
    assert registrar.register("201", wrong, SOURCE, 101.0).status == 400
    assert registrar.count(102.0) == 1


@pytest.mark.parametrize("contact", ["tel:201", "nonsense", '"open', "<sip:a@h"])
def test_a_register_with_one_invalid_contact_is_refused_completely(registrar, contact):
    response = registrar.register("201", request("<sip:a@h>", contact), SOURCE, 100.0)
    assert response.status == 400
    assert registrar.count(100.0) == 0


def test_contacts_are_sorted_by_preference_and_then_newest_first(registrar):
    registrar.register("201", request("<sip:old@h>"), SOURCE, 100.0)
    registrar.register("201", request("<sip:low@h>;q=0.1", cseq=2), SOURCE, 300.0)
    registrar.register("201", request("<sip:odd@h>;q=x", cseq=3), SOURCE, 200.0)
    assert [uri.user for uri, _ in registrar.contacts("201", 301.0)] == ["odd", "old", "low"]


def test_a_binding_above_the_limit_replaces_the_binding_that_would_expire_first():
    registrar = Registrar(max_bindings=2)
    for number in range(3):
        contact = f"<sip:{number}@h>"
        registrar.register("201", request(contact, call_id=str(number)), SOURCE, 100.0 + number)
    assert [uri.user for uri, _ in registrar.contacts("201", 103.0)] == ["2", "1"]


def test_bindings_are_restored_with_their_remaining_time_under_another_clock(registrar):
    contact = '"Desk 12" <sip:a@[::1]:5060;ob>;q=0.5;+sip.instance="<urn:uuid:1>"'
    registrar.register("201", request(contact, cseq=7, expires="600"), SOURCE, 1000.0)
    saved = json.loads(json.dumps(registrar.to_dict(1100.0)))
    restored = Registrar.from_dict(saved, 5.0)
    assert restored.contacts("201", 504.0) == registrar.contacts("201", 1100.0)
    assert restored.contacts("201", 505.0) == []
    assert (
        restored.register("201", request("<sip:a@[::1]:5060;ob>", cseq=7), SOURCE, 6.0).status
        == 400
    )


PATH = ("<sip:201@203.0.113.9:5062;lr>", "<sip:inner.example;lr>")


def by_path(*path, cseq=1):
    asked = request("<sip:201@10.0.0.5>", cseq=cseq)
    for proxy in path:
        asked.headers.add("Path", proxy)
    return asked


def test_a_phone_that_registered_with_a_path_is_reached_through_its_proxies(registrar):
    answer = registrar.register("201", by_path(", ".join(PATH)), SOURCE, 100.0)
    assert tuple(answer.headers.get_all("Path")) == PATH
    restored = Registrar.from_dict(json.loads(json.dumps(registrar.to_dict(100.0))), 100.0)
    for (phone,) in (registrar.reachable("201", 101.0), restored.reachable("201", 101.0)):
        assert tuple(map(str, phone.path)) == PATH
        assert phone.uri == Uri.parse("sip:201@10.0.0.5")
        assert phone.address == Address("203.0.113.9", 5062)


def test_a_proxy_with_a_private_path_address_is_reached_at_its_source_address(registrar):
    registrar.register("201", by_path("<sip:10.0.0.1;lr>"), SOURCE, 100.0)
    assert registrar.reachable("201", 101.0)[0].address == SOURCE


def test_a_refresh_replaces_the_path(registrar):
    registrar.register("201", by_path(*PATH), SOURCE, 100.0)
    registrar.register("201", by_path(cseq=2), OTHER, 101.0)
    assert registrar.reachable("201", 102.0)[0].path == ()


@pytest.mark.parametrize("path", [["nonsense <"], ["<tel:1>"], ["<sip:p;lr>"] * 11])
def test_an_invalid_or_overlong_path_is_refused_with_400(registrar, path):
    assert registrar.register("201", by_path(*path), SOURCE, 100.0).status == 400
    assert registrar.count(100.0) == 0


def test_saved_bindings_without_a_path_are_restored(registrar):
    registrar.register("201", by_path(), SOURCE, 100.0)
    saved = registrar.to_dict(100.0)
    del saved["201"][0]["path"]
    assert Registrar.from_dict(saved, 100.0).count(101.0) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["contact", "call_id", "cseq", "source", "seconds", "path", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), JSON | st.lists(JSON, max_size=3)))
def test_restoring_damaged_bindings_raises_no_exception(saved):
    restored = Registrar.from_dict(saved, 5.0)
    assert json.dumps(restored.to_dict(6.0))


def test_all_bindings_of_an_extension_are_dropped(registrar):
    registrar.register("201", request("<sip:a@h>"), SOURCE, 100.0)
    registrar.remove("201")
    assert registrar.count(101.0) == 0


def test_a_register_with_too_many_contacts_is_refused(registrar):
    flood = ", ".join(f"<sip:{number}@h>" for number in range(5000))
    assert registrar.register("201", request(flood), SOURCE, 100.0).status == 400
    assert registrar.count(100.0) == 0
