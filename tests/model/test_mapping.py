"""Volumes as targets: linear, striped and encrypted, in sectors worked out by hand."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CheckError, RefusedError
from cryptlv.model.mapping import CryptTarget, LinearTarget, StripedTarget, Target, map_volume
from cryptlv.ondisk.vgtext import parse_vg

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import VolumeGroup

    GoldenVg = Callable[[str], VolumeGroup]

GOLDEN = Path(__file__).parents[1] / "golden"


def test_linear_volume_is_one_target_at_its_extent(sound_vg: VolumeGroup) -> None:
    mapping = map_volume(sound_vg, sound_vg.lv("lin"))
    # four extents of 8192 sectors, from extent 2 of a PV whose data begin at sector 2048
    assert mapping.targets == (
        LinearTarget(start_sectors=0, length_sectors=32768, pv_id=sound_vg.pvs[1].id, offset_sectors=2048 + 2 * 8192),
    )
    assert mapping.length_sectors == 32768
    assert mapping.keystores == ()
    assert mapping.pv_ids == frozenset((sound_vg.pvs[1].id,))
    assert mapping.writable


def test_encrypted_volume_counts_its_tweaks_from_the_start_of_the_volume(sound_vg: VolumeGroup) -> None:
    mapping = map_volume(sound_vg, sound_vg.lv("two"))
    first, second = (pv.id for pv in sound_vg.pvs)
    assert mapping.targets == (
        CryptTarget(
            start_sectors=0,
            length_sectors=2 * 8192,
            pv_id=first,
            offset_sectors=2048 + 4 * 8192,
            crypto_store="cryptostore1",
            iv_offset_sectors=0,
        ),
        CryptTarget(
            start_sectors=2 * 8192,
            length_sectors=5 * 8192,
            pv_id=second,
            offset_sectors=2048 + 6 * 8192,
            crypto_store="cryptostore1",
            iv_offset_sectors=2 * 8192,
        ),
    )
    assert mapping.keystores == ("cryptostore1",)
    assert mapping.length_sectors == 7 * 8192


@pytest.mark.parametrize(("base", "offset"), [(0, 0), (5, 0), (0, 4096), (2**40, 8191)])
def test_base_of_the_tweak_is_added_and_offset_of_the_area_moves_the_data(
    sound_vg: VolumeGroup, base: int, offset: int
) -> None:
    lv = sound_vg.lv("two")
    segment = lv.segments[1].replace(iv_base_sectors=base, area_offset_sectors=offset)
    lv = lv.replace(segments=(lv.segments[0], segment))
    target = map_volume(sound_vg.with_lv(lv), lv).targets[1]
    assert isinstance(target, CryptTarget)
    assert target.iv_offset_sectors == base + 2 * 8192
    assert target.offset_sectors == 2048 + 6 * 8192 + offset
    assert target.start_sectors == 2 * 8192


def tag_at(disk: bytes, sector: int) -> bytes:
    return disk[sector * 512 : sector * 512 + 8]


def test_linear_targets_reach_the_extents_that_stock_allocated() -> None:
    # each data extent of the image begins with its tag EXTENTnn, nn its number on the PV
    vg = parse_vg((GOLDEN / "lvm2/linear/raw_text_pv0_mda0.txt").read_bytes())
    disk = lzma.decompress((GOLDEN / "lvm2/linear/pv0.img.xz").read_bytes())
    segments = json.loads((GOLDEN / "lvm2/linear/expected.json").read_text())["segs"]["report"][0]["seg"]
    for row in segments:
        (target,) = map_volume(vg, vg.lv(row["lv_name"])).targets
        assert isinstance(target, LinearTarget)
        first, last = map(int, row["seg_pe_ranges"].removeprefix("pv0:").split("-"))
        for number, extent in enumerate(range(first, last + 1)):
            sector = target.offset_sectors + number * vg.extent_size_sectors
            assert tag_at(disk, sector) == b"EXTENT%02d" % extent


def test_striped_targets_reach_the_extents_that_stock_allocated() -> None:
    # the image says on which PV and in which of its extents each block lies: P<pv>E<pe>C<block>, every 4097 bytes
    vg = parse_vg((GOLDEN / "lvm2/striped/raw_text_pv0_mda0.txt").read_bytes())
    expected = json.loads((GOLDEN / "lvm2/striped/expected.json").read_text())
    names = {row["pv_uuid"]: row["pv_name"] for row in expected["pvs"]["report"][0]["pv"]}
    for row in expected["segs"]["report"][0]["seg"]:
        (target,) = map_volume(vg, vg.lv(row["lv_name"])).targets
        assert isinstance(target, StripedTarget)
        assert target.chunk_sectors == int(row["stripe_size"])
        assert len(target.stripes) == int(row["stripes"])
        assert target.length_sectors == int(row["seg_size_pe"]) * vg.extent_size_sectors
        places = [f"{names[pv_id]}({(offset - 2048) // vg.extent_size_sectors})" for pv_id, offset in target.stripes]
        assert places == row["devices"].split(",")
        for pv_id, offset in target.stripes:
            disk = lzma.decompress((GOLDEN / f"lvm2/striped/{names[pv_id]}.img.xz").read_bytes())
            number = names[pv_id].removeprefix("pv")
            extent = (offset - 2048) // vg.extent_size_sectors
            assert f"P{number}E{extent:02}C000".encode() in disk[offset * 512 : offset * 512 + 4096]


def test_segments_of_both_kinds_follow_each_other(golden_vg: GoldenVg) -> None:
    vg = golden_vg("lvm2-crypt/V15_mixed/raw_text")
    for lv in vg.lvs:
        if not lv.is_visible:
            continue
        mapping = map_volume(vg, lv)
        ends = [0, *(target.end_sectors for target in mapping.targets)]
        assert [target.start_sectors for target in mapping.targets] == ends[:-1]
        assert ends[-1] == mapping.length_sectors


def test_two_segments_have_a_target_each(golden_vg: GoldenVg) -> None:
    vg = golden_vg("lvm2-crypt/V14_two_segments/raw_text")
    (lv,) = (lv for lv in vg.lvs if len(lv.segments) == 2)
    targets = [target for target in map_volume(vg, lv).targets if isinstance(target, CryptTarget)]
    assert [target.iv_offset_sectors for target in targets] == [target.start_sectors for target in targets]
    assert targets[1].start_sectors == lv.segments[0].length_le * 8192


def test_keystore_is_never_activated(sound_vg: VolumeGroup) -> None:
    with pytest.raises(RefusedError, match="vg/cryptostore1 is a hidden volume"):
        map_volume(sound_vg, sound_vg.lv("cryptostore1"))


def test_volume_with_a_dangling_keystore_is_not_activated_but_others_are(sound_vg: VolumeGroup) -> None:
    one = sound_vg.lv("one")
    vg = sound_vg.with_lv(one.replace(segments=(one.segments[0].replace(crypto_store="gone"),)))
    with pytest.raises(CheckError, match="gone does not exist"):
        map_volume(vg, vg.lv("one"))
    assert map_volume(vg, vg.lv("two")).targets


def test_volume_on_a_missing_pv_is_not_activated_but_others_are(sound_vg: VolumeGroup) -> None:
    first, second = sound_vg.pvs
    vg = sound_vg.replace(pvs=(first, second.replace(flags=("MISSING",))))
    for name in ("lin", "two"):
        with pytest.raises(RefusedError, match="missing"):
            map_volume(vg, vg.lv(name))
    assert map_volume(vg, vg.lv("one")).targets


@pytest.mark.parametrize(
    ("case", "name"), [("thin", "t1"), ("thin", "pool"), ("raid1_raid5", "r1"), ("raid1_raid5", "r5")]
)
def test_types_of_lvm2_that_are_not_managed_are_refused_by_name(case: str, name: str, golden_vg: GoldenVg) -> None:
    vg = golden_vg(f"lvm2/{case}/raw_text_pv0_mda0")
    with pytest.raises(RefusedError, match=vg.lv(name).segments[0].type_name):
        map_volume(vg, vg.lv(name))


def test_crypt_segment_on_a_hidden_volume_is_a_mapping_over_another(golden_vg: GoldenVg) -> None:
    vg = golden_vg("lvm2-crypt/V10_sublv/raw_text")
    lv, below = vg.lv("tst"), vg.lv("tst_cdata")
    mapping = map_volume(vg, lv)
    (target,) = mapping.targets
    assert isinstance(target, CryptTarget)
    assert (target.pv_id, target.offset_sectors) == (below.id, 0)
    (layer,) = mapping.layers
    assert (layer.lv_id, layer.length_sectors) == (below.id, mapping.length_sectors)
    (inner,) = layer.targets
    assert isinstance(inner, LinearTarget)
    assert mapping.pv_ids == inner.pv_ids, "the hidden volume is no PV"


@pytest.mark.parametrize(
    ("lv_status", "vg_status", "writable"),
    [
        (("READ", "WRITE", "VISIBLE"), ("READ", "WRITE"), True),
        (("READ", "VISIBLE"), ("READ", "WRITE"), False),
        (("READ", "WRITE", "VISIBLE"), ("READ",), False),
    ],
)
def test_mapping_is_writable_when_volume_and_group_are(
    sound_vg: VolumeGroup, lv_status: tuple[str, ...], vg_status: tuple[str, ...], writable: bool
) -> None:
    vg = sound_vg.replace(status=vg_status)
    lv = vg.lv("lin").replace(status=lv_status)
    assert map_volume(vg.with_lv(lv), lv).writable is writable


def test_base_target_lies_nowhere() -> None:
    with pytest.raises(NotImplementedError):
        _ = Target(start_sectors=0, length_sectors=1).pv_ids
