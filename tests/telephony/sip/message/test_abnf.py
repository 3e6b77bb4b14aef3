"""Messages generated from the ABNF of RFC 3261 25.1: every part is parsed correctly.

Each strategy is a rule of the grammar, with its name. It gives a text and the facts that the parser
must find in it. Linear white space, also folded, is wherever the grammar allows it.

Covers `telephony/sip/message/messages.py`, `telephony/sip/message/headers.py` and
`telephony/sip/message/uri.py`.
"""

import re
import string

from hypothesis import given
from hypothesis import strategies as st

from telephony.sip.message.header_values import NameAddr, Via
from telephony.sip.message.messages import Request, Response, parse_message
from telephony.sip.message.uri import Uri

ALPHANUM = string.ascii_letters + string.digits
MARK = "-_.!~*'()"
UNRESERVED = ALPHANUM + MARK
TOKEN = ALPHANUM + "-.!%*_+`'~"
WORD = TOKEN + '()<>:\\"/[]?{}'


def some(characters, most=6):
    return st.text(characters, min_size=1, max_size=most)


def joined(*parts):
    return st.tuples(*parts).map("".join)


def escaped_or(characters, least=1, most=6):
    escape = st.integers(0, 255).flatmap(lambda n: st.sampled_from([f"%{n:02x}", f"%{n:02X}"]))
    return st.lists(st.sampled_from(characters) | escape, min_size=least, max_size=most).map(
        "".join
    )


LWS = st.sampled_from([" ", "\t", "  ", "\r\n ", " \r\n\t", "\r\n   "])
SWS = st.just("") | LWS
token = some(TOKEN)
word = some(WORD)


def around(separator):
    return joined(SWS, st.just(separator), SWS)


SEMI, EQUAL, COMMA, SLASH, COLON = map(around, ";=,/:")

qdtext = st.characters(exclude_characters='"\\', exclude_categories=("Cc", "Cs", "Zl", "Zp"))
quoted_pair = st.integers(1, 127).map(chr).filter(lambda c: c not in "\r\n").map("\\{}".format)


@st.composite
def quoted_string(draw):
    pieces = draw(st.lists(qdtext | quoted_pair, max_size=6))
    plain = "".join(p[1] if len(p) == 2 and p[0] == "\\" else p for p in pieces)
    return '"' + "".join(pieces) + '"', plain


label = some(ALPHANUM, 4)
domainlabel = joined(label, st.sampled_from(["", "-a", "--9"]))
toplabel = joined(st.sampled_from(string.ascii_letters), st.sampled_from(["", "x", "-1", "0-z"]))
hostname = st.tuples(st.lists(domainlabel, max_size=2), toplabel, st.sampled_from(["", "."])).map(
    lambda t: ".".join([*t[0], t[1]]) + t[2]
)
ipv4 = st.ip_addresses(v=4).map(str)
ipv6 = st.ip_addresses(v=6).map(str) | st.sampled_from(["::ffff:192.0.2.1", "::", "1::192.0.2.1"])
host = (hostname | ipv4).map(lambda h: (h, h)) | ipv6.map(lambda h: (f"[{h}]", h))
port = st.none() | st.integers(0, 65535)

userinfo_user = escaped_or(UNRESERVED + "&=+$,;?/")
password = escaped_or(UNRESERVED + "&=+$,", least=0)
paramchar = escaped_or("[]/:&+$" + UNRESERVED)
hname = escaped_or("[]/?:+$" + UNRESERVED)
hvalue = escaped_or("[]/?:+$" + UNRESERVED, least=0)


