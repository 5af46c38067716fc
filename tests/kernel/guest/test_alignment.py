"""Where extents begin on devices that say how they like to be used: as with stock pvcreate on the same device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from support.guest import Guest

ANY = 'devices { filter = [ "a|.*|" ] }'
MAPPED = "/dev/mapper/topology"


def striped(guest: Guest, stripes: int, chunk_sectors: int) -> str:
    """A device of stripes, whose optimal request is a row of them."""
    places = " ".join(f"{disk} 0" for disk in guest.disks[:stripes])
    length = 32 * 1024 * 2 // (stripes * chunk_sectors) * stripes * chunk_sectors
    guest.tool("dmsetup", "create", "topology", "--table", f"0 {length} striped {stripes} {chunk_sectors} {places}")
    return MAPPED


def pe_start(guest: Guest, device: str | Path) -> str:
    words = ("pvs", "--config", ANY, "--noheadings", "--units", "b", "-o", "pe_start")
    (line,) = guest.stock(*words, device).lines
    return line


@pytest.mark.parametrize(
    ("stripes", "chunk_sectors", "words", "expected"),
    [
        (3, 1024, (), "1572864B"),
        (2, 1024, (), "1048576B"),
        (4, 2048, (), "4194304B"),
        (3, 8, (), "1056768B"),
        (3, 1024, ("--dataalignment", "2m"), "2097152B"),
        (3, 1024, ("--pvmetadatacopies", "2"), "1572864B"),
    ],
)
def test_extents_begin_where_stock_has_them(
    guest: Guest, stripes: int, chunk_sectors: int, words: tuple[str, ...], expected: str
) -> None:
    device = striped(guest, stripes, chunk_sectors)
    guest.stock("pvcreate", "--config", ANY, "-y", *words, device)
    assert pe_start(guest, device) == expected
    guest.tool("wipefs", "-a", device)
    guest.run("pvcreate", *words, device)
    assert pe_start(guest, device) == expected


def test_disks_with_large_sectors_have_the_default(guest: Guest) -> None:
    disk = guest.disks_4k[0]
    guest.run("pvcreate", disk)
    assert pe_start(guest, disk) == "1048576B"
