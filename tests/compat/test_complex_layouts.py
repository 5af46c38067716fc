"""Layouts of every kind that stock lvm2 knows: each field and each line of its reports is ours too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.report.fields import usable_fields
from support.compare import (
    STATE_OF_THE_KERNEL,
    assert_rewrite_keeps_all,
    assert_same_reports,
)
from support.texts import Volumes, restore, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.machine import Machine
    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]

MAKE = ("lvcreate", "-an", "-Zn", "-Wn", "-y")


def mirrors(vg: Volumes) -> None:
    """One with its log in memory, one with it on disk."""
    vg.one("core", "mirror", 4, mirror_count=2, region_size=1024, mirrors=("core_mimage_0", 0, "core_mimage_1", 0))
    images = ("disk_mimage_0", 0, "disk_mimage_1", 0, "disk_mimage_2", 0)
    vg.one("disk", "mirror", 4, mirror_count=3, mirror_log="disk_mlog", region_size=2048, mirrors=images)
    for number in range(2):
        vg.part(f"core_mimage_{number}", 4, number)
    for number in range(3):
        vg.part(f"disk_mimage_{number}", 4, number)
    vg.part("disk_mlog", 1, 2)


def mirror_in_conversion(vg: Volumes) -> None:
    """An image is added: a mirror of a mirror."""
    vg.one("m", "mirror", 8, mirror_count=2, region_size=1024, mirrors=("m_mimagetmp_2", 0, "m_mimage_2", 0))
    images = ("m_mimage_0", 0, "m_mimage_1", 0)
    inner = segment("mirror", 8, mirror_count=2, mirror_log="m_mlog", region_size=1024, mirrors=images)
    vg.add("m_mimagetmp_2", inner, hidden=True)
    for number in range(3):
        vg.part(f"m_mimage_{number}", 8, number)
    vg.part("m_mlog", 1, 2)


def raid(
    vg: Volumes, name: str, kind: str, length: int, count: int, each: int, *, hidden: bool = False, **items: object
) -> None:
    """A RAID volume of `count` images of `each` extents."""
    names = [f"{name}_{part}_{number}" for number in range(count) for part in ("rmeta", "rimage")]
    if kind == "raid0":
        names = names[1::2]
    counted = "stripe_count" if kind.startswith("raid0") else "device_count"
    words = {counted: count, **items, "raid0_lvs" if kind == "raid0" else "raids": tuple(names)}
    vg.add(name, segment(kind, length, **words), hidden=hidden)
    for place, part in enumerate(names):
        vg.part(part, 1 if "_rmeta_" in part else each, place * count // len(names) % 3)


def raids_of_stripes(vg: Volumes) -> None:
    raid(vg, "r0", "raid0", 4, 2, 2, stripe_size=128)
    raid(vg, "r0m", "raid0_meta", 6, 3, 2, stripe_size=64)
    raid(vg, "r1", "raid1", 2, 3, 2, region_size=4096)
    raid(vg, "r10", "raid10", 4, 4, 2, data_copies=2, region_size=4096, stripe_size=128)


def raids_of_one_parity(vg: Volumes) -> None:
    raid(vg, "r4", "raid4", 4, 3, 2, region_size=4096, stripe_size=64)
    for kind in ("raid5_n", "raid5_la", "raid5_ls", "raid5_ra", "raid5_rs"):
        raid(vg, kind, kind, 6, 4, 2, region_size=4096, stripe_size=128)


def raids_of_two_parities(vg: Volumes) -> None:
    for kind in ("zr", "nr", "nc", "n_6", "ls_6", "rs_6", "la_6", "ra_6"):
        raid(vg, f"r{kind}", f"raid6_{kind}", 3, 5, 1, region_size=4096, stripe_size=128)


def raid_settings(vg: Volumes) -> None:
    images = ("r_rmeta_0", "r_rimage_0", "r_rmeta_1", "r_rimage_1")
    rates = {"writebehind": 64, "min_recovery_rate": 128, "max_recovery_rate": 256}
    vg.add("r", segment("raid1", 4, device_count=2, region_size=4096, **rates, raids=images), status=("NOTSYNCED",))
    vg.part("r_rmeta_0", 1, 0)
    vg.part("r_rimage_0", 4, 0)
    vg.part("r_rmeta_1", 1, 1)
    vg.add("r_rimage_1", vg.run(4, 1), hidden=True, status=("WRITEMOSTLY", "REBUILD"))


def cache_pool(vg: Volumes, name: str, *, hidden: bool = True, **items: object) -> None:
    parts = {"data": f"{name}_cdata", "metadata": f"{name}_cmeta", "chunk_size": 128, **items}
    vg.add(name, segment("cache-pool", 3, **parts), hidden=hidden)
    vg.part(f"{name}_cdata", 3, 1)
    vg.part(f"{name}_cmeta", 2, 1)


def caches(vg: Volumes) -> None:
    """A cache with a pool, a pool that nobody uses."""
    vg.one("c", "cache", 10, cache_pool="fast_cpool", origin="c_corig")
    settings = {"migration_threshold": 2048}
    cache_pool(vg, "fast_cpool", metadata_format=2, cache_mode="writethrough", policy="smq", policy_settings=settings)
    cache_pool(vg, "idle", hidden=False)
    vg.part("c_corig", 10, 0)
    vg.part("lvol0_pmspare", 2, 2)


def cache_volumes(vg: Volumes) -> None:
    """A cache and a write cache that keep data and metadata in one volume."""
    places = {"metadata_start": 0, "metadata_len": 2048, "data_start": 2048, "data_len": 6144}
    ids = {f"{part}_id": f"ABCDEF-0000-0000-0000-0000-0000-{part[:4]:x>6}" for part in ("metadata", "data")}
    vg.one(
        "c", "cache+CACHE_USES_CACHEVOL", 10, cache_pool="fast_cvol", origin="c_corig", metadata_format=2,
        chunk_size=64, cache_mode="writeback", policy="smq", **places, **ids,
    )  # fmt: skip
    vg.one("w", "writecache", 6, writecache="quick_cvol", origin="w_wcorig", writecache_block_size=4096)
    vg.part("c_corig", 10, 0)
    vg.part("w_wcorig", 6, 2)
    vg.part("fast_cvol", 4, 1, flags=("CACHE_VOL",))
    vg.part("quick_cvol", 4, 1, flags=("CACHE_VOL",))


def old_snapshot(vg: Volumes, origin: str, store: str, length: int, key: str = "cow_store") -> None:
    number = vg.text.count('type = "snapshot"')
    words = {"chunk_size": 8 + 8 * number, "origin": origin, key: store}
    vg.add(f"snapshot{number}", segment("snapshot", length, **words), hidden=True)


def old_snapshots(vg: Volumes) -> None:
    """Two of one volume, one of a RAID volume, one of a volume that is merged."""
    for name, length, pv in (
        ("home", 6, 0),
        ("s1", 3, 1),
        ("s2", 2, 1),
        ("sr", 2, 2),
        ("merged", 4, 2),
        ("sm", 1, 0),
    ):
        vg.linear(name, length, pv)
    raid(vg, "r", "raid1", 4, 2, 4, region_size=4096)
    old_snapshot(vg, "home", "s1", 6)
    old_snapshot(vg, "home", "s2", 6)
    old_snapshot(vg, "r", "sr", 4)
    old_snapshot(vg, "merged", "sm", 4, "merging_store")


def old_snapshot_of_nothing(vg: Volumes) -> None:
    """A sparse volume of old: a snapshot of an origin without extents."""
    vg.linear("sparse", 3, 1)
    vg.add("sparse_vorigin", segment("zero", 100), hidden=True)
    old_snapshot(vg, "sparse_vorigin", "sparse", 100)


def thin_pool(vg: Volumes, **items: object) -> None:
    parts = {"metadata": "pool_tmeta", "pool": "pool_tdata", "transaction_id": 3, "chunk_size": 128}
    words = {"discards": "passdown", "zero_new_blocks": 1, **items}
    vg.one("pool", "thin-pool", 12, **parts, **words)
    vg.part("pool_tmeta", 2, 1)
    vg.part("lvol0_pmspare", 2, 2)


def thin(vg: Volumes, name: str, number: int, *, flags: tuple[str, ...] = (), **items: object) -> None:
    words = {"thin_pool": "pool", "transaction_id": number - 1, "device_id": number, **items}
    vg.add(name, segment("thin", 100, **words), flags=flags)


def thin_volumes(vg: Volumes) -> None:
    """Snapshots of snapshots, several of one origin, of a volume outside the pool."""
    thin_pool(vg)
    thin(vg, "t1", 1)
    thin(vg, "t1s", 2, flags=("ACTIVATION_SKIP",), origin="t1")
    thin(vg, "t1ss", 3, origin="t1s")
    thin(vg, "again", 4, origin="t1")
    thin(vg, "out1", 5, external_origin="base")
    thin(vg, "out2", 6, external_origin="base")
    vg.linear("base", 6, 2)
    vg.part("pool_tdata", 12, 0)


def thin_settings(vg: Volumes) -> None:
    """Messages that wait for the pool, no zeroing, a snapshot that is merged."""
    thin_pool(vg, zero_new_blocks=0, discards="ignore", message1={"create": "t1"}, message2={"delete": 7})
    thin(vg, "t1", 1)
    thin(vg, "t2", 2)
    thin(vg, "t2s", 3, origin="t2", merge="t2")
    vg.part("pool_tdata", 12, 0)


def thin_on_raid(vg: Volumes) -> None:
    thin_pool(vg, discards="nopassdown")
    thin(vg, "t1", 1)
    raid(vg, "pool_tdata", "raid1", 12, 2, 12, hidden=True, region_size=1024)


def thin_on_cache(vg: Volumes) -> None:
    thin_pool(vg)
    thin(vg, "t1", 1)
    vg.add("pool_tdata", segment("cache", 12, cache_pool="fast_cpool", origin="pool_tdata_corig"), hidden=True)
    cache_pool(vg, "fast_cpool", metadata_format=2, cache_mode="writethrough", policy="smq")
    vg.part("pool_tdata_corig", 12, 0)


def history(vg: Volumes) -> None:
    """A removed volume between a snapshot and its origin."""
    thin_pool(vg)
    thin(vg, "t1", 1)
    thin(vg, "t1ss", 3)
    vg.part("pool_tdata", 12, 0)
    times = {"creation_time": 1700000000, "removal_time": 1700000009}
    vg.past("t1s", name="t1s", **times, origin="t1", descendants=("t1ss",))


def vdo(vg: Volumes) -> None:
    numbers = {
        "header_size": 1024, "virtual_extents": 100, "use_compression": 1, "use_deduplication": 1,
        "use_metadata_hints": 1, "minimum_io_size": 4096, "block_map_cache_size_mb": 128,
        "block_map_era_length": 16380, "index_memory_size_mb": 256, "max_discard": 1, "slab_size_mb": 2048,
        "ack_threads": 1, "bio_threads": 4, "bio_rotation": 64, "cpu_threads": 2, "hash_zone_threads": 1,
        "logical_threads": 1, "physical_threads": 1, "write_policy": "auto",
    }  # fmt: skip
    vg.one("v", "vdo", 100, vdo_pool="vpool", vdo_offset=0)
    vg.one("vpool", "vdo-pool", 20, data="vpool_vdata", **numbers)
    vg.part("vpool_vdata", 20, 0)


def integrity(vg: Volumes) -> None:
    words = {"data_sectors": 8192, "mode": "J", "tag_size": 4, "block_size": 512, "internal_hash": "crc32c"}
    images = ("r_rmeta_0", "r_rimage_0", "r_rmeta_1", "r_rimage_1")
    vg.one("r", "raid1", 4, device_count=2, region_size=4096, raids=images)
    for number in range(2):
        image = f"r_rimage_{number}"
        vg.part(f"r_rmeta_{number}", 1, number)
        more = {**words, "meta_dev": f"{image}_imeta", "recalculate": 1}
        vg.add(image, segment("integrity", 4, origin=f"{image}_iorig", **more), hidden=True)
        vg.part(f"{image}_iorig", 4, number)
        vg.part(f"{image}_imeta", 1, number)


def without_devices(vg: Volumes) -> None:
    """Types that give errors or zeroes, and one that stock does not know either."""
    vg.one("e", "error", 5)
    vg.one("z", "zero", 7)
    vg.add("mix", vg.run(3), segment("error", 2), segment("zero", 1), vg.run(1))
    vg.one("strange", "of-the-future", 4, key="value", list=("a", 1), section={"deep": 1})


def pvmove(vg: Volumes) -> None:
    """Half of a volume moves by a mirror of places, another by a mirror of volumes."""
    moved = segment("striped", 4, stripe_count=1, stripes=("pvmove0", 0))
    vg.add("a", moved, vg.run(3, 1), status=("LOCKED",))
    vg.add("b", segment("striped", 2, stripe_count=1, stripes=("pvmove1", 0)), status=("LOCKED",))
    mirror = {"mirror_count": 2, "extents_moved": 1, "region_size": 1024}
    places = segment("mirror", 4, **mirror, mirrors=(*vg.place(0, 4), *vg.place(2, 4)))
    vg.add("pvmove0", places, hidden=True, status=("PVMOVE", "LOCKED"), more={"allocation_policy": "contiguous"})
    volumes = segment("mirror", 2, **mirror, mirrors=("pvmove1_mimage_0", 0, "pvmove1_mimage_1", 0))
    vg.add("pvmove1", volumes, hidden=True, status=("PVMOVE", "LOCKED"), more={"allocation_policy": "cling"})
    vg.part("pvmove1_mimage_0", 2, 1)
    vg.part("pvmove1_mimage_1", 2, 2)


def many_segments(vg: Volumes) -> None:
    vg.add("many", *(vg.run(1 + number % 3, number % 3) for number in range(30)))
    striped = segment("striped", 6, stripe_count=3, stripe_size=128, stripes=tuple(_places(vg)))
    vg.add("mix", vg.run(2), striped, {**vg.run(1, 2), "tags": ("x", "b")})


def _places(vg: Volumes) -> Iterator[object]:
    for pv in range(3):
        yield from vg.place(pv, 2)


def every_attribute(vg: Volumes) -> None:
    flags: tuple[tuple[str, ...], ...] = ((), ("ACTIVATION_SKIP",), ("NOAUTOACTIVATE",))
    statuses: tuple[tuple[str, ...], ...] = ((), ("NOTSYNCED",), ("LOCKED",))
    for number, pair in enumerate((flag, status) for flag in flags for status in statuses):
        vg.add(f"a{number}", vg.run(1, number % 3), flags=pair[0], status=pair[1])
    for policy in ("contiguous", "cling", "cling_by_tags", "normal", "anywhere"):
        vg.add(policy, vg.run(1), more={"allocation_policy": policy})
    numbers = {"major": 253, "minor": 9, "read_ahead": 512, "tags": ("z", "a/b")}
    vg.add("numbers", vg.run(1), status=("FIXED_MINOR",), more=numbers)
    vg.add("minus", vg.run(1), more={"read_ahead": -1, "profile": "thin-generic"})


def a_bit_of_all(vg: Volumes) -> None:
    """For groups of which a PV is gone: what lies on it, or needs what does."""
    vg.linear("ok", 2, 1)
    vg.add("two", vg.run(2, 0), vg.run(1, 1))
    raid(vg, "r", "raid1", 4, 2, 4, region_size=4096)
    vg.linear("home", 2, 0)
    vg.linear("cow", 1, 1)
    vg.linear("store", 1, 0)
    vg.linear("kept", 2, 1)
    old_snapshot(vg, "home", "cow", 2)
    old_snapshot(vg, "kept", "store", 2)
    vg.one("c", "cache", 4, cache_pool="fast_cpool", origin="c_corig")
    cache_pool(vg, "fast_cpool", metadata_format=2, cache_mode="writethrough", policy="smq")
    vg.part("c_corig", 4, 0)
    thin_pool(vg)
    thin(vg, "t1", 1)
    thin(vg, "t1s", 2, origin="t1")
    vg.part("pool_tdata", 12, 0)
    mirrors(vg)


TEXTS: dict[str, Callable[[Volumes], None]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        mirrors, mirror_in_conversion, raids_of_stripes, raids_of_one_parity, raids_of_two_parities, raid_settings,
        caches, cache_volumes, old_snapshots, old_snapshot_of_nothing, thin_volumes, thin_settings, thin_on_raid,
        thin_on_cache, history, vdo, integrity, without_devices, pvmove, many_segments, every_attribute,
    )
}  # fmt: skip


@pytest.fixture
def nodes(machine: Machine, stock: StockLvm) -> list[Path]:
    """Three devices of 128 MiB with nothing on them."""
    return [stock.attach(machine.image(f"{number}.img", 128)) for number in range(3)]


@pytest.fixture
def group(stock: StockLvm, nodes: list[Path]) -> list[Path]:
    """The same in a volume group `vg` of extents of 1 MiB."""
    stock.run("vgcreate", "-s", "1m", "vg", *nodes)
    return nodes


@pytest.mark.parametrize("layout", TEXTS)
def test_reports_are_the_same(machine: Machine, stock: StockLvm, group: list[Path], layout: str) -> None:
    """And when we write such a group, stock's backup of it differs in what was changed only."""
    restore(stock, machine.folder, TEXTS[layout])
    assert_same_reports(machine, stock, group, texts=True)
    assert_rewrite_keeps_all(machine, stock, group)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"RESIZEABLE", "READ", "WRITE"', '"READ"'),
        ("extent_size", 'lock_type = "none"\nextent_size'),
        ("extent_size", 'profile = "thin-generic"\nextent_size'),
        ("flags = []", 'flags = ["NOAUTOACTIVATE"]'),
    ],
)
def test_states_of_a_group(machine: Machine, stock: StockLvm, group: list[Path], old: str, new: str) -> None:
    restore(stock, machine.folder, many_segments, swaps=((old, new),))
    assert_same_reports(machine, stock, group, texts=True)


