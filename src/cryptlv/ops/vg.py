"""Volume groups: create; and the devices that become physical volumes of one."""

from __future__ import annotations

from cryptlv.errors import ExistsError, InUseError, RefusedError, UsageError
from cryptlv.host.scan import Group, Parsed, read_pv
from cryptlv.model.vg import DEFAULT_EXTENT_SIZE_SECTORS, PhysicalVolume, VolumeGroup
from cryptlv.model.vg_edit import (
    ALL_COPIES,
    autoactivation_flags,
    check_extent_size,
    stored_policy,
    with_pvs,
)
from cryptlv.names import check_vg_name, printable
from cryptlv.ops.commit import commit_change
from cryptlv.ops.consent import UnansweredError, ask_nobody, with_consent
from cryptlv.ops.pv import PvOptions, absolute_paths, plan_new, remember, write_new
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import FoundPv, World
    from cryptlv.ondisk.label import PvLabel
    from cryptlv.ops.consent import Ask
    from cryptlv.ops.session import Session


__all__ = ["ALL_COPIES"]


class VgOptions(Record):
    """What a new volume group is to be; 0, "" and None stand for lvm2's defaults.

    `metadata_copies` may be ALL_COPIES, `allocation_policy` is one of names.POLICY_WORDS.
    """

    extent_size_bytes: int = 0
    max_lv: int = 0
    max_pv: int = 0
    tags: tuple[str, ...] = ()
    allocation_policy: str = "normal"
    metadata_copies: int = 0
    system_id: str | None = None
    autoactivates: bool = True


class NewMember(Record):
    """A device that is to be a physical volume of a group; `is_fresh` when it is to be made one first."""

    path: str
    label: PvLabel
    is_fresh: bool


def create(
    session: Session,
    name: str,
    paths: tuple[str, ...],
    extent_size_bytes: int = 0,
    *,
    options: VgOptions | None = None,
    pv_options: PvOptions | None = None,
    ask: Ask = ask_nobody,
) -> VolumeGroup:
    """Create a volume group of physical volumes; a device that is none yet is made one, as lvm2 does.

    Labels of new PVs come first, then the metadata, then the flag in every label that says the PV is used: a crash
    before the metadata leaves orphans, one after it a whole volume group.

    `ask` is asked about devices that hold something. Raises UsageError, ExistsError when the name is taken,
    InUseError when a device belongs to a volume group, RefusedError, NotFoundError, DeviceError, CommitError; nothing
    is changed then, but that devices may be physical volumes.
    """
    check_vg_name(name)
    places = absolute_paths(paths)
    if not places:
        raise UsageError("vgcreate needs at least one physical volume")
    wanted = options or VgOptions(extent_size_bytes=extent_size_bytes)
    fresh = pv_options or PvOptions()
    return with_consent(lambda agreed: _create(session, name, places, wanted, fresh, agreed), ask)


def _create(
    session: Session,
    name: str,
    places: tuple[str, ...],
    wanted: VgOptions,
    fresh: PvOptions,
    agreed: frozenset[str],
) -> VolumeGroup:
    with session.locked(name, write=True, global_write=True):
        world = session.world(places)
        if world.find_group(name) is not None:
            raise ExistsError(f"A volume group called {name} already exists.")
        members = new_members(session, world, places, fresh, agreed)
        vg = _draft(session, name, wanted)
        vg = with_pvs(vg, *(as_pv(session, member, vg) for member in members))
        check_writable_areas(members)
        if session.test:
            return vg
        found = prepare_members(session, members, fresh)
        group = with_members(Group(vg=vg, pv_paths={}, areas=()), found)
        return commit_change(session, group, vg, use_all_areas=wanted.metadata_copies == ALL_COPIES)


def _draft(session: Session, name: str, options: VgOptions) -> VolumeGroup:
    extent_sectors = DEFAULT_EXTENT_SIZE_SECTORS
    if options.extent_size_bytes:
        if options.extent_size_bytes % SECTOR_SIZE or options.extent_size_bytes // SECTOR_SIZE >= 2**32:
            raise UsageError(
                f"physical extent size {options.extent_size_bytes} bytes is not a whole number of 512-byte sectors, "
                "or too large"
            )
        extent_sectors = options.extent_size_bytes // SECTOR_SIZE
    check_extent_size(extent_sectors)
    system_id = session.env.system_id if options.system_id is None else options.system_id
    return VolumeGroup(
        name=name,
        id=session.env.new_uuid(),
        seqno=0,
        flags=autoactivation_flags((), wanted=options.autoactivates),
        tags=tuple(dict.fromkeys(options.tags)),
        system_id=system_id or None,
        extent_size_sectors=extent_sectors,
        max_lv=options.max_lv,
        max_pv=options.max_pv,
        allocation_policy=stored_policy(options.allocation_policy),
        metadata_copies=max(options.metadata_copies, 0),
    )


