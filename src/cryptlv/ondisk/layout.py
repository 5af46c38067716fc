"""Where pvcreate puts the areas of a new physical volume, and pvresize those of one that grows or shrinks.

Mirrors lvm2's lib/metadata/metadata.c:pv_create and lib/format_text/format-text.c:_text_pv_initialise,
_text_pv_add_metadata_area, _text_pv_resize. All sizes are bytes and multiples of a sector.
"""

from __future__ import annotations

from cryptlv.errors import NoSpaceError, RefusedError
from cryptlv.ondisk.label import DEFAULT_LABEL_SECTOR, LABEL_SCAN_BYTES, PvLabel
from cryptlv.record import Record
from cryptlv.units import KIB, MIB, SECTOR_SIZE, round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    Area = tuple[int, int]

MIN_PV_BYTES = 2 * MIB
"""Smaller devices are refused (lvm2's devices/pv_min_size)."""
_PAGE = 4 * KIB
_DEFAULT_ALIGNMENT = MIB
_DEFAULT_METADATA_BYTES = 1020 * KIB
_MIN_METADATA_BYTES = 8 * _PAGE


class FixedPlaces(Record):
    """What a PV that is made again for its volume group must keep (pvcreate --restorefile), in bytes."""

    pe_start_bytes: int
    pe_end_bytes: int
    bootloader_area: Area = (0, 0)


class PvLayout(Record):
    """Where pvcreate puts things, in bytes."""

    device_size_bytes: int
    pe_start_bytes: int
    mdas: tuple[Area, ...]
    bootloader_areas: tuple[Area, ...]

    def label(self, pv_id: str, sector: int = DEFAULT_LABEL_SECTOR) -> PvLabel:
        """The label of a new PV with this layout."""
        return PvLabel(
            pv_id=pv_id,
            device_size_bytes=self.device_size_bytes,
            data_areas=((self.pe_start_bytes, 0),),
            mdas=self.mdas,
            sector=sector,
            bootloader_areas=self.bootloader_areas,
        )


class _Draft:
    """A layout that is being made; errors name `path`."""

    def __init__(self, path: str, size: int, alignment: int, offset: int) -> None:
        self.path = path
        self.size = size
        self.alignment = alignment
        self.offset = offset
        self.pe_start = alignment + offset
        self.pe_end = 0
        self.bootloader: Area = (0, 0)
        self.fixed = False

    def place_bootloader(self, size_bytes: int) -> None:
        """A bootloader area before the extents, cut off where the device ends."""
        start = self.pe_start
        size = min(round_up(size_bytes, self.alignment), self.size - start)
        self.bootloader = start, size
        self.pe_start = start + size

    def keep(self, places: FixedPlaces, bootloader_bytes: int) -> None:
        """Have the extents, and a bootloader area before them, where they were."""
        self.fixed = True
        first, self.pe_start, self.pe_end = self.pe_start, places.pe_start_bytes, places.pe_end_bytes
        start = places.bootloader_area[0]
        if not bootloader_bytes:
            return
        if (start and start + bootloader_bytes > self.pe_start) or self.pe_start - first < max(bootloader_bytes, 1):
            raise RefusedError(f"{self.path}: Bootloader area would overlap data area.")
        self.bootloader = start or first, bootloader_bytes

    def first_area(self, wanted: int) -> Area:
        """The metadata area at the start; the extents then begin behind it, unless they are fixed."""
        limit = (self.pe_start if self.fixed else self.size) - self.bootloader[1]
        start = _PAGE if limit - LABEL_SCAN_BYTES >= _MIN_METADATA_BYTES else LABEL_SCAN_BYTES
        size = wanted
        aligned = round_up(start + size, self.alignment) - start
        if start + aligned <= limit:
            size = aligned
        if self.offset and (start + size) % self.alignment == 0 and start + size + self.offset <= limit:
            size += self.offset
        if start + size > limit:
            size = limit - start
            if not self.fixed and size > 2 * self.alignment:
                size = round_up(limit - 2 * self.alignment, self.alignment) - start
        self._check(0, size)
        if not self.fixed:
            self.pe_start = start + size
            if self.bootloader[1]:
                self.bootloader = self.pe_start, self.bootloader[1]
                self.pe_start += self.bootloader[1]
        return start, size

    def last_area(self, wanted: int) -> Area:
        """The metadata area at the end."""
        area = area_at_end(self.size, wanted, self.pe_end or self.pe_start, self.alignment)
        self._check(1, area[1])
        return area

    def _check(self, number: int, size: int) -> None:
        if size < _MIN_METADATA_BYTES:
            raise NoSpaceError(
                f"{self.path}: Not enough space available for metadata area with index {number}: "
                f"{max(size, 0)} bytes, it must have at least {_MIN_METADATA_BYTES}"
            )


def area_at_end(size_bytes: int, wanted_bytes: int, limit_bytes: int, alignment_bytes: int = 0) -> Area:
    """Offset and size of a metadata area at the end of a device, which must begin at `limit_bytes` or behind.

    Its size is 0 or less when there is no room.
    """
    start = size_bytes - wanted_bytes
    if start < limit_bytes:
        return limit_bytes, size_bytes - limit_bytes
    aligned = start - start % alignment_bytes if alignment_bytes else start
    if aligned > 0 and aligned >= limit_bytes:
        start = aligned
    return start, size_bytes - start


def plan_layout(
    device_size_bytes: int,
    *,
    path: str = "device",
    metadata_size_bytes: int = 0,
    metadata_copies: int = 1,
    data_alignment_bytes: int = 0,
    data_alignment_offset_bytes: int = 0,
    bootloader_area_bytes: int = 0,
    fixed: FixedPlaces | None = None,
) -> PvLayout:
    """lvm2's layout of a new PV; 0 stands for the default.

    Without `fixed` the first metadata area ends at a multiple of the data alignment (1 MiB) where there is room; a
    second one ends the device. Raises RefusedError and NoSpaceError when the device is too small.
    """
    size = device_size_bytes - device_size_bytes % SECTOR_SIZE
    alignment = data_alignment_bytes or _DEFAULT_ALIGNMENT
    offset = data_alignment_offset_bytes
    if size < MIN_PV_BYTES:
        raise RefusedError(f"{path} is too small for a physical volume: {size} bytes, needed {MIN_PV_BYTES}")
    if alignment < offset:
        raise RefusedError(
            f"{path}: the data alignment ({alignment} bytes) must not be less than its offset ({offset})"
        )
    if size < alignment + offset:
        raise RefusedError(f"{path}: Data alignment must not exceed device size.")
    if size < alignment + offset + bootloader_area_bytes:
        raise RefusedError(f"{path}: Bootloader area with data-aligned start must not exceed device size.")
    draft = _Draft(path, size, alignment, offset)
    if fixed is not None:
        draft.keep(fixed, bootloader_area_bytes or fixed.bootloader_area[1])
    elif bootloader_area_bytes:
        draft.place_bootloader(bootloader_area_bytes)
    end = max(draft.pe_start, draft.pe_end)
    if end - SECTOR_SIZE > size:
        raise RefusedError(f"{path}: Physical extents end beyond end of device: at {end} of {size} bytes")
    wanted = metadata_size_bytes or _DEFAULT_METADATA_BYTES
    makers = (draft.first_area, draft.last_area)[:metadata_copies]
    mdas = tuple(make(wanted) for make in makers)
    return PvLayout(
        device_size_bytes=size,
        pe_start_bytes=draft.pe_start,
        mdas=mdas,
        bootloader_areas=(draft.bootloader,) if draft.bootloader[1] else (),
    )
