"""A logical volume as a list of targets, the common ground of both activations (design: one mapping, two uses).

Numbers are sectors of 512 bytes. The order and meaning of the fields are those of a device-mapper table line.
"""

from __future__ import annotations

from cryptlv.record import Record


class Target(Record):
    """`length_sectors` of a volume from `start_sectors` on. The base of all targets; never used by itself."""

    start_sectors: int
    length_sectors: int

    @property
    def end_sectors(self) -> int:
        """The first sector behind the target."""
        return self.start_sectors + self.length_sectors


class LinearTarget(Target):
    """Sectors that lie on one physical volume as they are (dm-linear). `pv_id` is the PV's hyphenated UUID."""

    pv_id: str
    offset_sectors: int


class StripedTarget(Target):
    """Sectors interleaved over several places (dm-stripe).

    `stripes` holds (pv_id, offset_sectors) pairs; a run of `chunk_sectors` lies on each in turn.
    """

    chunk_sectors: int
    stripes: tuple[tuple[str, int], ...]


class CryptTarget(Target):
    """Sectors encrypted on one physical volume (dm-crypt).

    The tweak of the target's sector n is `iv_offset_sectors + n`; the key and cipher are those of the keystore LV
    `crypto_store`.
    """

    pv_id: str
    offset_sectors: int
    crypto_store: str
    iv_offset_sectors: int


class VolumeMapping(Record):
    """All targets of a volume, without gaps, in order; together `length_sectors`."""

    vg_name: str
    vg_id: str
    lv_name: str
    lv_id: str
    length_sectors: int
    targets: tuple[Target, ...]
    writable: bool = True
