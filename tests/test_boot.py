"""What is installed for booting is what systemd and udev take; in tests/kernel/guest_udev a udevd does it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cryptlv.cli.options import parse
from cryptlv.cli.table import find_command
from support.machine import need

BOOT = Path(__file__).parent.parent / "boot"
UNITS = sorted((BOOT / "systemd").iterdir())
RULES = sorted((BOOT / "udev").iterdir())
CRYPTLV = Path(sys.executable).parent / "cryptlv"


def verify(unit: Path) -> str:
    """What systemd-analyze finds wrong with a unit."""
    words = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr + done.stdout or "no reason given"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    """With the command where this environment has it: systemd wants it to be there."""
    need("systemd-analyze")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/usr/bin/cryptlv", str(CRYPTLV)))
    assert verify(copy) == ""
    copy.write_text(copy.read_text().replace("Type=oneshot", "Type=oneshoot"))
    assert "oneshoot" in verify(copy)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_units_commands_are_commands(unit: Path) -> None:
    [line] = re.findall(r"^ExecStart=/usr/bin/cryptlv (.*)$", unit.read_text(), re.MULTILINE)
    name, *words = shlex.split(line)
    arguments = parse(find_command(name), words, "")
    assert arguments.text("activate") == "ay"
    assert arguments.text("keyfile") == "/etc/cryptlv/keys/"
    assert arguments.words == ()


def test_the_rule_asks_for_a_unit_that_is_there() -> None:
    [rules] = RULES
    [template] = re.findall(r'ENV\{SYSTEMD_WANTS\}\+="([^@]+@)\$major:\$minor\.service"', rules.read_text())
    assert f"{template}.service" in {unit.name for unit in UNITS}


def test_udev_takes_the_rules() -> None:
    """udevadm verify is there from systemd 254 on; the guest's udevd reads them wherever it is not."""
    tool = shutil.which("udevadm")
    helps = subprocess.run([tool, "--help"], capture_output=True, text=True, check=True).stdout if tool else ""
    for rules in RULES:
        assert rules.read_text().splitlines()[-1].startswith("LABEL=")
        if "verify" in helps:
            subprocess.run([str(tool), "verify", str(rules)], check=True)
