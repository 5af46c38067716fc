"""pvdisplay, vgdisplay and lvdisplay as programs; equality with stock is in compat/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.machine import FAST

if TYPE_CHECKING:
    from support.machine import Machine


@pytest.fixture
def secret(vg0: Machine) -> Machine:
    """vg0 with an encrypted volume and a plain one."""
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l2", "-nsecret", "vg0", given=b"correct horse\n")
    vg0.run("lvcreate", "-l1", "-nplain", "vg0")
    return vg0


def test_encrypted_volumes_are_shown_with_their_keystores_and_without_keys(secret: Machine) -> None:
    shown = secret.run("lvdisplay", "-a", "-m", "vg0")
    for line in (
        "Type\t\tcrypt", "Keystore\t\tcryptostore1", "Key handler\t\tluks2", "Cipher\t\taes-xts-plain64",
        "Key size\t\t512 bits", "IV base\t\t0", "Type\t\tcrypt-keystore", "Internal LV Name       cryptostore1",
        "LV Status              NOT available",
    ):  # fmt: skip
        assert line in shown.lines
    assert "correct horse" not in shown.out
    assert "cryptostore1" not in secret.run("lvdisplay").out
    assert "cryptostore1" in secret.run("pvdisplay", "-m", "a.img").out


def test_each_form(secret: Machine) -> None:
    image = str(secret.folder / "a.img")
    assert secret.run("pvdisplay", "-s", "a.img").lines == [f'Device "{image}" has a capacity of 12.00 MiB']
    (line,) = secret.run("vgdisplay", "-c", "vg0").lines
    assert line.startswith("vg0:r/w:772:-1:0:2:0:-1:0:2:2:")
    assert secret.run("vgdisplay", "-s").lines == ['"vg0" 56.00 MiB [16.00 MiB used / 40.00 MiB free]']
    assert [line.split(":")[0] for line in secret.run("lvdisplay", "-c").lines] == [
        "/dev/vg0/secret",
        "/dev/vg0/plain",
    ]
    assert "--- Physical volumes ---" in secret.run("vgdisplay", "-v", "vg0").lines
    assert secret.run("vgdisplay", "-A").out == ""
    for command, report in (("pvdisplay", "pvs"), ("vgdisplay", "vgs"), ("lvdisplay", "lvs")):
        assert secret.run(command, "-C", "--units", "s").out == secret.run(report, "--units", "s").out


def test_what_is_not_there_is_named_after_what_is(secret: Machine) -> None:
    for words, shown in (
        (("pvdisplay", "-s", "a.img", "none.img"), 1), (("vgdisplay", "-s", "vg0", "vg9"), 1),
        (("vgdisplay", "vg9"), 0),
        (("lvdisplay", "-c", "vg0/plain", "vg0/none"), 1), (("lvdisplay", "vg9/a"), 0),
        (("pvdisplay", "/dev/null"), 0),
    ):  # fmt: skip
        assert secret.fail(*words)
        assert len(secret.run(*words, expect=5).lines) == shown
    assert len(secret.run("lvdisplay", "vg0/x", "vg0/y", "z", expect=5).err.splitlines()) == 3


@pytest.mark.parametrize(
    "words",
    [
        ("pvdisplay", "-c", "-m"), ("pvdisplay", "-C", "-s"), ("pvdisplay", "-o", "pv_name"),
        ("pvdisplay", "--units", "x"),
        ("vgdisplay", "-c", "-s"), ("vgdisplay", "--sort", "vg_name"), ("vgdisplay", "-A", "vg0"),
        ("lvdisplay", "-c", "-m"), ("lvdisplay", "--noheadings"), ("lvdisplay", "a/b/c"), ("lvdisplay", "-s"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(machine: Machine, words: tuple[str, ...]) -> None:
    machine.fail(*words, status=3)


def test_q_twice_silences_remarks_but_not_what_was_asked_for(machine: Machine) -> None:
    machine.image("a.img")
    machine.run("pvcreate", "a.img")
    assert "is a new physical volume" in machine.run("pvdisplay", "-c").out
    (line,) = machine.run("pvdisplay", "-c", "-qq").lines
    assert line.startswith(str(machine.folder / "a.img"))


def test_nothing_there_is_nothing_shown(machine: Machine) -> None:
    for command in ("pvdisplay", "vgdisplay", "lvdisplay"):
        result = machine.run(command)
        assert result.out == result.err == ""
