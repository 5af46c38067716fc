"""The room before the data of an imported volume, where an old copy of its key header may lie.

A conversion overwrites it after the commit; what stops in between leaves it. So a key that is removed is looked for
there, too: it would open that copy.
"""

from __future__ import annotations

from cryptlv.errors import CryptlvError
from cryptlv.model.convert import Place, places_of
from cryptlv.model.mapping import map_volume
from cryptlv.model.vg import PvArea
from cryptlv.segments.crypt import CryptSegment
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.host.scan import Group
    from cryptlv.model.vg import LogicalVolume, VolumeGroup
    from cryptlv.ops.session import Session


def wipe_slack(session: Session, group: Group, store_name: str) -> None:
    """Overwrite what lies before the data of a keystore's volumes, where it is not zeros; a failure is a warning."""
    for lv in group.vg.lvs:
        try:
            for place in _slack(group.vg, lv, store_name):
                device = session.device(group.pv_paths[place.pv_id], writable=True)
                start, length = place.start_sectors * SECTOR_SIZE, place.length_sectors * SECTOR_SIZE
                if any(device.read(start, length)):
                    device.write(start, bytes(length))
                    device.flush()
        except (CryptlvError, KeyError) as error:
            reason = "a physical volume is missing" if isinstance(error, KeyError) else error
            session.warn(f"{group.vg.name}/{lv.name}: an old copy of the key header may be before its data: {reason}")


def _slack(vg: VolumeGroup, lv: LogicalVolume, store_name: str) -> Iterator[Place]:
    for segment in lv.segments:
        if not isinstance(segment, CryptSegment) or segment.crypto_store != store_name:
            continue
        if not segment.area_offset_sectors:
            continue
        (area,) = segment.areas
        if isinstance(area, PvArea):
            start = vg.pv(area.pv_id).pe_start_sectors + area.start_pe * vg.extent_size_sectors
            yield Place(pv_id=area.pv_id, start_sectors=start, length_sectors=segment.area_offset_sectors)
        else:
            (layer,) = (layer for layer in map_volume(vg, lv).layers if layer.lv_name == area.lv_name)
            yield from places_of(layer, area.start_le * vg.extent_size_sectors, segment.area_offset_sectors)
