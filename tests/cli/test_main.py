"""The front door: help, version, interrupts, broken pipes, bugs; one line and a status each."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from cryptlv import __version__
from cryptlv.cli import main as front
from cryptlv.cli.table import COMMANDS

if TYPE_CHECKING:
    import pytest

    from support.machine import Machine


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["help"], ["--help"], ["-h"]):
        assert front.main(words) == 0
        out = capsys.readouterr().out
        assert all(f"    {name} " in out for name in COMMANDS)
    assert front.main([]) == 3
    assert "Usage" in capsys.readouterr().err


def test_a_commands_help_is_had_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    front.main(["help", "lvcreate"])
    first = capsys.readouterr().out
    assert front.main(["lvcreate", "--help"]) == 0
    assert capsys.readouterr().out == first
    assert "--handler" in first


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["version"], ["--version"], ["lvs", "--version"]):
        assert front.main(words) == 0
        assert capsys.readouterr().out == f"  cryptlv {__version__}\n"


def test_the_program_is_installed_under_its_name(machine: Machine) -> None:
    assert machine.tool(sys.executable, "-m", "cryptlv", "--version").out == f"  cryptlv {__version__}\n"


def test_debug_shows_where_an_error_comes_from(machine: Machine) -> None:
    result = machine.tool(sys.executable, "-m", "cryptlv", "vgs", "--debug", "none", expect=1)
    assert "Traceback" in result.err
    assert "not found" in result.err


def test_a_reader_that_goes_away_is_no_error_message(vg0: Machine) -> None:
    """As with `cryptlv lvs -o help | head -1`, but with the pipe closed before the first byte."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cryptlv", "vgs"],
        env=vg0.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=vg0.folder,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(30)
