"""vgcfgrestore and vgimportclone as programs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from support.machine import FAST

if TYPE_CHECKING:
    from support.machine import Machine


def test_a_backup_is_listed_and_restored(vg0: Machine) -> None:
    vg0.run("vgcfgbackup", "-f", "kept", "vg0")
    vg0.run("lvcreate", "-l", "1", "-n", "later", "vg0")
    listed = vg0.run("vgcfgrestore", "-l", "vg0").out
    assert listed.count("VG name:    \tvg0") == 2
    assert "Description:\tCreated *before* executing 'lvcreate -l 1 -n later vg0'" in listed
    assert "kept" in vg0.run("vgcfgrestore", "--list", "--file", "kept").out
    assert "No archives found" in vg0.run("vgcfgrestore", "-l", "none").out
    before = vg0.snapshot()
    vg0.run("vgcfgrestore", "--test", "-f", "kept", "vg0")
    assert vg0.snapshot() == before
    assert vg0.run("vgcfgrestore", "-M", "lvm2", "-f", "kept", "vg0").lines == ["Restored volume group vg0."]
    assert vg0.run("lvs", "--noheadings").lines == []
    vg0.run("vgck", "vg0")


def test_encrypted_volumes_are_not_lost_without_a_word(vg0: Machine) -> None:
    vg0.run("vgcfgbackup", "-f", "kept", "vg0")
    vg0.run("lvcreate", "--type", "crypt", "-l", "1", "-n", "secret", *FAST, "vg0", given=b"pass\n")
    line = vg0.fail("vgcfgrestore", "-f", "kept", "vg0")
    assert "encrypted volume secret would go" in line
    assert "keystore cryptostore1 would go" in line
    vg0.run("vgcfgbackup", "-f", "with", "vg0")
    vg0.run("vgcfgrestore", "--force", "-f", "kept", "vg0")
    assert "keystore cryptostore1 would come back" in vg0.fail("vgcfgrestore", "-f", "with", "vg0")


def test_a_copy_becomes_a_group_of_its_own(vg0: Machine) -> None:
    vg0.run("lvcreate", "--type", "crypt", "-l", "1", "-n", "secret", *FAST, "vg0", given=b"pass\n")
    for name in ("a", "b"):
        shutil.copy(vg0.folder / f"{name}.img", vg0.folder / f"copy-{name}.img")
    assert vg0.run("vgimportclone", "-n", "copy", "copy-a.img", "copy-b.img").lines == [
        'Volume group "copy" successfully imported'
    ]
    assert vg0.run("vgs", "--noheadings", "-o", "vg_name").lines == ["copy", "vg0"]
    for name in ("vg0", "copy"):
        vg0.run("lvchange", "-ay", f"{name}/secret", given=b"pass\n")
    assert len(vg0.server_pids()) == 2, "both are active at the same time"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("vgcfgrestore",), 3),
        (("vgcfgrestore", "-l"), 3),
        (("vgcfgrestore", "a", "b"), 3),
        (("vgcfgrestore", "none"), 5),
        (("vgcfgrestore", "-f", "none", "vg0"), 5),
        (("vgcfgrestore", "-l", "-f", "a.img"), 5),
        (("vgimportclone",), 3),
        (("vgimportclone", "none"), 5),
        (("vgimportclone", "a.img"), 5),
        (("vgimportclone", "-n", "a b", "a.img", "b.img"), 3),
    ],
    ids=lambda value: value if isinstance(value, int) else " ".join(value),
)
def test_what_is_refused_changes_nothing(vg0: Machine, words: tuple[str, ...], status: int) -> None:
    before = vg0.snapshot()
    vg0.run(*words, expect=status)
    assert vg0.snapshot() == before
