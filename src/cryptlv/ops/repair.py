"""pvck --repair: a label, or metadata, that was overwritten is written anew from a metadata text.

Mirrors tools/pvck.c:_repair_label_header, _repair_pv_header, _repair_metadata of lvm2. Of what is still sound nothing
is lost: areas that a sound label names are kept, a text goes where the last one is not, and all is flushed in the
order that a crash cannot hurt.
"""

from __future__ import annotations

import re
import struct

from cryptlv.errors import FormatError, InUseError, NoSpaceError, NotFoundError, UsageError
from cryptlv.host.archive import read_metadata_file
from cryptlv.names import parse_uuid, printable
from cryptlv.ondisk.crc import lvm_crc
from cryptlv.ondisk.label import LABEL_SCAN_BYTES, PV_USED, PvLabel, decode_label, encode_label, find_label
from cryptlv.ondisk.mda import (
    MDA_HEADER_BYTES,
    MdaHeader,
    decode_mda_header,
    encode_mda_header,
    max_text_bytes,
    mendable_header,
    next_text_offset,
    raw_location,
    text_pieces,
)
from cryptlv.ondisk.search import search_texts
from cryptlv.ondisk.vgrender import render_disk
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.ops.search import second_area
from cryptlv.record import Record
from cryptlv.units import KIB, MIB, SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.device import Device
    from cryptlv.model.vg import PhysicalVolume, VolumeGroup
    from cryptlv.ops.search import Settings
    from cryptlv.ops.session import Session

_FIRST_AREA = 4 * KIB
_LABEL_SECTOR = 1


class Given(Record):
    """The metadata to put back: the text with its NUL, and what it says."""

    data: bytes
    vg: VolumeGroup


def read_given(session: Session, path: str) -> Given:
    """The metadata in a file: as pvck --dump metadata -f wrote it, or a backup.

    Raises NotFoundError, DeviceError, FormatError.
    """
    text = read_metadata_file(path)
    try:
        vg = parse_vg(text.rstrip(b"\0"))
    except FormatError as error:
        raise error.at(path) from None
    text = _raw(text.rstrip(b"\0"), vg.name.encode())
    if parse_vg(text) != vg:  # a comment where none is expected
        text = render_disk(vg, session.env)
    return Given(data=text + b"\0", vg=vg)


def _raw(text: bytes, name: bytes) -> bytes:
    """A backup as the text that lies on a device: the volume group first, without indents and comments."""
    before, heading, rest = text.partition(name + b" {\n")
    if not before:
        return text
    lines = (re.sub(rb"^\t+|(?<=.)\t+#.*$", b"", line) for line in rest.split(b"\n"))
    return heading + b"\n".join(lines) + before


def repair_label(session: Session, path: str, confirm: Callable[[str], None], say: Callable[[str], None]) -> None:
    """Write the fixed fields and the checksum of a label anew, where its contents are still sound.

    Raises FormatError when they are not, RefusedError when the answer is no.
    """
    with session.locked(write=True, global_write=True):
        device = session.device(path)
        sector = device.read(_LABEL_SECTOR * SECTOR_SIZE, SECTOR_SIZE)
        tail = struct.pack("<I8s", 32, b"LVM2 001") + sector[32:]
        fixed = struct.pack("<8sQI", b"LABELONE", _LABEL_SECTOR, lvm_crc(tail)) + tail
        try:
            decode_label(fixed, _LABEL_SECTOR)
        except FormatError as error:
            raise error.at(f"{path}: nothing changed, see pvck --repairtype pv_header") from None
        say(f"Writing label_header.crc 0x{lvm_crc(tail):08x}")
        if session.test:
            return
        confirm(f"Write new LVM header to {path}?")
        writable = session.device(path, writable=True)
        writable.write(_LABEL_SECTOR * SECTOR_SIZE, fixed)
        writable.flush()


