"""What reports show: the volume groups and physical volumes that are there, and which volumes are active."""

from __future__ import annotations

from cryptlv.errors import CryptlvError, LockError, NotFoundError, RefusedError
from cryptlv.host.devices import device_number
from cryptlv.names import printable
from cryptlv.ondisk.mda import max_text_bytes
from cryptlv.report.rows import SeenArea, SeenPv, lv_rows, pv_name, pv_rows, seen_group, vg_rows
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    from cryptlv.host.scan import FoundPv, Group, MetadataArea, World
    from cryptlv.ops.session import Session
    from cryptlv.report.field import Field
    from cryptlv.report.rows import Row, SeenGroup

    Problem: TypeAlias = Callable[[CryptlvError], None]
    """Is told what cannot be shown; the rest is shown all the same, unless it raises the error."""


def _raise(error: CryptlvError) -> None:
    raise error


def _groups(
    session: Session,
    world: World,
    names: tuple[str, ...] = (),
    *,
    foreign: bool = False,
    shared: bool = False,
    problem: Problem = _raise,
) -> tuple[SeenGroup, ...]:
    """The volume groups that are this host's to show, those of `names` if there are any.

    As stock does, one that is not is left out in silence; a word is said when it may be that only the host's system
    ID is missing, or when it is clustered. `problem` is told, by a NotFoundError or RefusedError, which of `names`
    cannot be shown.
    """
    groups = []
    there = set()
    for group in world.groups:
        if names and group.vg.name not in names:
            continue
        there.add(group.vg.name)
        hidden = session.hidden_reason(group.vg, foreign=foreign, shared=shared)
        if hidden and names:
            problem(RefusedError(hidden))
        elif not hidden:
            groups.append(group)
        elif "CLUSTERED" in group.vg.status or (group.vg.system_id and not session.settings.system_id):
            session.warn(hidden)
    for name in names:
        if name not in there:
            problem(NotFoundError(f"volume group {printable(name)!r} not found"))
    return _seen(session, world, groups)


def _seen(session: Session, world: World, groups: Iterable[Group]) -> tuple[SeenGroup, ...]:
    """Groups with what is known of them besides their metadata."""
    from cryptlv.ops.kernel import active_ids, kernel_states

    active = active_ids(session)
    kernel = kernel_states(session) if active else {}
    seen = []
    for group in groups:
        mine = {pv.id for pv in group.vg.pvs}
        pvs = {pv.label.pv_id: _seen_pv(pv) for pv in world.pvs if pv.label.pv_id in mine}
        seen.append(seen_group(group.vg, pvs, active, kernel))
    return tuple(seen)


def _seen_pv(pv: FoundPv) -> SeenPv:
    """A physical volume as reports see it; damaged metadata areas are not counted, as stock lvm2 does not."""
    areas = tuple(
        SeenArea(
            size_bytes=area.size_bytes // SECTOR_SIZE * SECTOR_SIZE,
            free_bytes=_free_bytes(area),
            is_ignored=area.is_ignored,
        )
        for area in pv.areas
        if not area.problem
    )
    return SeenPv(
        pv_id=pv.label.pv_id,
        path=pv.path,
        size_bytes=pv.label.device_size_bytes,
        pe_start_bytes=pv.label.data_range_sectors[0] * SECTOR_SIZE,
        bootloader_area=pv.label.bootloader_areas[0] if pv.label.bootloader_areas else (0, 0),
        areas=areas,
        used_by_unknown=pv.label.is_used,
        label_version=pv.label.extension_version,
        device_number=device_number(pv.path),
    )


def _free_bytes(area: MetadataArea) -> int:
    """What a text may grow by, in whole sectors (format-text.c:read_metadata_location_summary)."""
    used = area.header.committed.size_bytes if area.header is not None and area.header.committed is not None else 0
    return (max_text_bytes(area.size_bytes) - used) // SECTOR_SIZE * SECTOR_SIZE


def report_everything(
    session: Session, locked: tuple[str, ...] = ()
) -> tuple[tuple[SeenGroup, ...], tuple[SeenPv, ...]]:
    """Every volume group, and the physical volumes that are in none, in the order in which they were found.

    With `locked` only those groups are read under their locks, the others as they happen to be.
    """
    world = session.consistent_world(locked)
    return _groups(session, world), _orphans(world)


def _orphans(world: World) -> tuple[SeenPv, ...]:
    return tuple(_seen_pv(pv) for pv in world.pvs if world.group_of(pv.label.pv_id) is None)


def report_pvs(
    session: Session,
    paths: tuple[str, ...] = (),
    *,
    foreign: bool = False,
    shared: bool = False,
    labels: bool = False,
    problem: Problem = _raise,
) -> list[Row]:
    """A row for each physical volume, or for those at `paths`; with `labels` for each device that has a label.

    `problem` is told, by a NotFoundError, of a path that is none, by a RefusedError of one in a volume group that is
    not to be shown.
    """
    import os.path

    world = session.consistent_world()
    if labels:
        rows = [row for row in pv_rows(_seen(session, world, world.groups), _orphans(world)) if row.seen is not None]
    else:
        rows = pv_rows(_groups(session, world, foreign=foreign, shared=shared), _orphans(world))
    if not paths:
        return rows
    wanted = tuple(os.path.abspath(path) for path in paths)
    shown = {pv_name(row) for row in rows}
    for path in wanted:
        if path not in shown:
            problem(_hidden_pv(session, world, path))
    return [row for row in rows if pv_name(row) in wanted]


