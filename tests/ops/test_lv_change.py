"""Properties changed in one commit; what lvm2 calls a failure is one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptlv.ops.lv_change import LvChange, change
from cryptlv.ops.targets import LvTarget
from support.disks import Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.model.vg import VolumeGroup
    from support.machine import Machine


def targets(*names: str, was_named: bool = True) -> tuple[LvTarget, ...]:
    return tuple(LvTarget(vg_name="vg0", lv_name=name, was_named=was_named) for name in names)


def vg_of(disks: Disks) -> VolumeGroup:
    vg = disks.group()
    assert vg is not None
    return vg


def test_several_volumes_are_changed_in_one_commit(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    before = vg_of(disks)
    with disks.session() as session:
        results = change(session, "vg0", targets("first", "old"), LvChange(add_tags=("t",), is_writable=False))
        assert [(result.lv_name, result.is_changed, result.problems) for result in results] == [
            ("first", True, ()), ("old", True, ()),
        ]  # fmt: skip
        after = vg_of(disks)
        assert after.seqno == before.seqno + 1
        for name in ("first", "old"):
            expected = before.lv(name).replace(tags=("t",), status=("READ", "VISIBLE"))
            assert after.lv(name) == expected
        change(session, "vg0", targets("first"), LvChange(add_tags=("t",)))
        assert vg_of(disks).seqno == after.seqno, "nothing to commit"


def test_what_does_not_apply_is_a_problem_where_it_was_named(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        wanted = LvChange(is_writable=True, add_tags=("t",))
        (first, store, nobody) = change(session, "vg0", targets("first", "cryptostore1", "nobody"), wanted)
        assert (first.is_changed, first.problems) == (True, ("Logical volume vg0/first is already writable.",))
        assert not store.is_changed
        assert "hidden LV vg0/cryptostore1" in store.problems[0]
        assert nobody.problems == ('Failed to find logical volume "vg0/nobody"',)
        assert change(session, "vg0", targets("cryptostore1", was_named=False), wanted) == ()
    assert vg_of(disks).lv("first").tags == ("t",)


def test_read_ahead_is_whole_pages_and_numbers_are_this_machines(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    page = os.sysconf("SC_PAGE_SIZE") // 512
    warnings: list[str] = []
    with disks.session(warnings.append) as session:
        change(session, "vg0", targets("first"), LvChange(read_ahead=(page * 3 + 1,), minor=9))
        change(session, "vg0", targets("old"), LvChange(read_ahead=(1,)))
    vg = vg_of(disks)
    assert (vg.lv("first").read_ahead, vg.lv("old").read_ahead) == (page * 3, page)
    assert vg.lv("first").minor == 9
    assert "FIXED_MINOR" in vg.lv("first").status
    assert len(warnings) == 2
    assert f"{page * 3} sectors" in warnings[0]


def test_a_missing_disk_is_no_hindrance(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    del disks.devices["/d1"]
    with disks.session() as session:
        change(session, "vg0", targets("first"), LvChange(skips_activation=True))
    vg = vg_of(disks)
    assert vg.lv("first").flags == ("ACTIVATION_SKIP",)
    assert [pv.is_missing for pv in vg.pvs] == [False, True]


def test_flags_say_what_is_activated(vg0: Machine) -> None:
    for name, words in (("a", ()), ("b", ("-ky",)), ("c", ("--setautoactivation", "n"))):
        vg0.run("lvcreate", "-l1", f"-n{name}", "vg0")
        if words:
            vg0.run("lvchange", *words, f"vg0/{name}")

    def active(*words: str) -> str:
        vg0.run(*words)
        found = vg0.run("lvs", "--noheadings", "-o", "lv_name", "-S", "lv_active=active").lines
        vg0.run("vgchange", "-an", "vg0")
        return " ".join(found)

    assert active("vgchange", "-ay", "vg0") == "a c"
    assert active("vgchange", "-aay", "vg0") == "a"
    assert active("vgchange", "-aay", "-K", "vg0") == "a b"
    assert active("vgchange", "-ay", "-K", "vg0") == "a b c"
    assert active("lvchange", "-ay", "vg0/b", "vg0/c") == "c"
    assert active("lvchange", "-a", "ay", "vg0/c") == ""
    assert active("lvchange", "-ay", "-K", "vg0/b") == "b"
    assert active("lvchange", "-ay", "--addtag", "x", "vg0/a") == "a"
    vg0.run("lvchange", "-ay", "vg0/a")
    assert "permission changes when it is activated again" in vg0.run("lvchange", "-pr", "vg0/a").err
