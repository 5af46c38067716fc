"""Physical volumes: make a device or an image file ready for use."""

from __future__ import annotations

from cryptlv.errors import ExistsError, FormatError, InUseError, RefusedError
from cryptlv.names import parse_uuid
from cryptlv.ondisk.label import (
    EXTENSION_VERSION,
    PV_USED,
    PvLabel,
    encode_label,
    find_label,
    find_labels,
    plan_layout,
)
from cryptlv.ondisk.mda import MDA_HEADER_BYTES, MdaHeader, decode_mda_header, encode_mda_header
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.device import Device
    from cryptlv.host.scan import FoundPv, World
    from cryptlv.ops.session import Session

_LABEL_SECTORS_BYTES = 4 * 512
_CLEARED_MDA_BYTES = 8 * 512


class PvOptions(Record):
    """pvcreate's options, in bytes; 0 stands for lvm2's default. `zero` clears what is around the label."""

    metadata_size_bytes: int = 0
    metadata_copies: int = 1
    data_alignment_bytes: int = 0
    data_alignment_offset_bytes: int = 0
    bootloader_area_bytes: int = 0
    zero: bool = True


def create(session: Session, paths: tuple[str, ...], options: PvOptions | None = None) -> tuple[str, ...]:
    """Make each device a physical volume; gives their absolute paths.

    All are checked before the first is written. Raises NotFoundError, DeviceError, RefusedError when a device is too
    small or holds something, ExistsError when it is a physical volume, InUseError when it belongs to a volume group.
    """
    wanted = options or PvOptions()
    places = absolute_paths(paths)
    with session.locked(write=True, global_write=True):
        world = session.world(places)
        labels = [new_label(session, world, path, wanted) for path in places]
        if session.test:
            return places
        for path, label in zip(places, labels, strict=True):
            write_new(session.device(path, writable=True), label, zero=wanted.zero)
        remember(session, labels, places)
    return places


def absolute_paths(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Paths as the devices file keeps them; raises RefusedError for one that is named twice."""
    import os.path

    places = tuple(os.path.abspath(path) for path in paths)
    for path in places:
        if places.count(path) > 1:
            raise RefusedError(f"{path} is named more than once")
    return places


def remember(session: Session, labels: list[PvLabel], places: tuple[str, ...]) -> None:
    """Enter new physical volumes into the devices file."""
    ids = [parse_uuid(label.pv_id) for label in labels]
    session.remember_devices(zip(places, ids, strict=True))


def new_label(session: Session, world: World, path: str, options: PvOptions) -> PvLabel:
    """The label that `path` would get; raises when the device must not be made a physical volume."""
    device = session.device(path)
    refuse_used(session, world, device)
    layout = plan_layout(
        device.size_bytes,
        path=path,
        metadata_size_bytes=options.metadata_size_bytes,
        metadata_copies=options.metadata_copies,
        data_alignment_bytes=options.data_alignment_bytes,
        data_alignment_offset_bytes=options.data_alignment_offset_bytes,
        bootloader_area_bytes=options.bootloader_area_bytes,
    )
    return layout.label(session.env.new_uuid())


def refuse_used(session: Session, world: World, device: Device) -> None:
    """Raise when a device is a physical volume already (-f makes it anew) or is used by a volume group (-ff does)."""
    path = device.path
    found = next((pv for pv in world.pvs if pv.path == path), None)
    if found is None:
        label, _ = find_label(device.read(0, min(device.size_bytes, _LABEL_SECTORS_BYTES)))
        if label is not None:
            raise ExistsError(f"{path} has the PV id {label.pv_id} of another device here; nothing changed")
        refuse_content(session, device)
        return
    group = world.group_of(found.label.pv_id)
    if session.force < 2:
        if group is not None:
            raise InUseError(f"{path} is used by volume group {group.vg.name!r}; nothing changed")
        if found.label.flags & PV_USED or any(area.problem for area in found.areas):
            raise InUseError(f"{path} belongs to a volume group that cannot be read; nothing changed (-ff takes it)")
    if session.force < 1:
        raise ExistsError(
            f"{path} is a physical volume already ({found.label.pv_id}); nothing changed (-f makes it anew)"
        )


def refuse_content(session: Session, device: Device) -> None:
    """Raise RefusedError when a device holds a file system or the like, unless -f was given."""
    from cryptlv.host.signatures import find_signature

    kind = find_signature(device)
    if kind and not session.force:
        raise RefusedError(f"{device.path} holds {kind}; nothing changed (-f overwrites it)")


def write_new(device: Device, label: PvLabel, *, zero: bool = True) -> None:
    """Write empty metadata areas, flush, then the label, flush: a label never points at what is not there.

    The other label sectors are cleared, so that no older label is found; without `zero` only those with a label are.
    """
    for start_bytes, size_bytes in label.mdas:
        header = encode_mda_header(MdaHeader(start_bytes=start_bytes, size_bytes=size_bytes))
        device.write(start_bytes, header + bytes(_CLEARED_MDA_BYTES - MDA_HEADER_BYTES))
    device.flush()
    sectors = bytearray(_LABEL_SECTORS_BYTES)
    if not zero:
        sectors[:] = device.read(0, _LABEL_SECTORS_BYTES)
        for old in find_labels(bytes(sectors))[0]:
            sectors[old.sector * 512 : (old.sector + 1) * 512] = bytes(512)
    sectors[label.sector * 512 : (label.sector + 1) * 512] = encode_label(label)
    device.write(0, sectors)
    device.flush()


def mark_used(device: Device, found: FoundPv | PvLabel, *, used: bool) -> None:
    """Set or clear the flag in a label that says a volume group uses the PV (PV_EXT_USED).

    Of a PV that has two labels the one in force goes into the first one's sector, and the other is cleared.
    """
    label = found if isinstance(found, PvLabel) else found.label
    spare = None if isinstance(found, PvLabel) else found.spare
    flags = label.flags | PV_USED if used else label.flags & ~PV_USED
    sectors = sorted((label.sector, spare.sector if spare is not None else label.sector))
    marked = label.replace(flags=flags, extension_version=EXTENSION_VERSION, sector=sectors[0])
    device.write(marked.sector * 512, encode_label(marked))
    device.flush()
    if spare is not None:
        device.write(sectors[1] * 512, bytes(512))
        device.flush()


def release(device: Device, label: PvLabel) -> None:
    """Make the PV one that no volume group uses: empty its metadata areas, flush, then clear the flag in its label.

    An area that is ignored stays so, as with lvm2. A crash between the two leaves a label that says "used", which
    nothing takes without being forced to.
    """
    for start_bytes, size_bytes in label.mdas:
        header = MdaHeader(start_bytes=start_bytes, size_bytes=size_bytes)
        try:
            old = decode_mda_header(device.read(start_bytes, MDA_HEADER_BYTES), start_bytes, size_bytes)
        except FormatError:
            old = header
        ignored = old.committed if old.is_ignored else None
        device.write(start_bytes, encode_mda_header(header.with_slots(ignored, None)))
    device.flush()
    mark_used(device, label, used=False)
