import importlib.util
import json
import os
import shutil
import sqlite3
import stat
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from contracts.keystore import SharedKeystoreContract
from strongroom.errors import (
    ConfigError,
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    KeystoreUnavailable,
    PromptDismissed,
)
from strongroom.keystore import Item, helper
from strongroom.keystore.program import Outcome

EXAMPLE = Path(__file__).parents[2] / "examples" / "strongroom-store-sqlite"

if sys.platform == "win32":
    pytest.skip("the example is a script that Windows does not start", allow_module_level=True)


@pytest.fixture
def environ(tmp_path):
    """A PATH with the example, and a home for what it keeps."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / EXAMPLE.name).symlink_to(EXAMPLE)
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    return {"PATH": os.fspath(tmp_path / "bin"), "HOME": os.fspath(tmp_path)}


@pytest.fixture
def inside(tmp_path):
    """Runs the example without starting it: a process costs as much as a hundred questions."""
    loader = SourceFileLoader("example", os.fspath(EXAMPLE))
    example = importlib.util.module_from_spec(importlib.util.spec_from_loader("example", loader))
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(example)
    sys.dont_write_bytecode = before
    database = sqlite3.connect(tmp_path / ".strongroom.sqlite", timeout=30, isolation_level=None)
    database.execute(example.TABLE)

    def run(argv, environ, *, given, timeout_seconds):
        assert given.endswith(b"\n")
        return Outcome(0, json.dumps(example.answer(json.loads(given), database)).encode(), "")

    yield run
    database.close()


class TestHelper(SharedKeystoreContract):
    """The example, without starting it for what this process does; others start it."""

    @pytest.fixture
    def store(self, environ, inside):
        return helper.open({"helper": "sqlite", "program_environment": environ}, None, inside)

    @pytest.fixture
    def opening(self, environ):
        settings = {"helper": "sqlite", "program_environment": environ}
        return f"from strongroom.keystore import helper\nstore = helper.open({settings!r}, None)"


def test_the_example(environ, tmp_path):
    """Stores, lists, opens and removes; has no more than 35 lines; its file is its owner's."""
    store = helper.open({"helper": "sqlite", "program_environment": environ}, None)
    item = Item("oidc:https://corp.example/start", b"\xffdata", "label")
    store.set(item)
    store.beside("strongroom").set(Item("own", b"data"))
    assert (list(store.listing()), store.get(item.key)) == ([item.key], item)
    store.remove(item.key)
    assert store.listing() == {}
    with pytest.raises(ItemNotFound) as caught:
        store.get(item.key)
    assert caught.value.message == f"no item {item.key!r} in strongroom-store-sqlite (aws-vault)"
    assert list(store.beside("strongroom").listing()) == ["own"]
    assert stat.S_IMODE((tmp_path / ".strongroom.sqlite").stat().st_mode) == 0o600
    assert len(EXAMPLE.read_text().splitlines()) <= 35


@pytest.fixture
def written(tmp_path):
    """Open a store whose program is this shell script: ``written("echo '{}'")``."""

    def written(script, **settings):
        (tmp_path / "bin").mkdir(exist_ok=True)
        path = tmp_path / "bin" / "strongroom-store-test"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        environ = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        return helper.open({"helper": "test", "program_environment": environ} | settings, None)

    return written


def test_what_a_program_is_told(written, tmp_path):
    """One line of JSON on its standard input, and nothing among its words."""
    seen = tmp_path / "seen"
    store = written(f'echo "$#" >> {seen}; cat >> {seen}; echo \'{{"keys": {{}}}}\'')
    item = Item("j\u00f6n\n", b"data")
    store.set(item)
    store.remove("jon")
    store.beside("strongroom").listing()
    lines = seen.read_text().splitlines()
    assert lines[::2] == ["0", "0", "0"]
    assert [json.loads(line) for line in lines[1::2]] == [
        {
            "strongroom": 1,
            "operation": "put",
            "collection": "aws-vault",
            "key": "j\u00f6n\n",
            "value": item.to_json().decode(),
        },
        {"strongroom": 1, "operation": "delete", "collection": "aws-vault", "key": "jon"},
        {"strongroom": 1, "operation": "list", "collection": "strongroom"},
    ]


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ({"error": "locked", "message": "wrong PIN"}, KeystoreLocked, "locked: wrong PIN"),
        ({"error": "dismissed"}, PromptDismissed, "dismissed"),
        ({"error": "unavailable", "message": "a\nno\x1bsuch"}, KeystoreUnavailable, "unavailable: no?such"),
        ({"error": "failed", "message": 1}, KeystoreError, "failed"),
        ({"error": "other", "message": "x" * 300}, KeystoreError, f"other: {'x' * 200}"),
        ({"error": {}}, KeystoreError, "failed"),
        (["value"], KeystoreError, "it did not print one line of JSON"),
        (None, KeystoreError, "it did not print one line of JSON"),
    ],
)
def test_what_a_program_refuses(answer, kind, message):
    """Its word is one of ours; its message is shown, without what could steer a terminal."""
    store = answering(json.dumps(answer))
    with pytest.raises(kind) as caught:
        store.get("jon")
    assert (type(caught.value), caught.value.message) == (kind, f"strongroom-store-x: get: {message}")


