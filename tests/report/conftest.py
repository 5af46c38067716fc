"""A volume group with one of everything, as a value."""

from __future__ import annotations

import pytest

from cryptlv.model.vg import LogicalVolume, PhysicalVolume, PvArea, VolumeGroup
from cryptlv.report.rows import SeenArea, SeenGroup, SeenPv, seen_group
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.striped import StripedSegment


@pytest.fixture
def seen() -> SeenGroup:
    pvs = tuple(
        PhysicalVolume(id=f"pv{number}", device=f"/d{number}", pe_start_sectors=2048, pe_count=10)
        for number in range(2)
    )
    store = KeystoreSegment(
        start_le=0,
        length_le=1,
        handler="luks1",
        cipher="aes-xts-plain64",
        key_size_bits=512,
        areas=(PvArea(pv_id="pv0", start_pe=0),),
    )
    parts = (
        CryptSegment(start_le=0, length_le=2, crypto_store="cryptostore1", areas=(PvArea(pv_id="pv0", start_pe=1),)),
        CryptSegment(start_le=2, length_le=1, crypto_store="cryptostore1", areas=(PvArea(pv_id="pv1", start_pe=0),)),
    )
    linear = StripedSegment(start_le=0, length_le=4, areas=(PvArea(pv_id="pv1", start_pe=1),))
    lvs = (
        LogicalVolume(name="secret", id="id-secret", segments=parts),
        LogicalVolume(name="data", id="id-data", segments=(linear,), flags=("ACTIVATION_SKIP",)),
        LogicalVolume(
            name="cryptostore1", id="id-store", status=("READ",), allocation_policy="normal", segments=(store,)
        ),
    )
    vg = VolumeGroup(name="vg0", id="vgid", seqno=7, pvs=pvs, lvs=lvs)
    area = SeenArea(size_bytes=1044480, free_bytes=520192)
    found = {
        pv_id: SeenPv(pv_id=pv_id, path=path, size_bytes=42 * 2**20, areas=(area,))
        for pv_id, path in (("pv0", "/dev/a"), ("pv1", "/dev/b"))
    }
    return seen_group(vg, found, frozenset(["id-secret"]))
