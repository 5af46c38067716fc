"""Overwriting extents that a change has freed (lvremove --wipe, lvreduce --wipe).

It is done after the commit that frees them and under the same lock. Before it, a crash would leave a volume that is
still there and half gone; after it, with the lock held, nobody else can have been given the extents yet. What an
interrupt or a failure leaves is a volume that is removed and data that are not: that is said, and never silent.
"""

from __future__ import annotations

import mmap

from cryptlv.errors import CryptlvError
from cryptlv.model.resize import freed_extents
from cryptlv.names import printable
from cryptlv.ops.copying import BLOCK_BYTES, Unwatched
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptlv.host.scan import Group
    from cryptlv.model.vg import Footprint, VolumeGroup
    from cryptlv.ops.copying import Watch
    from cryptlv.ops.session import Session


class _Zeros(Record):
    """Bytes to overwrite on the device at `path`."""

    path: str
    start_bytes: int
    length_bytes: int


def wipe_freed(session: Session, group: Group, after: VolumeGroup, watch: Watch | None = None) -> bool:
    """Overwrite every extent that `group.vg` uses and `after`, which is committed by now, does not; see `wipe`."""
    return wipe(session, group, freed_extents(group.vg, after), watch)


def wipe(session: Session, group: Group, extents: Iterable[Footprint], watch: Watch | None = None) -> bool:
    """Overwrite extents, (pv id, first, how many) each, with zeros, and flush; whether all of them are.

    The caller holds the volume group's lock for writing, and has committed metadata that use none of them. What could
    not be overwritten is a warning, as the change is made. With --test nothing is written.
    """
    if session.test:
        return True
    watch = watch or Unwatched()
    known, missing = _places(group, extents)
    for pv_id in missing:
        session.warn(f"physical volume {printable(pv_id)} is missing: what was freed on it is not overwritten")
    total = sum(place.length_bytes for place in known)
    done, failed = _overwrite(session, known, watch, total)
    if done < total and not failed:
        left = f"{format_size(total - done)} of {format_size(total)}"
        session.warn(
            f"interrupted: {left} that were freed are not overwritten, and may be given to others as they are"
        )
    return done == total and not failed and not missing


def _places(group: Group, extents: Iterable[Footprint]) -> tuple[list[_Zeros], list[str]]:
    """Where extents lie, and the PVs that are not here."""
    size = group.vg.extent_size_bytes
    starts = {pv.id: pv.pe_start_sectors * SECTOR_SIZE for pv in group.vg.pvs}
    known, missing = [], []
    for pv_id, start_pe, length_pe in extents:
        path = group.pv_paths.get(pv_id)
        if path is None:
            missing.append(pv_id)
        else:
            start = starts[pv_id] + start_pe * size
            known.append(_Zeros(path=path, start_bytes=start, length_bytes=length_pe * size))
    return known, list(dict.fromkeys(missing))


def _overwrite(session: Session, places: list[_Zeros], watch: Watch, total: int) -> tuple[int, bool]:
    """Zeros onto places and the flush; how many bytes went there, and whether a device failed."""
    zeros = memoryview(mmap.mmap(-1, BLOCK_BYTES))
    watch.tell(0, total)
    done, failed = 0, set()
    for place in places:
        for start in range(0, place.length_bytes, BLOCK_BYTES):
            if watch.is_stopping or place.path in failed:
                break
            length = min(BLOCK_BYTES, place.length_bytes - start)
            try:
                device = session.device(place.path, writable=True)
                device.write(place.start_bytes + start, zeros[:length])
                device.start_writing(place.start_bytes + start, length)
            except CryptlvError as error:
                session.warn(f"what was freed on {place.path} is not overwritten: {error}")
                failed.add(place.path)
                break
            done += length
            watch.tell(done, total)
    for path in dict.fromkeys(place.path for place in places if place.path not in failed):
        try:
            session.device(path, writable=True).flush()
        except CryptlvError as error:
            session.warn(f"whether what was freed on {path} is overwritten is not known: {error}")
            failed.add(path)
    return done, bool(failed)