def test_a_physical_volume_is_absent(machine: Machine, stock: StockLvm, group: list[Path]) -> None:
    restore(stock, machine.folder, a_bit_of_all)
    group.pop(0).unlink()
    assert_same_reports(machine, stock, group, texts=True)


def test_a_physical_volume_has_come_back_but_counts_as_missing(
    machine: Machine, stock: StockLvm, group: list[Path]
) -> None:
    restore(stock, machine.folder, a_bit_of_all)
    group[0].rename(stock.folder / "away")
    stock.run("lvremove", "-y", "vg/ok")
    (stock.folder / "away").rename(group[0])
    assert_same_reports(machine, stock, group, texts=True)


def test_metadata_areas_that_are_ignored(machine: Machine, stock: StockLvm, group: list[Path]) -> None:
    for node in group[::2]:
        stock.run("pvchange", "--metadataignore", "y", node)
    stock.run(*MAKE, "-l3", "-na", "vg")
    assert_same_reports(machine, stock, group, texts=True)


def test_odd_names(machine: Machine, stock: StockLvm, nodes: list[Path]) -> None:
    for name, node in zip(("v+g_1.x-y", "_vg.", "+-+"), nodes, strict=True):
        stock.run("vgcreate", name, node)
        for volume in ("a+b", "_.", "a--b-c", "+", "A" * 60):
            stock.run(*MAKE, "-l1", "-n", volume, name)
    assert_same_reports(machine, stock, nodes, texts=True)


