"""The volume group and its parts: frozen values, as LVM2 metadata has them (lvm2's lib/format_text/export.c).

A physical volume is always named by its id here; the words pv0, pv1, ... exist in the text only.
"""

from __future__ import annotations

from cryptlv.errors import NotFoundError, RefusedError
from cryptlv.names import printable
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeAlias

    from cryptlv.model.mapping import Target
    from cryptlv.model.nodes import Item, Section

    Area: TypeAlias = "PvArea | LvArea"
    Footprint: TypeAlias = tuple[str, int, int]

DEFAULT_EXTENT_SIZE_SECTORS = 8192
"""4 MiB, lvm2's default."""


class PvArea(Record):
    """A place on a physical volume, in extents."""

    pv_id: str
    start_pe: int


class LvArea(Record):
    """A place in another (hidden) logical volume, in extents."""

    lv_name: str
    start_le: int


class Segment(Record):
    """`length_le` logical extents from `start_le` on, and how they come to be. Each type is a subclass."""

    start_le: int
    length_le: int
    tags: tuple[str, ...] = ()

    @property
    def type_name(self) -> str:
        """The word behind `type =` in the metadata."""
        raise NotImplementedError

    @property
    def shown_type(self) -> str:
        """What reports call the type (`linear` for a striped segment of one stripe)."""
        return self.type_name

    @property
    def end_le(self) -> int:
        """The first logical extent behind the segment."""
        return self.start_le + self.length_le

    @property
    def keystores(self) -> tuple[str, ...]:
        """Names of the keystores without which the segment cannot be read."""
        return ()

    @property
    def is_opaque(self) -> bool:
        """Whether it is of a type that is kept but not understood."""
        return False

    def with_names(self, names: Mapping[str, str]) -> Segment:
        """The same segment where volumes that it names have new names, given by their old ones.

        What is not understood stays as it is. Raises RefusedError where it cannot be known what a word means.
        """
        return self

    def own_parts(self) -> Iterator[str]:
        """The volumes below whose names follow that of the segment's volume."""
        return (name for _, name in self.parts())

    def places(self) -> tuple[Area, ...]:
        """The areas that it is made of, as far as the type is understood: one for each stripe."""
        return ()

    @property
    def is_unknown(self) -> bool:
        """Whether it is of a type that neither lvm2 nor this program manages: where it lies is not known then."""
        return False

    def mentioned(self) -> Iterator[str]:
        """Words in which other volumes may be named; what is not understood gives all that it has."""
        return iter(())

    def plain_place(self) -> Footprint | None:
        """The one place that the segment has, when no rule but those of places can be broken by it and nothing else
        stands in it; else None."""
        return None

    def parts(self) -> Iterable[tuple[str, str]]:
        """The volumes that the segment is made of: (field, name), as the text has them."""
        return ()

    def makes_visible(self) -> Iterator[str]:
        """Names of volumes that users see because of this segment, though their own status does not say so."""
        return iter(())

    def with_crypt_flags(self, flags: tuple[str, ...]) -> Segment | None:
        """The same segment with dm-crypt's flags, None when it is not encrypted."""
        return None

    def made_safe(self) -> Segment:
        """The same segment in a form that stock lvm2 can read."""
        return self

    def footprint(self) -> Iterator[Footprint]:
        """The physical extents in use: (pv_id, start_pe, length_pe) for each area."""
        return iter(())

    def part(self, skip_le: int, length_le: int) -> Segment:
        """The same segment from its extent `skip_le` on, `length_le` long, at the logical place it has now.

        Raises RefusedError for types that cannot be cut.
        """
        raise RefusedError(f"segments of type {self.type_name} cannot be cut")

    def with_pv_ids(self, pv_ids: Mapping[str, str]) -> Segment:
        """The same segment on PVs that have got new ids: `pv_ids` has them by their old ones."""
        return self

    def rescaled(self, scale: Callable[[int], int]) -> Segment:
        """The same segment in extents of another size; `scale` turns a number of old extents into one of new ones.

        Raises RefusedError for types that are not understood.
        """
        raise RefusedError(f"segments of type {self.shown_type} are not understood: use lvm2's vgchange")

    @property
    def le_per_pe(self) -> int:
        """Logical extents behind one extent of each of its areas: its stripes."""
        return 1

    @property
    def data_offset_sectors(self) -> int:
        """Where the data begin in its first extent; when not at 0, one extent more than its length belongs to it."""
        return 0

    @property
    def is_indivisible(self) -> bool:
        """Whether it is moved as a whole only."""
        return False

    def movable(self) -> Iterator[tuple[int, PvArea]]:
        """Its areas on physical volumes that may be put elsewhere, each with its number."""
        return iter(())

    def moved(self, number: int, area: PvArea) -> Segment:
        """The same segment with area `number` at another place, where its data begin with the first extent.

        Raises RefusedError for types that cannot be moved.
        """
        raise RefusedError(f"segments of type {self.type_name} cannot be moved")

    def joined(self, following: Segment) -> Segment | None:
        """This segment and the one behind it as one, None when they are two (lvm2's `merge_segments` of the type)."""
        return None

    def targets(self, lookup: PlaceLookup) -> Iterator[Target]:
        """The mapping of this segment; raises RefusedError for types that cannot be mapped."""
        raise RefusedError(f"segments of type {self.type_name} cannot be activated")

    def check(self, lv: LogicalVolume, around: Surroundings) -> Iterable[tuple[str, str]]:
        """What is wrong with the segment, which is one of `lv`'s: (field, line) for each."""
        return ()

    def render_items(self, pv_names: Mapping[str, str]) -> Iterable[Item]:
        """The type's own items in the text, in order, with PVs by the names `pv_names` gives their ids."""
        raise NotImplementedError


