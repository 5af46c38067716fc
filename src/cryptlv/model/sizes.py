"""Sizes as users give them, and the whole extents that they come to, as lvm2 reckons.

Mirrors lvm2's tools/lvcreate.c:_update_extents_params and lib/metadata/lv_manip.c:_lvresize_adjust_extents.
"""

from __future__ import annotations

from cryptlv.errors import NoSpaceError, RefusedError, UsageError
from cryptlv.model.allocate import free_count, free_in
from cryptlv.names import printable
from cryptlv.record import Record
from cryptlv.units import MAX_STRIPES, format_size, round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptlv.model.allocate import Candidate
    from cryptlv.model.vg import LogicalVolume, Segment, VolumeGroup

_MAX_EXTENTS = 2**32 - 1
_MIN_STRIPE_SECTORS = 8
DEFAULT_STRIPE_SECTORS = 128
"""64 KiB (metadata/stripesize)."""


class LvSize(Record):
    """`-L` or `-l`: bytes, or extents, or with `percent_of` (VG, FREE, PVS, LV) a percentage.

    With a `sign`, "+" or "-", it is relative to what a volume has.
    """

    size_bytes: int | None = None
    extents: int = 0
    percent_of: str = ""
    sign: str = ""


class Striping(Record):
    """Over how many physical volumes in turn, `size_sectors` on each; 0 when there is only one."""

    count: int = 1
    size_sectors: int = 0


class Extents(Record):
    """A size in extents. With `is_approximate` fewer will do; `remarks` are lines for the user."""

    length_le: int
    is_approximate: bool = False
    remarks: tuple[str, ...] = ()


def check_striping(vg: VolumeGroup, count: int, size_sectors: int, remarks: list[str]) -> Striping:
    """The striping that was asked for, 0 sectors standing for the default; raises UsageError or RefusedError."""
    if not 1 <= count <= MAX_STRIPES:
        raise UsageError(f"number of stripes {count} is not between 1 and {MAX_STRIPES}")
    if count == 1:
        if size_sectors:
            remarks.append("Ignoring stripesize argument with single stripe.")
        return Striping()
    if not size_sectors:
        size_sectors = DEFAULT_STRIPE_SECTORS
        remarks.append(f"Using default stripesize {format_size(size_sectors * 512)}.")
    if size_sectors < _MIN_STRIPE_SECTORS or size_sectors & (size_sectors - 1) or size_sectors >= 2**31:
        raise UsageError(f"stripe size {format_size(size_sectors * 512)} is not a power of two of 4 KiB or more")
    if size_sectors > vg.extent_size_sectors:
        remarks.append(
            f"Reducing requested stripe size {format_size(size_sectors * 512)} to maximum, "
            f"physical extent size {format_size(vg.extent_size_bytes)}."
        )
        size_sectors = vg.extent_size_sectors
        if size_sectors & (size_sectors - 1):
            raise RefusedError(
                f"extents of {format_size(vg.extent_size_bytes)} are no power of two: give -I a smaller size"
            )
    return Striping(count=count, size_sectors=size_sectors)


def new_length(
    vg: VolumeGroup,
    size: LvSize,
    striping: Striping,
    candidates: Sequence[Candidate] | None = None,
    reserved_le: int = 0,
) -> Extents:
    """The size of a new volume; `reserved_le` extents go to something else.

    Raises UsageError, and NoSpaceError when a percentage comes to nothing.
    """
    if size.sign == "-":
        raise UsageError("a size may not be negative")
    if size.percent_of == "LV":
        raise UsageError("express the size as a percentage of VG, FREE or PVS")
    remarks: list[str] = []
    if not size.percent_of:
        length_le = _plain(vg, size, remarks)
        if not length_le:
            raise UsageError("a logical volume needs at least one extent")
        length_le = _to_stripes(vg, length_le, striping, remarks)
        return Extents(length_le=length_le, remarks=tuple(remarks))
    free = max(free_count(vg) - reserved_le, 0)
    length_le = _base(vg, size, candidates, free) * size.extents // 100
    if size.percent_of == "VG" and length_le > free:
        length_le = free
        remarks.append(
            f"Reducing {size.extents}%VG to remaining free space {format_size(free * vg.extent_size_bytes)} in VG."
        )
    rest = length_le % striping.count
    if rest and free < length_le - rest + striping.count:
        remarks.append(
            f"Rounding size ({length_le} extents) down to stripe boundary size ({length_le - rest} extents)"
        )
        length_le -= rest
    length_le = _to_stripes(vg, length_le, striping, remarks)
    if not length_le:
        raise NoSpaceError(
            f"volume group {printable(vg.name)!r} has no free space for it: {size.extents}%{size.percent_of} are "
            "0 extents; make room or name other physical volumes"
        )
    return Extents(length_le=length_le, is_approximate=True, remarks=tuple(remarks))


