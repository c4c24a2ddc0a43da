import os

import pytest

from strongroom.cli import config_file
from strongroom.cli.flags import Arguments
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk
from strongroom.errors import ConfigError

NEW = {"profile a": {"region": "x"}, "profile b": {"sso_session": "corp", "sso_role_name": "Admin"}}
TEXT = "[profile a]\nregion=x\n\n[profile b]\nsso_session=corp\nsso_role_name=Admin\n"


@pytest.fixture
def settings(home):
    home.config.parent.mkdir()
    return Settings(Arguments({}, []), home.environ, Talk("strongroom"), "sso discover")


def add(settings, sections=NEW):
    config_file.add_sections(settings, sections, otherwise="leave out --write")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, TEXT),
        (b"", TEXT),
        (b"# mine\n[default]\nregion = y", "# mine\n[default]\nregion = y\n\n" + TEXT),
        (b"[default]\n\n", "[default]\n\n" + TEXT),
        (b"[default]\r\nregion = y\r\n", "[default]\r\nregion = y\r\n\r\n" + TEXT.replace("\n", "\r\n")),
        (b"[caf\xe9]\n", "[caf\udce9]\n\n" + TEXT),
    ],
)
def test_several_sections(home, settings, before, after):
    """At the end, each after a blank line; every byte that was there stays, and line ends are the file's own."""
    if before is not None:
        home.config.write_bytes(before)
    add(settings)
    assert home.config.read_bytes() == after.encode(errors="surrogateescape")
    assert sorted(path.name for path in home.config.parent.iterdir()) == ["config"]


def test_no_sections(home, settings):
    """Nothing is nothing."""
    home.config.write_text("x")
    add(settings, {})
    assert home.config.read_text() == "x"


@pytest.mark.parametrize(
    "before", ["", "[default]\nkey=secret\n", "[default]\nkey=secret\n\n", "[default]\r\nkey=secret\r\n"]
)
def test_what_would_be_added(home, settings, before):
    """As a diff whose one hunk says after which line what comes; what is there is not repeated."""
    home.config.write_bytes(before.encode())
    line = before.count("\n")
    old, new, hunk, *added = config_file.shown(settings, NEW).splitlines()
    assert (old, new) == (f"--- {home.config}", f"+++ {home.config}")
    assert hunk == f"@@ -{line},0 +{line + 1},{len(added)} @@"
    assert {each[0] for each in added} == {"+"}
    add(settings)
    assert home.config.read_text().splitlines() == [*before.splitlines(), *(each[1:] for each in added)]


def test_a_last_line_without_an_end(home, settings):
    """Its end is not shown."""
    home.config.write_text("[default]\nkey=secret")
    assert config_file.shown(settings, {"profile a": {}}).splitlines()[2:] == ["@@ -2,0 +3,2 @@", "+", "+[profile a]"]


@pytest.mark.parametrize("section", ["profile a", "profile x]"])
def test_what_cannot_be_written(home, settings, section):
    """All or nothing: one section that cannot be there keeps the others out."""
    home.config.write_text("[profile a]\n")
    with pytest.raises(ConfigError):
        add(settings, {"profile z": {}, section: {}})
    assert home.config.read_text() == "[profile a]\n"


def test_changed_meanwhile(home, settings):
    """Somebody else has added it since we looked."""
    home.config.write_text("[profile a]\n")
    with pytest.raises(ConfigError) as caught:
        add(settings)
    assert caught.value.message == (
        f"the config file {home.config} was changed meanwhile: there is a section [profile a] already"
    )
    assert caught.value.hint == "nothing was written; try again"
    with pytest.raises(ConfigError, match=r"cannot take it: there is a section \[profile a\] already"):
        config_file.shown(settings, NEW)


def test_read_only(home, settings, monkeypatch):
    """Its owner has said that it should not change; that it could be replaced is no reason to."""
    home.config.touch(0o400)
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (str(home.config), os.W_OK))  # root may write
    with pytest.raises(ConfigError) as caught:
        add(settings)
    assert (caught.value.message, caught.value.hint) == (
        f"cannot write the config file {home.config}: it is read-only", "check its mode, or leave out --write"
    )  # fmt: skip


def test_no_regular_file(home, settings):
    """Refused beforehand, with what to do instead."""
    os.mkdir(home.config)
    with pytest.raises(ConfigError) as caught:
        add(settings)
    assert (caught.value.message, caught.value.hint) == (
        f"cannot write the config file {home.config}: not a regular file", "leave out --write"
    )  # fmt: skip
    with pytest.raises(ConfigError, match="cannot read the config file"):
        config_file.shown(settings, NEW)
