"""Which metadata areas of a volume group are in use, as its `metadata_copies` says.

An area that is not in use is marked as ignored; lvm2 chooses by chance which ones are (lib/metadata/metadata.c:
_vg_adjust_ignored_mdas), this program takes them in order.
"""

from __future__ import annotations

from cryptlv.ondisk.mda import IGNORED, RawLocation, encode_mda_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptlv.host.scan import MetadataArea
    from cryptlv.ops.session import Session

ALL_COPIES = 2**32 - 1
"""What stands for all areas; it is not kept in the metadata, where 0 means those in use (VGMETADATACOPIES_ALL)."""


def balance(areas: Sequence[MetadataArea], copies: int) -> tuple[tuple[MetadataArea, ...], tuple[MetadataArea, ...]]:
    """The areas as the next commit must find them, and those that are to be ignored after it.

    `copies` is how many are wanted, 0 for those in use now, but one at least. An area that comes into use is given
    back empty: what it has is stale.
    """
    sound = [area for area in areas if area.header is not None]
    used = [area for area in sound if not area.is_ignored]
    wanted = min(copies or max(len(used), 1), len(sound))
    woken = [area for area in sound if area.is_ignored][: max(wanted - len(used), 0)]
    surplus = used[max(wanted, 1) :]
    return tuple(_emptied(area) if area in woken else area for area in areas), tuple(surplus)


def _emptied(area: MetadataArea) -> MetadataArea:
    return area.replace(header=area.header and area.header.with_slots(None, None), text=None, vg=None)


def ignore(session: Session, areas: Sequence[MetadataArea]) -> None:
    """Mark areas as not in use; their metadata stay as they are now and count no longer."""
    for area in areas:
        if area.header is None:
            continue
        slot = area.header.committed or RawLocation(offset_bytes=0, size_bytes=0, crc=0)
        device = session.device(area.path, writable=True)
        device.write(area.start_bytes, encode_mda_header(area.header.with_slots(slot.replace(flags=IGNORED), None)))
        device.flush()
