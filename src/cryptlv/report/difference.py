"""What distinguishes two values of a volume group, in lines that people can read.

    - lv old (linear, 40.00m)
    + lv new (crypt, 8.00m)
    ~ lv home: size 4.00m -> 8.00m
    ~ lv home: + extents 1-1 linear on /dev/b:0-0
    ~ pv /dev/a: tags: +fast

Things are known by their ids, so that one with a new name is not two. What follows from nothing but the machine's
names of devices is left out. Nothing secret is in metadata; of settings that only a key handler knows not even the
values are shown.
"""

from __future__ import annotations

from cryptlv.model.vg import PvArea
from cryptlv.names import printable
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.striped import StripedSegment
from cryptlv.units import SECTOR_SIZE, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cryptlv.model.vg import Area, LogicalVolume, PhysicalVolume, Segment, VolumeGroup


def difference(before: VolumeGroup, after: VolumeGroup) -> tuple[str, ...]:
    """A line for each thing that is gone (-), new (+) or other (~) in `after`; empty when both say the same."""
    names = _Names(before, after)
    return (*_group_lines(before, after), *_pv_lines(before, after), *_lv_lines(before, after, names))


class _Names:
    """How physical volumes are called, by id: by the later value, else the earlier one."""

    def __init__(self, before: VolumeGroup, after: VolumeGroup) -> None:
        self._devices = {pv.id: pv.device for vg in (before, after) for pv in vg.pvs}

    def of(self, pv_id: str) -> str:
        return printable(self._devices.get(pv_id, pv_id))


def _changed(what: str, old: object, new: object) -> Iterator[str]:
    if old != new:
        yield f"{what} {printable(str(old)) or 'none'} -> {printable(str(new)) or 'none'}"


