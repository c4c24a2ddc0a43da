import os

import pytest

from strongroom import keystore
from strongroom.cli import choice
from strongroom.cli.flags import Arguments
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk
from strongroom.errors import KeystoreUnavailable, NoKeystore
from strongroom.keystore import Item
from strongroom.keystore.memory import MemoryKeystore


@pytest.fixture
def stores(monkeypatch):
    """Three stores, the first of which is not there; fill them, or take them away."""
    there = {"one": None, "two": MemoryKeystore(), "three": MemoryKeystore()}
    opened = []

    def open_store(name, _settings, _ask):
        opened.append(name)
        if there[name] is None:
            raise KeystoreUnavailable(f"there is no {name} here")
        return there[name]

    monkeypatch.setattr(keystore, "open", open_store)
    monkeypatch.setattr(choice, "order", lambda: ("one", "two", "three"))
    there["opened"] = opened
    return there


@pytest.fixture
def make(tmp_path):
    """Settings of a new run in the same home."""
    environ = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}

    def make(**more):
        return Settings(Arguments({}, []), environ | more, Talk("strongroom"), "test")

    return make


@pytest.fixture
def remembering(monkeypatch):
    """Let the names of the three stores be taken for those of stores."""
    from strongroom.cli.setting import SETTINGS

    monkeypatch.setattr(SETTINGS["backend"], "choices", ("one", "two", "three"))


def test_the_first_that_opens(stores, make):
    """Where there are no keys anywhere; nothing is written down yet, for there is nothing to lose."""
    settings = make()
    assert settings.vault().keystore is stores["two"]
    assert settings.chosen == "two"
    assert not os.path.exists(settings.settings_path())


def test_the_one_with_keys(stores, make, remembering):
    """It comes before one that would be preferred and is empty; and then it stays."""
    stores["three"].set(Item("jon", b"key"))
    stores["two"].set(Item("oidc:https://x", b"token"))
    settings = make()
    assert settings.vault().keystore is stores["three"]
    with open(settings.settings_path(), encoding="utf-8") as file:
        assert file.read() == f'{choice._NOTE}\nbackend = "three"\n'
    stores["two"].set(Item("ann", b"key"))
    stores["opened"].clear()
    assert make().vault().keystore is stores["three"]
    assert stores["opened"] == ["three"]  # no other is even looked at


def test_a_first_key_settles_it(stores, make, remembering):
    """`add` says so; other settings of the file stay, and the place at the top is before any table."""
    settings = make()
    path = settings.settings_path()
    os.makedirs(os.path.dirname(path))
    with open(path, "w", encoding="utf-8") as file:
        file.write('lock_wait = "5s"\n')
    settings.vault()
    settings.remember_store()
    with open(path, encoding="utf-8") as file:
        assert file.read() == f'{choice._NOTE}\nbackend = "two"\nlock_wait = "5s"\n'
    assert make().get("backend") == "two"
    assert make().origin("backend") == path


def test_who_names_one_is_not_asked_again(stores, make, remembering):
    """Nothing is chosen, nothing remembered."""
    settings = make(STRONGROOM_BACKEND="two")
    assert settings.vault().keystore is stores["two"]
    settings.remember_store()
    assert not os.path.exists(settings.settings_path())
    assert settings.origin("backend") == "STRONGROOM_BACKEND"


def test_what_is_written_stays(stores, make, remembering):
    """Of two processes that choose at once the first has its way."""
    settings = make()
    choice.remember(settings, "two")
    choice.remember(settings, "three")
    assert make().get("backend") == "two"


def test_a_place_that_cannot_be_written(stores, make, tmp_path):
    """The choice is made anew each time."""
    (tmp_path / "xdg").write_text("a file")
    settings = make()
    choice.remember(settings, "two")
    assert settings.vault().keystore is stores["two"]


def test_none(stores, make):
    """Every reason is told."""
    stores["two"] = stores["three"] = None
    with pytest.raises(NoKeystore) as caught:
        make().vault()
    assert caught.value.message == (
        "no keystore can be used here (one: there is no one here; two: there is no two here; three: there is no three here)"
    )
    assert caught.value.hint == "`strongroom doctor` tells more"


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32", "freebsd14"])
def test_files_are_everywhere(platform):
    """A machine without a desktop works out of the box; a store that forgets is never among those that are chosen."""
    order = choice.order(platform)
    assert order[-1] == "file"
    assert not {"keyctl", "memory"} & set(order)
    assert set(order) <= set(keystore.KEYSTORES)


def test_sessions_apart(home, cloud, c1):
    """`session_backend` is a store of its own."""
    from strongroom.keystore.file import FileKeystore

    settings = Settings(
        Arguments({}, []), c1.environ | {"STRONGROOM_SESSION_BACKEND": "file"}, Talk("strongroom"), "test"
    )
    assert isinstance(settings.vault().keystore, FileKeystore)  # the same as the keys'


def test_a_locked_store(stores, make):
    """Where nobody is to be asked, it is enough that it is there; how many keys are in it stays open."""
    stores["two"] = type("Locked", (MemoryKeystore,), {"exists": lambda _: True, "listing": lambda _: 1 / 0})()
    found = {each.name: each.keys for each in choice.looks(make(), asks=False)}
    assert found == {"one": 0, "two": None, "three": 0}
