import json
import os
import sys

import pytest

from contracts.keystore import KeystoreContract
from fakes import onepassword
from fakes.onepassword import ACCOUNT, TOKEN, VAULT, Vault
from harness.programs import PROGRAMS
from strongroom.errors import (
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    KeystoreUnavailable,
    PromptDismissed,
)
from strongroom.keystore import Item, op, op_desktop

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script that Windows does not start")


def nobody(message, *, confirm):
    raise PromptDismissed(f"nobody is here to answer {message!r}")


@pytest.fixture
def path(tmp_path):
    """A PATH with a program called op, which the in-process stand-in is run for."""
    (tmp_path / ("op.exe" if sys.platform == "win32" else "op")).write_text("")
    (tmp_path / ("op.exe" if sys.platform == "win32" else "op")).chmod(0o755)
    return os.fspath(tmp_path)


@pytest.fixture
def vault():
    return Vault()


@pytest.fixture
def opened(path, vault):
    """Open a store: ``opened(op)``, ``opened(op_desktop, op_desktop_account_id="...")``."""

    def opened(module=op, ask=nobody, **settings):
        environ = {"PATH": path, "OP_CONNECT_HOST": "http://elsewhere", "OP_ACCOUNT": "another"}
        settings = {"op_vault_id": VAULT, "op_token": TOKEN, "program_environment": environ} | settings
        return module.open(settings, ask, vault.run)

    return opened


class TestServiceAccount(KeystoreContract):
    @pytest.fixture
    def store(self, opened):
        return opened(op)


class TestDesktop(KeystoreContract):
    @pytest.fixture
    def store(self, opened):
        return opened(op_desktop)


def words(vault):
    return [" ".join(words[:2]) for words, _ in vault.ran]


def test_what_an_item_looks_like(opened, vault):
    """As aws-vault's do: title, category, tag, one concealed field with the item's JSON."""
    item = Item("jon", b"data", "aws-vault (jon)", not_trust_application=True)
    opened().set(item)
    (stored,) = vault.items
    assert (stored["title"], stored["category"], stored["tags"]) == ("aws-vault: jon", "API_CREDENTIAL", ["aws-vault"])
    assert stored["fields"] == [
        {"id": "keyring", "type": "CONCEALED", "label": "keyring", "value": item.to_json().decode()}
    ]


def test_what_aws_vault_stored_is_read(opened, vault):
    """Its fields have other ids, and titles may have any prefix that was set."""
    value = (
        '{"Key":"jon","Data":"ZGF0YQ==","Label":"","Description":"",'
        '"KeychainNotTrustApplication":true,"KeychainNotSynchronizable":false}'
    )
    vault.create({"title": "work: jon", "category": "API_CREDENTIAL", "tags": ["aws", "team"],
                  "fields": [{"id": "q7x", "type": "CONCEALED", "label": "keyring", "value": value}]})  # fmt: skip
    store = opened(op_item_title_prefix="work", op_item_tag="team")
    assert store.get("jon") == Item("jon", b"data", not_trust_application=True)


def test_what_is_not_ours_is_not_seen(opened, vault):
    """Other categories, tags and titles."""
    for title, category, tags in [
        ("aws-vault: login", "LOGIN", ["aws-vault"]),
        ("aws-vault: untagged", "API_CREDENTIAL", []),
        ("other: jon", "API_CREDENTIAL", ["aws-vault"]),
        ("aws-vault:jon", "API_CREDENTIAL", ["aws-vault"]),
    ]:
        vault.create({"title": title, "category": category, "tags": tags, "fields": []})
    store = opened()
    assert store.listing() == {}
    for key in ("login", "untagged", "jon"):
        with pytest.raises(ItemNotFound):
            store.get(key)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("CONCEALED", "other", "secret")],
        [("CONCEALED", "keyring", "secret"), ("CONCEALED", "more", "secret")],
        [("CONCEALED", "keyring", "secret"), ("CONCEALED", "keyring", "secret")],
        [("STRING", "keyring", "secret")],
        [("CONCEALED", "keyring", "secret")],
    ],
)
def test_a_foreign_item_under_our_title(opened, vault, fields):
    """It is damaged, and what it holds is not shown."""
    fields = [{"type": kind, "label": label, "value": value} for kind, label, value in fields]
    vault.create({"title": "aws-vault: jon", "category": "API_CREDENTIAL", "tags": ["aws-vault"], "fields": fields})
    with pytest.raises(ItemDamaged) as caught:
        opened().get("jon")
    assert caught.value.message.startswith("item 'jon' is damaged: ")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_item_that_is_there_twice(opened, vault):
    """Nothing says which one counts; removing it removes both."""
    store = opened()
    store.set(Item("jon", b"one"))
    vault.create(vault.items[0])
    for use in (store.get, lambda key: store.set(Item(key, b"new"))):
        with pytest.raises(ItemDamaged) as caught:
            use("jon")
        assert caught.value.message == f"item 'jon' is there 2 times in 1Password, vault {VAULT}, items 'aws-vault'"
    assert list(store.listing()) == ["jon"]
    store.remove("jon")
    assert vault.items == []


