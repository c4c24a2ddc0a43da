"""The lists in the import contracts are those of the program's own tables."""

import os
import tomllib

import pytest

from strongroom.cli.main import COMMANDS
from strongroom.cli.main import MODULES as COMMAND_MODULES
from strongroom.keystore import KEYSTORES, MODULES
from strongroom.prompt import DRIVERS
from strongroom.providers import PROVIDERS

CLONE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# What the names of keystores stand for.
STORES = {MODULES.get(name, name): name for name in KEYSTORES}

# The same of commands.
COMMAND_STEMS = {COMMAND_MODULES.get(name, name): name for name in COMMANDS}

# Kept for tests and dry runs; no setting chooses it.
NOT_CHOSEN = {"memory"}

# The programs that other drivers run are lent the terminal.
LENT = {"terminal"}


@pytest.mark.parametrize(
    ("contract", "package", "members"),
    [
        ("commands", "strongroom.cli", set(COMMAND_STEMS)),
        ("keystores", "strongroom.keystore", set(STORES) | NOT_CHOSEN),
        ("drivers", "strongroom.prompt", set(DRIVERS) - LENT),
        ("providers", "strongroom.providers", set(PROVIDERS.values())),
    ],
)
def test_each_member_of_a_family_is_under_contract(contract, package, members):
    """A family imports its members by name, so the linter must be told them; here it is told all of them."""
    with open(os.path.join(CLONE, "pyproject.toml"), "rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    listed = next(each["modules"] for each in contracts if each["id"] == contract)
    assert set(listed) == {f"{package}.{member}" for member in members}


@pytest.mark.parametrize(("package", "table"), [("cli", COMMAND_STEMS), ("keystore", STORES), ("prompt", DRIVERS)])
def test_each_row_of_a_table_is_a_module(package, table):
    """What is offered is there."""
    found = os.listdir(os.path.join(CLONE, "src", "strongroom", package))
    assert [name for name in table if f"{name}.py" not in found] == []