def _hidden_pv(session: Session, world: World, path: str) -> CryptlvError:
    """Why a path is not among the physical volumes that are shown."""
    for pv in world.pvs:
        group = world.group_of(pv.label.pv_id)
        if pv.path == path and group is not None:
            reason = session.hidden_reason(group.vg) or "it is not shown"
            return RefusedError(f"cannot use physical volume {path}: {reason}")
    return NotFoundError(f"{path}: no physical volume of the devices that are looked at")


def report_vgs(
    session: Session,
    names: tuple[str, ...] = (),
    *,
    foreign: bool = False,
    shared: bool = False,
    problem: Problem = _raise,
) -> list[Row]:
    """A row for each volume group, or for those named.

    `problem` is told, by a NotFoundError or a RefusedError, of one that is not there, another host's, shared or
    clustered.
    """
    world = session.consistent_world(names)
    return vg_rows(_groups(session, world, names, foreign=foreign, shared=shared, problem=problem))


def report_lvs(
    session: Session,
    names: tuple[str, ...] = (),
    *,
    hidden: bool = False,
    foreign: bool = False,
    shared: bool = False,
    past: bool = False,
    problem: Problem = _raise,
) -> list[Row]:
    """A row for each logical volume, or for those named (`VG`, `VG/LV`).

    With `past` also for those that are no more, whose names begin with a hyphen. `problem` is told, by a
    NotFoundError or a RefusedError, of what is not there, and of a volume group that is another host's, shared,
    clustered or exported.
    """
    pairs = [name.removeprefix("/dev/").partition("/")[::2] for name in names]
    vg_names = tuple(dict.fromkeys(vg_name for vg_name, _ in pairs))
    world = session.consistent_world(vg_names)
    chosen = []
    for group in _groups(session, world, vg_names, foreign=foreign, shared=shared, problem=problem):
        if not group.vg.is_exported:
            chosen.append(group.replace(shows_past=past))
        elif names:
            problem(RefusedError(f"volume group {printable(group.vg.name)} is exported"))
    if not names:
        return lv_rows(chosen, hidden=hidden)
    for group in chosen:
        there = {lv.name for lv in (*group.vg.lvs, *(group.past if past else ()))}
        for lv_name in dict.fromkeys(lv_name for vg_name, lv_name in pairs if lv_name and vg_name == group.vg.name):
            if lv_name not in there:
                vg_name = printable(group.vg.name)
                problem(NotFoundError(f"no logical volume {printable(lv_name)!r} in volume group {vg_name!r}"))
    whole = {vg_name for vg_name, lv_name in pairs if not lv_name}
    return [row for row in lv_rows(chosen, hidden=True) if _wanted(row, whole, pairs, hidden=hidden)]


def _wanted(row: Row, whole: set[str], pairs: Sequence[tuple[str, ...]], *, hidden: bool) -> bool:
    if row.group is None or row.lv is None:
        raise RefusedError("a row of the logical volumes' report has no logical volume")
    vg_name = row.group.vg.name
    return (vg_name in whole and (hidden or row.lv.name not in row.group.hidden)) or (vg_name, row.lv.name) in pairs


def with_keyslots(session: Session, rows: list[Row], fields: Iterable[Field]) -> list[Row]:
    """The rows with what key headers say of their keyslots, which are read when one of the fields is of these.

    A header that cannot be read is left out with a warning, one on a missing physical volume in silence: that it is
    missing has been said. Raises LockError.
    """
    if not any(field.of_keyslots for field in fields):
        return rows
    groups = {id(row.group): row.group for row in rows if row.group is not None}
    read = {key: group.replace(keyslots=_keyslots(session, group)) for key, group in groups.items()}
    return [row.replace(group=read.get(id(row.group))) for row in rows]


def _keyslots(session: Session, group: SeenGroup) -> dict[str, tuple[str, ...]]:
    """The keyslots in use by the names of keystores, each as it is shown."""
    from cryptlv.keys.keyslots import find_keyslots, has_keyslots
    from cryptlv.ops.keystore import image_place, read_image
    from cryptlv.segments.keystore import KeystoreSegment

    vg, paths = group.vg, {pv_id: seen.path for pv_id, seen in group.pvs.items()}
    found: dict[str, tuple[str, ...]] = {}
    for lv in vg.lvs:
        segment = lv.segments[0] if lv.segments else None
        if not isinstance(segment, KeystoreSegment) or not has_keyslots(segment.handler):
            continue
        try:
            place = image_place(vg, segment)
            if place is None or place[0] in paths:
                with session.locked(vg.name, write=False):
                    image = read_image(session, vg, lv.name, paths)
                found[lv.name] = tuple(slot.shown for slot in find_keyslots(segment.handler).listed(image))
        except LockError:
            raise
        except CryptlvError as error:
            session.warn(f"{printable(vg.name)}/{printable(lv.name)}: {error}")
    return found
