"""Physical volumes: take up the size that a device has now (lvm2's tools/pvresize.c, lib/metadata/pv_manip.c).

A metadata area at the end of the device moves with the end. It is written with the metadata of the moment where it
goes, and the label, one sector, then points there: before the commit when the PV grows, after it when it shrinks, so
that neither value of the volume group ever has extents over it.
"""

from __future__ import annotations

from cryptlv.errors import NoSpaceError, RefusedError
from cryptlv.model.pv_edit import resize_pv
from cryptlv.names import printable
from cryptlv.ondisk.layout import MIN_PV_BYTES, area_at_end
from cryptlv.ondisk.mda import MDA_HEADER_BYTES, MdaHeader, encode_mda_header, raw_location
from cryptlv.ops.commit import commit_change
from cryptlv.ops.consent import ask_nobody
from cryptlv.ops.pv import write_label
from cryptlv.ops.pv_change import locked_pv
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.device import Device
    from cryptlv.host.scan import FoundPv, Group, MetadataArea
    from cryptlv.ondisk.label import PvLabel
    from cryptlv.ops.consent import Ask
    from cryptlv.ops.session import Session

_MIN_METADATA_BYTES = 32 * 1024


class _Resized(Record):
    """What the PV is to be: its size, its label, and the last metadata area as it is, None when there is none."""

    size_bytes: int
    label: PvLabel
    last: MetadataArea | None

    @property
    def end_bytes(self) -> int:
        """The end of the extents."""
        return self.label.mdas[1][0] if self.last is not None else self.size_bytes


def resize(session: Session, path: str, size_bytes: int = 0, ask: Ask = ask_nobody) -> None:
    """Have a physical volume end where its device does, or at `size_bytes`, which is asked about.

    Raises NotFoundError, RefusedError when it would be too small, NoSpaceError when extents in use lie beyond the new
    end, CommitError, DeviceError. A crash leaves the old or the new.
    """
    real = session.device(path).size_bytes
    real -= real % SECTOR_SIZE
    size = size_bytes or real
    if size != real:
        than = "exceeds" if size > real else "is less than"
        ask(f"{path}: Requested size {format_size(size)} {than} real size {format_size(real)}. Proceed?")
        session.warn(f"{path}: Pretending size is {size // SECTOR_SIZE} not {real // SECTOR_SIZE} sectors.")
    with locked_pv(session, path) as (found, group):
        new = _resized(found, size, real)
        if group is not None:
            _resize_in_group(session, group, found, new)
        elif not session.test:
            device = session.device(path, writable=True)
            if new.last is not None:
                _move_last(device, found, new, b"")
            else:
                write_label(device, new.label)


def _resized(found: FoundPv, size: int, real: int) -> _Resized:
    """The PV at its new size; raises RefusedError when it cannot have it."""
    start = found.label.data_range_sectors[0] * SECTOR_SIZE
    if size < MIN_PV_BYTES:
        raise RefusedError(f"Size must exceed minimum of {MIN_PV_BYTES // SECTOR_SIZE} sectors on PV {found.path}.")
    if size < start:
        raise RefusedError(
            f"Size must exceed physical extent start of {start // SECTOR_SIZE} sectors on PV {found.path}."
        )
    label = found.label.replace(device_size_bytes=size)
    if len(label.mdas) < 2:
        return _Resized(size_bytes=size, label=label, last=None)
    area = area_at_end(size, label.mdas[1][1], start)
    if area[1] < _MIN_METADATA_BYTES or size > real:
        raise NoSpaceError(
            f"Failed to move metadata area with index 1 while resizing PV {found.path}: no room for it."
        )
    return _Resized(size_bytes=size, label=label.replace(mdas=(label.mdas[0], area)), last=found.areas[1])


def _resize_in_group(session: Session, group: Group, found: FoundPv, new: _Resized) -> None:
    end = new.end_bytes // SECTOR_SIZE
    after = resize_pv(group.vg, found.label.pv_id, new.size_bytes // SECTOR_SIZE, end, found.path)
    old = new.last
    if old is None or session.test or new.label.mdas == found.label.mdas:
        commit_change(session, group, after)
        return
    others = [area for area in group.areas if (area.path, area.start_bytes) != (old.path, old.start_bytes)]
    if _overlap(new) and not any(area.vg == group.vg for area in others):
        raise RefusedError(
            f"{found.path}: its last metadata area is the only one in use of {printable(group.vg.name)}, and would "
            "be moved over itself; have another one used first: pvchange --metadataignore n"
        )
    device = session.device(found.path, writable=True)
    shrinks = new.label.mdas[1][0] < old.start_bytes
    if shrinks:
        commit_change(session, group, after)
        group = session.world(silent=True).group(group.vg.name)
    text = next((area.text for area in group.areas if area.vg == group.vg and area.text is not None), b"")
    _move_last(device, found, new, text)
    if not shrinks:
        commit_change(session, session.world(silent=True).group(group.vg.name), after)


def _overlap(new: _Resized) -> bool:
    start, size = new.label.mdas[1]
    return (
        new.last is not None
        and start < new.last.start_bytes + new.last.size_bytes
        and new.last.start_bytes < start + size
    )


def _move_last(device: Device, found: FoundPv, new: _Resized, text: bytes) -> None:
    """Write the last metadata area where it goes and have the label point there; one that is moved over itself is
    taken out of the label before. An area that is not in use stays so, one without metadata has none."""
    start, size = new.label.mdas[1]
    if _overlap(new):
        write_label(device, found.label.replace(mdas=found.label.mdas[:1]))
    header = MdaHeader(start_bytes=start, size_bytes=size)
    if new.last is not None and new.last.is_ignored:
        header = header.ignored()
    elif text:
        data = text + b"\0"
        device.write(start + MDA_HEADER_BYTES, data + bytes(-len(data) % SECTOR_SIZE))
        device.flush()
        header = header.with_slots(raw_location(MDA_HEADER_BYTES, data), None)
    device.write(start, encode_mda_header(header))
    device.flush()
    write_label(device, new.label)
