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
