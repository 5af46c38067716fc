"""Whether the last change of a volume group can be taken back: what may be known of it from both values.

The value before may come back when nothing has been committed since and what it says is still true of the disks:
extents that were in use then and are free now hold what they held, as only a commit gives extents away. What a volume
that is in both values has is where it is now, so one that has been moved does not go back to where it was.
"""

from __future__ import annotations

from cryptlv.errors import RefusedError
from cryptlv.model.allocate import used_extents
from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptlv.model.vg import LogicalVolume, Segment, VolumeGroup


def check_undo(now: VolumeGroup, before: VolumeGroup, command: str) -> None:
    """Raise RefusedError, by name, when `before` must not be put in the place of `now`.

    `command` is the command line of the change.
    """
    _check_groups(now, before)
    old, new = ({lv.id: lv for lv in vg.lvs} for vg in (before, now))
    for lv_id, lv in old.items():
        if lv_id not in new:
            _check_returning(now, lv)
    for lv_id, lv in new.items():
        name = f"{printable(now.name)}/{printable(lv.name)}"
        if lv_id not in old:
            if any(segment.is_opaque for segment in lv.segments):
                raise _refused(f"{name} is of type {printable(lv.segments[0].shown_type)}, which only lvm2 removes")
        elif lv.segments != old[lv_id].segments:
            _check_same_places(name, lv, old[lv_id], _ids(now), _ids(before))
    if "--wipe" in command.split(" # ", maxsplit=1)[0].split() and returning_extents(now, before):
        raise _refused("the extents that would come back were wiped")


def _refused(why: str) -> RefusedError:
    return RefusedError(f"the last change cannot be undone: {why}")


def _ids(vg: VolumeGroup) -> dict[str, str]:
    return {lv.name: lv.id for lv in vg.lvs}


def _check_groups(now: VolumeGroup, before: VolumeGroup) -> None:
    name = printable(now.name)
    if now.name != before.name:
        raise _refused(f"{printable(before.name)} was renamed to {name}; rename it with vgrename")
    if (now.extent_size_sectors, now.format) != (before.extent_size_sectors, before.format):
        raise _refused(f"the extent size of {name} was changed; see vgchange -s")
    known = {pv.id: pv for pv in now.pvs}
    used = used_extents(before)
    for pv in before.pvs:
        same = known.get(pv.id)
        if same is None:
            if used[pv.id]:
                raise _refused(f"{printable(pv.device)} left {name} with volumes on it")
        elif _shape(pv) != _shape(same):
            raise _refused(f"{printable(same.device)} was resized; see pvresize")


def _shape(pv: object) -> tuple[object, ...]:
    fields = ("pe_start_sectors", "pe_count", "dev_size_sectors", "ba_start_sectors", "ba_size_sectors")
    return tuple(getattr(pv, field) for field in fields)


def _check_returning(now: VolumeGroup, lv: LogicalVolume) -> None:
    """A volume that would come back."""
    name = f"{printable(now.name)}/{printable(lv.name)}"
    for segment in lv.segments:
        if segment.is_opaque:
            raise _refused(f"{name} was of type {printable(segment.shown_type)}, of which not all is in metadata")
        if segment.type_name == "crypt-keystore" and any(True for _ in (*segment.footprint(), *segment.parts())):
            raise _refused(f"keystore {name} was removed, and its key header wiped")


def _check_same_places(
    name: str, lv: LogicalVolume, old: LogicalVolume, ids: Mapping[str, str], old_ids: Mapping[str, str]
) -> None:
    """A volume in both values: every extent that both have must be where it was, with the same key."""
    for segment in (*lv.segments, *old.segments):
        if segment.is_opaque:
            raise _refused(f"{name} is or was of type {printable(segment.shown_type)}; see lvm2's vgcfgrestore")
        if segment.type_name == "crypt-keystore":
            raise _refused(f"keystore {name} was changed")
    kinds = [{segment.type_name == "crypt" for segment in value.segments} for value in (lv, old)]
    if kinds[0] != kinds[1]:
        raise _refused(f"{name} was converted; see lvconvert --import, --splitcrypto and --keep-encrypted")
    common_le = min(lv.length_le, old.length_le)
    cuts = sorted({part.start_le for part in (*lv.segments, *old.segments) if part.start_le < common_le})
    for start_le, end_le in zip(cuts, [*cuts[1:], common_le], strict=True):
        if _piece(lv, start_le, end_le, ids) != _piece(old, start_le, end_le, old_ids):
            raise _refused(f"extents of {name} were moved or given another key, and may have been written since")


def _piece(lv: LogicalVolume, start_le: int, end_le: int, ids: Mapping[str, str]) -> Segment | None:
    """A piece of a volume that lies in one segment, with the ids of volumes for their names."""
    segment = next(part for part in lv.segments if part.start_le <= start_le < part.end_le)
    try:
        return segment.part(start_le - segment.start_le, end_le - start_le).with_names(ids).replace(tags=())
    except RefusedError:
        return None


def returning_extents(now: VolumeGroup, before: VolumeGroup) -> int:
    """How many extents are in use in `before` and not in `now`."""
    used, count = used_extents(now), 0
    for pv_id, places in used_extents(before).items():
        taken = {pe for start, length in used.get(pv_id, ()) for pe in range(start, start + length)}
        count += sum(pe not in taken for start, length in places for pe in range(start, start + length))
    return count


def losses(now: VolumeGroup, before: VolumeGroup) -> tuple[str, ...]:
    """A line for each volume of which `before` has nothing, or less: what was written there is given up."""
    old = {lv.id: lv.length_le for lv in before.lvs}
    return tuple(
        f"what was written to {printable(now.name)}/{printable(lv.name)} "
        f"{'beyond its former size ' if lv.id in old else ''}is given up"
        for lv in now.lvs
        if lv.is_visible and lv.length_le > old.get(lv.id, 0)
    )


def changed_lvs(now: VolumeGroup, before: VolumeGroup) -> tuple[str, ...]:
    """The names that volumes have now which would not stay as they are; all, when the group would become exported."""
    same = set(before.lvs) if now.is_exported == before.is_exported else set()
    return tuple(lv.name for lv in now.lvs if lv not in same)
