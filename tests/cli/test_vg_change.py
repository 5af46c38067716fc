"""vgchange, vgrename, vgexport and vgimport as programs; beside stock's in compat/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.machine import Machine


def shown(machine: Machine, fields: str, *words: str) -> list[str]:
    return machine.run("vgs", "--noheadings", "--separator", "|", "-o", fields, *words).lines


def test_several_changes_at_once(vg0: Machine) -> None:
    words = ("-l", "9", "-p", "5", "-s", "1m", "--alloc", "cling", "--addtag", "a", "--addtag", "@b")
    assert vg0.run("vgchange", *words, "--setautoactivation", "n", "vg0").lines == [
        'Volume group "vg0" successfully changed'
    ]
    fields = "max_lv,max_pv,vg_extent_size,vg_allocation_policy,vg_tags,vg_attr"
    assert shown(vg0, fields) == ["9|5|1.00m|cling|a,b|wz--l-"]
    vg0.run("vgchange", "-x", "n", "--deltag", "a", "vg0")
    assert shown(vg0, "vg_tags,vg_attr") == ["b|w---l-"]


def test_one_that_cannot_be_changed_does_not_stop_the_others(vg0: Machine) -> None:
    vg0.image("c.img")
    vg0.run("vgcreate", "vg1", "c.img")
    result = vg0.run("vgchange", "--addtag", "t", "none", "vg1", expect=5)
    assert result.lines == ['Volume group "vg1" successfully changed']
    assert "'none' not found" in result.err
    assert shown(vg0, "vg_name,vg_tags") == ["vg0|", "vg1|t"]


def test_tags_and_activation_in_one_command(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l", "1", "-n", "x", "vg0")
    lines = vg0.run("vgchange", "--addtag", "t", "-ay", "vg0").lines
    assert lines[0] == 'Volume group "vg0" successfully changed'
    assert lines[-1] == '1 logical volume(s) in volume group "vg0" now active'
    for words in (
        ("vgchange", "-u", "vg0"),
        ("vgrename", "vg0", "x"),
        ("vgexport", "vg0"),
        ("vgremove", "-y", "vg0"),
    ):
        assert "is active; deactivate it first" in vg0.fail(*words)
    vg0.run("vgchange", "-an", "vg0")
    vg0.run("vgrename", "vg0", "x")


def test_another_hosts_system_id_is_asked_about(vg0: Machine) -> None:
    result = vg0.run("vgchange", "--systemid", "other", "vg0", expect=5)
    assert "might become inaccessible" in result.err
    vg0.run("vgchange", "-y", "--systemid", "other", "vg0")
    assert shown(vg0, "vg_system_id", "--foreign") == ["other"]
    assert "cannot access" in vg0.fail("vgchange", "--addtag", "t", "vg0")


def test_a_group_is_renamed_exported_and_imported(vg0: Machine) -> None:
    assert vg0.run("vgrename", "/dev/vg0", "/dev/vg9").lines == ['Volume group "vg0" successfully renamed to "vg9"']
    assert vg0.run("vgexport", "-a").lines == ['Volume group "vg9" successfully exported']
    assert vg0.run("vgexport", "-a").lines == []
    assert "exported" in vg0.fail("vgchange", "--addtag", "t", "vg9")
    assert vg0.run("vgimport", "-f", "vg9").lines == ['Volume group "vg9" successfully imported']
    (vg_id,) = shown(vg0, "vg_uuid")
    assert vg0.run("vgrename", vg_id, "vg0").lines == [f'Volume group "{vg_id}" successfully renamed to "vg0"']
    names = sorted(path.name for path in (vg0.folder / "system" / "backup").iterdir())
    assert names == ["vg0"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("vgchange", "vg0"), 3),
        (("vgchange", "--addtag", "%", "vg0"), 3),
        (("vgchange", "-l", "-1", "vg0"), 3),
        (("vgchange", "-p", "4294967296", "vg0"), 3),
        (("vgchange", "-s", "1000b", "vg0"), 3),
        (("vgchange", "-s", "0", "vg0"), 5),
        (("vgchange", "--alloc", "best", "vg0"), 3),
        (("vgchange", "--alloc", "inherit", "vg0"), 5),
        (("vgchange", "--vgmetadatacopies", "some", "vg0"), 3),
        (("vgchange", "--systemid", "localhost", "vg0"), 3),
        (("vgchange", "--monitor", "x", "vg0"), 3),
        (("vgchange", "--addtag", "t", "a/b"), 3),
        (("vgchange", "-A", "maybe", "--addtag", "t", "vg0"), 3),
        (("vgrename", "vg0"), 3),
        (("vgrename", "vg0", "a b"), 5),
        (("vgrename", "vg0", "vg0"), 5),
        (("vgexport",), 3),
        (("vgexport", "-a", "vg0"), 3),
        (("vgimport",), 3),
        (("vgimport", "vg0"), 5),
    ],
    ids=lambda value: value if isinstance(value, int) else " ".join(value),
)
def test_what_is_refused_changes_nothing(vg0: Machine, words: tuple[str, ...], status: int) -> None:
    before = vg0.snapshot()
    vg0.fail(*words, status=status)
    assert vg0.snapshot() == before