def _words(what: str, old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Words that came and went, of tags or flags."""
    gone = [f"-{printable(word)}" for word in old if word not in new]
    come = [f"+{printable(word)}" for word in new if word not in old]
    if gone or come:
        yield f"{what}: {' '.join((*gone, *come))}"


def _size(sectors: int) -> str:
    return format_size(sectors * SECTOR_SIZE, "h").strip()


def _group_lines(before: VolumeGroup, after: VolumeGroup) -> Iterator[str]:
    rest = ("seqno", "pvs", "lvs", "historical", "extra")
    lines = [
        *_changed("name", before.name, after.name),
        *_changed("id", before.id, after.id),
        *_changed("format", before.format, after.format),
        *_words("status", before.status, after.status),
        *_words("flags", before.flags, after.flags),
        *_words("tags", before.tags, after.tags),
        *_changed("system id", before.system_id or "", after.system_id or ""),
        *_changed("lock type", before.lock_type, after.lock_type),
        *_changed("lock arguments", before.lock_args, after.lock_args),
        *_changed("extent size", _size(before.extent_size_sectors), _size(after.extent_size_sectors)),
        *_changed("most logical volumes", before.max_lv, after.max_lv),
        *_changed("most physical volumes", before.max_pv, after.max_pv),
        *_changed("allocation policy", before.allocation_policy or "normal", after.allocation_policy or "normal"),
        *_changed("profile", before.profile, after.profile),
        *_changed("metadata copies", before.metadata_copies, after.metadata_copies),
    ]
    if before.historical != after.historical:
        lines.append("the history of removed volumes is another")
    if before.extra != after.extra or (not lines and _without(before, rest) != _without(after, rest)):
        lines.append("other settings are changed")
    yield from (f"~ vg {printable(before.name)}: {line}" for line in lines)


def _without(item: VolumeGroup | PhysicalVolume | LogicalVolume, fields: Iterable[str]) -> object:
    """The value without some of its fields, for comparison."""
    return item.replace(**dict.fromkeys(fields))


def _pv_lines(before: VolumeGroup, after: VolumeGroup) -> Iterator[str]:
    old, new = ({pv.id: pv for pv in vg.pvs} for vg in (before, after))
    for pv_id, pv in old.items():
        if pv_id not in new:
            yield f"- pv {printable(pv.device)} ({_size(pv.pe_count * before.extent_size_sectors)})"
    for pv_id, pv in new.items():
        if pv_id not in old:
            yield f"+ pv {printable(pv.device)} ({_size(pv.pe_count * after.extent_size_sectors)})"
    for pv_id, pv in new.items():
        if pv_id in old:
            yield from (f"~ pv {printable(pv.device)}: {line}" for line in _pv_changes(old[pv_id], pv))


def _pv_changes(old: PhysicalVolume, new: PhysicalVolume) -> Iterator[str]:
    lines = [
        *_words("status", old.status, new.status),
        *_words("flags", old.flags, new.flags),
        *_words("tags", old.tags, new.tags),
        *_changed("device size", _size(old.dev_size_sectors), _size(new.dev_size_sectors)),
        *_changed("extents", old.pe_count, new.pe_count),
        *_changed("first extent at sector", old.pe_start_sectors, new.pe_start_sectors),
    ]
    yield from lines
    hints = ("device", "device_id", "device_id_type")
    if not lines and _without(old, hints) != _without(new, hints):
        yield "other settings are changed"


def _lv_lines(before: VolumeGroup, after: VolumeGroup, names: _Names) -> Iterator[str]:
    old, new = ({lv.id: lv for lv in vg.lvs} for vg in (before, after))
    for lv_id, lv in old.items():
        if lv_id not in new:
            yield f"- lv {_introduced(before, lv)}"
    for lv_id, lv in new.items():
        if lv_id not in old:
            yield f"+ lv {_introduced(after, lv)}"
    for lv_id, lv in new.items():
        if lv_id in old and lv != old[lv_id]:
            changes = _lv_changes(old[lv_id], lv, before.extent_size_sectors, after.extent_size_sectors, names)
            yield from (f"~ lv {printable(lv.name)}: {line}" for line in changes)


def _introduced(vg: VolumeGroup, lv: LogicalVolume) -> str:
    kinds = dict.fromkeys(printable(segment.shown_type) for segment in lv.segments)
    size = _size(lv.length_le * vg.extent_size_sectors)
    stores = [f"keystore {printable(name)}" for name in dict.fromkeys(_stores(lv))]
    return f"{printable(lv.name)} ({', '.join((*kinds, size, *stores))})"


def _stores(lv: LogicalVolume) -> Iterator[str]:
    for segment in lv.segments:
        yield from segment.keystores


def _lv_changes(
    old: LogicalVolume, new: LogicalVolume, old_extent: int, new_extent: int, names: _Names
) -> Iterator[str]:
    lines = [
        *_changed("name", old.name, new.name),
        *_changed("size", _size(old.length_le * old_extent), _size(new.length_le * new_extent)),
        *_words("status", old.status, new.status),
        *_words("flags", old.flags, new.flags),
        *_words("tags", old.tags, new.tags),
        *_changed("allocation policy", old.allocation_policy or "inherit", new.allocation_policy or "inherit"),
        *_changed("read ahead", old.read_ahead or "auto", new.read_ahead or "auto"),
        *_segment_lines(old, new, names),
    ]
    yield from lines or ["other settings are changed"]


def _segment_lines(old: LogicalVolume, new: LogicalVolume, names: _Names) -> Iterator[str]:
    """The segments that are only in one of the two, as they were cut."""
    was = [_described(segment, names) for segment in old.segments if segment not in new.segments]
    now = [_described(segment, names) for segment in new.segments if segment not in old.segments]
    same = [line for line in was if line in now]
    yield from (f"- {line}" for line in was if line not in same)
    yield from (f"+ {line}" for line in now if line not in same)
    yield from (f"{line}: other settings are changed" for line in same)


def _described(segment: Segment, names: _Names) -> str:
    words = [f"extents {segment.start_le}-{segment.end_le - 1} {printable(segment.shown_type)}"]
    if isinstance(segment, KeystoreSegment):
        words.append(printable(f"{segment.handler} {segment.cipher}".rstrip()))
    if isinstance(segment, CryptSegment):
        words.append(f"with {printable(segment.crypto_store)}")
    places = ", ".join(_places(segment, names))
    return " ".join((*words, *([f"on {places}"] if places else [])))


def _places(segment: Segment, names: _Names) -> Iterator[str]:
    if not isinstance(segment, StripedSegment | CryptSegment | KeystoreSegment):
        yield from dict.fromkeys(printable(name) for _, name in segment.parts())
        yield from (f"{names.of(pv_id)}:{pe}-{pe + length - 1}" for pv_id, pe, length in segment.footprint())
        return
    each = segment.length_le // max(len(segment.areas), 1)
    extra = 1 if isinstance(segment, CryptSegment) and segment.area_offset_sectors else 0
    for area in segment.areas:
        yield _place(area, each + extra, names)


def _place(area: Area, length: int, names: _Names) -> str:
    if isinstance(area, PvArea):
        return f"{names.of(area.pv_id)}:{area.start_pe}-{area.start_pe + length - 1}"
    return f"{printable(area.lv_name)}:{area.start_le}-{area.start_le + length - 1}"
