import os
import sys

import pytest

from contracts.keystore import KeystoreContract
from fakes.proton import SHARE, TOKEN, Proton
from harness.programs import PROGRAMS
from strongroom.errors import (
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    KeystoreUnavailable,
    PromptDismissed,
)
from strongroom.keystore import Item, proton_pass

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script that Windows does not start")

# What aws-vault keeps, in small.
CREDENTIAL = b'{"AccessKeyID":"AKIAJON","SecretAccessKey":"do not show"}'
KEY = Item("jon", CREDENTIAL, "aws-vault (jon)", not_trust_application=True)


@pytest.fixture
def proton():
    return Proton()


@pytest.fixture
def path(tmp_path):
    program = tmp_path / ("pass-cli.exe" if sys.platform == "win32" else "pass-cli")
    program.write_text("")
    program.chmod(0o755)
    return os.fspath(tmp_path)


@pytest.fixture
def opened(path, proton):
    def opened(**settings):
        settings = {"proton_pass_share_id": SHARE, "program_environment": {"PATH": path}} | settings
        return proton_pass.open(settings, None, proton.run)

    return opened


class TestProtonPass(KeystoreContract):
    @pytest.fixture
    def store(self, opened):
        return opened()


def notes(proton):
    return [(note["content"]["title"], note["content"]["note"]) for note in proton.notes]


def test_what_an_item_looks_like(opened, proton):
    """The note is the data, as aws-vault keeps it; so is one that aws-vault stored."""
    store = opened()
    store.set(KEY)
    assert notes(proton) == [("aws-vault/jon", CREDENTIAL.decode())]
    assert store.get("jon") == KEY
    proton.add("aws-vault/old", '{"AccessKeyID":"AKIA"}')
    assert store.get("old") == Item("old", b'{"AccessKeyID":"AKIA"}', "aws-vault (old)", not_trust_application=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"a":1}\n',
        b' {"a":1}',
        b'{"a":"\xff"}',
        b'{"a":\r\n1}',
        b'{"a":"\0"}',
        b"\0strongroom-item {}",
        b"strongroom item: {}",
        b"[1]",
    ],
)
@pytest.mark.parametrize("label", ["", "label", "aws-vault (jon)"])
def test_data_and_labels_that_a_note_would_lose(opened, data, label):
    """They come back as they were."""
    store = opened()
    item = Item("jon", data, label, not_trust_application=bool(label))
    store.set(item)
    assert store.get("jon") == item


def test_how_often_it_runs(opened, proton):
    """One listing per command, which shows no note; what was listed is opened by its id."""
    store = opened()
    store.set(KEY)
    store.set(Item("jon", b'{"AccessKeyID":"AKIA2"}'))
    assert [words[1] for words, _ in proton.ran] == ["list", "create", "list", "create", "delete"]
    proton.ran.clear()
    store = opened()
    assert list(store.listing()) == ["jon"]
    assert store.get("jon").data == b'{"AccessKeyID":"AKIA2"}'
    assert [words[1] for words, _ in proton.ran] == ["list", "view"]


def test_no_secret_is_a_word(opened, proton):
    """The program changes a note only by a word of its own, so a new one is made, by standard input."""
    store = opened()
    for _ in range(2):
        store.set(KEY)
    assert "do not show" not in str([words for words, _ in proton.ran])
    assert b"do not show" in proton.ran[1][1]


def test_a_writer_that_was_killed(opened, proton):
    """Two notes are there: the newer counts, and the next writer removes both."""
    store = opened()
    proton.now = lambda: 1_700_000_000
    store.set(Item("jon", b'{"n":1}'))
    proton.now = lambda: 1_700_000_060
    proton.add("aws-vault/jon", '{"n":2}')
    assert store.get("jon").data == b'{"n":2}'
    assert store.listing() == {"jon": 1_700_000_060.0}
    store.set(Item("jon", b'{"n":3}', "aws-vault (jon)", not_trust_application=True))
    assert notes(proton) == [("aws-vault/jon", '{"n":3}')]


def test_a_write_that_fails(opened, proton):
    """The old note is still there; what the program says of the template is not repeated."""
    store = opened()
    store.set(Item("jon", b'{"n":1}', "aws-vault (jon)", not_trust_application=True))

    def create(_, given):
        raise LookupError(f"Error parsing {given!r}")

    proton.create = create
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("jon", CREDENTIAL))
    assert caught.value.message == "pass-cli item create: exit status 1"
    assert notes(proton) == [("aws-vault/jon", '{"n":1}')]


def test_our_own_collection(opened, proton):
    """Its notes are called otherwise; each sees its own."""
    store = opened()
    own = store.beside("strongroom")
    store.set(Item("jon", b"{}"))
    own.set(Item("jon", b"[]"))
    assert (store.get("jon").data, own.get("jon").data) == (b"{}", b"[]")
    assert [title for title, _ in notes(proton)] == ["aws-vault/jon", "aws-vault-strongroom/jon"]
    assert list(store.listing()) == ["jon"]


