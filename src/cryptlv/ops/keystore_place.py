"""Another place for a keystore: its new image into free extents, then the metadata that name them.

For what cannot be written where it is without a moment at which nothing opens the store.
"""

from __future__ import annotations

from cryptlv.errors import RefusedError
from cryptlv.host.signals import held_back
from cryptlv.model.allocate import Wish, allocate
from cryptlv.model.vg import PvArea
from cryptlv.ops.commit import commit_change
from cryptlv.ops.keystore import image_place, keystore_segment, wipe_images, write_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import Group
    from cryptlv.ops.session import Session


def put_elsewhere(session: Session, group: Group, store_name: str, shown: str, after: bytes) -> None:
    """Put an image into free extents and have the group name them; the old place is overwritten then.

    The caller holds the lock for writing. Raises NoSpaceError, RefusedError for a keystore that lies on a hidden
    volume, DeviceError, KeystoreError, and what `commit_change` raises; the old image is in force then.
    """
    vg = group.vg
    segment = keystore_segment(vg, store_name)
    if not all(isinstance(area, PvArea) for area in segment.areas):
        raise RefusedError(f"the keystore of {shown} lies on a hidden volume, and is not put elsewhere")
    (piece,) = allocate(vg, Wish(length_le=segment.length_le, what=f"the keystore of {shown}", is_whole=True))
    (area,) = piece.areas
    moved = segment.replace(areas=(area,))
    place = image_place(vg, moved)
    assert place is not None  # noqa: S101 - it has an area
    write_image(session.device(group.pv_paths[place[0]], writable=True), place[1], after)
    old = vg.lv(store_name)
    with held_back():
        commit_change(session, group, vg.with_lv(old.replace(segments=(moved,))))
        wipe_images(session, vg, (old,), group.pv_paths)