def test_an_exported_group_with_tags(machine: Machine, stock: StockLvm, group: list[Path]) -> None:
    restore(stock, machine.folder, every_attribute)
    stock.run("vgchange", "--addtag", "z", "--addtag", "a/b", "vg")
    stock.run("pvchange", "--addtag", "p1", group[0])
    stock.run("vgexport", "vg")
    assert_same_reports(machine, stock, group, texts=True)


@pytest.mark.parametrize("extent", ["1k", "1g"])
def test_smallest_and_large_extents(machine: Machine, stock: StockLvm, extent: str) -> None:
    nodes = [stock.attach(machine.image(f"{number}.img", 2500)) for number in range(3)]
    stock.run("vgcreate", "-s", extent, "vg", *nodes)
    stock.run(*MAKE, "-l5", "-na", "vg")
    if extent == "1k":
        stock.run(*MAKE, "-i3", "-I4k", "-l4098", "-nb", "vg")
    assert_same_reports(machine, stock, nodes, texts=True)


def test_many_physical_volumes(machine: Machine, stock: StockLvm) -> None:
    nodes = [stock.attach(machine.image(f"{number}.img", 16)) for number in range(12)]
    stock.run("vgcreate", "-s", "1m", "vg", *nodes)
    stock.run(*MAKE, "-i12", "-l24", "-na", "vg")
    stock.run(*MAKE, "-l100%FREE", "-nb", "vg")
    assert_same_reports(machine, stock, nodes, texts=True)