class Surroundings(Record):
    """What a segment's check may look at: its volume group, and the group's volumes by name."""

    vg: VolumeGroup
    lvs: Mapping[str, LogicalVolume]


class PlaceLookup(Record):
    """Where extents lie, in sectors, for the making of targets; `lv_ids` has the ids of volumes by their names."""

    extent_size_sectors: int
    pe_start_sectors: Mapping[str, int]
    lv_ids: Mapping[str, str]

    def sector(self, area: Area) -> int:
        """The sector, from the start of its PV or hidden volume, at which an area begins."""
        if isinstance(area, LvArea):
            return area.start_le * self.extent_size_sectors
        return self.pe_start_sectors[area.pv_id] + area.start_pe * self.extent_size_sectors

    def place_id(self, area: Area) -> str:
        """The id of the PV or the hidden volume that an area is on."""
        return self.lv_ids[area.lv_name] if isinstance(area, LvArea) else area.pv_id


class PhysicalVolume(Record):
    """A physical volume as its volume group knows it; sizes in sectors. `device` is a hint only."""

    id: str
    device: str
    status: tuple[str, ...] = ("ALLOCATABLE",)
    flags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    dev_size_sectors: int = 0
    pe_start_sectors: int
    pe_count: int
    ba_start_sectors: int = 0
    ba_size_sectors: int = 0
    device_id_type: str = ""
    device_id: str = ""
    extra: tuple[Item, ...] = ()

    @property
    def is_missing(self) -> bool:
        """Whether the metadata says that the device was gone when it was last written."""
        return "MISSING" in self.flags or "MISSING" in self.status

    @property
    def is_allocatable(self) -> bool:
        """Whether new extents may be taken from it."""
        return "ALLOCATABLE" in self.status and not self.is_missing


class LogicalVolume(Record):
    """A logical volume; `None` and "" stand for what the text does not have."""

    name: str
    id: str
    status: tuple[str, ...] = ("READ", "WRITE", "VISIBLE")
    flags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    creation_time: int | None = None
    creation_host: str = ""
    lock_args: str = ""
    allocation_policy: str = ""
    profile: str = ""
    read_ahead: int | None = None
    major: int | None = None
    minor: int | None = None
    segments: tuple[Segment, ...] = ()
    extra: tuple[Item, ...] = ()

    @property
    def is_visible(self) -> bool:
        """Whether users see it."""
        return "VISIBLE" in self.status

    @property
    def is_writable(self) -> bool:
        """Whether its users may write; WRITE_LOCKED is how lvm2 says so in shared and foreign volume groups."""
        return "WRITE" in self.status or "WRITE_LOCKED" in self.flags

    @property
    def length_le(self) -> int:
        """Its size in extents."""
        return sum(segment.length_le for segment in self.segments)


class VolumeGroup(Record):
    """All of a volume group's metadata. A change is a new value; `seqno` counts the values committed."""

    name: str
    id: str
    seqno: int
    format: str = "lvm2"
    status: tuple[str, ...] = ("RESIZEABLE", "READ", "WRITE")
    flags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    system_id: str | None = None
    lock_type: str = ""
    lock_args: str = ""
    extent_size_sectors: int = DEFAULT_EXTENT_SIZE_SECTORS
    max_lv: int = 0
    max_pv: int = 0
    allocation_policy: str = ""
    profile: str = ""
    metadata_copies: int = 0
    pvs: tuple[PhysicalVolume, ...] = ()
    lvs: tuple[LogicalVolume, ...] = ()
    historical: Section | None = None
    extra: tuple[Item, ...] = ()

    @property
    def extent_size_bytes(self) -> int:
        """Bytes in an extent."""
        return self.extent_size_sectors * SECTOR_SIZE

    @property
    def extent_count(self) -> int:
        """Extents on all physical volumes."""
        return sum(pv.pe_count for pv in self.pvs)

    @property
    def is_writable(self) -> bool:
        """Whether the metadata may be changed as far as its own permission goes."""
        return "WRITE" in self.status or "WRITE_LOCKED" in self.flags

    @property
    def is_exported(self) -> bool:
        """Whether its volumes are nobody's to see or change until it is imported."""
        return "EXPORTED" in self.status

    @property
    def is_unfinished(self) -> bool:
        """Whether a vgsplit or vgmerge that was to fill it was interrupted.

        They leave it exported until they are done, but not its physical volumes, as vgexport does.
        """
        return self.is_exported and not any("EXPORTED" in pv.status for pv in self.pvs)

    @property
    def is_partial(self) -> bool:
        """Whether a physical volume is missing."""
        return any(pv.is_missing for pv in self.pvs)

    def pv(self, pv_id: str) -> PhysicalVolume:
        """The physical volume with that id; raises NotFoundError."""
        for pv in self.pvs:
            if pv.id == pv_id:
                return pv
        raise NotFoundError(f"volume group {printable(self.name)} has no physical volume {printable(pv_id)}")

    def find_lv(self, name: str) -> LogicalVolume | None:
        """The logical volume of that name, or None."""
        for lv in self.lvs:
            if lv.name == name:
                return lv
        return None

    def lv(self, name: str) -> LogicalVolume:
        """The logical volume of that name; raises NotFoundError."""
        lv = self.find_lv(name)
        if lv is None:
            raise NotFoundError(f"no logical volume {printable(name)!r} in volume group {printable(self.name)!r}")
        return lv

    def with_lv(self, lv: LogicalVolume) -> VolumeGroup:
        """The volume group with `lv` in the place of the one with the same id."""
        return self.replace(lvs=tuple(lv if old.id == lv.id else old for old in self.lvs))
