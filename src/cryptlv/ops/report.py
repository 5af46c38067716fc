"""What reports show: the volume groups and physical volumes that are there, and which volumes are active."""

from __future__ import annotations

from cryptlv.errors import NotFoundError, RefusedError
from cryptlv.host.devices import device_number
from cryptlv.names import printable
from cryptlv.ondisk.mda import max_text_bytes
from cryptlv.report.rows import SeenArea, SeenPv, lv_rows, pv_name, pv_rows, seen_group, vg_rows
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptlv.host.scan import FoundPv, MetadataArea, World
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.session import Session
    from cryptlv.report.rows import Row, SeenGroup


def _groups(
    session: Session, world: World, names: tuple[str, ...] = (), *, foreign: bool = False, shared: bool = False
) -> tuple[SeenGroup, ...]:
    """The volume groups that are this host's to show, those of `names` if there are any.

    As stock does, one that is not is left out in silence; a word is said when it may be that only the host's system
    ID is missing, or when it is clustered. Raises NotFoundError or RefusedError when one of `names` cannot be shown.
    """
    from cryptlv.activate.process import active_lv_ids

    active = active_lv_ids(session.directories.run_dir)
    groups = []
    there = set()
    for group in world.groups:
        if names and group.vg.name not in names:
            continue
        there.add(group.vg.name)
        hidden = session.hidden_reason(group.vg, foreign=foreign, shared=shared)
        if hidden and names:
            raise RefusedError(hidden)
        if hidden:
            if "CLUSTERED" in group.vg.status or (group.vg.system_id and not session.settings.system_id):
                session.warn(hidden)
            continue
        mine = {pv.id for pv in group.vg.pvs}
        pvs = {pv.label.pv_id: _seen_pv(pv) for pv in world.pvs if pv.label.pv_id in mine}
        groups.append(seen_group(group.vg, pvs, active))
    for name in names:
        if name not in there:
            raise NotFoundError(f"volume group {printable(name)!r} not found")
    return tuple(groups)


def _left_out(vg: VolumeGroup) -> str:
    """Why a volume group is not this host's to look at, as its owners may be changing it; "" when it is."""
    if vg.system_id:
        return f"it has system ID {printable(vg.system_id)}"
    if vg.lock_type not in ("", "none"):
        return f"it has lock type {printable(vg.lock_type)}, which needs lvmlockd"
    return "it is clustered" if "CLUSTERED" in vg.status else ""


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
    session: Session, paths: tuple[str, ...] = (), *, foreign: bool = False, shared: bool = False
) -> list[Row]:
    """A row for each physical volume, or for those at `paths`.

    Raises NotFoundError for a path that is none, RefusedError for one in a volume group that is not to be shown.
    """
    import os.path

    world = session.consistent_world()
    rows = pv_rows(_groups(session, world, foreign=foreign, shared=shared), _orphans(world))
    if not paths:
        return rows
    wanted = tuple(os.path.abspath(path) for path in paths)
    shown = {pv_name(row): row for row in rows}
    for path in wanted:
        if path not in shown:
            _refuse_hidden_pv(session, world, path)
            raise NotFoundError(f"{path}: no physical volume of the devices that are looked at")
    return [row for row in rows if pv_name(row) in wanted]


def _refuse_hidden_pv(session: Session, world: World, path: str) -> None:
    """Raise RefusedError when a path is a physical volume of a volume group that is not shown."""
    for pv in world.pvs:
        group = world.group_of(pv.label.pv_id)
        if pv.path == path and group is not None:
            reason = session.hidden_reason(group.vg) or "it is not shown"
            raise RefusedError(f"cannot use physical volume {path}: {reason}")


def report_vgs(
    session: Session, names: tuple[str, ...] = (), *, foreign: bool = False, shared: bool = False
) -> list[Row]:
    """A row for each volume group, or for those named.

    Raises NotFoundError, and RefusedError when one that is named is another host's, shared or clustered.
    """
    world = session.consistent_world(names)
    return vg_rows(_groups(session, world, names, foreign=foreign, shared=shared))


def report_lvs(
    session: Session,
    names: tuple[str, ...] = (),
    *,
    hidden: bool = False,
    foreign: bool = False,
    shared: bool = False,
    past: bool = False,
) -> list[Row]:
    """A row for each logical volume, or for those named (`VG`, `VG/LV`).

    With `past` also for those that are no more, whose names begin with a hyphen.

    Raises NotFoundError, and RefusedError when the volume group is another host's, shared, clustered or exported.
    """
    pairs = [name.removeprefix("/dev/").partition("/")[::2] for name in names]
    vg_names = tuple(dict.fromkeys(vg_name for vg_name, _ in pairs))
    world = session.consistent_world(vg_names)
    chosen = _groups(session, world, vg_names, foreign=foreign, shared=shared)
    if past:
        chosen = tuple(group.replace(shows_past=True) for group in chosen)
    if not names:
        return lv_rows([group for group in chosen if not group.vg.is_exported], hidden=hidden)
    for group in chosen:
        if group.vg.is_exported:
            raise RefusedError(f"volume group {printable(group.vg.name)} is exported")
    for vg_name, lv_name in pairs:
        group = next(group for group in chosen if group.vg.name == vg_name)
        if lv_name and not (past and any(lv.name == lv_name for lv in group.past)):
            group.vg.lv(lv_name)
    whole = {vg_name for vg_name, lv_name in pairs if not lv_name}
    return [row for row in lv_rows(chosen, hidden=True) if _wanted(row, whole, pairs, hidden=hidden)]


def _wanted(row: Row, whole: set[str], pairs: Sequence[tuple[str, ...]], *, hidden: bool) -> bool:
    if row.group is None or row.lv is None:
        raise RefusedError("a row of the logical volumes' report has no logical volume")
    vg_name = row.group.vg.name
    return (vg_name in whole and (hidden or row.lv.name not in row.group.hidden)) or (vg_name, row.lv.name) in pairs
