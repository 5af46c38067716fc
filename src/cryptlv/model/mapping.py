"""A logical volume as a list of targets, the common ground of both activations (design: one mapping, two uses).

Numbers are sectors of 512 bytes. The order and meaning of the fields are those of a device-mapper table line.
"""

from __future__ import annotations

from cryptlv.errors import CheckError, RefusedError
from cryptlv.model.check import check_lv
from cryptlv.model.vg import PlaceLookup
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.model.vg import LogicalVolume, VolumeGroup


class Target(Record):
    """`length_sectors` of a volume from `start_sectors` on. The base of all targets; never used by itself."""

    start_sectors: int
    length_sectors: int

    @property
    def end_sectors(self) -> int:
        """The first sector behind the target."""
        return self.start_sectors + self.length_sectors

    @property
    def pv_ids(self) -> frozenset[str]:
        """The physical volumes, or hidden volumes of a stacked mapping, that it lies on."""
        raise NotImplementedError


class LinearTarget(Target):
    """Sectors that lie on one physical volume as they are (dm-linear). `pv_id` is the PV's hyphenated UUID."""

    pv_id: str
    offset_sectors: int

    @property
    def pv_ids(self) -> frozenset[str]:
        return frozenset((self.pv_id,))


class StripedTarget(Target):
    """Sectors interleaved over several places (dm-stripe).

    `stripes` holds (pv_id, offset_sectors) pairs; a run of `chunk_sectors` lies on each in turn.
    """

    chunk_sectors: int
    stripes: tuple[tuple[str, int], ...]

    @property
    def pv_ids(self) -> frozenset[str]:
        return frozenset(pv_id for pv_id, _ in self.stripes)


class CryptTarget(Target):
    """Sectors encrypted on one physical volume (dm-crypt).

    The tweak of the target's sector n is `iv_offset_sectors + n`; the key and cipher are those of the keystore LV
    `crypto_store`. `flags` are dm-crypt's words for how it works (`--crypt-flags`), which say nothing of the bytes.
    """

    pv_id: str
    offset_sectors: int
    crypto_store: str
    iv_offset_sectors: int
    flags: tuple[str, ...] = ()

    @property
    def pv_ids(self) -> frozenset[str]:
        return frozenset((self.pv_id,))


class VolumeMapping(Record):
    """All targets of a volume, without gaps, in order; together `length_sectors`.

    `layers` are the mappings of the hidden volumes below, whose ids stand where else those of PVs do. `read_ahead`
    (sectors, None for what the kernel thinks fit) and `minor` (None for any) are for devices of the kernel's.
    """

    vg_name: str
    vg_id: str
    lv_name: str
    lv_id: str
    length_sectors: int
    targets: tuple[Target, ...]
    writable: bool = True
    layers: tuple[VolumeMapping, ...] = ()
    read_ahead: int | None = None
    minor: int | None = None

    @property
    def pv_ids(self) -> frozenset[str]:
        """The physical volumes that the targets lie on, in the end."""
        places: set[str] = set()
        for target in self.targets:
            places |= target.pv_ids
        for layer in self.layers:
            places |= layer.pv_ids
        return frozenset(places.difference(layer.lv_id for layer in self.layers))

    @property
    def keystores(self) -> tuple[str, ...]:
        """The keystores whose keys the targets need, each once, in order."""
        return tuple(dict.fromkeys(t.crypto_store for t in self.targets if isinstance(t, CryptTarget)))


def refuse_parts(vg: VolumeGroup, lv: LogicalVolume) -> None:
    """Raise RefusedError for a volume that is part of another one of a type that is lvm2's, as the origin of a
    snapshot is: whoever wrote to it past that type would spoil the other one."""
    for other in vg.lvs:
        for segment in other.segments:
            if segment.is_opaque and any(name == lv.name for _, name in segment.parts()):
                where = f"{printable(vg.name)}/{printable(lv.name)}"
                raise RefusedError(
                    f"{where} is part of a volume of type {printable(segment.shown_type)}, which lvm2 activates and "
                    "deactivates"
                )


def map_volume(vg: VolumeGroup, lv: LogicalVolume) -> VolumeMapping:
    """The mapping of a logical volume.

    Raises RefusedError for a hidden volume, a missing physical volume or a segment type that cannot be activated, and
    CheckError when a segment breaks a rule.
    """
    name = f"{printable(vg.name)}/{printable(lv.name)}"
    if not lv.is_visible:
        raise RefusedError(f"{name} is a hidden volume and is not activated by itself")
    violations = check_lv(vg, lv)
    if violations:
        raise CheckError(violations)
    lookup = PlaceLookup(
        extent_size_sectors=vg.extent_size_sectors,
        pe_start_sectors={pv.id: pv.pe_start_sectors for pv in vg.pvs},
        lv_ids={other.name: other.id for other in vg.lvs},
    )
    mapping = _mapped(vg, lv, lookup)
    refuse_parts(vg, lv)
    for pv in vg.pvs:
        if pv.is_missing and pv.id in mapping.pv_ids:
            raise RefusedError(f"{name} cannot be activated: its physical volume {printable(pv.id)} is missing")
    return mapping


def _mapped(vg: VolumeGroup, lv: LogicalVolume, lookup: PlaceLookup) -> VolumeMapping:
    """The mapping of a volume that breaks no rule, and so is no part of itself."""
    below = dict.fromkeys(name for segment in lv.segments for _, name in segment.parts())
    return VolumeMapping(
        vg_name=vg.name,
        vg_id=vg.id,
        lv_name=lv.name,
        lv_id=lv.id,
        length_sectors=lv.length_le * vg.extent_size_sectors,
        targets=tuple(target for segment in lv.segments for target in segment.targets(lookup)),
        writable=lv.is_writable and vg.is_writable,
        layers=tuple(_mapped(vg, vg.lv(name), lookup) for name in below),
        read_ahead=lv.read_ahead,
        minor=lv.minor if "FIXED_MINOR" in lv.status else None,
    )
