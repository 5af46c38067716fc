"""Differences of volume groups, line by line."""

from __future__ import annotations

import pytest

from cryptlv.model.nodes import Section
from cryptlv.model.vg import LogicalVolume, LvArea, PhysicalVolume, PvArea, VolumeGroup
from cryptlv.report.difference import difference
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment


def pv(name: str) -> PhysicalVolume:
    return PhysicalVolume(
        id=name, device=f"/dev/{name}", pe_start_sectors=2048, pe_count=10, dev_size_sectors=2048 + 10 * 8192
    )


def linear(start_pe: int, length: int = 1, start_le: int = 0, pv_id: str = "a") -> StripedSegment:
    return StripedSegment(start_le=start_le, length_le=length, areas=(PvArea(pv_id=pv_id, start_pe=start_pe),))


def crypt(store: str = "cryptostore1") -> CryptSegment:
    return CryptSegment(start_le=0, length_le=2, crypto_store=store, areas=(PvArea(pv_id="b", start_pe=0),))


HOME = LogicalVolume(name="home", id="1", segments=(linear(0),))
STORE = KeystoreSegment(
    start_le=0, length_le=1, handler="luks1", cipher="aes-xts-plain64", areas=(PvArea(pv_id="a", start_pe=9),)
)
STORE_LV = LogicalVolume(name="cryptostore1", id="s", status=("READ",), segments=(STORE,))
VG = VolumeGroup(name="vg", id="i", seqno=4, pvs=(pv("a"), pv("b")), lvs=(HOME,))
OTHER = LogicalVolume(name="x\n", id="2", segments=(linear(3, 2, pv_id="b"),))
RAID = OpaqueSegment(start_le=0, length_le=2, type_word="raid1", body=(("raids", ("m0", "i0")), ("region_size", 1)))
GROWN = HOME.replace(segments=(linear(0), linear(4, 1, 1, "b")))
CASES: dict[str, tuple[VolumeGroup, list[str]]] = {
    "the same": (VG.replace(seqno=9), []),
    "other names of devices": (VG.replace(pvs=(pv("a").replace(device="/dev/z"), pv("b"))), []),
    "new": (VG.replace(lvs=(HOME, OTHER)), ["+ lv x\\n (linear, 8.00m)"]),
    "gone": (VG.replace(lvs=()), ["- lv home (linear, 4.00m)"]),
    "encrypted": (
        VG.replace(lvs=(HOME, OTHER.replace(name="c", segments=(crypt(),)), STORE_LV)),
        ["+ lv c (crypt, 8.00m, keystore cryptostore1)", "+ lv cryptostore1 (crypt-keystore, 4.00m)"],
    ),
    "longer": (
        VG.replace(lvs=(GROWN,)),
        ["~ lv home: size 4.00m -> 8.00m", "~ lv home: + extents 1-1 linear on /dev/b:4-4"],
    ),
    "moved": (
        VG.replace(lvs=(HOME.replace(segments=(linear(7),)),)),
        ["~ lv home: - extents 0-0 linear on /dev/a:0-0", "~ lv home: + extents 0-0 linear on /dev/a:7-7"],
    ),
    "renamed, tagged": (
        VG.replace(lvs=(HOME.replace(name="house", tags=("t",), flags=("ACTIVATION_SKIP",)),)),
        ["~ lv house: name home -> house", "~ lv house: flags: +ACTIVATION_SKIP", "~ lv house: tags: +t"],
    ),
    "read-only": (VG.replace(lvs=(HOME.replace(status=("READ", "VISIBLE")),)), ["~ lv home: status: -WRITE"]),
    "settings": (
        VG.replace(lvs=(HOME.replace(allocation_policy="cling", read_ahead=8),)),
        ["~ lv home: allocation policy inherit -> cling", "~ lv home: read ahead auto -> 8"],
    ),
    "what has no word": (VG.replace(lvs=(HOME.replace(major=7),)), ["~ lv home: other settings are changed"]),
    "the group": (
        VG.replace(name="new", max_lv=3, tags=("a", "b"), extent_size_sectors=2048),
        [
            "~ vg vg: name vg -> new", "~ vg vg: tags: +a +b", "~ vg vg: extent size 4.00m -> 1.00m",
            "~ vg vg: most logical volumes 0 -> 3",
        ],
    ),
    "exported": (VG.replace(status=("EXPORTED", *VG.status)), ["~ vg vg: status: +EXPORTED"]),
    "system id": (VG.replace(system_id="me"), ["~ vg vg: system id none -> me"]),
    "history": (VG.replace(historical=Section()), ["~ vg vg: the history of removed volumes is another"]),
    "unknown of the group": (VG.replace(extra=(("k", "secret"),)), ["~ vg vg: other settings are changed"]),
    "PVs": (
        VG.replace(pvs=(pv("a").replace(tags=("fast",), status=()), pv("c"))),
        [
            "- pv /dev/b (40.00m)", "+ pv /dev/c (40.00m)", "~ pv /dev/a: status: -ALLOCATABLE",
            "~ pv /dev/a: tags: +fast",
        ],
    ),
    "resized PV": (
        VG.replace(pvs=(pv("a"), pv("b").replace(pe_count=20, dev_size_sectors=2048 + 20 * 8192))),
        ["~ pv /dev/b: device size 41.00m -> 81.00m", "~ pv /dev/b: extents 10 -> 20"],
    ),
    "unknown of a PV": (
        VG.replace(pvs=(pv("a").replace(extra=(("k", 1),)), pv("b"))), ["~ pv /dev/a: other settings are changed"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_difference_has_its_line(name: str) -> None:
    after, lines = CASES[name]
    assert list(difference(VG, after)) == lines


def test_keystores_and_other_types_are_told_without_their_settings() -> None:
    secret = (("token", "do not show"),)
    moved = STORE.replace(areas=(PvArea(pv_id="b", start_pe=2),))
    stacked = crypt().replace(areas=(LvArea(lv_name="c_cryptdata", start_le=0),))
    before = VG.replace(lvs=(STORE_LV, HOME.replace(segments=(crypt(),)), OTHER.replace(name="r", segments=(RAID,))))
    raid = RAID.replace(body=(("raids", ("m0", "i0")), ("region_size", 2)))
    after = VG.replace(
        lvs=(
            STORE_LV.replace(segments=(moved.replace(extra=secret),)),
            HOME.replace(segments=(stacked,)),
            OTHER.replace(name="r", segments=(raid,)),
        )
    )
    lines = difference(before, after)
    assert lines == (
        "~ lv cryptostore1: - extents 0-0 crypt-keystore luks1 aes-xts-plain64 on /dev/a:9-9",
        "~ lv cryptostore1: + extents 0-0 crypt-keystore luks1 aes-xts-plain64 on /dev/b:2-2",
        "~ lv home: - extents 0-1 crypt with cryptostore1 on /dev/b:0-1",
        "~ lv home: + extents 0-1 crypt with cryptostore1 on c_cryptdata:0-1",
        "~ lv r: extents 0-1 raid1 on m0, i0: other settings are changed",
    )
    assert "do not show" not in "".join(lines)
    assert difference(after, after) == ()
