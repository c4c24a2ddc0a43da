import dataclasses

from strongroom.agent.config import ClientRule
from strongroom.agent.own_options import OWN_OPTIONS


def test_they_stand_in_a_table_of_their_own():
    """In both forms alike."""
    for option in OWN_OPTIONS:
        assert option.path(nested=True) == option.path(nested=False)
        assert option.path(nested=True)[0] == "strongroom"


def test_a_client_has_a_column_for_each_field():
    """In the order of the rule's fields."""
    [clients] = [option for option in OWN_OPTIONS if option.name == "strongroom.clients"]
    assert [column.name for column in clients.columns] == [field.name for field in dataclasses.fields(ClientRule)]


def test_paths_of_token_files_are_not_shown():
    """Somebody may write a token there instead."""
    options = [*OWN_OPTIONS, *(column for option in OWN_OPTIONS for column in option.columns)]
    assert {option.name for option in options if option.is_quiet} == {"strongroom.metrics_token_file", "token_file"}
