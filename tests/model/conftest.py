"""Volume groups to try the rules on: built by hand, or read from texts that this project did not write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptlv.model.vg import LogicalVolume, PhysicalVolume, PvArea, VolumeGroup
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def golden_vg() -> Callable[[str], VolumeGroup]:
    """The volume group of a text, such as `lvm2/linear/raw_text_pv0_mda0`."""

    def load(name: str) -> VolumeGroup:
        return parse_vg((GOLDEN / f"{name}.txt").read_bytes())

    return load


@pytest.fixture
def seed_text() -> str:
    """The proposal's example as a whole text: what it leaves out as `...` is filled in, the rest stands as it is."""
    pvs = "".join(
        f'pv{number} {{ id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa{number}" device = "/dev/x" '
        'status = ["ALLOCATABLE"] flags = [] dev_size = 262144 pe_start = 2048 pe_count = 31 }\n'
        for number in range(3)
    )
    filled = (
        'id = "vgvgvg-vgvg-vgvg-vgvg-vgvg-vgvg-vgvgvg" seqno = 1 format = "lvm2" '
        'status = ["RESIZEABLE", "READ", "WRITE"] flags = [] extent_size = 8192 max_lv = 0 max_pv = 0 '
        f"metadata_copies = 0\nphysical_volumes {{\n{pvs}}}\n"
    )
    example = (GOLDEN / "seed-example.txt").read_text()
    assert example.count("... # no change here") == 1
    whole = example.replace("... # no change here", filled)
    return f'{whole}\ncontents = "Text Format Volume Group"\nversion = 1\n'


@pytest.fixture
def pv() -> Callable[[int, int], PhysicalVolume]:
    """The PV of a number, with some extents."""

    def build(number: int, pe_count: int) -> PhysicalVolume:
        return PhysicalVolume(
            id=f"aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa{number}",
            device=f"/dev/x{number}",
            dev_size_sectors=2048 + pe_count * 8192,
            pe_start_sectors=2048,
            pe_count=pe_count,
        )

    return build


@pytest.fixture
def sound_vg(pv: Callable[[int, int], PhysicalVolume]) -> VolumeGroup:
    """A linear and two encrypted volumes that share a keystore."""
    first, second = pv(0, 20), pv(1, 20)

    def volume(name: str, letter: str, *segments: CryptSegment | StripedSegment | KeystoreSegment) -> LogicalVolume:
        lv_id = f"{letter * 6}-" + f"{letter * 4}-" * 5 + letter * 6
        return LogicalVolume(name=name, id=lv_id, segments=segments)

    store = KeystoreSegment(start_le=0, length_le=1, handler="luks1", areas=(PvArea(pv_id=first.id, start_pe=0),))
    lvs = (
        volume("lin", "l", StripedSegment(start_le=0, length_le=4, areas=(PvArea(pv_id=second.id, start_pe=2),))),
        volume(
            "one",
            "o",
            CryptSegment(
                start_le=0, length_le=3, crypto_store="cryptostore1", areas=(PvArea(pv_id=first.id, start_pe=1),)
            ),
        ),
        volume(
            "two",
            "t",
            CryptSegment(
                start_le=0, length_le=2, crypto_store="cryptostore1", areas=(PvArea(pv_id=first.id, start_pe=4),)
            ),
            CryptSegment(
                start_le=2, length_le=5, crypto_store="cryptostore1", areas=(PvArea(pv_id=second.id, start_pe=6),)
            ),
        ),
        volume("cryptostore1", "c", store).replace(status=("READ",)),
    )
    return VolumeGroup(name="vg", id="vgvgvg-vgvg-vgvg-vgvg-vgvg-vgvg-vgvgvg", seqno=1, pvs=(first, second), lvs=lvs)