@st.composite
def sip_uri(draw, *, plain=False, headers=True):
    """A SIP or SIPS URI; a `plain` one needs no angle brackets."""
    scheme = draw(st.sampled_from(["sip", "sips", "SIP", "sIpS"]))
    user = draw(st.none() | (userinfo_user if not plain else escaped_or(UNRESERVED + "&=+$/")))
    secret = (
        draw(st.none() | password.filter(lambda p: not plain or "," not in p)) if user else None
    )
    shown, name = draw(host)
    number = draw(port)
    parameters: tuple[tuple[str, str | None], ...] = ()
    more: tuple[tuple[str, str], ...] = ()
    if not plain:
        parameters = tuple(draw(st.lists(st.tuples(paramchar, st.none() | paramchar), max_size=2)))
        if headers:
            more = tuple(draw(st.lists(st.tuples(hname, hvalue), max_size=2)))
    text = f"{scheme}:"
    if user is not None:
        text += user + (f":{secret}" if secret is not None else "") + "@"
    text += shown + (f":{number}" if number is not None else "")
    text += "".join(f";{n}" + (f"={v}" if v is not None else "") for n, v in parameters)
    text += "?" * bool(more) + "&".join(f"{n}={v}" for n, v in more)
    return text, Uri(scheme.lower(), user, secret, name, number, parameters, more)


@st.composite
def absolute_uri(draw):
    scheme = draw(st.from_regex(r"[a-zA-Z][a-zA-Z0-9+\-.]{0,6}", fullmatch=True))
    scheme = scheme if scheme.lower() not in {"sip", "sips", "tel"} else "x" + scheme
    rest = draw(escaped_or(UNRESERVED + ";/?:@&=+$,"))
    return f"{scheme}:{rest}", Uri(scheme.lower(), rest)


@st.composite
def generic_param(draw, *, but=()):
    name = draw(token.filter(lambda n: n.lower() not in but))
    kind = draw(st.sampled_from(["flag", "token", "host", "quoted"]))
    if kind == "flag":
        return name, (name, "")
    if kind == "quoted":
        text, plain = draw(quoted_string())
    elif kind == "host":
        text = plain = draw(host)[0]
    else:
        text = plain = draw(token)
    return name + draw(EQUAL) + text, (name, plain)


@st.composite
def params(draw, *, but=()):
    """The text of parameters with semicolons, and their names and unquoted values."""
    drawn = draw(st.lists(generic_param(but=but), max_size=3, unique_by=lambda p: p[1][0].lower()))
    return "".join(draw(SEMI) + text for text, _ in drawn), [fact for _, fact in drawn]


@st.composite
def display_name(draw):
    kind = draw(st.sampled_from(["none", "tokens", "quoted"]))
    if kind == "none":
        return "", ""
    if kind == "quoted":
        return draw(quoted_string())
    words = draw(st.lists(token, min_size=1, max_size=3))
    text = "".join(w + draw(LWS) for w in words)
    return text, " ".join(words)


@st.composite
def address(draw, *, but=(), bare=True):
    """The text of a From, To or Contact, and its name, URI and parameters."""
    if bare and draw(st.booleans()):
        text, uri = draw(sip_uri(plain=True))
        name = ""
    else:
        shown, name = draw(display_name())
        spec, uri = draw(sip_uri() | absolute_uri())
        text = f"{shown}{draw(SWS)}<{spec}>"
    tail, facts = draw(params(but=but))
    return text + tail, (name, uri, facts)


@st.composite
def via_parm(draw):
    transport = draw(st.sampled_from(["UDP", "TCP", "TLS", "SCTP", "udp"]) | token)
    shown, name = draw(host)
    number = draw(port)
    sent_by = shown + (draw(COLON) + str(number) if number is not None else "")
    tail, facts = draw(params(but=("branch",)))
    branch = draw(token)
    text = (
        draw(st.sampled_from(["SIP", "sip"])) + draw(SLASH) + "2.0" + draw(SLASH) + transport
        + draw(LWS) + sent_by + tail + draw(SEMI) + "branch" + draw(EQUAL) + branch
    )  # fmt: skip
    return text, (transport.upper(), name, number, branch, facts)


