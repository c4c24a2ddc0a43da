import pytest

from strongroom.cli.settings_file import read
from strongroom.errors import ConfigError

KEYS = ("backend", "lock_wait")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.toml"


def refused(path):
    with pytest.raises(ConfigError) as caught:
        read(str(path), KEYS)
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("lock_wait = true\n", {"lock_wait": True}),
        ('backend = "file"\nlock_wait = 7\n', {"backend": "file", "lock_wait": 7}),
    ],
)
def test_a_flat_table(path, text, values):
    """Of texts, numbers and switches, under the keys that there are."""
    path.write_text(text)
    assert read(str(path), KEYS) == values


def test_an_unknown_key(path):
    """A typing error is not passed over."""
    path.write_text('backnd = "file"\n')
    assert refused(path) == (f"{path}: unknown key 'backnd'", "known are backend, lock_wait")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("1.5", "1.5"), ("[1]", "[1]"), ("{ a = 1 }", "{'a': 1}"), ("1979-05-27", "datetime.date(1979, 5, 27)")],
)  # fmt: skip
def test_other_types(path, text, shown):
    """Nothing of ours is a list, a table or a date."""
    path.write_text(f"backend = {text}\n")
    assert refused(path) == (f"{path}: backend: expected a text, a number, true or false, got {shown}", "")


def test_what_is_no_toml(path):
    """The reader's own words tell the line."""
    path.write_text("backend = file\n")
    message, hint = refused(path)
    assert message.startswith(f"{path}: Invalid value (at line 1")
    assert hint == 'the file is TOML: key = "value"'


def test_what_is_no_text(path):
    """Bytes that are no UTF-8."""
    path.write_bytes(b'backend = "\xff"\n')
    message, hint = refused(path)
    assert message.startswith(f"{path}: 'utf-8' codec can't decode byte 0xff")
    assert hint == 'the file is TOML: key = "value"'


def test_what_cannot_be_read(path):
    """A directory, or nothing that is there any more."""
    message, _ = refused(path)
    assert message == f"cannot read the settings file {path}: No such file or directory"
    path.mkdir()
    assert refused(path)[0].startswith(f"cannot read the settings file {path}: ")
