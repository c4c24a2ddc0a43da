"""Proton's ``pass-cli`` with one vault: checks its words as the real one does, and can refuse."""

import json
import os
import time

SHARE = "share-of-the-vault=="
TOKEN = "pst_token::key"


class Proton:
    """Notes of a vault. *says* makes every run fail with that; *signed_in* is whether there is a session."""

    def __init__(self, path=""):
        self.notes = []
        self.number = 0
        self.ran = []
        self.says = ""
        self.signed_in = True
        self.output = None
        self.path = path
        self.now = time.time
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.notes, self.number, self.says = json.load(file)

    def save(self):
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump([self.notes, self.number, self.says], file)

    def run(self, argv, environ, *, given, timeout_seconds):
        """In place of `program.run`."""
        from strongroom.keystore.program import Outcome

        return Outcome(*self.pass_cli(list(argv[1:]), given, environ))

    def pass_cli(self, words, given, environ):
        self.ran.append((tuple(words), given))
        if words == ["login"]:
            if environ.get("PROTON_PASS_PERSONAL_ACCESS_TOKEN") != TOKEN:
                return 1, b"", "Error: Invalid personal access token\n"
            self.signed_in = True
            return 0, b"Successfully logged in\n", ""
        if not self.signed_in:
            return 1, b"", "Error: This operation requires an authenticated client\n"
        if self.says:
            return 1, b"", f"Error: {self.says}\n"
        if not environ.get("PROTON_PASS_AGENT_REASON"):
            return 1, b"", "Error: a reason is required\n"
        try:
            answer = self.command(words, given)
        except LookupError as error:
            return 1, b"", f"Error: {error.args[0]}\n"
        if self.output is not None:
            return 0, self.output, ""
        return 0, answer.encode(), ""

    def command(self, words, given):
        assert words[0] == "item"
        flags = {"list": {"--filter-type": "note", "--filter-state": "active", "--output": "json"},
                 "view": {"--item-id": None, "--output": "json"}, "delete": {"--item-id": None},
                 "create": {"--from-template": "-"}}[words[1]]  # fmt: skip
        rest = words[2:]
        if words[1] == "create":
            assert rest.pop(0) == "note"
        named = dict(zip(rest[::2], rest[1::2], strict=True))
        if named.pop("--share-id") != SHARE:
            raise LookupError("Error finding share")
        assert named.keys() == flags.keys()
        assert all(value is None or named[name] == value for name, value in flags.items())
        return getattr(self, words[1])(named.get("--item-id"), given)

    def create(self, _, given):
        template = json.loads(given)
        assert template.keys() == {"title", "note"}
        return self.add(template["title"], template["note"]) + "\n"

    def add(self, title, note, **more):
        self.number += 1
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.now()))
        content = {"title": title, "note": note, "item_uuid": "u", "content": {"Note": None}, "extra_fields": []}
        self.notes.append({"id": f"id{self.number}==", "share_id": SHARE, "vault_id": "v", "content": content, "state": "Active",
                           "flags": [], "create_time": when, "modify_time": when} | more)  # fmt: skip
        return self.notes[-1]["id"]

    def list(self, *_):
        # Newer versions tell the title and no content.
        return json.dumps({"items": [
            {**{name: note[name] for name in ("id", "share_id", "state", "create_time", "modify_time")},
             "content": {"title": note["content"]["title"]}} for note in self.notes
        ]})  # fmt: skip

    def one(self, wanted):
        for note in self.notes:
            if note["id"] == wanted:
                return note
        raise LookupError("Error retrieving item")

    def view(self, wanted, _):
        return json.dumps({"item": self.one(wanted), "attachments": []}, indent=2) + "\n"

    def delete(self, wanted, _):
        self.notes.remove(self.one(wanted))
        return f"Item {wanted} deleted successfully\n"