def repair(
    session: Session, path: str, given: Given | None, settings: Settings, confirm: Callable[[str], None],
    say: Callable[[str], None], *, with_label: bool, with_metadata: bool,
) -> None:  # fmt: skip
    """Write label and PV header, metadata areas, or both anew.

    Raises NotFoundError when the metadata does not have this PV, InUseError when another device has its id,
    NoSpaceError, FormatError, RefusedError when the answer is no; nothing is changed then.
    """
    with session.locked(*((given.vg.name,) if given else ()), write=True, global_write=True):
        device = session.device(path)
        old, _ = find_label(device.read(0, min(device.size_bytes, LABEL_SCAN_BYTES)))
        label = _new_label(session, device, old, given, settings) if with_label else old
        if label is None:
            raise FormatError("no label: repair it too, with pvck --repair", device=path, field="label")
        if given is None and with_metadata:
            raise UsageError("pvck: name a file with the metadata: -f FILE")
        headers = _headers(device, label, given, settings) if with_metadata and given is not None else ()
        _announce(label if with_label else None, headers, say)
        if session.test:
            return
        confirm(f"Write new LVM {'header' if with_label else 'metadata'} to {path}?")
        writable = session.device(path, writable=True)
        if given is not None:
            for header in headers:
                _write_area(writable, header, given.data)
        if with_label:
            writable.write(label.sector * SECTOR_SIZE, encode_label(label))
            writable.flush()


def _announce(label: PvLabel | None, headers: tuple[MdaHeader, ...], say: Callable[[str], None]) -> None:
    if label is not None:
        crc = struct.unpack_from("<I", encode_label(label), 16)[0]
        first, second = [*label.mdas, (0, 0), (0, 0)][:2]
        say(
            f"Writing label_header.crc 0x{crc:08x} pv_header uuid {parse_uuid(label.pv_id)} "
            f"device_size {label.device_size_bytes}"
        )
        say(
            f"Writing data_offset {label.data_areas[0][0]} mda1_offset {first[0]} mda1_size {first[1]} "
            f"mda2_offset {second[0]} mda2_size {second[1]}"
        )
    for number, header in enumerate(headers, 1):
        text = header.committed
        if text is not None:
            place = header.start_bytes + text.offset_bytes
            say(f"Writing metadata at {place} length {text.size_bytes} crc 0x{text.crc:08x} mda{number}")
        say(f"Writing mda_header at {header.start_bytes} mda{number}")


def _new_label(
    session: Session, device: Device, old: PvLabel | None, given: Given | None, settings: Settings
) -> PvLabel:
    if given is None:
        if not settings.pv_uuid or settings.device_size is None or settings.data_offset is None:
            raise UsageError(
                "pvck: name a file with the metadata (-f FILE), or say what is needed of it: "
                "--settings 'pv_uuid=UUID device_size=BYTES data_offset=BYTES'"
            )
        pv_id, size_bytes, start_bytes = settings.pv_uuid, settings.device_size, settings.data_offset
        bootloader: tuple[tuple[int, int], ...] = ()
    else:
        pv = _pv_of(given.vg, device, old, settings)
        pv_id, size_bytes, start_bytes = pv.id, pv.dev_size_sectors * SECTOR_SIZE, pv.pe_start_sectors * SECTOR_SIZE
        area = pv.ba_start_sectors * SECTOR_SIZE, pv.ba_size_sectors * SECTOR_SIZE
        bootloader = (area,) if area[1] else ()
    for other in session.world((device.path,), silent=True).pvs:
        if other.label.pv_id == pv_id and other.path != device.path:
            raise InUseError(f"PV id {printable(pv_id)} is on {other.path}; {device.path} is not changed")
    end_bytes = min([start_bytes, *(start for start, _ in bootloader)])
    return PvLabel(
        pv_id=pv_id,
        device_size_bytes=size_bytes,
        data_areas=((start_bytes, 0),),
        mdas=_areas(device, old, given, settings, end_bytes),
        flags=PV_USED,
        bootloader_areas=bootloader,
    )


