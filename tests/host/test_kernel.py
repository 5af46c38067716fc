"""What the kernel has active, from a directory that looks like sysfs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.host.kernel import ids_in_kernel, uuids_in_kernel, volume_id

if TYPE_CHECKING:
    from pathlib import Path

VG = "abcdefghijklmnopqrstuvwxyz012345"
LV = "ZYXWVUTSRQPONMLKJIHGFEDCBA543210"


def test_devices_of_lvm2_are_known_by_their_uuid(tmp_path: Path) -> None:
    uuids = {
        "dm-0": f"LVM-{VG}{LV}\n",
        "dm-1": f"LVM-{VG}{LV[::-1]}-cow\n",
        "dm-2": "CRYPT-LUKS1-0123456789abcdef-x\n",
        "dm-3": "\n",
        "dm-4": "LVM-short\n",
        "loop0": f"LVM-{VG}{LV}\n",
    }
    for name, uuid in uuids.items():
        (tmp_path / name / "dm").mkdir(parents=True)
        (tmp_path / name / "dm" / "uuid").write_text(uuid)
    (tmp_path / "dm-5").mkdir()
    (tmp_path / "dm-6" / "dm").mkdir(parents=True)
    (tmp_path / "dm-6" / "dm" / "uuid").write_bytes(b"LVM-\xff\xfe")
    assert ids_in_kernel(str(tmp_path)) == {
        "ZYXWVU-TSRQ-PONM-LKJI-HGFE-DCBA-543210",
        "012345-ABCD-EFGH-IJKL-MNOP-QRST-UVWXYZ",
    }
    assert set(uuids_in_kernel(str(tmp_path))) == {uuid.strip() for uuid in list(uuids.values())[:5]} - {""}


def test_the_volume_is_in_the_uuid() -> None:
    assert volume_id(f"LVM-{VG}{LV}-cow") == "ZYXWVU-TSRQ-PONM-LKJI-HGFE-DCBA-543210"
    assert volume_id(f"{VG}{LV}") == volume_id("LVM-short") == ""


def test_where_there_is_no_sysfs_nothing_is_known(tmp_path: Path) -> None:
    assert ids_in_kernel(str(tmp_path / "none")) == frozenset()
    assert uuids_in_kernel(str(tmp_path / "none")) == ()
