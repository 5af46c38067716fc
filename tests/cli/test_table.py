"""Commands are found by name, and only what a command needs is imported."""

from __future__ import annotations

import pytest

from cryptlv.cli.table import COMMANDS, find_command
from cryptlv.errors import UsageError


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_leads_to_the_declaration(name: str) -> None:
    assert find_command(name).name == name


@pytest.mark.parametrize("name", ["", "lv", "lvcreat", "LVS", "../lvs"])
def test_other_words_are_no_commands(name: str) -> None:
    with pytest.raises(UsageError, match="no such command"):
        find_command(name)
