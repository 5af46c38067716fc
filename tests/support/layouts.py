"""Metadata of volumes that stock lvm2 reads, but makes only with a kernel's device-mapper."""

from __future__ import annotations

import re


class Layout:
    """Texts of logical volumes, with extents of pv0, pv1, pv2 given out in order."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._next_pe = [0, 0, 0]

    def lv(self, name: str, length: int, items: str = "", *, status: str = "READ WRITE VISIBLE", flags: str = "",
           pv: int = 0) -> None:  # fmt: skip
        """A volume of one segment; linear on a PV when it has no items of its own."""
        if not items:
            items = f'type = "striped" stripe_count = 1 stripes = [ "pv{pv}", {self._next_pe[pv]} ]'
            self._next_pe[pv] += length
        words = [", ".join(f'"{word}"' for word in text.split()) for text in (status, flags)]
        self.parts.append(
            f'{name} {{ id = "LVLVLV-0000-0000-0000-0000-0000-{len(self.parts):06d}" status = [{words[0]}] '
            f'flags = [{words[1]}] creation_time = 1700000000 creation_host = "lab" segment_count = 1 '
            f"segment1 {{ start_extent = 0 extent_count = {length} {items} }} }}\n"
        )

    def part(self, name: str, length: int, pv: int = 0) -> None:
        """A hidden linear volume."""
        self.lv(name, length, status="READ WRITE", pv=pv)

    def raid(self, name: str, length: int, kind: str, count: int, each: int, extra: str = "") -> None:
        """A RAID volume of `count` images, `each` extents long."""
        pairs = ", ".join(f'"{name}_rmeta_{number}", "{name}_rimage_{number}"' for number in range(count))
        self.lv(name, length, f'type = "{kind}" device_count = {count} region_size = 1024 {extra} raids = [{pairs}]')
        for number in range(count):
            self.part(f"{name}_rmeta_{number}", 1, number % 3)
            self.part(f"{name}_rimage_{number}", each, number % 3)


def put_into(text: str, layout: Layout) -> str:
    """The backup of an empty volume group with the volumes in it, for vgcfgrestore."""
    end = re.search(r"\n}\n", text)
    assert end is not None
    return f"{text[: end.start()]}\nlogical_volumes {{\n{''.join(layout.parts)}}}\n{text[end.start() :]}"


def every_kind() -> Layout:
    """A volume of each kind that lvm2 2.03.16 knows, with the parts that it needs, for PVs of 45 extents."""
    layout = Layout()
    _mirrors(layout)
    _snapshots(layout)
    _thin(layout)
    _caches(layout)
    _vdo(layout)
    layout.lv("err", 2, 'type = "error"')
    layout.lv("zer", 2, 'type = "zero"')
    layout.lv("locked", 1, status="READ VISIBLE", flags="WRITE_LOCKED")
    return layout


def _mirrors(layout: Layout) -> None:
    layout.lv(
        "mir", 2,
        'type = "mirror" mirror_count = 2 mirror_log = "mir_mlog" region_size = 1024 '
        'mirrors = [ "mir_mimage_0", 0, "mir_mimage_1", 0 ]',
    )  # fmt: skip
    layout.part("mir_mlog", 1, 2)
    layout.part("mir_mimage_0", 2, 0)
    layout.part("mir_mimage_1", 2, 1)
    layout.lv(
        "core", 1,
        'type = "mirror" mirror_count = 3 region_size = 2048 '
        'mirrors = [ "core_mimage_0", 0, "core_mimage_1", 0, "core_mimage_2", 0 ]',
    )  # fmt: skip
    for number in range(3):
        layout.part(f"core_mimage_{number}", 1, number)
    layout.raid("r1", 2, "raid1", 2, 2)
    layout.raid("r5", 4, "raid5_ls", 3, 2, "stripe_size = 128")
    layout.raid("r10", 2, "raid10", 4, 1, "stripe_size = 128")
    layout.raid("r6", 3, "raid6_zr", 5, 1, "stripe_size = 128")
    layout.lv(
        "r0", 2, 'type = "raid0" stripe_count = 2 stripe_size = 128 raid0_lvs = [ "r0_rimage_0", "r0_rimage_1" ]'
    )
    layout.part("r0_rimage_0", 1, 0)
    layout.part("r0_rimage_1", 1, 1)


def _snapshots(layout: Layout) -> None:
    layout.lv("org", 3, pv=1)
    layout.lv("cow", 1, pv=2)
    layout.lv("cow2", 1, pv=2)
    for number, cow in enumerate(("cow", "cow2")):
        layout.lv(
            f"snapshot{number}", 3,
            f'type = "snapshot" chunk_size = {8 + 8 * number} origin = "org" cow_store = "{cow}"',
            status="READ WRITE",
        )  # fmt: skip


def _thin(layout: Layout) -> None:
    layout.lv("ext", 1, status="READ VISIBLE")
    for pool in ("pool", "pool2"):
        layout.lv(
            pool, 2,
            f'type = "thin-pool" metadata = "{pool}_tmeta" pool = "{pool}_tdata" transaction_id = 3 chunk_size = 128 '
            'discards = "passdown" zero_new_blocks = 1',
        )  # fmt: skip
        layout.part(f"{pool}_tmeta", 1, 0)
        layout.part(f"{pool}_tdata", 2, 1)
    layout.lv("thin1", 50, 'type = "thin" thin_pool = "pool" transaction_id = 0 device_id = 1')
    layout.lv(
        "thin2", 50, 'type = "thin" thin_pool = "pool" transaction_id = 1 device_id = 2 origin = "thin1"',
        flags="ACTIVATION_SKIP",
    )  # fmt: skip
    layout.lv("thin3", 1, 'type = "thin" thin_pool = "pool" transaction_id = 2 device_id = 3 external_origin = "ext"')
    layout.part("lvol0_pmspare", 1, 2)


def _caches(layout: Layout) -> None:
    layout.lv("cached", 2, 'type = "cache" cache_pool = "cpool" origin = "cached_corig"')
    layout.part("cached_corig", 2, 0)
    layout.lv(
        "cpool", 1,
        'type = "cache-pool" data = "cpool_cdata" metadata = "cpool_cmeta" chunk_size = 128 metadata_format = 2 '
        'cache_mode = "writethrough" policy = "smq" policy_settings { migration_threshold=2048 word="x \\"y\\\\" }',
        status="READ WRITE",
    )  # fmt: skip
    layout.lv("free_cp", 1, 'type = "cache-pool" data = "free_cp_cdata" metadata = "free_cp_cmeta" chunk_size = 256')
    for pool in ("cpool", "free_cp"):
        layout.part(f"{pool}_cdata", 1, 1)
        layout.part(f"{pool}_cmeta", 1, 2)
    layout.lv("old", 1, 'type = "cache" cache_pool = "old_cp" origin = "old_corig"')
    layout.part("old_corig", 1, 0)
    layout.lv(
        "old_cp", 1, 'type = "cache-pool" data = "old_cp_cdata" metadata = "old_cp_cmeta" chunk_size = 256',
        status="READ WRITE",
    )  # fmt: skip
    layout.part("old_cp_cdata", 1, 1)
    layout.part("old_cp_cmeta", 1, 2)
    layout.lv(
        "cv", 2,
        'type = "cache" cache_pool = "fast_cvol" origin = "cv_corig" chunk_size = 64 cache_mode = "writeback" '
        'policy = "smq" metadata_format = 2 metadata_start = 0 metadata_len = 2048 data_start = 2048 data_len = 6144',
    )  # fmt: skip
    layout.part("cv_corig", 2, 0)
    layout.lv("fast_cvol", 1, status="READ WRITE", flags="CACHE_VOL", pv=1)
    layout.lv("wc", 2, 'type = "writecache" origin = "wc_wcorig" writecache = "w_cvol" writecache_block_size = 4096')
    layout.part("wc_wcorig", 2, 2)
    layout.lv("w_cvol", 1, status="READ WRITE", flags="CACHE_VOL", pv=1)


def _vdo(layout: Layout) -> None:
    numbers = {
        "header_size": 1024, "virtual_extents": 10, "use_compression": 1, "use_deduplication": 1,
        "use_metadata_hints": 1, "minimum_io_size": 4096, "block_map_cache_size_mb": 128,
        "block_map_era_length": 16380, "use_sparse_index": 0, "index_memory_size_mb": 256, "max_discard": 1,
        "slab_size_mb": 2048, "ack_threads": 1, "bio_threads": 4, "bio_rotation": 64, "cpu_threads": 2,
        "hash_zone_threads": 1, "logical_threads": 1, "physical_threads": 1,
    }  # fmt: skip
    items = " ".join(f"{key} = {value}" for key, value in numbers.items())
    layout.lv("vpool", 3, f'type = "vdo-pool" data = "vpool_vdata" {items} write_policy = "auto"')
    layout.part("vpool_vdata", 3, 2)
    layout.lv("vdo1", 9, 'type = "vdo" vdo_pool = "vpool" vdo_offset = 0')
