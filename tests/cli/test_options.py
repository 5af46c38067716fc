"""Command lines are read by getopt's rules, as lvm2 reads them, awkward ones too."""

from __future__ import annotations

import pytest

from cryptlv.cli.options import COMMON_OPTIONS, Arguments, help_text, parse
from cryptlv.cli.table import COMMANDS, find_command
from cryptlv.errors import UsageError


def read(line: str) -> Arguments:
    name, *words = line.split()
    return parse(find_command(name), words, line)


@pytest.mark.parametrize(
    ("line", "option", "values", "words"),
    [
        ("lvcreate -L10G vg0", "size", ("10G",), ("vg0",)),
        ("lvcreate -L 10G vg0", "size", ("10G",), ("vg0",)),
        ("lvcreate vg0 -L 10G", "size", ("10G",), ("vg0",)),
        ("lvcreate -L -1G vg0", "size", ("-1G",), ("vg0",)),
        ("lvcreate --size=10G vg0", "size", ("10G",), ("vg0",)),
        ("lvcreate --siz 10G vg0 /dev/a", "size", ("10G",), ("vg0", "/dev/a")),
        ("lvcreate -l 100%FREE -n x vg0", "extents", ("100%FREE",), ("vg0",)),
        ("lvs -o -lv_attr", "options", ("-lv_attr",), ()),
        ("lvs -o+devices -o +all", "options", ("+devices", "+all"), ()),
        ("lvs -ao name", "options", ("name",), ()),
        ("lvs --units s --nosuffix", "units", ("s",), ()),
        ("lvremove -ffy vg0/a", "force", ("", ""), ("vg0/a",)),
        ("lvremove -f -- -odd", "force", ("",), ("-odd",)),
        ("vgchange -an vg0 vg1", "activate", ("n",), ("vg0", "vg1")),
        ("vgchange -a y", "activate", ("y",), ()),
        ("vgchange --activate ay", "activate", ("ay",), ()),
        ("vgcfgbackup -f out vg0", "file", ("out",), ("vg0",)),
        ("vgcreate -s 4m vg0 a", "physicalextentsize", ("4m",), ("vg0", "a")),
        ("pvs --devices a,b --devices c", "devices", ("a,b", "c"), ()),
        ("pvcreate -qvt a", "test", ("",), ("a",)),
    ],
)
def test_a_line_means_what_it_means_to_lvm2(
    line: str, option: str, values: tuple[str, ...], words: tuple[str, ...]
) -> None:
    arguments = read(line)
    assert arguments.all(option) == values
    assert arguments.words == words
    assert arguments.line == line


@pytest.mark.parametrize("line", ["lvs --bogus", "lvs -L1", "lvcreate -L", "lvs --no", "lvs --all=1"])
def test_what_getopt_refuses_is_a_usage_error_that_names_the_help(line: str) -> None:
    with pytest.raises(UsageError, match="--help"):
        read(line)


def test_values_are_checked_when_they_are_asked_for() -> None:
    arguments = read("lvcreate -L 5 -n a -n b --keysize 12x --iter-time 7 --type crypt vg0")
    assert arguments.size_bytes("size") == 5 * 2**20
    assert arguments.size_bytes("extents") is None
    assert arguments.number("iter-time") == 7
    assert arguments.number("pbkdf-force-iterations", 9) == 9
    assert arguments.choice("type", ("linear", "crypt"), "linear") == "crypt"
    for ask in (
        lambda: arguments.text("name"),
        lambda: arguments.number("keysize"),
        lambda: arguments.choice("type", ("linear",), "linear"),
        lambda: arguments.yes_no("type"),
    ):
        with pytest.raises(UsageError):
            ask()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_whole_help_and_options_that_do_not_clash(name: str) -> None:
    command = find_command(name)
    assert command.name == name
    shorts = [option.short for option in command.all_options if option.short]
    longs = [option.long for option in command.all_options]
    assert len(set(shorts)) == len(shorts)
    assert len(set(longs)) == len(longs)
    assert {option.long for option in COMMON_OPTIONS} <= set(longs)
    text = help_text(command)
    for option in command.all_options:
        assert option.shown in text
        assert option.help.endswith(".")
    assert max(map(len, text.splitlines())) <= 120
    assert all(ord(character) < 128 for character in text)
