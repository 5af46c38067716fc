"""Modules of the kernel; stock's word on each layout is in compat/test_complex_layouts.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.model.vg import LogicalVolume, LvArea, VolumeGroup
from cryptlv.report.modules import modules_of
from cryptlv.report.rows import Row, lv_rows, seen_group
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from cryptlv.model.nodes import Item
    from cryptlv.report.rows import SeenGroup


def opaque(name: str, kind: str, *body: Item) -> LogicalVolume:
    segment = OpaqueSegment(start_le=0, length_le=4, type_word=kind, body=body)
    return LogicalVolume(name=name, id=name, segments=(segment,))


def modules(*lvs: LogicalVolume) -> dict[str, str]:
    group = seen_group(VolumeGroup(name="vg", id="id", seqno=1, lvs=lvs), {}, frozenset())
    return {row.lv.name: modules_of(row) for row in lv_rows([group], hidden=True) if row.lv is not None}


def test_what_is_below_counts() -> None:
    on_pool = StripedSegment(start_le=0, length_le=2, areas=(LvArea(lv_name="pool", start_le=1),))
    assert modules(
        LogicalVolume(name="top", id="top", segments=(on_pool,)),
        opaque("pool", "thin-pool", ("pool", "data")),
        opaque("data", "raid1", ("raids", ("m", "i"))),
        opaque("i", "integrity", ("origin", "o")),
        opaque("strange", "of-the-future"),
    ) == {
        "top": "integrity,raid,thin-pool",
        "pool": "integrity,raid,thin-pool",
        "data": "integrity,raid",
        "i": "integrity",
        "strange": "",
    }


def test_a_ring_ends() -> None:
    assert modules(opaque("a", "cache", ("origin", "b")), opaque("b", "writecache", ("origin", "a"))) == {
        "a": "cache,writecache",
        "b": "cache,writecache",
    }


def test_encrypted_volumes_need_dm_crypt(seen: SeenGroup) -> None:
    found = {row.lv.name: modules_of(row) for row in lv_rows([seen], hidden=True) if row.lv is not None}
    assert found == {"secret": "crypt", "data": "", "cryptostore1": ""}
    assert modules_of(Row()) == ""
