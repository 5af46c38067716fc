"""vgimportclone: copies of a group's devices become a group of its own (lvm2's tools/vgimportclone.c).

Every crash leaves a group that is whole. First one commit gives the group its new id and name, on PVs that keep
their ids: of two texts with the same PVs the newer counts (host/scan.py). Then each PV gets a second label, with its
new id; a second commit names the new ids, and from then on those labels count; last they take the place of the old
ones.
"""

from __future__ import annotations

from cryptlv.errors import NotFoundError, RefusedError, UsageError
from cryptlv.model.vg_edit import imported, with_pv_ids
from cryptlv.names import check_vg_name, printable
from cryptlv.ondisk.label import LABEL_SCAN_SECTORS, PvLabel, encode_label
from cryptlv.ops.commit import commit_change
from cryptlv.ops.pv import absolute_paths, remember
from cryptlv.ops.vg_change import refuse_any_active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptlv.host.scan import FoundPv, Group, World
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.session import Session


def import_clone(
    session: Session, paths: tuple[str, ...], base_name: str = "", *, import_exported: bool = False
) -> VolumeGroup:
    """Make the group on the devices one with new ids and a name that is free; gives it.

    The name is `base_name`, or the old name with 1 behind it, and with the next number behind it where it is taken.
    The volumes get new ids, too, so that original and copy can be active at the same time. Raises NotFoundError,
    RefusedError when the devices are not those of one whole group, InUseError, DeviceError, CommitError.
    """
    places = absolute_paths(paths)
    if not places:
        raise UsageError("vgimportclone: name the devices of the copy")
    if base_name:
        check_vg_name(base_name)
    with session.locked(write=True, global_write=True):
        others = session.world_on(path for path in session.device_paths() if path not in places)
        old_name = _group_on(session, places)[0].vg.name
        new_name = _free_name(others, base_name, old_name)
        with session.locked(*{old_name, new_name}, write=True):
            group, found = _group_on(session, places)
            _check(session, group, found, import_exported=import_exported)
            if all(pv.label.pv_id not in group.pv_paths for pv in others.pvs):
                refuse_any_active(session, group.vg)  # else an active volume is the original's
            return _import(session, group, found, new_name)


def _group_on(session: Session, places: tuple[str, ...]) -> tuple[Group, tuple[FoundPv, ...]]:
    """The one group that lies on the devices, and their PVs; raises NotFoundError and RefusedError."""
    world = session.world_on(places)
    found = {pv.path: pv for pv in world.pvs}
    for path in places:
        if path not in found:
            raise NotFoundError(f"{path} is no physical volume, or the same as another of the devices")
    if not world.groups:
        raise NotFoundError("No VG found on devices.")
    if len({group.vg.id for group in world.groups}) > 1:
        raise RefusedError("Devices must be from the same VG.")
    return world.groups[0], tuple(found[path] for path in places)


def _free_name(others: World, base: str, old_name: str) -> str:
    """The first name that no group on other devices has; the copy's own takes none away."""
    taken = {group.vg.name for group in others.groups}
    name, number = (base, 0) if base else (f"{old_name}1", 1)
    while name in taken:
        number += 1
        name = f"{base or old_name}{number}"
    return check_vg_name(name)


def _check(session: Session, group: Group, found: tuple[FoundPv, ...], *, import_exported: bool) -> None:
    vg = group.vg
    name = printable(vg.name)
    if vg.is_exported and not import_exported:
        raise RefusedError(f"VG {name} is exported, use the --import option.")
    for pv in found:
        if pv.label.pv_id not in group.pv_paths:
            raise RefusedError(f"Device {pv.path} was not found in VG {name}: the devices must be those of one VG.")
    for pv_id in group.missing_pv_ids:
        raise RefusedError(
            f"PV {printable(pv_id)} is part of VG {name}: all PVs in the VG must be imported together."
        )
    if vg.is_partial:
        raise RefusedError(f"VG {name} is partial, it must be complete.")
    if "CLUSTERED" in vg.status:
        session.check_accessible(vg)


def _import(session: Session, group: Group, found: tuple[FoundPv, ...], new_name: str) -> VolumeGroup:
    env = session.env
    lvs = tuple(lv.replace(id=env.new_uuid(), lock_args="") for lv in group.vg.lvs)
    vg = imported(group.vg, env.system_id).replace(
        id=env.new_uuid(), name=new_name, lock_type="", lock_args="", lvs=lvs
    )
    new_ids = {pv.label.pv_id: env.new_uuid() for pv in found}
    committed = commit_change(session, group, vg)
    if session.test:
        return committed
    again = session.world_on(pv.path for pv in found).group(new_name)
    labelled = tuple(_with_spare(session, pv, new_ids) for pv in found)
    paths = {pv.label.pv_id: pv.path for pv in labelled}
    result = commit_change(
        session,
        again.replace(pv_paths=paths, unmarked=labelled),
        with_pv_ids(again.vg, new_ids),
        archive=False,
    )
    remember(session, [pv.label for pv in labelled], tuple(pv.path for pv in labelled))
    return result


def _with_spare(session: Session, found: FoundPv, new_ids: Mapping[str, str]) -> FoundPv:
    """Write a second label, with the PV's new id, and give the PV as it is once that counts."""
    old = found.label
    device = session.device(found.path, writable=True)
    others = [(old.sector + step) % LABEL_SCAN_SECTORS for step in range(1, LABEL_SCAN_SECTORS)]
    sector = next((sector for sector in others if not any(device.read(sector * 512, 512))), others[0])
    label: PvLabel = old.replace(pv_id=new_ids[old.pv_id], sector=sector)
    device.write(sector * 512, encode_label(label))
    device.flush()
    return found.relabelled(label)
