"""The loader of the settings: the files that it accepts, and its messages about faulty ones.

Covers `galwad/settings/`, `config/loader.py`, `config/fields.py`, `config/explain.py` and
`config/errors.py`.
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from callerid.directories.http import HttpDirectorySection
from config.errors import SettingsError
from config.section import Section
from galwad.settings import EXAMPLE, Settings, load
from galwad.settings.desk import ALL_EVENTS, EventStreamSection, WebhookSection

OFFICER_KEY = "3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
LEAST = f"""\
retention = [{{ category = "general", keep = "by hand" }}]
[sip]
listen = ["udp:127.0.0.1:5060"]
[recording]
officer_key = "{OFFICER_KEY}"
"""


@pytest.fixture
def write(tmp_path):
    """Write a settings file and return its path."""

    def writer(text: str) -> Path:
        path = tmp_path / "galwad.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return writer


@pytest.fixture
def faults(write):
    """Load a faulty text; return (line, key, message) of each fault."""

    def loader(text: str) -> list[tuple[int, str, str]]:
        with pytest.raises(SettingsError) as caught:
            load(write(text))
        return [(f.line, f.key, f.message) for f in caught.value.faults]

    return loader


def example() -> str:
    return files("config").joinpath("example.toml").read_text(encoding="utf-8")


def test_the_example_file_loads_unchanged(write):
    settings = load(write(example()))
    assert settings.node.name == "galwad-1"
    assert [route.line for route in settings.routes] == ["Council Tax", "Main number", ""]
    assert settings.media.ports.calls == 500


def test_the_example_file_shows_every_setting_and_every_default():
    text = example()
    named = set(re.findall(r"^(?:# )?([a-z0-9_]+) = ", text, re.MULTILINE))
    known = set()
    sections: list[type[Section]] = [HttpDirectorySection, *Section.__subclasses__()]
    for field in Settings.model_fields.values():
        section = next(s for s in sections if s.__name__ in str(field.annotation))
        known |= {f.alias or name for name, f in section.model_fields.items()}
    assert named == known
    shown = "\n".join(
        line.removeprefix("# ")
        if re.match(
            r"# (?!category|keep =|counted_from|minimum)[a-z_]+ = [\d\"tf]"
            r"|# \[\[directories\]\]|# \[(webhook|event_stream|sign_in)\]",
            line,
        )
        else line
        for line in text.splitlines()
        if "…" not in line and not re.match(r"# (extension|user|\[\[(?!directories))", line)
    )
    with_defaults = tomllib.loads(shown)
    plain = tomllib.loads(text)
    for table in ("node", "sip", "media", "recording", "desk", "directory"):
        model = Settings.model_fields[table].annotation
        assert model is not None
        for key, value in with_defaults.get(table, {}).items():
            default = model.model_fields[key].default
            if key not in plain.get(table, {}) and default is not None:
                assert str(default) == str(value) or default == value, key
    [directory] = with_defaults["directories"]
    for key, field in HttpDirectorySection.model_fields.items():
        if key in directory and not field.is_required() and field.default is not None:
            assert directory[key] == field.default, key
    for key in ("format", "timeout"):
        assert with_defaults["webhook"][key] == WebhookSection.model_fields[key].default, key
    for key in ("keep_hours", "keep_events"):
        default = EventStreamSection.model_fields[key].default
        assert with_defaults["event_stream"][key] == default, key
    lists = re.findall(r"^# events = (.*)$", text, re.MULTILINE)
    assert len(lists) == 2
    for events in lists:
        assert tuple(tomllib.loads(f"events = {events}")["events"]) == ALL_EVENTS


def test_a_minimal_file_has_the_documented_defaults(write):
    settings = load(write(LEAST))
    assert settings.sip.ring_timeout == 180
    assert settings.sip.recall_timeout == 30
    assert settings.sip.transfer_timeout == 60
    assert settings.recording.point_of_transfer == "answer"
    assert str(settings.media.ports) == "20000-21999"
    assert settings.recording.lookback == 5
    assert settings.recording.erase_back == 0.5
    assert settings.recording.digits_near_pause == 10
    assert settings.recipients == Path("/var/lib/galwad/keys/recipients.json")
    assert settings.desk.origin == "http://127.0.0.1:8443"


@pytest.mark.parametrize(
    ("extra", "key", "line", "wanted"),
    [
        ("[media]\nports = '20001-20010'", "media.ports", 7, "FIRST even and LAST odd"),
        (
            "[media]\nport = '20000-20099'",
            "media.port",
            7,
            'Unknown setting "media.port"; did you mean "media.ports"?',
        ),
        ("[medai]\nports = 1", "medai", 6, 'Unknown setting "medai"; did you mean "media"?'),
        (
            "[[routes]]\ncalled = '1'",
            "routes[1]",
            6,
            '[[routes]] number 1 needs either "target" or "ring"',
        ),
        (
            "[[routes]]\ncalled = '1'\ntarget = 'sip:600@192.0.2.20'\nskip_away = true",
            "routes[1]",
            6,
            '[[routes]] number 1 needs "ring" for "skip_away"',
        ),
        (
            "[[routes]]\ncalled = '1'\nring = ['201']\nline_cy = 'Treth Gyngor'",
            "routes[1]",
            6,
            '[[routes]] number 1 needs "line" for "line_cy"',
        ),
        (
            "[[routes]]\ncalled = '1 2'\nring = ['201']",
            "routes[1].called",
            7,
            '"routes[1].called" must be exact',
        ),
        ("[[routes]]\ncalled = '*'\ntarget = '301'", "routes[1].target", 8, "must be a SIP URI"),
        ("[[routes]]\ncalled = '*'\ntarget = []", "routes[1].target", 8, "or a list of different"),
        (
            "[[routes]]\ncalled = '*'\ntarget = ['sip:h', 'sip:h']",
            "routes[1].target",
            8,
            "or a list of different ones",
        ),
        ("[[trunks]]\nname = 'a'\npeers = [\n '192.0.2.300']", "trunks[1].peers[1]", 8, "network"),
        ("[[phones]]\nextension = '201'", "phones[1]", 6, 'needs "ha1_md5", "ha1_sha256" or both'),
        (
            "[desk]\nlisten = '0.0.0.0:443'",
            "desk",
            6,
            '[desk] needs "tls_certificate" and "tls_key"',
        ),
        (
            "[[trunks]]\nname='a'\npeers=['::1']\ntransport = 'sctp'",
            "trunks[1].transport",
            9,
            '"tls"',
        ),
        (
            "[[trunks]]\nname='a'\npeers=['::1']\nauto_answer = true",
            "trunks[1]",
            6,
            'needs "trusted = true" for "auto_answer"',
        ),
        (
            "[[trunks]]\nname='a'\npeers=['::1']\ntrusted=true\nheaders=['alert-INFO']",
            "trunks[1]",
            6,
            'needs "ring_tones" or "auto_answer", not "headers"',
        ),
        (
            "[[trunks]]\nname='a'\npeers=['::1']\ntrusted=true\nring_tones=['Ring Answer']",
            "trunks[1]",
            6,
            'needs "auto_answer = true" for a ring tone that makes phones answer',
        ),
        (
            "[[trunks]]\nname='a'\npeers=['::1']\ntrusted=true\nring_tones=['http://a']",
            "trunks[1].ring_tones[1]",
            10,
            "must be",
        ),
        ("[desk]\ntls_key = 'key.pem'", "desk.tls_key", 7, "must be a full path"),
        (
            "[desk]\nsession_idle = 'long'",
            "desk.session_idle",
            7,
            "must be a whole number of seconds, 60 or more",
        ),
        (
            "[[destinations]]\nmatch = '3*'",
            "destinations[1].class",
            6,
            'Missing setting "destinations[1].class": add "centre"',
        ),
    ],
)
def test_a_fault_has_its_line_and_a_message_that_names_the_setting(
    faults, extra, key, line, wanted
):
    (fault,) = faults(LEAST + extra)
    assert fault[:2] == (line, key)
    assert wanted in fault[2]


def test_an_unknown_setting_with_no_similar_name_lists_those_of_its_table(faults):
    ((_, _, message),) = faults(LEAST + "[directory]\nxyz = 1\n")
    known = "area_code, budget, merge_by, watch_least, watch_remove_absent, watch_skip_faults"
    assert message == f'Unknown setting "directory.xyz"; the settings that can be here are {known}'


def test_a_message_about_two_settings_begins_with_their_table(faults):
    ((_, _, message),) = faults(LEAST + "erase_back = 9\n")
    assert message == '[recording]: "erase_back" must not be longer than "lookback"'


def test_a_lookback_that_is_shorter_than_the_default_erase_back_is_not_a_fault(write):
    """The recorder erases as far back as it can."""
    assert load(write(LEAST + "lookback = 0.2\n")).recording.lookback == 0.2


def test_two_routes_with_the_same_called_number_are_a_fault(faults):
    route = "[[routes]]\ncalled = '1'\nring = ['201']\n"
    ((_, _, expected),) = faults(LEAST + route + route)
    assert expected == 'Two [[routes]] have the same "called"; give each its own'


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("600", "department")],
        [("6*", "centre")],
        [("6*", "department"), ("600", "centre")],
    ],
)
def test_the_destination_for_welsh_must_be_one_of_the_centre(faults, rows):
    tables = "".join(f'[[destinations]]\nmatch = "{m}"\nclass = "{c}"\n' for m, c in rows)
    ((_, _, expected),) = faults(f'{LEAST}[desk]\nwelsh_destination = "600"\n{tables}')
    assert "welsh_destination" in expected
    assert '"centre"' in expected


def test_the_destination_for_welsh_is_the_name_of_a_destination_of_the_centre(write):
    centre = '[[destinations]]\nmatch = "600"\nclass = "centre"\n'
    settings = load(write(f'{LEAST}[desk]\nwelsh_destination = "600"\n{centre}'))
    assert settings.desk.welsh_destination == "600"


def test_a_payment_code_must_not_begin_with_the_other_code(faults):
    codes = 'payment_code_on = "*7"\npayment_code_off = "*71"\n'
    ((_, _, expected),) = faults(LEAST + codes)
    assert "neither may begin with the other" in expected


def test_all_faults_are_reported_together_in_file_order(faults):
    found = faults('[sip]\nlisten = ["sctp:127.0.0.1:5060"]\nmax_calls = 0\n[recording]\n')
    assert [key for _, key, _ in found] == [
        "retention",
        "sip.listen[1]",
        "sip.max_calls",
        "recording.officer_key",
    ]


def test_a_missing_table_is_named(faults):
    assert {key for _, key, _ in faults("")} == {"sip", "recording", "retention"}


def test_broken_toml_names_its_line(faults):
    ((line, _, expected),) = faults("[sip]\nlisten = \n")
    assert line == 2
    assert "not valid TOML" in expected


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        (
            "[sip]\n[sip]\n",
            2,
            "The table [sip] is there twice: put all its settings into one place",
        ),
        ("[[trunks]]\n[trunks]\n", 2, "The table [trunks] is there twice"),
        ("[sip]\na = 1\n[sip.a]\n[sip.a]\n", 3, "This table or setting is there twice"),
        ("[sip.x]\n[sip.x]\n", 2, "The table [sip.x] is there twice"),
        ("[desk]\n[[desk]]\n", 2, "This table or setting is there twice"),
    ],
)
def test_a_table_that_is_there_twice_is_named_in_plain_words(faults, text, line, expected):
    ((found, _, told),) = faults(text)
    assert (found, told[: len(expected)]) == (line, expected)


def test_a_missing_file_raises_settings_error(tmp_path):
    with pytest.raises(SettingsError, match="Cannot read the file: no such file"):
        load(tmp_path / "none.toml")


def test_a_file_that_is_not_utf_8_raises_settings_error(tmp_path):
    path = tmp_path / "galwad.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="UTF-8"):
        load(path)


def test_an_endless_file_is_refused_as_too_large():
    with pytest.raises(SettingsError, match="too large"):
        load(Path("/dev/zero"))


def test_the_error_about_an_invalid_secret_does_not_repeat_the_secret(write):
    secret = "5ebe2294ecd0e0f08eab7690d2a6ee69-and-more"
    with pytest.raises(SettingsError) as caught:
        load(write(LEAST + f"[[phones]]\nextension = '201'\nha1_md5 = '{secret}'"))
    assert secret not in str(caught.value)


def test_a_phones_secret_is_not_in_its_repr(write):
    secret = "5ebe2294ecd0e0f08eab7690d2a6ee69"
    settings = load(write(LEAST + f"[[phones]]\nextension = '201'\nha1_md5 = '{secret}'"))
    assert settings.phones[0].ha1_md5 == secret
    assert secret not in repr(settings)


def test_the_first_matching_route_is_used(write):
    settings = load(write(example()))
    first, second, _ = settings.routes
    assert settings.find_route("01970000000") is first
    assert settings.find_route("01970000001") is second
    assert settings.find_route("998") is None


def test_a_destination_is_found_by_number_or_by_uri(write):
    uri_rule = '[[destinations]]\nmatch = "sip:*"\nclass = "external"\n'
    settings = load(
        write(LEAST + '[[destinations]]\nmatch = "3*"\nclass = "department"\n' + uri_rule)
    )
    by_number = settings.find_destination("sip:301@pbx.example", "301")
    by_uri = settings.find_destination("sip:7@elsewhere.example", "7")
    assert by_number is not None
    assert by_number.class_ == "department"
    assert by_uri is not None
    assert by_uri.class_ == "external"


def test_a_trunk_is_found_by_its_network(write):
    settings = load(write(example()))
    assert settings.find_trunk("198.51.100.7", 5071) is settings.trunks[0]
    assert settings.find_trunk("203.0.113.1", 5060) is None
    assert settings.find_trunk("198.51.100.7", 40000, "TCP") is settings.trunks[0]


def test_the_spool_key_is_on_disk_only_with_unattended_recovery(tmp_path):
    path = tmp_path / "galwad.toml"
    node = '[node]\nstate = "/state"\nruntime = "/run/g"\n'
    text = LEAST.replace("[sip]", f"{node}[sip]")
    path.write_text(text)
    assert load(path).boot_keys[0] == Path("/run/g/boot.key")
    path.write_text(f"{text}\nunattended_recovery = true\n")
    assert load(path).boot_keys[0] == Path("/state/spool/host.key")


def test_srtp_is_optional_by_default(write):
    settings = load(write(LEAST))
    assert settings.media.srtp == "optional"
    assert settings.srtp_rule_of("201") == "optional"
    assert settings.srtp_rule_of("201", "required") == "required"


def test_an_unknown_srtp_rule_is_a_fault_that_lists_the_valid_ones(faults):
    ((_, key, expected),) = faults(LEAST + '[media]\nsrtp = "sometimes"\n')
    assert key == "media.srtp"
    assert '"required"' in expected


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ('listen = ["tls:127.0.0.1:5061"]', '[sip] needs "tls_certificate" and "tls_key"'),
        (
            'listen = ["udp:127.0.0.1:1"]\ntls_key = "/k"',
            '[sip] needs both "tls_certificate" and "tls_key", or neither',
        ),
        ('listen = ["udp:127.0.0.1:1"]\nadvertise = ["192.0.2.1", "192.0.2.2"]', "one host for"),
        ('listen = ["udp:127.0.0.1:1"]\nadvertise = "a b"', "must be a host"),
    ],
)
def test_a_fault_in_the_sip_addresses_is_explained(faults, lines, wanted):
    ((_, _, expected),) = faults(
        f"[sip]\n{lines}\n"
        '[[retention]]\ncategory = "general"\nkeep = "by hand"\n'
        f'[recording]\nofficer_key = "{OFFICER_KEY}"\n'
    )
    assert wanted in expected


def test_media_may_have_one_address_of_each_family(write, faults):
    settings = load(write(LEAST + '[media]\nlisten = ["192.0.2.1", "::1"]'))
    assert settings.media.listen == ("192.0.2.1", "::1")
    assert load(write(LEAST)).media.listen == ("0.0.0.0",)
    ((_, key, wanted),) = faults(LEAST + '[media]\nlisten = "sip.example.com"')
    assert (key, "must be an IP address" in wanted) == ("media.listen", True)


def test_a_trunk_or_phone_can_be_restricted_to_one_transport(write):
    phone = f"[[phones]]\nextension = '201'\ntransport = 'tls'\nha1_md5 = '{'0' * 32}'\n"
    trunk = "[[trunks]]\nname = 'a'\npeers = ['192.0.2.1']\ntransport = 'tcp'\n"
    settings = load(write(LEAST + phone + trunk))
    assert settings.find_trunk("192.0.2.1", 5060, "UDP") is None
    assert settings.find_trunk("192.0.2.1", 5060, "TCP") is settings.trunks[0]
    assert not settings.allows_transport("201", "UDP")
    assert settings.allows_transport("201", "TLS")
    assert settings.allows_transport("202", "UDP")


@pytest.mark.parametrize("value", ['"5"', "true", "nan", "inf", "[5]"])
@pytest.mark.parametrize(
    "key", ["recall_timeout", "transfer_timeout", "ring_timeout", "max_calls", "source_rate"]
)
def test_a_value_of_the_wrong_type_for_a_number_is_a_fault(faults, key, value):
    text = LEAST.replace("[recording]", f"{key} = {value}\n[recording]")
    ((line, named, _),) = faults(text)
    assert (line, named) == (4, f"sip.{key}")


@pytest.mark.parametrize("value", ['"true"', "1", "0", '"yes"'])
def test_a_value_of_the_wrong_type_for_a_boolean_is_a_fault(faults, value):
    ((_, named, expected),) = faults(f"{LEAST}include_phones = {value}\n")
    assert (named, expected) == (
        "recording.include_phones",
        '"recording.include_phones" must be true or false',
    )


def test_an_integer_is_accepted_for_a_duration_in_seconds(write):
    text = LEAST.replace("[recording]", "recall_timeout = 5\nmax_lag = 1\n[recording]")
    assert load(write(text)).sip.recall_timeout == 5


def test_a_byte_order_mark_is_ignored(write):
    assert load(write("\ufeff" + LEAST)).sip.listen


def test_a_route_matches_if_any_form_of_the_number_does(write):
    text = f'{LEAST}[[routes]]\ncalled = "0197*"\nring = ["201"]\n'
    settings = load(write(text))
    assert settings.find_route("+441970000100", "01970000100") is settings.routes[0]
    assert settings.find_route("+441970000100") is None


def test_only_the_listed_settings_concern_pauses():
    """Each setting about pauses is listed here: a new one must not end a pause either."""
    words = re.compile(r"paus|resum|releas|hold|payment|auto", re.IGNORECASE)
    assert len(Section.__subclasses__()) >= len(Settings.model_fields)
    found = {
        field.alias or name
        for section in Section.__subclasses__()
        for name, field in section.model_fields.items()
        if words.search(f"{name} {field.description}")
    }
    assert found == {
        "payment_code_on",  # the code that an advisor dials to pause
        "payment_code_off",  # the code that an advisor dials to resume
        "pause_reminder",  # when the advisor is warned
        "pause_alarm",  # when the supervisors are warned
        "payment_page_origins",  # whose pages can pause, and end their own pause
        "digits_near_pause",  # how many digits near a pause are silenced
        "hold_grace",  # how long a recording is kept after a legal hold
        "class",  # of a destination, which can be a payment line
        "auto_answer",  # whether a PBX may make phones answer calls
    }


def test_supervisors_cannot_be_warned_of_a_pause_before_its_advisor(faults):
    ((_, _, message),) = faults(LEAST + "[desk]\npause_reminder = 60\npause_alarm = 59\n")
    assert message == '[desk]: "pause_alarm" must not be shorter than "pause_reminder"'


def test_a_page_or_a_site_around_it_without_tls_is_refused(faults):
    for desk in (
        'embed_origins = ["https://crm.example"]',
        'public_origin = "https://galwad.example"\nembed_origins = ["http://crm.example"]',
    ):
        ((_, _, message),) = faults(f"{LEAST}[desk]\n{desk}\n")
        assert message.startswith('[desk]: "embed_origins" needs TLS')


def test_the_example_that_hints_name_is_installed_with_the_program():
    assert EXAMPLE.is_absolute()
    assert "[sip]" in EXAMPLE.read_text(encoding="utf-8")
