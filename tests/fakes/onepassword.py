"""A 1Password vault that can be reached in two ways, and refuse in both.

`Vault.op` is what the program ``op`` does with its words and its input; `fakes/programs/op` is it as a program. `Connect`
is a server with the REST interface of 1Password's Connect. Both check what they are given as the real ones are documented
to: words, template, token, vault, category.
"""

import contextlib
import http.server
import json
import os
import re
import threading
import time
import urllib.parse

VAULT = "ionaiwtdvgclrixbt6ztpqcxnq"
TOKEN = "ops_token-of-the-service-account"
CONNECT_TOKEN = "eyJhbGciOi.connect.token"
ACCOUNT = "corp.1password.com"

CATEGORIES = {"API_CREDENTIAL": "API Credential", "LOGIN": "Login", "SECURE_NOTE": "Secure Note"}
ARGUMENTS = ("--vault", "--format", "--categories", "--tags", "--account")
SWITCHES = {"list": set(), "get": {"--reveal"}, "create": set(), "edit": set(), "delete": {"--archive"}}


class Refused(Exception):
    """What `op` says on standard error before it ends with status 1."""


class Vault:
    """Items of a vault. *says* makes every run of ``op`` fail with that; *signed_in* is the app's state."""

    def __init__(self, path=""):
        self.items = []
        self.number = 0
        self.ran = []  # the words and the input of each run
        self.says = ""
        self.signed_in = True
        self.output = None  # what is printed instead of the answer
        self.path = path
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.items, self.number, self.says = json.load(file)

    def save(self):
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump([self.items, self.number, self.says], file)

    # The items

    def find(self, wanted):
        return next((item for item in self.items if item["id"] == wanted), None)

    def create(self, whole):
        self.number += 1
        made = {"id": f"{self.number:026}", "version": 1}
        self.items.append(made)
        return self.replace(made, whole)

    def replace(self, item, whole):
        if not isinstance(whole.get("title"), str) or whole.get("category") not in CATEGORIES:
            raise Refused("invalid item template")
        fields = [{"id": f.get("id") or str(n), "type": f["type"], "label": f["label"], "value": f["value"]}
                  for n, f in enumerate(whole.get("fields", []))]  # fmt: skip
        version = item["version"] + 1
        item |= {"title": whole["title"], "category": whole["category"], "tags": list(whole.get("tags", [])),
                 "vault": {"id": VAULT}, "fields": fields, "version": version, "changed": time.time()}  # fmt: skip
        return item

    # The program

    def run(self, argv, environ, *, given, timeout_seconds):
        """In place of `program.run`."""
        from strongroom.keystore.program import Outcome

        status, output, complaint = self.op(list(argv[1:]), given, environ)
        return Outcome(status, output, complaint)

    def op(self, words, given, environ):
        """Exit status, output, complaint."""
        self.ran.append((tuple(words), given))
        try:
            self._let_in(environ)
            if self.says:
                raise Refused(self.says)
            answer = self._command(words, given)
        except Refused as refused:
            return 1, b"", f"[ERROR] 2026/11/22 10:00:00 {refused}\n"
        if self.output is not None:
            return 0, self.output, ""
        return 0, b"" if answer is None else json.dumps(answer, indent=2).encode() + b"\n", ""

    def _let_in(self, environ):
        if "OP_CONNECT_HOST" in environ or "OP_CONNECT_TOKEN" in environ:
            raise Refused("this is no Connect server")  # the real one prefers these to all else
        token = environ.get("OP_SERVICE_ACCOUNT_TOKEN")
        if token is not None and token != TOKEN:
            raise Refused("failed to DeserializeServiceAccountAuthToken, please use another token")
        if token is None and environ.get("OP_BIOMETRIC_UNLOCK_ENABLED") != "true":
            raise Refused("You are not currently signed in. Please run `op signin --help` for instructions")
        if token is None and not self.signed_in:
            raise Refused("authorization prompt dismissed, please try again")

    def _command(self, words, given):
        named, switches, plain = {}, set(), []
        words = iter(words)
        for word in words:
            if word in ARGUMENTS:
                named[word] = next(words)
            elif word.startswith("--"):
                switches.add(word)
            else:
                plain.append(word)
        if named.get("--account", ACCOUNT) != ACCOUNT:
            raise Refused(f'"{named["--account"]}" isn\'t an account')
        if plain[:1] != ["item"] or plain[1] not in SWITCHES:
            raise Refused(f"unknown command {plain!r}")
        if unknown := switches - SWITCHES[plain[1]]:
            raise Refused(f"unknown flag: {unknown}")
        if named.get("--vault") != VAULT:
            raise Refused(
                f'"{named.get("--vault")}" isn\'t a vault in this account. Specify the vault with its ID or name.'
            )
        if plain[1] != "delete" and named.get("--format") != "json":
            raise Refused("the table of op is for people")
        return getattr(self, "_" + plain[1])(plain[2:], named, given)

    def _list(self, words, named, given):
        if words or given:
            raise Refused("too many arguments")
        category, tag = named.get("--categories"), named.get("--tags")
        return [
            {"id": item["id"], "title": item["title"], "tags": item["tags"], "version": item["version"],
             "vault": {"id": VAULT, "name": "Dev"}, "category": item["category"], "last_edited_by": "ME",
             "created_at": stamp(item["changed"]), "updated_at": stamp(item["changed"])}
            for item in self.items
            if category in {None, CATEGORIES[item["category"]]} and (tag is None or tag in item["tags"])
        ]  # fmt: skip

    def _one(self, words):
        if len(words) != 1:
            raise Refused("accepts 1 arg(s)")
        item = self.find(words[0])
        if item is None:
            raise Refused(
                f'"{words[0]}" isn\'t an item in the "Dev" vault. Specify the item with its UUID, name, or domain.'
            )
        return item

    def _get(self, words, named, given):
        return _shown(self._one(words))

    def _create(self, words, named, given):
        if words != ["-"]:
            raise Refused("values among the words can be read by everybody")
        return _shown(self.create(self._template(given)))

    def _edit(self, words, named, given):
        item = self._one(words)
        return _shown(self.replace(item, self._template(given)))

    def _template(self, given):
        try:
            return json.loads(given)
        except ValueError:
            raise Refused(f"cannot read template: {given!r}") from None

    def _delete(self, words, named, given):
        self.items.remove(self._one(words))