def test_items_of_others(opened, proton):
    """Notes of other titles are not ours."""
    proton.add("shopping", "milk")
    proton.add("aws-vaults/jon", "x")
    assert opened().listing() == {}


@pytest.mark.parametrize(
    ("says", "error", "message"),
    [
        ("Please log in first", KeystoreLocked, "pass-cli is not signed in"),
        ("Human verification required", KeystoreLocked, "Proton wants to see a human first"),
        ("Too many recent API requests", KeystoreError, "Proton's limit of requests is used up"),
        ("Session is locked", KeystoreLocked, "the session of pass-cli is locked"),
        ("Operation cancelled", PromptDismissed, "the question of pass-cli was dismissed"),
        ("out of cheese", KeystoreError, "pass-cli item list: exit status 1"),
    ],
)
def test_what_it_says(opened, proton, says, error, message):
    """It is told as what it means."""
    proton.says = says
    with pytest.raises(error) as caught:
        opened().listing()
    assert caught.value.message == message


def test_nobody_is_signed_in(opened, proton):
    """A personal access token signs in, by the program's environment; without one, the hint says how."""
    proton.signed_in = False
    with pytest.raises(KeystoreLocked) as caught:
        opened().listing()
    assert caught.value.hint == "sign in: pass-cli login; or set PROTON_PASS_PERSONAL_ACCESS_TOKEN"
    with pytest.raises(KeystoreLocked) as caught:
        opened(proton_pass_token="pst_wrong::key").listing()
    assert caught.value.message == "Proton refused the personal access token"
    proton.ran.clear()
    assert opened(proton_pass_token=TOKEN).listing() == {}
    assert [words[:2] for words, _ in proton.ran] == [("item", "list"), ("login",), ("item", "list")]


def test_another_vault(opened):
    """It is not known, or not ours."""
    with pytest.raises(KeystoreError) as caught:
        opened(proton_pass_share_id="nosuch").listing()
    assert caught.value.message == "Proton Pass has no such vault for us"


@pytest.mark.parametrize(
    "output", [b"", b"{", b"[]", b"{}", b'{"items": [7]}', b'{"item": {"content": {"title": "x", "note": "do"}}}']
)
def test_it_prints_something_else(opened, proton, output):
    """No item, and no listing, is made of it."""
    store = opened()
    store.set(Item("jon", CREDENTIAL))
    store.listing()
    proton.output = output
    with pytest.raises(ItemDamaged) as caught:
        store.get("jon")
    assert caught.value.message == "item 'jon' is damaged: it is no note as pass-cli shows them"
    with pytest.raises(KeystoreError):
        store.listing()


def test_a_note_that_was_edited(opened, proton):
    """It is no item any more, and what it holds is not shown."""
    for note in ("strongroom item: {", "strongroom item: {}", 'strongroom item: {"Key":"secret","Data":""}'):
        proton.notes.clear()
        proton.add("aws-vault/jon", note)
        with pytest.raises(ItemDamaged) as caught:
            opened().get("jon")
        assert caught.value.key == "jon"


def test_an_item_that_goes_away(opened, proton):
    """Between a listing and its use."""
    store = opened()
    store.set(Item("jon", b"{}"))
    store.listing()
    proton.notes.clear()
    with pytest.raises(ItemNotFound):
        store.get("jon")


def test_somebody_else_is_faster(opened, proton):
    """An item goes away between the listing and its removal: as was wanted."""
    store = opened()
    store.set(KEY)
    run = proton.delete

    def delete(*words):
        run(*words)
        return run(*words)

    proton.delete = delete
    store.remove("jon")
    assert proton.notes == []


def test_not_on_this_machine(opened, tmp_path):
    """No program, or no vault is named: another keystore may do."""
    with pytest.raises(KeystoreUnavailable) as caught:
        opened(program_environment={"PATH": os.fspath(tmp_path / "empty")})
    assert caught.value.message == "the program 'pass-cli' is not on the path"
    assert caught.value.hint.startswith("install Proton's pass-cli")
    with pytest.raises(KeystoreUnavailable) as caught:
        opened(proton_pass_share_id=None)
    assert caught.value.message == "no vault of Proton Pass is named"


def test_a_key_that_is_no_text(opened):
    """It is refused."""
    with pytest.raises(KeystoreError) as caught:
        opened().set(Item("\udcff", b"data"))
    assert caught.value.message == "cannot store item '\\udcff': Proton's titles are Unicode text"


@POSIX
def test_as_a_program(tmp_path):
    """The stand-in as a process of its own."""
    (tmp_path / "pass-cli").symlink_to(PROGRAMS / "pass-cli")
    path = f"{tmp_path}:{os.path.dirname(sys.executable)}:/usr/bin:/bin"
    environ = {"PATH": path, "PROTON_FAKE": str(tmp_path / "vault")}
    store = proton_pass.open({"proton_pass_share_id": SHARE, "program_environment": environ}, None)
    store.set(Item("jon", b"x" * 70_000))
    assert store.get("jon").data == b"x" * 70_000
    store.remove("jon")
    assert store.listing() == {}
