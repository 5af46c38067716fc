"""vgextend and vgreduce as programs; what they do is in ops/test_vg_members.py, beside stock's in compat/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.machine import Machine


def test_a_device_comes_and_goes(vg0: Machine) -> None:
    path = vg0.image("c.img")
    assert vg0.run("vgextend", "/dev/vg0", "c.img").lines == [
        f'Physical volume "{path}" successfully created.',
        'Volume group "vg0" successfully extended',
    ]
    assert vg0.run("vgreduce", "vg0", "c.img").lines == [f'Removed "{path}" from volume group "vg0"']
    result = vg0.run("vgreduce", "-a", "vg0", expect=5)
    assert "Can't remove final physical volume" in result.err
    assert vg0.run("vgreduce", "--removemissing", "vg0").lines == ['Volume group "vg0" is already consistent.']


@pytest.mark.parametrize(
    "words",
    [
        ("vgextend", "vg0"),
        ("vgextend", "--pvmetadatacopies", "3", "vg0", "c.img"),
        ("vgreduce",),
        ("vgreduce", "vg0"),
        ("vgreduce", "-a", "vg0", "a.img"),
        ("vgreduce", "-a", "--removemissing", "vg0"),
        ("vgreduce", "--mirrorsonly", "vg0"),
    ],
    ids=" ".join,
)
def test_usage(vg0: Machine, words: tuple[str, ...]) -> None:
    vg0.fail(*words, status=3)


def test_what_is_partial_is_named(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l", "2", "-n", "gone", "vg0", vg0.folder / "b.img")
    (vg0.folder / "b.img").unlink()
    result = vg0.run("vgreduce", "--removemissing", "vg0", expect=5)
    assert "Partial LV gone needs to be repaired or removed." in result.err
    assert vg0.run("vgreduce", "--removemissing", "--force", "vg0").lines == [
        'Logical volume "gone" successfully removed.',
        "Wrote out consistent volume group vg0.",
    ]
    assert vg0.run("vgck", "vg0").err.count("WARNING") <= 1, "the devices file still has it"


def test_a_device_that_is_read_only_is_not_taken(vg0: Machine) -> None:
    before = vg0.snapshot()
    path = vg0.image("c.img")
    vg0.tool("chattr", "+i", path, expect=None)
    result = vg0.run("vgextend", "vg0", "c.img", expect=None)
    vg0.tool("chattr", "-i", path, expect=None)
    if result.status == 0:
        pytest.skip("no immutable files here")
    assert result.status == 5
    assert "c.img" in result.err
    assert {name: data for name, data in vg0.snapshot().items() if name in before} == before
