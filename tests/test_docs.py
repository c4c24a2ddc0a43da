"""What can be typed or set has its place in the documentation."""

import os
import re

import pytest

from strongroom.agent.options import OPTIONS
from strongroom.cli.main import ALIASES, COMMANDS, load
from strongroom.cli.setting import GLOBAL_FLAGS, SETTINGS
from strongroom.profile_fields import FIELDS

CLONE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def page(name):
    with open(os.path.join(CLONE, name), encoding="utf-8") as file:
        return file.read()


def sections(text):
    """Heading of the second level, without its quotes -> what stands below it."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return {heading.strip("`"): body for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_section_with_all_its_flags(name):
    """docs/commands.md has a section for each command, and each flag that its help shows stands in it."""
    section = sections(page("docs/commands.md"))[name]
    for flag in load(name).FLAGS:
        if not flag.hidden:
            assert f"--{flag.name}" in section
            assert not flag.short or f"`-{flag.short}`" in section
            assert not flag.env or f"`{flag.env}`" in section


def test_aliases_stand_with_their_commands():
    """``ls`` and ``rm`` are named where the command is."""
    described = sections(page("docs/commands.md"))
    for alias, name in ALIASES.items():
        assert f"`{alias}`" in described[name]


def test_the_flags_of_every_command_are_listed():
    """Those that --help shows, with their letters."""
    section = sections(page("docs/commands.md"))["Flags of every command"]
    for flag in GLOBAL_FLAGS:
        if not flag.hidden:
            assert f"`--{flag.name}" in section
            assert not flag.short or f"`-{flag.short}`" in section


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_each_key_of_a_profile_is_explained(field):
    """docs/configuration.md names each key and each variable that a profile's settings are read from."""
    text = page("docs/configuration.md")
    assert not field.key or f"`{field.key}`" in text
    for variable in field.variables:
        assert f"`{variable}`" in text


@pytest.mark.parametrize("key", SETTINGS)
def test_each_setting_of_our_own_is_explained(key):
    """With its key, its variables and its default."""
    row = next(line for line in page("docs/configuration.md").splitlines() if line.startswith(f"| `{key}` "))
    setting = SETTINGS[key]
    assert f"`STRONGROOM_{key.upper()}`" in row
    assert not setting.env or f"`{setting.env}`" in row
    assert not setting.default or f"`{setting.default}`" in row


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_each_option_of_the_agent_is_explained(option):
    """docs/agent.md has a row for it with both its names and the same summary as the program's."""
    name = option.name.removeprefix("strongroom.")
    row = next(line for line in page("docs/agent.md").splitlines() if line.startswith(f"| `{name}` |"))
    assert not option.nested or f"| `{option.nested}` |" in row
    assert option.summary in row
    for column in option.columns:
        assert f"`{column.name}`" in page("docs/agent.md") or f"{column.name} = " in page("docs/agent.md")