def test_how_often_it_runs(opened, vault):
    """One listing per command; what was listed is opened by its id, without another."""
    store = opened()
    store.set(Item("jon", b"data"))
    store.set(Item("jon", b"more"))
    assert words(vault) == ["item list", "item create", "item list", "item edit"]
    vault.ran.clear()
    store = opened()
    store.listing()
    assert store.get("jon").data == b"more"
    assert words(vault) == ["item list", "item get"]


def test_an_item_that_was_replaced_since_the_listing(opened, vault):
    """It is looked for again."""
    store = opened()
    store.set(Item("jon", b"old"))
    store.listing()
    other = opened()
    other.remove("jon")
    other.set(Item("jon", b"new"))
    assert store.get("jon").data == b"new"
    store.listing()
    other.remove("jon")
    with pytest.raises(ItemNotFound):
        store.get("jon")


def test_no_secret_is_a_word(opened, vault):
    """Words can be read by everybody on the machine; keys and values go in by standard input."""
    store = opened()
    for data in (b"one secret", b"another secret"):
        store.set(Item("profile-jon", data))
    store.get("profile-jon")
    store.remove("profile-jon")
    said = " ".join(word for words, _ in vault.ran for word in words)
    assert "profile-jon" not in said
    assert TOKEN not in said
    assert json.dumps("b25lIHNlY3JldA==")[1:-1] not in said
    assert b"b25lIHNlY3JldA==" in b"".join(given for _, given in vault.ran)


def test_our_own_collection(opened, vault):
    """It stands beside, under another title and tag; each sees its own."""
    store = opened()
    own = store.beside("strongroom")
    store.set(Item("jon", b"key"))
    own.set(Item("jon", b"journal"))
    assert (store.get("jon").data, own.get("jon").data) == (b"key", b"journal")
    assert [(item["title"], item["tags"]) for item in vault.items] == [
        ("aws-vault: jon", ["aws-vault"]),
        ("aws-vault-strongroom: jon", ["aws-vault-strongroom"]),
    ]
    own.remove("jon")
    assert list(store.listing()) == ["jon"]


@pytest.mark.parametrize(
    ("says", "error", "message"),
    [
        (
            "authorization prompt dismissed, please try again",
            PromptDismissed,
            "the question was dismissed in the window of 1Password",
        ),
        ("authorization timeout", KeystoreLocked, "1Password was not unlocked in time"),
        ("connecting to desktop app: read: connection reset", KeystoreLocked, "op cannot reach the 1Password app"),
        ("No accounts configured for use with 1Password CLI.", KeystoreLocked, "op knows no account"),
        ("Too many requests. Your client has been rate-limited.", KeystoreError,
         "1Password's limit of requests is used up"),
        ("(403) Forbidden", KeystoreError, f"1Password does not allow this in vault '{VAULT}'"),
        ("out of cheese", KeystoreError, "op item list: exit status 1: [ERROR] 2026/11/22 10:00:00 out of cheese"),
    ],
)  # fmt: skip
def test_what_op_says(opened, vault, says, error, message):
    """It is told as what it means."""
    vault.says = says
    with pytest.raises(error) as caught:
        opened().listing()
    assert caught.value.message == message


