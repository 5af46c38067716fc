"""Physical volumes: make a device or an image file ready for use."""

from __future__ import annotations

from cryptlv.errors import CryptlvError, ExistsError, FormatError, InUseError, RefusedError, UsageError
from cryptlv.names import parse_uuid, printable
from cryptlv.ondisk.label import (
    DEFAULT_LABEL_SECTOR,
    EXTENSION_VERSION,
    LABEL_SCAN_BYTES,
    PV_USED,
    PvLabel,
    encode_label,
    find_label,
    is_label_sector,
)
from cryptlv.ondisk.layout import FixedPlaces, plan_layout
from cryptlv.ondisk.mda import MDA_HEADER_BYTES, MdaHeader, decode_mda_header, encode_mda_header
from cryptlv.ops.consent import ask_nobody, raise_error, take_each
from cryptlv.record import Record
from cryptlv.units import MIB, SECTOR_SIZE, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.device import Device
    from cryptlv.host.scan import FoundPv, Group, World
    from cryptlv.ops.consent import Ask, OnError
    from cryptlv.ops.session import Session

_CLEARED_MDA_BYTES = 8 * SECTOR_SIZE


class PvOptions(Record):
    """pvcreate's options, in bytes; 0 and "" stand for lvm2's default.

    `fixed` says what is kept of a PV that is made again, `zero` whether the device's first 2 KiB are cleared.
    """

    metadata_size_bytes: int = 0
    metadata_copies: int = 1
    metadata_ignored: bool = False
    data_alignment_bytes: int = 0
    data_alignment_offset_bytes: int = 0
    bootloader_area_bytes: int = 0
    label_sector: int = DEFAULT_LABEL_SECTOR
    size_bytes: int = 0
    pv_id: str = ""
    fixed: FixedPlaces | None = None
    zero: bool = True


class NewPv(Record):
    """A device that is to be made a physical volume."""

    label: PvLabel
    options: PvOptions


def create(
    session: Session,
    paths: tuple[str, ...],
    options: PvOptions | None = None,
    ask: Ask = ask_nobody,
    on_error: OnError = raise_error,
) -> tuple[str, ...]:
    """Make each device a physical volume; gives the absolute paths of those that are (tools/pvcreate.c).

    `ask` is given the questions that only the user can answer. What stands against a device is given to `on_error`,
    which may raise it: NotFoundError, DeviceError, RefusedError when it is too small or holds something that is to
    stay, ExistsError when another device has its id, InUseError when it belongs to a volume group or is mounted.
    """
    wanted = options or PvOptions()
    places = absolute_paths(paths)
    if wanted.pv_id and len(places) != 1:
        raise UsageError("Can only set uuid on one volume at once")
    made: list[str] = []

    def act(plans: dict[str, NewPv]) -> None:
        labels = []
        for path, new in plans.items():
            try:
                if not session.test:
                    write_new(session.device(path, writable=True), new.label, new.options, session.inform)
            except CryptlvError as error:
                on_error(error)
                continue
            made.append(path)
            labels.append(new.label)
        if made and not session.test:
            remember(session, labels, tuple(made))

    def plan(world: World, path: str) -> tuple[NewPv, tuple[str, ...]]:
        return plan_new(session, world, path, wanted)

    take_each(session, places, plan, act, ask, on_error)
    return tuple(made)


