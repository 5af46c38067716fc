"""What stock lvm2's pvmove would end with.

Without device-mapper it stops when it has written its temporary mirror: the old and the new place of all that
it wants to move. From there on the outcome is fixed (tools/pvmove_poll.c:pvmove_finish): the new places, segments
that go on joined, and the mirror gone. That is put in force here, by stock's vgcfgrestore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.host.system import make_environment
from cryptlv.model.vg import LvArea, PvArea
from cryptlv.ondisk.vgrender import render_backup
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.model.vg import LogicalVolume, VolumeGroup
    from support.stock import StockLvm

    Extent = tuple[str, int]


def finish(stock: StockLvm, node: Path, vg_name: str = "vg") -> VolumeGroup:
    """Put the outcome of stock's unfinished pvmove in force; gives it. `node` is any PV of the group."""
    vg = moved(parse_vg(stock.metadata(node).rstrip(b"\0")))
    backup = stock.folder / "finished"
    backup.write_bytes(render_backup(vg, make_environment("test"), "finished"))
    stock.run("vgcfgrestore", "-f", backup, vg_name)
    return vg


def moved(vg: VolumeGroup) -> VolumeGroup:
    """The group with every extent of a pvmove at its new place."""
    (mirror,) = [lv for lv in vg.lvs if "PVMOVE" in lv.status]
    places: dict[int, Extent] = {}
    for segment in mirror.segments:
        assert isinstance(segment, OpaqueSegment)
        (value,) = [value for key, value in segment.body if key == "mirrors"]
        assert isinstance(value, tuple)
        pv_id, start_pe = value[2:]
        assert isinstance(start_pe, int)
        places |= {segment.start_le + number: (str(pv_id), start_pe + number) for number in range(segment.length_le)}
    kept = [lv for lv in vg.lvs if lv is not mirror]
    return vg.replace(lvs=tuple(_finished(lv, places) if "LOCKED" in lv.status else lv for lv in kept))


def _finished(lv: LogicalVolume, places: dict[int, Extent]) -> LogicalVolume:
    """A volume without its mirror: every row of extents in its place, rows that go on in one segment."""
    joined: list[tuple[StripedSegment, list[tuple[Extent, ...]]]] = []
    for segment in lv.segments:
        assert isinstance(segment, StripedSegment)
        for number in range(segment.length_le // len(segment.areas)):
            row = tuple(_extent(area, number, places) for area in segment.areas)
            if joined:
                last, rows = joined[-1]
                same = (last.stripe_size_sectors, last.tags) == (segment.stripe_size_sectors, segment.tags)
                if same and row == tuple((pv_id, pe + 1) for pv_id, pe in rows[-1]):
                    rows.append(row)
                    continue
            joined.append((segment, [row]))
    segments: list[StripedSegment] = []
    for segment, rows in joined:
        areas = tuple(PvArea(pv_id=pv_id, start_pe=start_pe) for pv_id, start_pe in rows[0])
        start_le = segments[-1].end_le if segments else 0
        segments.append(segment.replace(start_le=start_le, length_le=len(rows) * len(areas), areas=areas))
    status = tuple(word for word in lv.status if word != "LOCKED")
    return lv.replace(status=status, segments=tuple(segments))


def _extent(area: PvArea | LvArea, number: int, places: dict[int, Extent]) -> Extent:
    """Where extent `number` of an area is: on a physical volume, or wherever the mirror has it."""
    return places[area.start_le + number] if isinstance(area, LvArea) else (area.pv_id, area.start_pe + number)