@st.composite
def messages(draw):
    """The text of a message, and the facts in it."""
    is_request = draw(st.booleans())
    method = draw(st.sampled_from(["INVITE", "OPTIONS", "ACK"]) | token)
    number = draw(st.integers(0, 2**31 - 1))
    uri_text, uri = draw(sip_uri(headers=False) | absolute_uri())
    vias = draw(st.lists(via_parm(), min_size=1, max_size=3))
    from_, to = draw(address(but=("tag",))), draw(address(but=("tag",)))
    contacts = draw(st.lists(address(), max_size=2))
    tag = draw(token)
    call_id = draw(joined(word) | joined(word, st.just("@"), word))
    rows = [
        (("f", "From"), from_[0] + draw(SEMI) + "tag" + draw(EQUAL) + tag),
        (("t", "To"), to[0]),
        (("i", "Call-ID"), call_id),
        (("CSeq", "CSeq"), f"{number}{draw(LWS)}{method}"),
    ]
    if draw(st.booleans()):
        rows.append((("v", "Via"), draw(COMMA).join(text for text, _ in vias)))
    else:
        rows += [(("v", "Via"), text) for text, _ in vias]
    if contacts:
        rows.append((("m", "Contact"), draw(COMMA).join(text for text, _ in contacts)))
    order = sorted(rows, key=lambda row: row[0] != ("v", "Via")) if draw(st.booleans()) else rows
    lines = [draw(header(*row)) for row in order]
    status = draw(st.integers(100, 699))
    reason = draw(st.text(qdtext, max_size=8).map(lambda t: t.strip(" ")))
    start = f"{method} {uri_text} SIP/2.0" if is_request else f"SIP/2.0 {status} {reason}"
    text = "\r\n".join([start, *lines, "", ""])
    facts = {
        "start": (method, uri) if is_request else (status, reason),
        "vias": [fact for _, fact in vias],
        "from": from_[1], "to": to[1], "tag": tag, "call_id": call_id,
        "cseq": (number, method), "contacts": [fact for _, fact in contacts],
    }  # fmt: skip
    return text.encode(), facts


@st.composite
def header(draw, names, value):
    name = draw(
        st.sampled_from(names).flatmap(lambda n: st.sampled_from([n, n.upper(), n.lower()]))
    )
    blanks = draw(st.sampled_from(["", " ", "\t", "  "]))
    return f"{name}{blanks}:{draw(SWS)}{value}" + draw(st.sampled_from(["", " ", "\t"]))


def check_address(found, fact):
    name, uri, parameters = fact
    assert re.sub("[ \t]+", " ", found.display_name) == re.sub("[ \t]+", " ", name)
    assert found.uri == uri
    for key, value in parameters:
        assert found.parameter(key) == value
    assert NameAddr.parse(str(found)) == found


@given(messages())
def test_every_message_generated_from_the_grammar_is_parsed_correctly(made):
    data, facts = made
    message = parse_message(data)
    if isinstance(message, Request):
        assert (message.method, message.uri) == facts["start"]
    else:
        assert isinstance(message, Response)
        assert (message.status, message.reason) == facts["start"]
    for via, (transport, name, number, branch, parameters) in zip(
        message.vias, facts["vias"], strict=True
    ):
        assert (via.transport, via.host, via.port, via.branch) == (transport, name, number, branch)
        assert [via.parameter(key) for key, _ in parameters] == [value for _, value in parameters]
        assert Via.parse(str(via)) == via
    check_address(message.from_, facts["from"])
    check_address(message.to, facts["to"])
    assert (message.from_.tag, message.to.tag) == (facts["tag"], None)
    assert message.call_id == facts["call_id"]
    assert (message.cseq.number, message.cseq.method) == facts["cseq"]
    for contact, fact in zip(message.contacts, facts["contacts"], strict=True):
        check_address(contact, fact)
    again = parse_message(bytes(message))
    assert (again.start_line, again.headers) == (message.start_line, message.headers)


@given(sip_uri() | absolute_uri())
def test_every_uri_generated_from_the_grammar_is_parsed_and_written_unchanged(made):
    text, uri = made
    found = Uri.parse(text)
    assert found == uri
    assert str(found) == text.replace(text.partition(":")[0], uri.scheme, 1)
    assert found.equivalent(uri)