def answering(output, status=0, complaint=""):
    """A store whose program answers like this, whatever it is asked."""

    def run(argv, environ, *, given, timeout_seconds):
        return Outcome(status, output.encode(), complaint)

    return helper.HelperKeystore("/bin/strongroom-store-x", {}, run=run)


@pytest.mark.parametrize(
    "output", ["", "secret", '{"value": "secret"', "[" * 100_000], ids=["none", "text", "cut", "deep"]
)
def test_what_is_no_answer(output):
    """Is not shown: it may be a part of a secret."""
    with pytest.raises(KeystoreError) as caught:
        answering(output).get("jon")
    assert caught.value.message == "strongroom-store-x: get: it did not print one line of JSON"
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, False)


@pytest.mark.parametrize(
    ("status", "complaint", "message"),
    [(3, "Traceback:\n  oh no\n", "exit status 3: oh no"), (1, "", "exit status 1"), (-9, "", "ended by signal 9")],
)
def test_how_a_program_may_end(status, complaint, message):
    """Its answer counts with the status 0 only; the last line of what it complained about is told."""
    with pytest.raises(KeystoreError) as caught:
        answering('{"keys": {}}', status, complaint).listing()
    assert caught.value.message == f"strongroom-store-x: list: {message}"


@pytest.mark.parametrize("keys", [None, [], {"jon": "today"}, {"jon": True}])
def test_a_list_that_is_none(keys):
    """Is no empty store."""
    with pytest.raises(KeystoreError) as caught:
        answering(json.dumps({"keys": keys})).listing()
    assert caught.value.message == "strongroom-store-x: 'keys' in its answer is missing, or is not what it should be"


def test_a_list(written):
    """With times and without."""
    assert written("""echo '{"keys": {"jon": 1, "kim": 1.5, "lee": null}}'""").listing() == {
        "jon": 1,
        "kim": 1.5,
        "lee": None,
    }


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({}, KeystoreError),
        ({"value": 1}, KeystoreError),
        ({"value": "\ud800"}, ItemDamaged),
        ({"value": "{}"}, ItemDamaged),
        ({"value": Item("kim", b"data").to_json().decode()}, ItemDamaged),
    ],
)
def test_values_that_are_no_item(answer, kind):
    """Damaged, or not what was asked for."""
    with pytest.raises(kind) as caught:
        answering(json.dumps(answer)).get("jon")
    assert type(caught.value) is kind


def test_it_says_a_list_is_missing():
    """Which is no item."""
    with pytest.raises(KeystoreError) as caught:
        answering('{"error": "missing"}').listing()
    assert caught.value.message == "strongroom-store-x: list: missing"


def test_a_program_that_does_not_end(written):
    """Is ended."""
    with pytest.raises(KeystoreError) as caught:
        written("sleep 60", helper_timeout=0.2).listing()
    assert caught.value.message == "strongroom-store-test: no answer within 0.2 seconds"


@pytest.mark.parametrize("name", ["", "../x", "a b", ".x", "a/b"])
def test_names_that_no_program_has(name):
    """Are refused before anything is looked for."""
    with pytest.raises(ConfigError) as caught:
        helper.open({"helper": name}, None)
    assert caught.value.message == f"helper {name!r} is no name of a program"


def test_a_program_that_is_not_there(tmp_path):
    """The store does not exist on this machine."""
    assert shutil.which("strongroom-store-none") is None
    with pytest.raises(KeystoreUnavailable) as caught:
        helper.open({"helper": "none", "program_environment": {"PATH": os.fspath(tmp_path)}}, None)
    assert caught.value.message == "the program 'strongroom-store-none' is not on the path"


def test_the_example_is_in_the_documentation():
    """As it is."""
    docs = EXAMPLE.parents[1] / "docs" / "keystores.md"
    assert f"```python\n{EXAMPLE.read_text()}```\n" in docs.read_text()
