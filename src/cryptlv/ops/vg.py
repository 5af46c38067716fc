"""Volume groups: create."""

from __future__ import annotations

from cryptlv.errors import ExistsError, InUseError, RefusedError, UsageError
from cryptlv.host.scan import Parsed, read_area
from cryptlv.host.store import usable_places, write_metadata
from cryptlv.model.vg import DEFAULT_EXTENT_SIZE_SECTORS, PhysicalVolume, VolumeGroup
from cryptlv.names import check_vg_name
from cryptlv.ops.commit import backup_after
from cryptlv.ops.pv import PvOptions, absolute_paths, mark_used, new_label, remember, write_new
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import World
    from cryptlv.ondisk.label import PvLabel
    from cryptlv.ops.session import Session


def create(session: Session, name: str, paths: tuple[str, ...], extent_size_bytes: int = 0) -> VolumeGroup:
    """Create a volume group of physical volumes; a device that is none yet is made one, as lvm2 does.

    Raises UsageError, ExistsError when the name is taken, InUseError when a device belongs to a volume group,
    NotFoundError, DeviceError, CommitError; nothing is changed then.
    """
    check_vg_name(name)
    extent_sectors = _extent_size_sectors(extent_size_bytes)
    places = absolute_paths(paths)
    if not places:
        raise UsageError("vgcreate needs at least one physical volume")
    with session.locked(name, write=True, global_write=True):
        world = session.world(places)
        if world.find_group(name) is not None:
            raise ExistsError(f"a volume group called {name!r} already exists")
        labels, fresh = _labels(session, world, places)
        vg = VolumeGroup(
            name=name,
            id=session.env.new_uuid(),
            seqno=0,
            system_id=session.env.system_id or None,
            extent_size_sectors=extent_sectors,
            pvs=tuple(
                _pv(label, path, session.device(path).size_bytes, extent_sectors)
                for label, path in zip(labels, places, strict=True)
            ),
        )
        if session.test:
            return vg
        return _write(session, vg, labels, places, fresh)


def names(session: Session) -> tuple[str, ...]:
    """The volume groups that are this host's, by name."""
    groups = session.world(silent=True).groups
    return tuple(sorted(group.vg.name for group in groups if not session.hidden_reason(group.vg)))


def _write(
    session: Session, vg: VolumeGroup, labels: list[PvLabel], places: tuple[str, ...], fresh: set[str]
) -> VolumeGroup:
    """Labels of new PVs, then the metadata, then the flag in every label that says the PV is used.

    A crash before the metadata leaves orphans, one after it a whole volume group.
    """
    areas = []
    for label, path in zip(labels, places, strict=True):
        device = session.device(path, writable=True)
        if path in fresh:
            write_new(device, label)
        areas += [read_area(device, label.pv_id, start, size, Parsed()) for start, size in label.mdas]
    remember(session, labels, places)
    outcome = write_metadata(usable_places(areas, lambda path: session.device(path, writable=True)), vg, session.env)
    for miss in outcome.misses:
        session.warn(miss)
    for label, path in zip(labels, places, strict=True):
        mark_used(session.device(path, writable=True), label, used=True)
    backup_after(session, outcome.vg)
    return outcome.vg


def _extent_size_sectors(extent_size_bytes: int) -> int:
    if not extent_size_bytes:
        return DEFAULT_EXTENT_SIZE_SECTORS
    if extent_size_bytes % SECTOR_SIZE or not 0 < extent_size_bytes // SECTOR_SIZE < 2**32:
        raise UsageError(f"physical extent size {extent_size_bytes} bytes is not a whole number of 512-byte sectors")
    return extent_size_bytes // SECTOR_SIZE


def _labels(session: Session, world: World, places: tuple[str, ...]) -> tuple[list[PvLabel], set[str]]:
    """The label of each device, and which of them are new. Raises InUseError or RefusedError."""
    labels: list[PvLabel] = []
    fresh: set[str] = set()
    by_path = {pv.path: pv for pv in world.pvs}
    for path in places:
        found = by_path.get(path)
        if found is None:
            labels.append(new_label(session, world, path, PvOptions()))
            fresh.add(path)
            continue
        group = world.group_of(found.label.pv_id)
        if group is not None:
            raise InUseError(f"physical volume {path} is already in volume group {group.vg.name!r}; nothing changed")
        if found.label.is_used:
            raise InUseError(f"physical volume {path} is used by a volume group that was not found; nothing changed")
        if found.problems or any(area.header is None for area in found.areas):
            raise RefusedError(
                f"physical volume {path} has a damaged label or metadata area; make it anew: pvcreate -ff {path}"
            )
        labels.append(found.label)
    return labels, fresh


def _pv(label: PvLabel, path: str, device_size_bytes: int, extent_size_sectors: int) -> PhysicalVolume:
    pe_start, end = label.data_range_sectors
    pe_count = max(end - pe_start, 0) // extent_size_sectors
    if pe_count < 1:
        raise RefusedError(f"{path} has no room for an extent of {extent_size_sectors * SECTOR_SIZE} bytes")
    if end * SECTOR_SIZE > device_size_bytes:
        raise RefusedError(f"{path} has {device_size_bytes} bytes, but its label says {label.device_size_bytes}")
    ba_start, ba_size = label.bootloader_areas[0] if label.bootloader_areas else (0, 0)
    return PhysicalVolume(
        id=label.pv_id,
        device=path,
        dev_size_sectors=label.device_size_bytes // SECTOR_SIZE,
        pe_start_sectors=pe_start,
        pe_count=pe_count,
        ba_start_sectors=ba_start // SECTOR_SIZE,
        ba_size_sectors=ba_size // SECTOR_SIZE,
    )
