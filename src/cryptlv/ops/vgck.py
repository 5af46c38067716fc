"""vgck: everything that does not fit together in a volume group, and `--updatemetadata`, which mends what can be.

Mirrors tools/vgck.c, lib/metadata/metadata.c:vg_write, _wipe_outdated_pvs and vg_write_commit_bad_mdas of lvm2.
"""

from __future__ import annotations

from cryptlv.errors import CryptlvError, FormatError
from cryptlv.model.check import check
from cryptlv.names import printable
from cryptlv.ondisk.label import EXTENSION_VERSION
from cryptlv.ondisk.mda import MDA_HEADER_BYTES, mendable_header
from cryptlv.ondisk.renumbered import renumbered
from cryptlv.ops.commit import commit_change
from cryptlv.ops.pv import release
from cryptlv.segments.crypt import reused_tweaks
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.host.scan import FoundPv, Group, MetadataArea, World
    from cryptlv.model.vg import PhysicalVolume, VolumeGroup
    from cryptlv.ops.session import Session


def find_faults(session: Session, name: str) -> tuple[str, ...]:
    """One line for each thing that is wrong with a volume group, with its device; raises NotFoundError."""
    with session.locked(name, write=False, global_read=True):
        world = session.world(silent=True)
        group = world.group(name)
        return (
            *_copies(group),
            *group.hazards,
            *_outdated_lines(world, group),
            *_pvs(world, group),
            *_text_faults(group.vg, group),
        )


def _copies(group: Group) -> Iterator[str]:
    for area in group.areas:
        where = f"{area.path}: metadata area at {area.start_bytes}"
        if area.problem:
            yield area.problem
        elif area.vg is not None and area.vg.id != group.vg.id:
            yield f"{where}: has metadata of another volume group, {printable(area.vg.name)}"
        elif area.vg is not None and area.vg.seqno < group.vg.seqno:
            yield f"{where}: seqno {area.vg.seqno} is old, that of the volume group is {group.vg.seqno}"
        elif area.vg is not None and area.vg != group.vg:
            yield f"{where}: differs from the other copies of seqno {group.vg.seqno}"
        elif area.vg is None and not area.is_ignored:
            yield f"{where}: has no metadata, though the physical volume is in the volume group"


def outdated_pvs(world: World, group: Group) -> tuple[FoundPv, ...]:
    """Devices with old metadata of the group that are not in it any more."""
    own = {pv.id for pv in group.vg.pvs}
    return tuple(
        pv
        for pv in world.pvs
        if pv.label.pv_id not in own
        and world.group_of(pv.label.pv_id) is None
        and any(area.vg is not None and area.vg.id == group.vg.id for area in pv.areas)
    )


def _outdated_lines(world: World, group: Group) -> Iterator[str]:
    for pv in outdated_pvs(world, group):
        seqno = max(area.vg.seqno for area in pv.areas if area.vg is not None)
        yield f"{pv.path}: outdated, it has been removed from the volume group since its seqno {seqno}"


def _pvs(world: World, group: Group) -> Iterator[str]:
    found = {pv.label.pv_id: pv for pv in world.pvs}
    for pv in group.vg.pvs:
        seen = found.get(pv.id)
        if seen is None:
            yield f"physical volume {printable(pv.id)} is missing, it was last seen as {printable(pv.device)}"
            continue
        if pv.is_missing:
            yield f"{seen.path}: the metadata has it as missing, but it is here"
        yield from _label_faults(group, pv, seen)


def _label_faults(group: Group, pv: PhysicalVolume, seen: FoundPv) -> Iterator[str]:
    label = seen.label
    if not label.is_used or label.extension_version < EXTENSION_VERSION:
        yield f"{seen.path}: its label does not say that a volume group uses it"
    if label.former_id:
        yield f"{seen.path}: the change of its id was interrupted; the next change of the volume group ends that"
    start_sectors = label.data_range_sectors[0]
    if start_sectors != pv.pe_start_sectors:
        yield f"{seen.path}: data begin at sector {start_sectors} by its label, {pv.pe_start_sectors} by the metadata"
    behind = pv.pe_start_sectors + pv.pe_count * group.vg.extent_size_sectors
    if behind * SECTOR_SIZE > seen.size_bytes:
        yield (
            f"{seen.path}: its extents end at sector {behind}, the device at sector {seen.size_bytes // SECTOR_SIZE}"
        )


def _text_faults(vg: VolumeGroup, group: Group) -> Iterator[str]:
    yield from check(vg)
    for store, first, second in reused_tweaks(vg):
        names = " and ".join(f"{printable(vg.name)}/{printable(name)}" for name in dict.fromkeys((first, second)))
        yield f"{names}: sectors are encrypted with the same key, of {printable(store)}, and the same tweak"
    texts = (area.text for area in group.areas if area.text is not None and area.vg == vg)
    for text in list(texts)[:1]:
        yield from renumbered(text)


def update_metadata(session: Session, name: str) -> VolumeGroup:
    """Write a volume group anew, as it is understood: to every metadata area, old and damaged ones included.

    PVs that are not there are marked as missing, and those that came back unused no longer are; devices that were
    removed from the group lose their old metadata of it. Raises NotFoundError, RefusedError, CommitError.
    """
    with session.locked(name, write=True, global_write=True):
        world = session.world(silent=True)
        group = world.group(name)
        session.check_usable(group)
        areas = tuple(_mended(session, area) for area in group.areas)
        committed = commit_change(session, group.replace(areas=areas), group.vg)
        if not session.test:
            _wipe_outdated(session, outdated_pvs(world, group))
        return committed


def _mended(session: Session, area: MetadataArea) -> MetadataArea:
    """An area whose header is damaged, as one that can be written: where magic and place are right. Else as it is."""
    if area.header is not None:
        return area
    try:
        data = session.device(area.path).read(area.start_bytes, MDA_HEADER_BYTES)
        return area.replace(header=mendable_header(data, area.start_bytes, area.size_bytes))
    except FormatError as error:
        session.warn(f"{area.path}: metadata area at {area.start_bytes} is left alone: {error}; see pvck --repair")
    except CryptlvError as error:
        session.warn(str(error))
    return area


def _wipe_outdated(session: Session, pvs: tuple[FoundPv, ...]) -> None:
    """Empty the metadata areas of devices that are not in the group any more, then clear the flag in their labels."""
    for pv in pvs:
        try:
            release(session.device(pv.path, writable=True), pv.label)
            session.warn(f"{pv.path}: old metadata of a volume group that it has been removed from wiped")
        except CryptlvError as error:
            session.warn(f"{pv.path}: its old metadata could not be wiped: {error}")
