"""What a volume is, in words and letters; stock's own words for its layouts are in tests/compat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.model.vg import LogicalVolume, VolumeGroup
from cryptlv.report.rows import Row, seen_group
from cryptlv.report.shape import attributes, layout_and_role
from cryptlv.segments.opaque import OpaqueSegment

if TYPE_CHECKING:
    from cryptlv.model.nodes import Item
    from cryptlv.report.rows import SeenGroup

HIDDEN = ("READ", "WRITE")


def lv(name: str, kind: str, *body: Item, status: tuple[str, ...] = (*HIDDEN, "VISIBLE")) -> LogicalVolume:
    segment = OpaqueSegment(start_le=0, length_le=4, type_word=kind, body=body)
    return LogicalVolume(name=name, id=f"id-{name}", status=status, segments=(segment,))


def said(*lvs: LogicalVolume) -> tuple[str, str, str]:
    """The letters, layout and role of the first volume."""
    group = seen_group(VolumeGroup(name="vg", id="id", seqno=1, lvs=lvs), {}, frozenset())
    row = Row(group=group, lv=lvs[0])
    return attributes(row), *layout_and_role(row)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("mirror", ("mwi---m---", "mirror", "public")),
        ("raid0_meta", ("rwi---r-X-", "raid", "public")),
        ("raid5_ls", ("rwi---r-X-", "raid,raid5,raid5_ls", "public")),
        ("raid6_ls_6", ("rwi---r-X-", "raid,raid6", "public")),
        ("error", ("vwi---v---", "unknown", "public")),
        ("of-the-future", ("vwi---u---", "unknown", "public")),
        ("cache-pool", ("Cwi---C---", "cache,pool", "private")),
        ("vdo-pool", ("dwi-------", "vdo,pool", "private")),
    ],
)
def test_a_volume_by_itself(kind: str, words: tuple[str, str, str]) -> None:
    assert said(lv("v", kind)) == words


def test_a_volume_that_is_several_things_is_said_by_the_first_of_lvm2s_list() -> None:
    origin = lv("v", "raid1")
    snapshot = lv("snapshot0", "snapshot", ("origin", "v"), ("cow_store", "s"), status=HIDDEN)
    assert said(origin, lv("s", "x"), snapshot) == ("owi---r-X-", "raid,raid1", "public,origin,thickorigin")
    data = lv("d", "raid1", status=HIDDEN)
    pool = lv("pool", "thin-pool", ("pool", "d"), ("metadata", "m"))
    assert said(data, pool) == ("rwi---r-X-", "raid,raid1", "private,thin,pool,data")


def test_encrypted_volumes_and_their_keystores_have_words_of_their_own(seen: SeenGroup) -> None:
    rows = {volume.name: Row(group=seen, lv=volume) for volume in seen.vg.lvs}
    assert attributes(rows["secret"]) == "-wi-a-----"
    assert layout_and_role(rows["secret"]) == ("crypt", "public")
    assert attributes(rows["cryptostore1"])[0] == "e"
    assert layout_and_role(rows["cryptostore1"]) == ("crypt-keystore", "private,crypt,keystore")


def test_a_row_without_a_volume_says_nothing() -> None:
    assert attributes(Row()) == ""
    assert layout_and_role(Row()) == ("", "")
