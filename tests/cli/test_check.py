"""pvck as a program; that it equals stock's is in ops/test_check.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.machine import Machine


def test_the_text_is_shown_or_put_in_a_file(vg0: Machine) -> None:
    shown = vg0.run("pvck", "--dump", "metadata", "a.img").out
    vg0.run("pvck", "--dump", "metadata", "-f", "text", "a.img")
    text = (vg0.folder / "text").read_text()
    assert text.startswith("vg0 {\n")
    assert f"  ---\n{text}\n  ---\n" in shown


def test_a_physical_volume_without_a_group_has_no_text(machine: Machine) -> None:
    machine.image("a.img")
    machine.run("pvcreate", "a.img")
    result = machine.run("pvck", "--dump", "metadata", "a.img")
    assert result.out == ""
    assert "no metadata text" in result.err


def test_a_sound_group_is_sound_and_a_hurt_device_is_named(vg0: Machine) -> None:
    assert vg0.run("vgck", "vg0").err == vg0.run("vgck").out == ""
    with (vg0.folder / "b.img").open("r+b") as file:
        file.seek(4608)
        file.write(b"\xff" * 4096)
    result = vg0.fail("vgck", "vg0")
    assert "b.img" in result
    assert result.count("\n") <= 1
    vg0.run("vgck", "--updatemetadata", "vg0")
    assert vg0.run("vgck", "vg0").err == ""


def test_a_device_is_repaired_from_a_backup(vg0: Machine) -> None:
    vg0.run("vgcfgbackup", "-f", "copy", "vg0")
    with (vg0.folder / "b.img").open("r+b") as file:
        file.write(bytes(1 << 20))
    vg0.fail("pvck", "b.img")
    shown = vg0.run("pvck", "-y", "--repair", "-f", "copy", "b.img").lines
    assert [line.split(" ")[0] for line in shown] == ["Writing"] * 4
    assert "Found label" in vg0.run("pvck", "b.img").out
    assert vg0.run("vgs", "--noheadings", "-o", "pv_count").lines == ["2"]


def test_nothing_is_repaired_without_an_answer(vg0: Machine) -> None:
    before = (vg0.folder / "b.img").read_bytes()
    vg0.run("vgcfgbackup", "-f", "copy", "vg0")
    assert "-y" in vg0.fail("pvck", "--repair", "-f", "copy", "b.img")
    vg0.run("pvck", "-t", "--repair", "-f", "copy", "b.img")
    assert (vg0.folder / "b.img").read_bytes() == before
