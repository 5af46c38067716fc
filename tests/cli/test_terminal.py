"""Messages and names: where they go, what -q and -v do, what a volume's name looks like."""

from __future__ import annotations

import pytest

from cryptlv.cli.options import parse
from cryptlv.cli.table import find_command
from cryptlv.cli.terminal import Terminal, split_lv
from cryptlv.errors import RefusedError, UsageError


def terminal(*words: str) -> Terminal:
    return Terminal(parse(find_command("lvremove"), words, ""))


def speak(out: Terminal) -> None:
    out.say("said")
    out.give("given")
    out.detail("detail")
    out.warn("warned")
    out.error("failed")


@pytest.mark.parametrize(
    ("words", "out", "err"),
    [
        ((), "  said\n  given\n", "  WARNING: warned\n  failed\n"),
        (("-q",), "  given\n", "  WARNING: warned\n  failed\n"),
        (("-v",), "  said\n  given\n", "  detail\n  WARNING: warned\n  failed\n"),
    ],
)
def test_results_go_to_standard_output_and_the_rest_to_standard_error(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], out: str, err: str
) -> None:
    speak(terminal(*words))
    assert capsys.readouterr() == (out, err)


def test_yes_and_force_answer_questions() -> None:
    for words in (("-y",), ("-f",), ("--yes",)):
        terminal(*words).confirm("Really?")
    with pytest.raises(RefusedError, match=r"Really\?.*-y"):
        terminal().confirm("Really?")
    with pytest.raises(RefusedError, match="-y"):
        terminal("-ff").confirm("Really?", forced=False)


@pytest.mark.parametrize("word", ["vg0/lv", "/dev/vg0/lv"])
def test_a_volume_is_named_by_group_and_name(word: str) -> None:
    assert split_lv(word) == ("vg0", "lv")


@pytest.mark.parametrize("word", ["vg0", "vg0/", "/lv", "a/b/c", "", "/"])
def test_other_words_name_no_volume(word: str) -> None:
    with pytest.raises(UsageError, match="VG/LV"):
        split_lv(word)