def test_what_op_says_of_a_template_is_not_repeated(opened, vault):
    """It may quote the template, and that holds the secret."""
    store = opened()
    store.set(Item("jon", b"old"))
    store.listing()
    item = vault.items[0]
    vault.replace = None  # the stand-in breaks when it is to write

    def failing(words, given, environ):
        if words[1] == "edit":
            return 1, b"", f"cannot read {given!r}"
        return Vault.op(vault, words, given, environ)

    vault.op = failing
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("jon", b"do not show"))
    assert caught.value.message == "op item edit: exit status 1"
    assert store.get("jon").data == b"old"
    assert vault.items == [item]


@pytest.mark.parametrize("output", [b"", b"{", b"[]", b"nonsense", b"null", b"7"])
def test_op_prints_something_else(opened, vault, output):
    """No item, and no listing, is made of it."""
    store = opened()
    store.set(Item("jon", b"data"))
    store.listing()
    vault.output = output
    with pytest.raises((ItemDamaged, ItemNotFound)):
        store.get("jon")
    if output not in {b"", b"[]", b"null"}:
        with pytest.raises(KeystoreError):
            store.listing()


def test_the_token_is_asked_for_once(opened, vault):
    """When no setting has it, at the first run; opening the store asks nobody."""
    asked = []

    def human(message, *, confirm):
        asked.append((message, confirm))
        return TOKEN

    store = opened(ask=human, op_token=None)
    assert asked == []
    store.listing()
    store.beside("strongroom").listing()
    assert asked == [("Enter 1Password service account token: ", False)]


def test_a_wrong_token(opened):
    """1Password refuses it."""
    with pytest.raises(KeystoreLocked) as caught:
        opened(op_token="ops_other").listing()
    assert caught.value.message == "1Password refused the token"


def test_the_app_is_locked(opened, vault):
    """Somebody declined to unlock it."""
    vault.signed_in = False
    with pytest.raises(PromptDismissed):
        opened(op_desktop).get("jon")


def test_the_account_of_the_app(opened, vault):
    """It is named in the words; an unknown one is refused."""
    opened(op_desktop, op_desktop_account_id=ACCOUNT).listing()
    assert vault.ran[0][0][:2] == ("--account", ACCOUNT)
    with pytest.raises(KeystoreLocked) as caught:
        opened(op_desktop, op_desktop_account_id="other").listing()
    assert caught.value.message == "1Password's app knows no account of that name"


def test_another_vault(opened):
    """The token, or the app, does not know it."""
    with pytest.raises(KeystoreError) as caught:
        opened(op_vault_id="nosuch").listing()
    assert caught.value.message == "1Password has no vault 'nosuch' for us"


@pytest.mark.parametrize("module", [op, op_desktop])
def test_not_on_this_machine(opened, module, tmp_path):
    """No program, or no vault is named: another keystore may do."""
    with pytest.raises(KeystoreUnavailable) as caught:
        opened(module, program_environment={"PATH": os.fspath(tmp_path / "empty")})
    assert caught.value.message == "the program 'op' is not on the path"
    with pytest.raises(KeystoreUnavailable) as caught:
        opened(module, op_vault_id=None)
    assert caught.value.message == "no 1Password vault is named"


def test_a_key_that_is_no_text(opened):
    """It is refused, and nothing is stored."""
    with pytest.raises(KeystoreError) as caught:
        opened().set(Item("\udcff", b"data"))
    assert caught.value.message == "cannot store item '\\udcff': 1Password's titles are Unicode text"


@POSIX
def test_as_a_program(tmp_path):
    """The stand-in as a process of its own: stored, read, removed; and one that does not come to an end."""
    (tmp_path / "op").symlink_to(PROGRAMS / "op")
    environ = {
        "PATH": f"{tmp_path}:{os.path.dirname(sys.executable)}:/usr/bin:/bin",
        "OP_FAKE": str(tmp_path / "vault"),
    }
    settings = {"op_vault_id": VAULT, "op_token": TOKEN, "program_environment": environ}
    store = op.open(settings, nobody)
    store.set(Item("jon", b"x" * 70_000))
    assert op.open(settings, nobody).get("jon").data == b"x" * 70_000
    store.remove("jon")
    with pytest.raises(KeystoreError) as caught:
        op.open(
            settings | {"op_timeout": 0.1, "program_environment": environ | {"OP_FAKE_DOES": "hang"}}, nobody
        ).listing()
    assert caught.value.message == "op: no answer within 0.1 seconds"
    assert onepassword.Vault(str(tmp_path / "vault")).items == []