def names(session: Session) -> tuple[str, ...]:
    """The volume groups that are this host's, by name."""
    groups = session.world(silent=True).groups
    return tuple(sorted(group.vg.name for group in groups if not session.hidden_reason(group.vg)))


def new_members(
    session: Session, world: World, places: tuple[str, ...], options: PvOptions, agreed: frozenset[str]
) -> tuple[NewMember, ...]:
    """Devices as the physical volumes that they will be; writes nothing.

    Raises InUseError or RefusedError, UnansweredError when something must be asked that is not among `agreed`.
    """
    members: list[NewMember] = []
    questions: list[str] = []
    by_path = {pv.path: pv for pv in world.pvs}
    for path in places:
        found = by_path.get(path)
        if found is None:
            new, asked = plan_new(session, world, path, options)
            questions += [question for question in asked if question not in agreed]
            members.append(NewMember(path=path, label=new.label, is_fresh=True))
            continue
        group = world.group_of(found.label.pv_id)
        if group is not None:
            raise InUseError(
                f"Physical volume '{path}' is already in volume group '{printable(group.vg.name)}'; nothing changed"
            )
        if found.label.is_used:
            raise InUseError(f"PV {path} is used by a VG but its metadata is missing; nothing changed")
        if found.problems or any(area.header is None for area in found.areas):
            raise RefusedError(
                f"physical volume {path} has a damaged label or metadata area; make it anew: pvcreate -ff {path}"
            )
        members.append(NewMember(path=path, label=found.label, is_fresh=False))
    if questions:
        raise UnansweredError(tuple(questions))
    return tuple(members)


def check_writable_areas(members: tuple[NewMember, ...]) -> None:
    """Raise RefusedError when a new group would have no metadata area."""
    if not any(member.label.mdas for member in members):
        raise RefusedError("No metadata areas to write to; make a physical volume with one: --pvmetadatacopies 1")


def prepare_members(session: Session, members: tuple[NewMember, ...], options: PvOptions) -> tuple[FoundPv, ...]:
    """Make physical volumes of the devices that are none yet, and give all of them as found. Raises DeviceError."""
    found: list[FoundPv] = []
    for member in members:
        device = session.device(member.path, writable=True)
        if member.is_fresh:
            write_new(device, member.label, options, session.inform)
            session.inform(f'Physical volume "{member.path}" successfully created.')
        pv = read_pv(device, session.warn, Parsed())
        if pv is None or pv.label.pv_id != member.label.pv_id:
            raise RefusedError(f"{member.path}: the label that was written does not read back")
        found.append(pv)
    remember(session, [member.label for member in members], tuple(member.path for member in members))
    return tuple(found)


def with_members(group: Group, found: tuple[FoundPv, ...]) -> Group:
    """The group with physical volumes that are to come into it."""
    return group.replace(
        pv_paths={**group.pv_paths, **{pv.label.pv_id: pv.path for pv in found}},
        areas=(*group.areas, *(area for pv in found for area in pv.areas)),
        unmarked=(*group.unmarked, *(pv for pv in found if pv.is_unmarked)),
    )


def as_pv(session: Session, member: NewMember, vg: VolumeGroup) -> PhysicalVolume:
    """The physical volume as its group will know it; raises RefusedError when there is no room for an extent."""
    label, path = member.label, member.path
    pe_start, end = label.data_range_sectors
    pe_count = max(end - pe_start, 0) // vg.extent_size_sectors
    if pe_count < 1:
        raise RefusedError(f"{path} has no room for an extent of {vg.extent_size_bytes} bytes")
    device_bytes = session.device(path).size_bytes
    if end * SECTOR_SIZE > device_bytes:
        raise RefusedError(f"{path} has {device_bytes} bytes, but its label says {label.device_size_bytes}")
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