def _plain(vg: VolumeGroup, size: LvSize, remarks: list[str]) -> int:
    if size.size_bytes is None:
        length_le = size.extents
    else:
        length_le = -(-size.size_bytes // vg.extent_size_bytes)
        if length_le * vg.extent_size_bytes != size.size_bytes:
            rounded = format_size(round_up(size.size_bytes, vg.extent_size_bytes))
            remarks.append(f"Rounding up size to full physical extent {rounded}")
    if length_le > _MAX_EXTENTS:
        raise UsageError(f"{length_le} extents are more than a volume can have: {_MAX_EXTENTS}")
    return length_le


def _base(vg: VolumeGroup, size: LvSize, candidates: Sequence[Candidate] | None, free: int) -> int:
    """The extents of which a percentage is meant."""
    if size.percent_of == "FREE":
        return free
    if size.percent_of == "PVS" and candidates is not None:
        return free_in(vg, candidates)
    return vg.extent_count


def _to_stripes(vg: VolumeGroup, length_le: int, striping: Striping, remarks: list[str]) -> int:
    """The length rounded up to whole stripes."""
    rounded = round_up(length_le, striping.count)
    if rounded != length_le:
        each = vg.extent_size_bytes
        remarks.append(
            f"Rounding size {format_size(length_le * each)} ({length_le} extents) up to stripe boundary size "
            f"{format_size(rounded * each)} ({rounded} extents)."
        )
    return rounded


def changed_length(
    vg: VolumeGroup,
    lv: LogicalVolume,
    size: LvSize,
    striping: Striping,
    candidates: Sequence[Candidate] | None = None,
    segments: Sequence[Segment] = (),
) -> Extents:
    """The size that a volume is to have; `striping` is that of what is added.

    `segments` are those of which something may be cut off, its own unless it lies on a hidden volume.

    Raises UsageError, and RefusedError when nothing would be left.
    """
    remarks: list[str] = []
    now = lv.length_le
    wanted = _amount(vg, lv, size, candidates, remarks)
    is_percent_of_space = size.percent_of in ("VG", "FREE", "PVS")
    if size.sign == "-":
        if wanted >= now:
            raise RefusedError(f"Unable to reduce {printable(vg.name)}/{printable(lv.name)} below 1 extent.")
        length_le = now - wanted
    elif size.sign == "+":
        length_le = now + wanted
    else:
        length_le = wanted
    if not length_le:
        raise RefusedError("New size of 0 not permitted.")
    if length_le > _MAX_EXTENTS:
        raise RefusedError(f"{length_le} extents are more than a volume can have: {_MAX_EXTENTS}")
    if length_le != now:
        is_percent = bool(size.percent_of)
        length_le = _whole_stripes(vg, segments or lv.segments, length_le, striping, remarks, is_percent=is_percent)
    approximate = is_percent_of_space and (not size.sign or (size.sign == "+" and size.percent_of == "FREE"))
    return Extents(length_le=length_le, is_approximate=approximate, remarks=tuple(remarks))


def _amount(
    vg: VolumeGroup, lv: LogicalVolume, size: LvSize, candidates: Sequence[Candidate] | None, remarks: list[str]
) -> int:
    """The extents that were named, whatever their sign."""
    if size.size_bytes is not None:
        rest = size.size_bytes % vg.extent_size_bytes
        if not rest:
            return size.size_bytes // vg.extent_size_bytes
        size_bytes = size.size_bytes - rest + (vg.extent_size_bytes if size.sign != "-" else 0)
        remarks.append(f"Rounding size to boundary between physical extents: {format_size(size_bytes)}.")
        return size_bytes // vg.extent_size_bytes
    if not size.percent_of:
        return size.extents
    free = free_count(vg)
    base = lv.length_le if size.percent_of == "LV" else _base(vg, size, candidates, free)
    wanted = (base * size.extents + (99 if size.sign != "-" else 0)) // 100
    if size.percent_of == "VG" and not size.sign and wanted > lv.length_le + free:
        wanted = lv.length_le + free
        remarks.append(
            f"Reducing {size.extents}%VG to remaining free space {format_size(wanted * vg.extent_size_bytes)} in VG."
        )
    return wanted


def _whole_stripes(
    vg: VolumeGroup,
    segments: Sequence[Segment],
    length_le: int,
    striping: Striping,
    remarks: list[str],
    *,
    is_percent: bool,
) -> int:
    """A length at which the segment that changes has whole stripes."""
    now = segments[-1].end_le
    cut = next((segment for segment in segments if length_le <= segment.end_le), None)
    count = striping.count if cut is None else max(len(cut.places()), 1)
    rest = (length_le - (now if cut is None else cut.start_le)) % count
    if not rest:
        return length_le
    up = length_le - rest + count
    goes_up = length_le < now or not is_percent or free_count(vg) >= up - now
    rounded = up if goes_up else length_le - rest
    remarks.append(
        f"Rounding size ({length_le} extents) {'up' if goes_up else 'down'} to stripe boundary size for segment "
        f"({rounded} extents)."
    )
    return rounded