def absolute_paths(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Paths as the devices file keeps them; raises RefusedError for one that is named twice."""
    import os.path

    places = tuple(os.path.abspath(path) for path in paths)
    for path in places:
        if places.count(path) > 1:
            raise RefusedError(f"{path} is named more than once")
    return places


def restored(session: Session, options: PvOptions, path: str) -> PvOptions:
    """The options by which a PV is made again as a backup file has it (pvcreate --restorefile).

    Raises UsageError when the file cannot be read, or has no PV of that id.
    """
    from cryptlv.ops.repair import read_given

    try:
        vg = read_given(session, path).vg
    except CryptlvError as error:
        raise UsageError(f"Unable to read volume group from {printable(path)}: {error}") from None
    pv = next((pv for pv in vg.pvs if pv.id == options.pv_id), None)
    if pv is None:
        raise UsageError(f"Can't find uuid {options.pv_id} in backup file {printable(path)}")
    start = pv.pe_start_sectors * SECTOR_SIZE
    alignment, offset = options.data_alignment_bytes, options.data_alignment_offset_bytes
    if (start % alignment if alignment else start) != offset and (alignment or offset):
        session.warn(
            f"Ignoring data alignment {format_size(alignment + offset)} incompatible with restored pe_start value "
            f"{format_size(start)}."
        )
        alignment = offset = 0
    return options.replace(
        data_alignment_bytes=alignment,
        data_alignment_offset_bytes=offset,
        metadata_size_bytes=options.metadata_size_bytes or start,
        fixed=FixedPlaces(
            pe_start_bytes=start,
            pe_end_bytes=start + pv.pe_count * vg.extent_size_bytes if pv.pe_count else 0,
            bootloader_area=(pv.ba_start_sectors * SECTOR_SIZE, pv.ba_size_sectors * SECTOR_SIZE),
        ),
    )


def remember(session: Session, labels: list[PvLabel], places: tuple[str, ...]) -> None:
    """Enter new physical volumes into the devices file."""
    ids = [parse_uuid(label.pv_id) for label in labels]
    session.remember_devices(zip(places, ids, strict=True))


def plan_new(session: Session, world: World, path: str, options: PvOptions) -> tuple[NewPv, tuple[str, ...]]:
    """The physical volume that `path` would be made, and the questions that must be answered with yes before.

    Raises what `create` gives to `on_error`.
    """
    from cryptlv.host.devices import refuse_busy
    from cryptlv.host.signatures import find_signatures

    device = session.device(path)
    refuse_busy(path)
    found = next((pv for pv in world.pvs if pv.path == path), None)
    questions = list(_about_use(session, world, device, found, options.size_bytes))
    for pv in world.pvs:
        if pv.label.pv_id == options.pv_id and pv.path != path:
            raise ExistsError(f'UUID {options.pv_id} already in use on "{pv.path}".')
    if options.size_bytes > device.size_bytes:
        session.warn(f"{path}: Overriding real size. You could lose data.")
    alignment, offset = _alignment(session, path, options)
    layout = plan_layout(
        options.size_bytes or device.size_bytes,
        path=path,
        metadata_size_bytes=options.metadata_size_bytes,
        metadata_copies=options.metadata_copies,
        data_alignment_bytes=alignment,
        data_alignment_offset_bytes=offset,
        bootloader_area_bytes=options.bootloader_area_bytes,
        fixed=options.fixed,
    )
    if not session.force:
        questions += [
            f"{printable(held.kind)} signature detected on {path} at offset {held.offset_bytes}. Wipe it?"
            for held in find_signatures(device)
        ]
    label = layout.label(options.pv_id or session.env.new_uuid(), options.label_sector)
    return NewPv(label=label, options=options), tuple(questions)


def _alignment(session: Session, path: str, options: PvOptions) -> tuple[int, int]:
    """What extents are aligned to and how far on they begin, in bytes: as asked for, else as the device likes it."""
    from cryptlv.host.topology import Topology, data_alignment, observe_topology

    settings, topology = session.settings, observe_topology(path)
    detected = topology if settings.detects_alignment else Topology()
    alignment = options.data_alignment_bytes or data_alignment(settings.data_alignment_mib * MIB, detected)
    found = topology.offset_bytes if settings.detects_alignment_offset else 0
    return alignment, options.data_alignment_offset_bytes or found


def _about_use(
    session: Session, world: World, device: Device, found: FoundPv | None, size_bytes: int
) -> tuple[str, ...]:
    """What must be asked of a device that is a physical volume already; raises when only -ff takes it."""
    path = device.path
    if found is None:
        label, _ = find_label(device.read(0, min(device.size_bytes, LABEL_SCAN_BYTES)))
        if label is not None:
            raise ExistsError(f"Cannot use device {path} with duplicates: {label.pv_id} is on another device, too")
        return ()
    user = used_by(world, found)
    if user and session.force < 2:
        raise InUseError(f"Can't initialize physical volume {path!r} of volume group {user} without -ff")
    questions = []
    if user:
        refuse_served(session, world.group_of(found.label.pv_id), path)
        questions.append(f'Really INITIALIZE physical volume "{path}" of volume group {user}?')
    if size_bytes and size_bytes != device.size_bytes:
        questions.append(
            f"{path}: device size {format_size(device.size_bytes)} does not match requested size "
            f"{format_size(size_bytes)}. Proceed?"
        )
    return tuple(questions)


def used_by(world: World, found: FoundPv) -> str:
    """The volume group that a PV belongs to, for a message: "" for none, "<unknown>" for one that cannot be read."""
    group = world.group_of(found.label.pv_id)
    if group is not None:
        return repr(printable(group.vg.name))
    return "<unknown>" if found.label.is_used or any(area.problem for area in found.areas) else ""


def refuse_served(session: Session, group: Group | None, path: str) -> None:
    """Raise InUseError when a volume of the group that a device belongs to is active: it may be open."""
    from cryptlv.ops.kernel import active_ids

    active = active_ids(session)
    lv = next((lv for lv in group.vg.lvs if lv.id in active), None) if group else None
    if group is not None and lv is not None:
        name = f"{printable(group.vg.name)}/{printable(lv.name)}"
        raise InUseError(f"{path} is used by the active volume {name}: cryptlv lvchange -an {name}")


def write_new(
    device: Device,
    label: PvLabel,
    options: PvOptions | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Wipe what the device held, write empty metadata areas, flush, then the label, flush.

    So a label never points at what is not there.

    The other label sectors are cleared, so that no older label is found.
    """
    from cryptlv.host.signatures import wipe_signatures

    wanted = options or PvOptions()
    wipe_signatures(device, say)
    for start_bytes, size_bytes in label.mdas:
        header = MdaHeader(start_bytes=start_bytes, size_bytes=size_bytes)
        written = encode_mda_header(header.ignored() if wanted.metadata_ignored else header)
        device.write(start_bytes, written + bytes(_CLEARED_MDA_BYTES - MDA_HEADER_BYTES))
    device.flush()
    sectors = bytearray(LABEL_SCAN_BYTES) if wanted.zero else bytearray(device.read(0, LABEL_SCAN_BYTES))
    for place in range(0, LABEL_SCAN_BYTES, SECTOR_SIZE):
        if is_label_sector(sectors[place : place + SECTOR_SIZE], place // SECTOR_SIZE):
            sectors[place : place + SECTOR_SIZE] = bytes(SECTOR_SIZE)
    sectors[label.sector * SECTOR_SIZE : (label.sector + 1) * SECTOR_SIZE] = encode_label(label)
    device.write(0, sectors)
    device.flush()


def write_label(device: Device, label: PvLabel) -> None:
    """Write a label in its place, and flush."""
    device.write(label.sector * SECTOR_SIZE, encode_label(label))
    device.flush()


def mark_used(device: Device, found: FoundPv | PvLabel, *, used: bool) -> None:
    """Set or clear the flag in a label that says a volume group uses the PV (PV_EXT_USED).

    Of a PV that has two labels the one in force goes into the first one's sector, and the other is cleared.
    """
    label = found if isinstance(found, PvLabel) else found.label
    spare = None if isinstance(found, PvLabel) else found.spare
    flags = label.flags | PV_USED if used else label.flags & ~PV_USED
    sectors = sorted((label.sector, spare.sector if spare is not None else label.sector))
    write_label(device, label.replace(flags=flags, extension_version=EXTENSION_VERSION, sector=sectors[0]))
    if spare is not None:
        device.write(sectors[1] * SECTOR_SIZE, bytes(SECTOR_SIZE))
        device.flush()


def release(device: Device, label: PvLabel) -> None:
    """Make the PV one that no volume group uses: empty its metadata areas, flush, then clear the flag in its label.

    An area that is ignored stays so, as with lvm2. The label has the device's size then, which may have changed
    meanwhile (metadata.c:vg_remove_pvs). A crash between the two leaves a label that says "used", which nothing takes
    without being forced to.
    """
    for start_bytes, size_bytes in label.mdas:
        header = MdaHeader(start_bytes=start_bytes, size_bytes=size_bytes)
        try:
            old = decode_mda_header(device.read(start_bytes, MDA_HEADER_BYTES), start_bytes, size_bytes)
        except FormatError:
            old = header
        device.write(start_bytes, encode_mda_header(old if old.is_ignored else header))
    device.flush()
    size = device.size_bytes - device.size_bytes % SECTOR_SIZE
    mark_used(device, label.replace(device_size_bytes=size), used=False)
