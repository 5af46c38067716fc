"""pvmove as a user types it."""

from __future__ import annotations

import json
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from cryptlv.cli.options import parse
from cryptlv.cli.pvmove import PVMOVE
from cryptlv.errors import RefusedError, UsageError
from support.machine import FAST

if TYPE_CHECKING:
    from support.machine import Machine


def places(machine: Machine) -> list[list[str]]:
    lines = machine.run("lvs", "-a", "--noheadings", "-o", "lv_name,devices").lines
    return [line.replace(str(machine.folder) + "/", "").split() for line in lines]


@pytest.fixture
def filled(vg0: Machine) -> Machine:
    """A linear and an encrypted volume on a.img."""
    vg0.run("lvcreate", "-l", "2", "-n", "x", "vg0", "a.img")
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l", "2", "-n", "secret", "vg0", "a.img", given=b"pass\n")
    return vg0


def test_a_pv_is_emptied(filled: Machine) -> None:
    done = filled.run("pvmove", "-v", "a.img")
    assert done.lines == [f"{filled.folder}/a.img: Moved: 100.00%"]
    assert done.err.count("Moved 2 extents of logical volume vg0/") == 2
    assert places(filled) == [["[cryptostore1]", "b.img(4)"], ["secret", "b.img(2)"], ["x", "b.img(0)"]]
    assert filled.fail("pvmove", "a.img") == "No data to move for vg0."
    filled.run("vgck", "vg0")


def test_a_trial_says_what_it_would_do(filled: Machine) -> None:
    before = filled.snapshot()
    lines = filled.run("pvmove", "-t", "a.img:1-1").lines
    folder = filled.folder
    assert lines == [f"Would move 1 extents of logical volume vg0/x from {folder}/a.img:1-1 to {folder}/b.img:0-0."]
    assert filled.snapshot() == before


def test_progress_as_json(filled: Machine) -> None:
    events = [json.loads(line) for line in filled.run("pvmove", "-q", "--progress-json", "a.img").err.splitlines()]
    assert events[0]["done_bytes"] == 0
    assert events[-1]["done_bytes"] == events[-1]["total_bytes"] == 5 * 4 * 1024 * 1024
    assert filled.run("pvmove", "b.img").err == "", "no progress where there is no terminal"


def test_what_lvm2_takes_is_taken(filled: Machine) -> None:
    filled.run("pvmove", "-b", "-i", "0", "--noudevsync", "--atomic", "--alloc", "cling", "-n", "/dev/vg0/x", "a.img")
    assert ["x", "b.img(0)"] in places(filled)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), UsageError),
        (("--abort",), RefusedError),
        (("--abort", "a.img"), RefusedError),
        (("--alloc", "best", "a.img"), UsageError),
        (("-i", "x", "a.img"), UsageError),
        (("-n", "a b", "a.img"), UsageError),
        (("-n", "vg0//x", "a.img"), UsageError),
    ],
)
def test_wrong_words_are_refused(words: tuple[str, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        PVMOVE.run(parse(PVMOVE, words, ""))


def test_an_interrupt_ends_it_cleanly_and_the_same_command_goes_on(machine: Machine) -> None:
    """Wherever the interrupt comes, the volume is whole, and it can be done again."""
    for name in ("a.img", "b.img"):
        machine.image(name, 600)
    machine.run("vgcreate", "-s", "64k", "vg0", "a.img", "b.img")
    machine.run("lvcreate", "-L", "590m", "-n", "x", "vg0", "a.img")
    running = machine.start("pvmove", "--progress-json", "a.img")
    assert running.stderr is not None
    assert b'"done_bytes": 0' in running.stderr.readline()
    time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    last = err.decode().splitlines()[-1]
    if running.returncode:  # it was faster on this machine otherwise
        assert running.returncode == 130
        assert re.search(
            r"^  Interrupted: .* of 590\.00m are moved; every volume is whole, and the same command", last
        )
        machine.run("vgck", "vg0")
        machine.run("pvmove", "a.img")
    assert {row[1].partition("(")[0] for row in places(machine)} == {"b.img"}


def test_a_move_that_is_killed_leaves_a_whole_group(machine: Machine) -> None:
    for name in ("a.img", "b.img"):
        machine.image(name, 300)
    machine.run("vgcreate", "-s", "64k", "vg0", "a.img", "b.img")
    machine.run("lvcreate", "-L", "290m", "-n", "x", "vg0", "a.img")
    running = machine.start("pvmove", "--progress-json", "a.img")
    assert running.stderr is not None
    running.stderr.readline()
    running.kill()
    running.communicate(timeout=60)
    machine.run("vgck", "vg0")
    if any("a.img" in row[1] for row in places(machine)):
        machine.run("pvmove", "a.img")
    assert {row[1].partition("(")[0] for row in places(machine)} == {"b.img"}
