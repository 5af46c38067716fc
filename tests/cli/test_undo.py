"""vgundo shows and undoes, and reasons are kept where they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.ondisk.vgtext import parse_document

if TYPE_CHECKING:
    from pathlib import Path

    from support.machine import Machine

REASONS = [
    "quotes \"and\" 'more'",
    "back\\slash \\n \\",
    "two\nlines\tand \x1b[31mred",
    "# } { = [ ]",
    "ünïcode ☂",
    "x" * 1000,
    "-y",
    "",
]


def shown(reason: str) -> str:
    """As terminals show it; made here character by character."""
    names = {"\n": "\\n", "\t": "\\t", "\x1b": "\\x1b"}
    return "".join(names.get(character, character) for character in reason)


def descriptions(folder: Path) -> list[str]:
    files = sorted((folder / "system" / "archive").iterdir())
    return [parse_document(file.read_bytes()).description for file in files]


def test_the_last_change_is_shown_and_undone(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l", "2", "-n", "x", "vg0", "--why", "for the demo")
    before = vg0.snapshot()
    lines = vg0.run("vgundo", "vg0").lines
    assert vg0.snapshot() == before
    assert lines[0].startswith('Volume group "vg0" was last changed 2')
    assert lines[1:] == [
        "lvcreate -l 2 -n x vg0 # for the demo",
        "+ lv x (linear, 8.00m)",
        "Nothing is changed yet. To undo this: cryptlv vgundo -y vg0",
    ]
    done = vg0.run("vgundo", "-y", "vg0")
    assert done.lines[-1] == 'Volume group "vg0" is again as it was before this.'
    assert "what was written to vg0/x is given up" in done.err
    assert vg0.run("lvs").out == ""
    assert vg0.run("vgundo", "-y", "/dev/vg0").lines[2] == "- lv x (linear, 8.00m)"
    assert vg0.run("lvs", "--noheadings", "-o", "lv_name").lines == ["x"]


def test_what_cannot_be_undone_is_shown_with_the_reason(vg0: Machine) -> None:
    vg0.run("vgsplit", "vg0", "new", "b.img")
    assert vg0.run("vgundo", "vg0").lines[-1].startswith("The last change cannot be undone: ")
    assert "belongs to volume group new now" in vg0.fail("vgundo", "-y", "vg0")
    assert "no archive file" in vg0.fail("vgundo", "new")


@pytest.mark.parametrize("words", [(), ("vg0", "new")])
def test_one_group_is_named(vg0: Machine, words: tuple[str, ...]) -> None:
    vg0.fail("vgundo", *words, status=3)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("form", ["--why {}", "--why={}", "--wh {}"])
def test_reasons_are_kept_and_break_nothing(vg0: Machine, reason: str, form: str) -> None:
    if form != "--why {}" and len(reason) > 20:
        return
    why = form.format(reason).split(" ", 1) if " " in form else [form.format(reason)]
    vg0.run("lvcreate", *why, "-l", "1", "-n", "x", "vg0")
    expected = "lvcreate -l 1 -n x vg0" + (f" # {shown(reason)}" if reason else "")
    with (vg0.folder / "a.img").open("rb") as file:
        text = file.read(2**20)
    start = text.rindex(b"vg0 {\n")
    assert parse_document(text[start : text.index(b"\0", start)]).description == f"Write from {expected}."
    assert vg0.run("vgundo", "vg0").lines[1] == expected
    assert descriptions(vg0.folder)[-1] == f"Created *before* executing '{expected}'"
    vg0.run("vgck", "vg0")


def test_reasons_that_are_too_long_are_usage_errors(vg0: Machine) -> None:
    before = vg0.snapshot()
    line = vg0.fail("lvcreate", "-l", "1", "-n", "x", "vg0", "--why", "x" * 5000, status=3)
    assert line == "--why takes up to 1000 characters, these are 5000"
    assert vg0.snapshot() == before