def test_two_groups_of_the_same_name(machine: Machine, stock: StockLvm, nodes: list[Path]) -> None:
    nodes.sort(key=lambda node: node.stat().st_rdev)  # as stock looks at them, which decides which group comes first
    first, *others = nodes
    stock.run("vgcreate", "vg", first)
    stock.run(*MAKE, "-l2", "-na", "vg")
    first.rename(stock.folder / "away")
    stock.run("vgcreate", "vg", *others)
    stock.run(*MAKE, "-l3", "-na", "vg")
    (stock.folder / "away").rename(first)
    assert_same_reports(machine, stock, nodes, texts=True)


OTHERS = {
    "foreign": ('system_id = "there"', "--foreign", ""),
    "sanlock": ('lock_type = "sanlock"\nlock_args = "1.0.0:lvmlock"', "--shared", "1.0.0:70254592"),
    "dlm": ('lock_type = "dlm"\nlock_args = "1.0.0:cluster"', "--shared", "dlm"),
}


@pytest.mark.parametrize("whose", OTHERS)
def test_groups_of_others_are_left_out(machine: Machine, stock: StockLvm, group: list[Path], whose: str) -> None:
    """Reports have no line of them; what they are is told as stock tells it when it is asked to."""
    words, option, lock_args = OTHERS[whose]
    (stock.folder / "etc" / "lvmlocal.conf").write_text(
        'global { system_id_source = "lvmlocal" }\nlocal { system_id = "here" }\n'
    )

    def make(vg: Volumes) -> None:
        vg.add("a", vg.run(3), more={"lock_args": lock_args} if lock_args else {})
        if whose == "sanlock":
            vg.part("lvmlock", 2)

    restore(stock, machine.folder, make, swaps=(("extent_size", f"{words}\nextent_size"),))
    machine.environ["LVM_SYSTEM_DIR"] = str(stock.folder / "etc")
    assert_same_reports(machine, stock, group, texts=True)
    assert_same_reports(machine, stock, group, texts=True, more=(option,))


def test_enough_is_compared() -> None:
    assert len(TEXTS) + 13 >= 22 + 10
    assert {field.name for field in usable_fields("lv")} >= STATE_OF_THE_KERNEL
