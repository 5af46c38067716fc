"""A keystore as its volume group has it, handed to a key handler as the handler wants it, and back.

The handler knows nothing of volume groups, and they know nothing of keys: this file is where the two meet.
"""

from __future__ import annotations

from cryptlv.errors import CryptlvError, KeystoreError, RefusedError
from cryptlv.keys.handler import KeystoreAttributes
from cryptlv.keys.handler import KeystoreRequest as KeystoreRequest  # noqa: PLC0414 - for cli/
from cryptlv.model.vg import LvArea
from cryptlv.names import printable
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.places import shift_area
from cryptlv.segments.striped import StripedSegment
from cryptlv.units import MIB, SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptlv.ciphers.engine import SectorCipher
    from cryptlv.device import Device
    from cryptlv.keys.handler import CipherParameters, KeystoreDraft
    from cryptlv.model.nodes import Item
    from cryptlv.model.vg import Area, LogicalVolume, PvArea, VolumeGroup
    from cryptlv.ops.session import Session
    from cryptlv.secret import VolumeKey

MAX_IMAGE_BYTES = 32 * MIB
"""No more of a keystore's extents is read than this; key headers are smaller."""


def keystore_segment(vg: VolumeGroup, name: str) -> KeystoreSegment:
    """The one segment of a keystore LV; raises NotFoundError, and RefusedError when it is not one."""
    lv = vg.lv(name)
    if len(lv.segments) != 1 or not isinstance(lv.segments[0], KeystoreSegment):
        raise RefusedError(f"{printable(vg.name)}/{printable(name)} is not a keystore of one segment")
    return lv.segments[0]


def attributes_of(segment: KeystoreSegment) -> KeystoreAttributes:
    """What the metadata says of a keystore, in the handlers' terms."""
    extra = tuple((key, value) for key, value in segment.extra if isinstance(value, int | str))
    return KeystoreAttributes(
        handler=segment.handler,
        cipher=segment.cipher,
        key_size_bits=segment.key_size_bits,
        key_hash=segment.key_hash,
        extra=extra,
    )


def open_with(parameters: CipherParameters, key: VolumeKey) -> SectorCipher:
    """The sectors' cipher under a volume key; raises CipherError for one that cannot be had on this machine."""
    from cryptlv.ciphers.engine import open_sector_cipher

    return open_sector_cipher(
        parameters.cipher, key, parameters.sector_size, iv_large_sectors=parameters.has_large_ivs
    )


def draft_segment(draft: KeystoreDraft, area: PvArea | None, length_le: int) -> KeystoreSegment:
    """The segment of a new keystore: one extent without an area when it stores nothing."""
    extra: tuple[Item, ...] = tuple(draft.extra)
    return KeystoreSegment(
        start_le=0,
        length_le=length_le,
        handler=draft.handler,
        cipher=draft.cipher,
        key_size_bits=draft.key_size_bits,
        key_hash=draft.key_hash,
        areas=(area,) if area is not None else (),
        extra=extra,
    )


def image_place(vg: VolumeGroup, segment: KeystoreSegment) -> tuple[str, int, int] | None:
    """Where a keystore's image lies: (pv id, byte offset on it, bytes), None when it stores nothing.

    On a hidden volume it is followed to the physical volume below; raises RefusedError where it is not in one piece
    there, as on stripes, and NotFoundError for a volume that does not exist.
    """
    if not segment.areas:
        return None
    area = _area_on_pv(vg, segment.areas[0], segment.length_le)
    start_sectors = vg.pv(area.pv_id).pe_start_sectors + area.start_pe * vg.extent_size_sectors
    return area.pv_id, start_sectors * SECTOR_SIZE, segment.length_le * vg.extent_size_bytes


def _area_on_pv(vg: VolumeGroup, area: Area, length_le: int) -> PvArea:
    seen: set[str] = set()
    while isinstance(area, LvArea):
        below = vg.lv(area.lv_name)
        start_le, end_le = area.start_le, area.start_le + length_le
        part = next((part for part in below.segments if part.start_le <= start_le and end_le <= part.end_le), None)
        if not isinstance(part, StripedSegment) or len(part.areas) != 1 or below.name in seen:
            where = f"{printable(vg.name)}/{printable(below.name)}"
            raise RefusedError(f"{where}: a keystore on it cannot be read, as it is not in one piece there")
        seen.add(below.name)
        area = shift_area(part.areas[0], start_le - part.start_le)
    return area


def read_image(session: Session, vg: VolumeGroup, name: str, pv_paths: Mapping[str, str]) -> bytes:
    """The bytes in a keystore's extents (32 MiB of them at most), b"" when it stores nothing.

    Raises DeviceError, and KeystoreError when its physical volume is missing.
    """
    place = image_place(vg, keystore_segment(vg, name))
    if place is None:
        return b""
    pv_id, offset_bytes, length_bytes = place
    if pv_id not in pv_paths:
        raise KeystoreError(
            f"{printable(vg.name)}/{printable(name)}: its physical volume {printable(pv_id)} is missing"
        )
    return session.device(pv_paths[pv_id]).read(offset_bytes, min(length_bytes, MAX_IMAGE_BYTES))


def write_image(device: Device, offset_bytes: int, image: bytes) -> None:
    """Put a keystore's image in place, durable, and read it back; raises DeviceError or KeystoreError."""
    device.write(offset_bytes, image)
    device.flush()
    if device.read(offset_bytes, len(image)) != image:
        raise KeystoreError(f"{device.path}: the keystore written at byte {offset_bytes} does not read back")


def mend_image(
    session: Session,
    vg: VolumeGroup,
    name: str,
    pv_paths: Mapping[str, str],
    mends: tuple[tuple[int, bytes], ...],
) -> None:
    """Write parts of a keystore's image anew, each bytes at an offset; raises DeviceError or KeystoreError."""
    place = image_place(vg, keystore_segment(vg, name))
    if place is None or any(offset + len(data) > place[2] for offset, data in mends):
        raise KeystoreError(f"{printable(vg.name)}/{printable(name)} has no room for what is to be mended")
    device = session.device(pv_paths[place[0]], writable=True)
    for offset, data in mends:
        write_image(device, place[1] + offset, data)


def wipe_images(
    session: Session, vg: VolumeGroup, gone: tuple[LogicalVolume, ...], pv_paths: Mapping[str, str]
) -> None:
    """Overwrite the images of keystores that were removed, and forget their keys; a failure is a warning, as the
    removal is done."""
    for lv in gone:
        if any(isinstance(segment, KeystoreSegment) for segment in lv.segments):
            from cryptlv.ops.key_cache import forget_key

            forget_key(lv.id)
        for segment in lv.segments:
            place = image_place(vg, segment) if isinstance(segment, KeystoreSegment) else None
            if place is None:
                continue
            pv_id, offset_bytes, length_bytes = place
            if pv_id not in pv_paths:
                session.warn(f"the key header of the removed volume is still on {printable(pv_id)}, which is missing")
                continue
            _wipe(session, pv_paths[pv_id], offset_bytes, min(length_bytes, MAX_IMAGE_BYTES))


def _wipe(session: Session, path: str, offset_bytes: int, length_bytes: int) -> None:
    try:
        device = session.device(path, writable=True)
        zeros = bytes(MIB)
        for start in range(0, length_bytes, MIB):
            device.write(offset_bytes + start, zeros[: min(MIB, length_bytes - start)])
        device.flush()
    except CryptlvError as error:
        session.warn(f"the key header of the removed volume is still on the disk: {error}")
