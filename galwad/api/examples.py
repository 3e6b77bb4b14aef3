"""Examples of requests and answers for the description of the API. A test validates each example.

The numbers are from the range that Ofcom keeps for fiction
(https://www.ofcom.org.uk/phones-and-broadband/phone-numbers/numbers-for-drama).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from galwad.people.user import UserFacts


@dataclass(frozen=True, slots=True)
class Example:
    """The JSON bodies of a request and of the answer to it; None if the example lacks one."""

    request: Any = None
    response: Any = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """The meaning of a parameter, and an example of its value."""

    description: str
    example: str


_CALL: Final = "20261125-014106-n23icn7w"
_PAUSED: Final = {"state": "paused", "durable": True, "calls": [_CALL]}
_RECORDING: Final = {"state": "recording", "durable": True, "calls": [_CALL]}
_TOKEN: Final = {
    "id": "9f86d081884c7d65",
    "user": "pay",
    "name": "spring-2027",
    "rights": ["payments"],
    "created": 1795743681.2,
    "created_by": "user:gwen",
    "expires": 1827279681.2,
    "last_used": None,
    "address": "",
}
_OWN_TOKEN: Final = {**_TOKEN, "user": "sian", "name": "f8-key", "rights": ["pause"]}
_USER: Final = TypeAdapter(UserFacts).dump_python(
    UserFacts(
        name="sian",
        role="advisor",
        extension="201",
        version="5f2c0a91d3b84e67",
        has_phone=True,
        lines=["Council Tax"],
        signed_in=1795743681.2,
    ),
    mode="json",
)
_VERSION: Final = {"version": _USER["version"]}
_BREAKS: Final = {
    "name": "breaks",
    "version": _USER["version"],
    "settings": "[presence] break_reasons",
    "from_settings": True,
    "changed": None,
    "changed_by": "",
    "fixed": False,
    "longest": 40,
    "entries": [{"code": "lunch", "en": "Lunch", "cy": "Cinio"}],
}
_CHANGED: Final = {"user": _USER, "password": None, "token": None, "sip": None}
_SIP: Final = {
    "server": "192.0.2.10:5060",
    "extension": "201",
    "password": "mZk0yq3vT8…",
    "realm": "galwad",
}
_PRESENCE: Final = {
    "user": "sian",
    "extension": "201",
    "state": "break",
    "since": 1795743681.2,
    "on_break": True,
    "reason": "lunch",
    "set_by": "",
    "devices": 1,
    "page": True,
    "line": "",
    "ringing": False,
    "team": "",
}
_CASE: dict[str, Any] = {
    "case_id": 3,
    "kind": "access",
    "reference": "SAR 2026/4",
    "name": "Mair Evans",
    "representative": "",
    "authority": "",
    "details": "all calls about my Council Tax",
    "channel": "telephone",
    "language": "cy",
    "call_id": _CALL,
    "received": "2026-11-25",
    "owner": "gwen",
    "opened": 1795600000.0,
    "version": 2,
    "state": "open",
    "answer_by": "2026-12-29",
    "extend_by": "2026-12-29",
    "acknowledge_by": None,
    "waits_since": None,
}
_CASE_DETAIL: dict[str, Any] = {
    "case": _CASE,
    "possible": [
        "identity-asked",
        "fee-asked",
        "scope-asked",
        "extended",
        "noted",
        "sent",
        "closed",
    ],
    "steps": [
        {
            "position": 1,
            "kind": "acknowledged",
            "day": "2026-11-26",
            "note": "",
            "outcome": "",
            "actor": "user:gwen",
            "at": 1795680000.0,
            "withdrawn": "",
        }
    ],
    "searches": [
        {
            "position": 1,
            "text": _CALL,
            "person": "",
            "places": [
                {
                    "place": "linked-call",
                    "spelling": _CALL,
                    "found": 1,
                    "failed": "",
                }
            ],
            "found": 1,
            "actor": "user:gwen",
            "at": 1795600000.0,
        },
        {
            "position": 2,
            "text": "Mair Evans",
            "person": "crm:1042",
            "places": [
                {"place": "directory: crm", "spelling": "Mair Evans", "found": 1, "failed": ""},
                {"place": "recordings", "spelling": "+441970123456", "found": 12, "failed": ""},
            ],
            "found": 12,
            "actor": "user:gwen",
            "at": 1795681000.0,
        },
    ],
    "calls": 12,
    "excluded": 0,
}
_HOLD: Final = {
    "hold_id": 12,
    "reference": "Claim 2026/17",
    "reason": "a fall in Bridge Street",
    "owner": "gwen",
    "review": "2027-06-01",
    "number": "+441632960001",
    "opened": 1795743681.2,
    "released": None,
    "version": 2,
    "recordings": 3,
    "asked_by": "",
    "asked_for": "",
}
_DISCLOSURE: Final = {
    "disclosure_id": 4,
    "purpose": "crime",
    "requester": "DC Jones, South Wales Police",
    "authority": "Data Protection Act 2018, schedule 2; form 7/2026",
    "recipient": "DC Jones",
    "reference": "POLICE-7",
    "details": "threats against a member of staff",
    "urgent": "",
    "asked_by": "gwen",
    "opened": 1795743681.2,
    "decision": "",
    "decided_by": "",
    "decided": None,
    "decision_note": "",
    "closed_by": "",
    "closed": None,
    "closing_note": "",
    "version": 1,
    "state": "requested",
}
_DISCLOSURE_DETAIL: Final = {
    "disclosure": _DISCLOSURE,
    "call_ids": [_CALL],
    "files": [],
}
_APPROVED: Final = _DISCLOSURE | {
    "decision": "approved",
    "decided_by": "nia",
    "decided": 1795747281.2,
    "version": 2,
    "state": "approved",
}
_APPROVED_DISCLOSURE: Final = _DISCLOSURE_DETAIL | {"disclosure": _APPROVED}
_ROW: Final = {
    "call_id": _CALL,
    "started": 1795570868.4,
    "talk_s": 38.2,
    "number": "+441632960123",
    "line": "Council Tax",
    "advisor": "sian",
    "extension": "201",
    "interrupted": False,
    "unexplained_s": 0.0,
    "unexplained": [],
    "raw_size": 0,
    "payload_size": 222104,
    "payload_sha256": "d2" * 32,
    "manifest_sha256": "4b" * 32,
    "gaps": [
        {
            "reason": "payment",
            "trigger": "page",
            "actor": "user:sian",
            "from_us": 12_000_000,
            "to_us": 22_000_000,
        }
    ],
    "later_callers": [],
    "later_advisors": [],
    "network": [],
    "custody": "",
    "captured_card": "",
    "flags": ["sensitive"],
    "named": True,
}
_POP: Final = {
    "call_id": _CALL,
    "line": "Council Tax",
    "state": "answered",
    "since": 1795570868.4,
    "started": 1795570866.1,
    "advisor": "sian",
    "extension": "201",
    "mine": True,
    "recording": "recording",
    "recording_since": 1795570868.4,
    "durable": True,
    "holders": [],
    "called": None,
    "talking_since": 1795570868.4,
    "caller": {
        "status": "found",
        "number_display": "01632 960123",
        "candidates": [
            {
                "person_id": "P-1",
                "name": "Mair Evans",
                "language": "cy",
                "shared_warning": False,
                "kind": "person",
                "main_line": False,
            }
        ],
        "chosen": None,
        "confirmed": False,
        "outcome": None,
        "details": {},
        "position": 1,
        "directories": [{"name": "residents", "answer": "found"}],
        "searched": False,
        "pages": [],
        "name": None,
    },
    "contact_saved": False,
    "contact": None,
    "draft": None,
    "wrap_up_until": None,
    "recording_link": None,
    "cases": [],
    "acts": {"hangup": "", "hold": "", "transfer": ""},
    "transferring": "",
    "transfers_begun": 0,
    "transfer_failed": 0,
}
PARAMETERS: Final = {
    "call_id": Parameter("The id of a call, which is also that of its recording.", _CALL),
    "token_id": Parameter("The `id` of a token.", "9f86d081884c7d65"),
    "alarm_id": Parameter("The `id` of an alarm.", "payment.forgotten-1"),
    "user": Parameter("The name of a user.", "sian"),
    "name": Parameter("The name of a user.", "sian"),
    "event_id": Parameter("The `id` of a call event.", "0193a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"),
    "when": Parameter("A period in words.", "last week"),
    "language": Parameter("The language of the texts.", "cy"),
}
_RULES = {
    "version": 3,
    "rules": [
        {
            "category": "general",
            "keep": "12 months",
            "counted_from": "call",
            "minimum": None,
            "lines": [],
            "purposes": [],
            "flags": [],
        }
    ],
    "stored": 1795743681.2,
    "in_force": 1795743681.2,
    "approved_by": "",
}
EXAMPLES: Final = {
    "payments_pause": Example({"heartbeat": 30}, _PAUSED),
    "payments_resume": Example({"holder": "phone:201"}, _RECORDING),
    "payments_pause_all": Example({"extension": "201", "heartbeat": 30}, _PAUSED),
    "payments_resume_all": Example({"extension": "201"}, _RECORDING),
    "payment_pages_make_token": Example(
        {"advisor": "sian"},
        {
            "token": "kq3ZP0x4bK1m…",
            "call_id": _CALL,
            "expires": 1795571768.4,
            "holder": "payment:crm-3f2a91bc",
        },
    ),
    "payment_pages_pause": Example({"heartbeat": 30}, _PAUSED),
    "payment_pages_resume": Example(None, _RECORDING),
    "calls": Example(None, [_POP]),
    "calls_call": Example(None, _POP),
    "calls_choose": Example({"person_id": "P-1"}, None),
    "calls_search": Example({"text": "evans"}, {"found": 2, "failed": []}),
    "calls_confirm": Example({"outcome": "confirmed", "person_id": "P-1"}, None),
    "calls_contact": Example(
        {"purpose": "moved-house", "language": "cy", "notes": "Sends the tenancy agreement."},
        {"call_id": _CALL, "version": 1},
    ),
    "calls_no_contact": Example({"reason": "wrong_number"}, {"call_id": _CALL, "version": 1}),
    "users_add_user": Example(
        {"name": "sian", "role": "advisor", "extension": "201"},
        {**_CHANGED, "password": "Wd7pQ0xkV2…", "sip": _SIP},
    ),
    "users_remove_user": Example(_VERSION, None),
    "users_change_user": Example(
        {**_VERSION, "team": "housing", "extension": "201"},
        {**_CHANGED, "user": {**_USER, "team": "housing"}, "sip": _SIP},
    ),
    "webhooks_discard_event": Example({"reason": "test call"}, None),
    "texts": Example(None, [_BREAKS]),
    "texts_text_list": Example(None, _BREAKS),
    "texts_change_list": Example(
        {**_VERSION, "entries": _BREAKS["entries"]},
        {**_BREAKS, "from_settings": False, "changed": 1795428000.0, "changed_by": "gwen"},
    ),
    "texts_reset_list": Example(_VERSION, _BREAKS),
    "phones_act": Example({"act": "transfer", "number": "01632 960200"}),
    "phones_dial": Example({"number": "01632 960123"}),
    "presence_presences": Example(None, [_PRESENCE]),
    "presence_set_own": Example({"state": "break", "reason": "lunch"}, _PRESENCE),
    "presence_set_other": Example(
        {"state": "break", "reason": "lunch"}, {**_PRESENCE, "set_by": "mair"}
    ),
    "recordings_newest": Example(None, {"rows": [_ROW], "after": None}),
    "recordings_search": Example(
        {"when": "last week", "min_length_s": 600, "limit": 100}, {"rows": [_ROW], "after": None}
    ),
    "recordings_show": Example(
        None,
        {
            "recording": _ROW,
            "manifest": '{"key":"…","manifest":{…},"signature":"…"}',
            "rewrap": None,
            "holds": [{"hold_id": 12, "reference": "Claim 2026/17", "since": 1795743681.2}],
            "kept_until": None,
            "disposal": None,
            "folder": "2026/11/25",
            "salt": "7c" * 16,
            "captured_cards": [],
            "flags": [{"flag": "sensitive", "reason": "medical details", "since": 1795743681.2}],
            "term": {"category": "general", "due": 1827446400.0},
            "purposes": ["quality-training", "complaint"],
        },
    ),
    "recordings_listen": Example(
        {"purpose": "complaint", "reference": "C-1024"},
        {
            "entry": 41,
            "header": "YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==",
            "payload_size": 183_422,
            "payload_sha256": "d2" * 32,
            "manifest": '{"key":"…","manifest":{…},"signature":"…"}',
        },
    ),
    "recordings_pack_made": Example(
        {
            "purpose": "complaint",
            "reference": "C-1024",
            "recipient": "Mair Rees",
            "sha256": "5b" * 32,
            "size": 1_904_331,
            "silenced": 1,
        },
        {"entry": 57},
    ),
    "recordings_fetch": Example({"purpose": "complaint", "reference": "C-1024"}, None),
    "custody_flag": Example({"reason": "medical details"}, None),
    "holds_listed": Example(None, {"rows": [_HOLD]}),
    "holds_open_hold": Example(
        {
            "reference": "Claim 2026/17",
            "reason": "a fall in Bridge Street",
            "owner": "gwen",
            "review": "2027-06-01",
            "query": {"number": "01632 960001", "since": "2026-11-01"},
            "future": True,
        },
        {"hold_id": 12, "retained": 3, "before": 0, "disposed": 0},
    ),
    "holds_show": Example(
        None,
        {
            "hold": _HOLD,
            "requests": [{"call_id": _CALL, "asked_by": "gwen", "reason": "another street"}],
        },
    ),
    "holds_change": Example({"version": 2, "review": "2027-12-01"}, None),
    "holds_add": Example(
        {"call_ids": [_CALL]}, {"hold_id": 12, "retained": 1, "before": 0, "disposed": 0}
    ),
    "holds_release": Example({"version": 2, "reason": "settled"}, {"released": False}),
    "disclosures_listed": Example(None, {"rows": [_DISCLOSURE]}),
    "disclosures_open_disclosure": Example(
        {
            "call_ids": [_CALL],
            "purpose": "crime",
            "requester": "DC Jones, South Wales Police",
            "authority": "Data Protection Act 2018, schedule 2; form 7/2026",
            "recipient": "DC Jones",
            "reference": "POLICE-7",
            "details": "threats against a member of staff",
        },
        _DISCLOSURE_DETAIL,
    ),
    "disclosures_show": Example(None, _DISCLOSURE_DETAIL),
    "disclosures_add": Example({"call_ids": [_CALL]}, _DISCLOSURE_DETAIL),
    "disclosures_decide": Example({"version": 1, "decision": "approved"}, _APPROVED_DISCLOSURE),
    "disclosures_sent": Example(
        {
            "what": "a copy on a disc, by hand",
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "size": 481213,
        },
        _APPROVED_DISCLOSURE
        | {
            "files": [
                {
                    "position": 1,
                    "call_id": "",
                    "what": "a copy on a disc, by hand",
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "size": 481213,
                    "actor": "user:gwen",
                    "at": 1795750881.2,
                }
            ]
        },
    ),
    "disclosures_close": Example(
        {"version": 2, "note": "the police have the copy"},
        _APPROVED_DISCLOSURE
        | {
            "disclosure": _APPROVED
            | {
                "closed_by": "gwen",
                "closed": 1795754481.2,
                "closing_note": "the police have the copy",
                "version": 3,
                "state": "closed",
            }
        },
    ),
    "calls_open_in_call": Example(
        {
            "kind": "access",
            "name": "Mair Evans",
            "details": "all calls about her Council Tax",
            "language": "cy",
        },
        _POP | {"cases": [{"case_id": 3, "kind": "access"}]},
    ),
    "cases_listed": Example(None, {"rows": [_CASE]}),
    "cases_open_case": Example(
        {
            "kind": "access",
            "reference": "SAR 2026/4",
            "name": "Mair Evans",
            "details": "all calls about my Council Tax",
            "language": "cy",
            "call_id": _CALL,
        },
        {**_CASE_DETAIL, "steps": [], "searches": _CASE_DETAIL["searches"][:1], "calls": 1},
    ),
    "cases_figures": Example(
        None,
        [
            {
                "kind": "complaint",
                "language": "cy",
                "received": 3,
                "in_time": 2,
                "late": 1,
                "extended": 0,
                "open": 1,
                "granted": 1,
                "partly_refused": 0,
                "refused": 1,
                "withdrawn": 0,
                "no_answer": 0,
                "days": 17.5,
            }
        ],
    ),
    "cases_show": Example(None, _CASE_DETAIL),
    "cases_change": Example({"version": 2, "owner": "gwen"}, _CASE_DETAIL),
    "cases_take_step": Example({"version": 1, "kind": "acknowledged"}, _CASE_DETAIL),
    "cases_withdraw_step": Example(
        {"position": 2, "reason": "entered in the wrong case"}, _CASE_DETAIL
    ),
    "cases_search": Example(
        {"text": "Mair Evans", "person": "crm:1042"},
        {
            "search": _CASE_DETAIL["searches"][1],
            "people": [
                {
                    "person": "crm:1042",
                    "name": "Mair Evans",
                    "kind": "person",
                    "reference": "CT-4471902",
                    "numbers": ["01970 123456"],
                }
            ],
            "new": 11,
        },
    ),
    "cases_calls": Example(
        None,
        {
            "rows": [
                {
                    "call_id": _CALL,
                    "started": 1795599000.4,
                    "searches": [1, 2],
                    "excluded": "",
                    "line": "Council Tax",
                    "advisor": "sian",
                    "talk_s": 183.2,
                    "recording": "recorded",
                    "flags": [],
                    "person": "crm:1042",
                    "note": {
                        "purpose": "Council Tax",
                        "language": "cy",
                        "outcome": "Form sent",
                        "caller_type": "self",
                        "on_behalf_of": "",
                        "authority": "",
                        "notes": "",
                        "no_note_reason": "",
                        "unfinished": False,
                    },
                }
            ],
            "after": None,
        },
    ),
    "cases_erase": Example(
        {"call_ids": [_CALL]},
        {"rows": [{"call_id": _CALL, "why_not": "the recording is retained"}]},
    ),
    "cases_accesses": Example(
        None,
        {
            "rows": [
                {
                    "entry": 41,
                    "call_id": _CALL,
                    "at": 1795743681.2,
                    "act": "recording.fetched",
                    "actor": "user:gwen",
                    "purpose": "complaint",
                    "reference": "C-1024",
                    "recipient": "",
                }
            ]
        },
    ),
    "cases_pack_made": Example(
        {
            "version": 4,
            "recipient": "Mair Evans",
            "sha256": "5b" * 32,
            "size": 19_043_310,
            "calls": 12,
            "silenced": 3,
        },
        {"entry": 58},
    ),
    "cases_exclude": Example({"call_ids": [_CALL], "reason": "a call of Owen Evans"}, None),
    "retention_plan": Example(
        None,
        {
            "in_force": _RULES,
            "waiting": None,
            "clock_in_doubt": "",
            "until": 1798335681.2,
            "due": [
                {
                    "category": "general",
                    "recordings": 412,
                    "retained": 3,
                    "restricted": 1,
                    "incidents": 0,
                    "first": 1795824000.0,
                }
            ],
            "kept": [{"category": "general", "recordings": 61_204}],
        },
    ),
    "retention_preview": Example(
        None,
        {
            "version": 4,
            "categories": [
                {
                    "category": "general",
                    "recordings": 61_204,
                    "earlier": 61_204,
                    "later": 0,
                    "due": 18_033,
                }
            ],
        },
    ),
    "retention_approve": Example({"version": 4}, {"in_force": False}),
    "retention_confirm_clock": Example({"reason": "compared with the mobile network"}, None),
    "retention_run": Example(
        {"limit": 100}, {"disposed": 41, "failed": 0, "waits": "", "after": None}
    ),
    "tokens": Example(None, [_TOKEN]),
    "tokens_make_machine_token": Example(
        {"user": "pay", "name": "spring-2027", "rights": ["payments"], "days": 365},
        {"secret": "galwad_…", "token": _TOKEN},
    ),
    "tokens_own_tokens": Example(None, {"allowed": True, "tokens": [_OWN_TOKEN]}),
    "tokens_make_own_token": Example(
        {"name": "f8-key", "days": 90}, {"secret": "galwad_…", "token": _OWN_TOKEN}
    ),
    "accounts_login": Example(
        {"user": "gwen", "password": "correct horse battery", "client": "cli"}
    ),
    "second_factor_facts": Example(
        None, {"since": 1795743681.2, "recovery_left": 9, "recovery_used": None, "required": True}
    ),
    "second_factor_confirm": Example(
        {"code": "287082"}, {"recovery_codes": ["k7qd-m2ye-4fxa-zolb", "…"]}
    ),
    "audit_search": Example({"kind": "recording.fetched", "when": "last week"}, None),
    "audit_head": Example(
        None,
        {
            "anchor": '{"at":1795743681.2,"format":1,"hash":"…","node":"a","seq":1024}',
            "earlier": None,
        },
    ),
    "system_health": Example(
        None,
        {
            "status": "ok",
            "version": None,
            "database": True,
            "switch": True,
            "finaliser": True,
            "live_calls": 3,
            "peers_down": 0,
        },
    ),
}
"""The examples of endpoints, by the name of the endpoint (`operationId`)."""
