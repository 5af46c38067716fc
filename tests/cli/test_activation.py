"""The words of -a; what activation does is in ops/test_activation.py."""

from __future__ import annotations

import pytest

from cryptlv.cli.activation import wanted_state
from cryptlv.cli.options import parse
from cryptlv.cli.table import find_command
from cryptlv.errors import UsageError


def state(*words: str) -> bool:
    return wanted_state(parse(find_command("lvchange"), [*words, "vg0/x"], ""))


@pytest.mark.parametrize(
    ("word", "active"),
    [("y", True), ("ay", True), ("ya", True), ("ey", True), ("sy", True), ("Y", True), ("n", False), ("ln", False)],
)
def test_lvm2s_words_are_understood(word: str, active: bool) -> None:
    assert state("-a", word) is active


@pytest.mark.parametrize("words", [(), ("-a", "x"), ("-a", ""), ("-an", "--keyfile", "k"), ("-ay", "--backend", "x")])
def test_others_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        state(*words)