def _shown(item):
    shown = {name: item[name] for name in ("id", "title", "tags", "version", "vault", "category", "fields")}
    # A field of the category that was left empty.
    return shown | {"fields": [*shown["fields"], {"id": "notesPlain", "type": "STRING", "purpose": "NOTES", "label": "notesPlain"},
                               {"id": "credential", "type": "CONCEALED", "label": "credential"}]}  # fmt: skip


def stamp(when):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + "Z"


class Connect:
    """A Connect server over a `Vault`: ``with Connect(vault) as server: server.url``. *fails* is an answer to all."""

    def __init__(self, vault):
        self.vault = vault
        self.asked = []  # method and path of each request
        self.fails = None  # (status, body) or "drop"
        self.hold = None  # an event to wait for before answering
        self.url = ""

    @contextlib.contextmanager
    def serve(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"connect": self}))
        server.daemon_threads = True
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            if self.hold is not None:
                self.hold.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, method, path, headers, body):
        if headers["Authorization"] != f"Bearer {CONNECT_TOKEN}":
            return 401, {"status": 401, "message": "Invalid token signature"}
        url = urllib.parse.urlsplit(path)
        found = re.fullmatch(r"/v1/vaults/([^/]+)/items(?:/([^/]+))?", url.path)
        if not found:
            return 404, {"status": 404, "message": "not found"}
        vault, wanted = found.groups()
        if vault != VAULT:
            return 404, {"status": 404, "message": f"vault {vault} not found"}
        try:
            if wanted is None:
                return self.all(method, urllib.parse.parse_qs(url.query), body)
            item = self.vault.find(wanted)
            if item is None:
                return 404, {"status": 404, "message": f"item {wanted} not found"}
            return self.one(method, item, body)
        except (Refused, KeyError, TypeError, ValueError):
            return 400, {"status": 400, "message": "Invalid item"}

    def all(self, method, query, body):
        if method == "POST":
            whole = json.loads(body)
            assert whole["vault"] == {"id": VAULT}
            return 200, _full(self.vault.create(whole))
        assert method == "GET"
        name, wanted = "", None
        if "filter" in query:
            name, wanted = re.fullmatch(r'(title|tag) eq ("(?:[^"\\]|\\.)*")', query["filter"][0]).groups()
            wanted = json.loads(wanted)
        return 200, [
            {name: value for name, value in _full(item).items() if name != "fields"}
            for item in self.vault.items
            if not name or (wanted in item["tags"] if name == "tag" else wanted == item["title"])
        ]

    def one(self, method, item, body):
        if method == "GET":
            return 200, _full(item)
        if method == "DELETE":
            self.vault.items.remove(item)
            return 204, None
        assert method == "PUT"
        whole = json.loads(body)
        if whole["id"] != item["id"] or whole["vault"] != {"id": VAULT}:
            raise Refused("another item")
        return 200, _full(self.vault.replace(item, whole))


def _full(item):
    return {"id": item["id"], "title": item["title"], "vault": item["vault"], "category": item["category"], "tags": item["tags"],
            "version": item["version"], "updatedAt": stamp(item["changed"]), "fields": item["fields"]}  # fmt: skip


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one write: two would wait for each other (RFC 896)
    connect = None

    def log_message(self, *_):
        pass

    def do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.connect.asked.append((self.command, self.path))
        if self.connect.hold is not None:
            self.connect.hold.wait(20)
        if self.connect.fails == "drop":
            self.close_connection = True
            return
        if self.connect.fails is not None:
            status, data = self.connect.fails
        else:
            with self.connect.lock:
                status, answer = self.connect.answer(self.command, self.path, self.headers, body)
            data = b"" if answer is None else json.dumps(answer).encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(data)))
            if status in {301, 302}:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do  # noqa: N815 - the server's names