def _pv_of(vg: VolumeGroup, device: Device, old: PvLabel | None, settings: Settings) -> PhysicalVolume:
    """The PV of the metadata that the device is: by the settings, its old label, or the name it had."""
    wanted = settings.pv_uuid or (old.pv_id if old else "")
    for pv in vg.pvs:
        if (pv.id == wanted) if wanted else (pv.device == device.path):
            return pv
    which = f"PV id {wanted}" if wanted else f"a PV that was last seen as {device.path}"
    known = ", ".join(f"{printable(pv.id)} ({printable(pv.device)})" for pv in vg.pvs)
    raise NotFoundError(
        f"{device.path}: the metadata has no {which}; it has {known}: choose by --settings pv_uuid=UUID"
    )


def _areas(
    device: Device, old: PvLabel | None, given: Given | None, settings: Settings, end_bytes: int
) -> tuple[tuple[int, int], ...]:
    """The metadata areas of the new label. A second one is taken from the disk only when it is of this group."""
    if (settings.mda_offset, settings.mda_size) == (0, 0):
        return ()
    if old is not None and settings.mda2_offset is None:
        return old.mdas
    areas = [(_FIRST_AREA, end_bytes - _FIRST_AREA)] if end_bytes > _FIRST_AREA + MDA_HEADER_BYTES else []
    if settings.mda2_offset is not None and settings.mda2_size is not None:
        areas.append((settings.mda2_offset, settings.mda2_size))
    elif given is not None and _has_area(device, second_area(device.size_bytes), given.vg):
        areas.append(second_area(device.size_bytes))
    return tuple(areas)


def _has_area(device: Device, area: tuple[int, int], vg: VolumeGroup) -> bool:
    start_bytes, size_bytes = area
    if start_bytes <= MIB:
        return False
    data = device.read(start_bytes, size_bytes)
    try:
        mendable_header(data[:MDA_HEADER_BYTES], start_bytes, size_bytes)
    except FormatError:
        return False
    return any(found.vg_id == vg.id for found in search_texts(data))


def _headers(device: Device, label: PvLabel, given: Given, settings: Settings) -> tuple[MdaHeader, ...]:
    """The header of each area to write, its slot 0 at where the text goes."""
    if settings.mda_num is not None and not 1 <= settings.mda_num <= len(label.mdas):
        raise NotFoundError(f"{device.path}: it has {len(label.mdas)} metadata areas, not {settings.mda_num}")
    found = []
    for number, (start_bytes, size_bytes) in enumerate(label.mdas, 1):
        if settings.mda_num not in (None, number):
            continue
        if len(given.data) > max_text_bytes(size_bytes) or start_bytes + size_bytes > device.size_bytes:
            raise NoSpaceError(
                f"{device.path}: the metadata ({len(given.data)} bytes) does not fit into the metadata area at "
                f"{start_bytes} of {size_bytes} bytes; nothing changed"
            )
        try:
            data = device.read(start_bytes, MDA_HEADER_BYTES)
            committed = decode_mda_header(data, start_bytes, size_bytes).committed
        except FormatError:
            committed = None
        offset = next_text_offset(size_bytes, committed)
        found.append(
            MdaHeader(start_bytes=start_bytes, size_bytes=size_bytes, committed=raw_location(offset, given.data))
        )
    return tuple(found)


def _write_area(device: Device, header: MdaHeader, data: bytes) -> None:
    """The text, flush, the header, flush."""
    location = header.committed
    if location is None:
        return
    done = 0
    for offset, length in text_pieces(header.size_bytes, location.offset_bytes, len(data)):
        device.write(header.start_bytes + offset, data[done : done + length])
        done += length
    device.flush()
    device.write(header.start_bytes, encode_mda_header(header))
    device.flush()
