"""The scripted desk's users, which an administrator's page lists and changes."""

from __future__ import annotations

from typing import Any

PASSWORD = "a-made-password-1"
SIP_PASSWORD = "a-sip-password-1"
TOKEN = f"galwad_{'y' * 43}"
RIGHTS = {
    "advisor": [],
    "supervisor": [],
    "admin": ["purge"],
    "machine": ["payments", "metrics", "anchors", "directories", "events"],
}


def a_user(name: str, role: str = "advisor", **facts: Any) -> dict[str, Any]:
    """Return a user as the API shows them."""
    return {
        "name": name,
        "version": f"{0:016x}",
        "role": role,
        "language": "en",
        "extension": None,
        "has_phone": False,
        "rights": [],
        "disabled": False,
        "lines": [],
        "subjects": [],
        "signed_in": None,
        "tokens": 0,
        "second_factor": False,
        "team": "",
        **facts,
    }


class FakeUsers:
    """The users, and the changes that the page has asked for."""

    def __init__(self) -> None:
        self.all: dict[str, dict[str, Any]] = {}
        self.issuer: str | None = None
        self.refusing = ""
        """The reason for which each change is refused, or empty."""

    def put(self, *users: dict[str, Any]) -> None:
        """Add users, or replace them."""
        for user in users:
            self.all[user["name"]] = user

    def change(self, name: str, **facts: Any) -> dict[str, Any]:
        """Change a user as another administrator does; the version changes too."""
        version = f"{int(self.all[name]['version'], 16) + 1:016x}"
        self.all[name] = {**self.all[name], **facts, "version": version}
        return self.all[name]

    @property
    def listed(self) -> dict[str, Any]:
        """The answer to GET users."""
        users = [self.all[name] for name in sorted(self.all)]
        return {"users": users, "rights": RIGHTS, "issuer": self.issuer}

    def answer(self, method: str, path: str, body: dict) -> tuple[int, dict | None]:
        """Change a user as the real desk does."""
        if self.refusing:
            return 409, {"error": "no", "reason": self.refusing}
        _, _, name = (*path.split("/"), "")[:3]
        if not name:
            return self.add(body)
        if name not in self.all:
            return 404, {"error": "no", "reason": "unknown"}
        if body["version"] != self.all[name]["version"]:
            return 409, {"error": "no", "reason": "changed"}
        if method == "DELETE":
            del self.all[name]
            return 204, None
        return 200, self.act(name, body)

    def add(self, body: dict) -> tuple[int, dict | None]:
        """Add a user."""
        name = body["name"].lower()
        if name in self.all:
            return 409, {"error": "no", "reason": "taken"}
        extension = body["extension"] or None
        facts = {"extension": extension, "has_phone": bool(extension), "rights": body["rights"]}
        self.put(a_user(name, body["role"], language=body["language"], **facts))
        machine = body["role"] == "machine"
        secrets = {"token": TOKEN} if machine else {"password": PASSWORD}
        return 201, self.changed(name, **secrets, sip=bool(extension))

    def act(self, name: str, body: dict) -> dict:
        """Do one act, and return the user with new secrets."""
        ((act, value),) = ((key, value) for key, value in body.items() if key != "version")
        subjects = self.all[name]["subjects"]
        facts: dict[str, dict[str, Any]] = {
            "role": {"role": value, "rights": []},
            "rights": {"rights": value},
            "team": {"team": value},
            "extension": {"extension": value or None},
            "disabled": {"disabled": value, "signed_in": None},
            "password": {"signed_in": None},
            "sip_password": {},
            "second_factor": {"second_factor": False, "signed_in": None},
            "link": {"subjects": [*subjects, value]},
            "unlink": {"subjects": [each for each in subjects if each != value]},
        }
        self.change(name, **facts[act])
        password = PASSWORD if act == "password" else None
        sip = act == "sip_password" or bool(act == "extension" and value)
        return self.changed(name, password=password, sip=sip)

    def changed(
        self, name: str, *, password: str | None = None, token: str | None = None, sip: bool = False
    ) -> dict[str, Any]:
        """Return the answer to a change."""
        account = {
            "server": "192.0.2.10:5060",
            "extension": self.all[name]["extension"],
            "password": SIP_PASSWORD,
            "realm": "galwad",
        }
        return {
            "user": self.all[name],
            "password": password,
            "token": token,
            "sip": account if sip else None,
        }
