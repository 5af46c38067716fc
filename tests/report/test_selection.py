"""Words choose what is displayed; what stock chooses is compared in compat/test_display_like_stock.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.report.rows import SeenPv, pv_name
from cryptlv.report.selection import choose_lvs, choose_pvs, choose_vgs, found_order, lvs_of
from cryptlv.segments.opaque import OpaqueSegment

if TYPE_CHECKING:
    from cryptlv.report.rows import SeenGroup

ORPHAN = SeenPv(pv_id="x", path="/dev/aa", size_bytes=1)


@pytest.fixture
def groups(seen: SeenGroup) -> tuple[SeenGroup, ...]:
    tagged = seen.vg.pvs[1].replace(tags=("ssd",))
    second = seen.vg.replace(name="vg1", id="other", tags=("gold",), pvs=(seen.vg.pvs[0], tagged))
    return seen, seen.replace(vg=second)


def names(groups: tuple[SeenGroup, ...], *words: tuple[str, str], tags: tuple[str, ...] = ()) -> list[str]:
    chosen, problems = choose_lvs(groups, words, tags, hidden=False)
    assert not problems
    return [f"{group.vg.name}/{lv.name}" for group, lv in chosen]


def test_groups_come_in_stocks_order_and_physical_volumes_in_that_of_the_metadata(
    groups: tuple[SeenGroup, ...],
) -> None:
    rows, problems = choose_pvs(groups, (ORPHAN,), ())
    assert [pv_name(row) for row in rows] == ["/dev/a", "/dev/b", "/dev/a", "/dev/b", "/dev/aa"]
    assert [row.group.vg.name for row in rows if row.group] == ["vg1", "vg1", "vg0", "vg0"]
    assert not problems
    assert [group.vg.name for group in found_order(groups)] == ["vg1", "vg0"]
    assert names(groups) == ["vg1/secret", "vg1/data", "vg0/secret", "vg0/data"]


def test_physical_volumes_by_path_and_by_tag(groups: tuple[SeenGroup, ...]) -> None:
    rows, problems = choose_pvs(groups[1:], (ORPHAN,), ("/dev/aa", "@ssd", "/dev/none", "@none"))
    assert [pv_name(row) for row in rows] == ["/dev/b", "/dev/aa"]
    assert problems == ["/dev/none: no physical volume of the devices that are looked at"]


def test_groups_by_name_and_by_tag(groups: tuple[SeenGroup, ...]) -> None:
    chosen, problems = choose_vgs(groups, ("vg1", "none\x1b", "vg0", "vg1"))
    assert [group.vg.name for group in chosen] == ["vg1", "vg0"]
    assert problems == ["volume group 'none\\\\x1b' not found"]
    assert [group.vg.name for group in choose_vgs(groups, ("@gold",))[0]] == ["vg1"]
    assert [group.vg.name for group in choose_vgs(groups, ("vg0", "@gold"))[0]] == ["vg1", "vg0"]


def test_volumes_by_name_group_and_tag(groups: tuple[SeenGroup, ...]) -> None:
    assert names(groups, ("vg0", "data"), ("vg1", "")) == ["vg0/data", "vg1/secret", "vg1/data"]
    assert names(groups, ("vg0", ""), ("vg0", "none")) == ["vg0/secret", "vg0/data"]
    assert names(groups, tags=("@gold",)) == ["vg1/secret", "vg1/data"]
    assert names(groups, ("vg0", "cryptostore1")) == []  # hidden, though it be named
    chosen, problems = choose_lvs(groups, [("vg0", "none"), ("vg0", "none"), ("no", "a")], (), hidden=True)
    assert chosen == []
    assert problems == ["volume group 'no' not found", "no logical volume 'none' in volume group 'vg0'"]


def test_exported_groups_are_passed_over_unless_they_are_named(seen: SeenGroup) -> None:
    exported = seen.replace(vg=seen.vg.replace(status=("EXPORTED", "READ")))
    assert names((exported,)) == []
    assert choose_lvs((exported,), [("vg0", "data")], (), hidden=False) == ([], ["volume group vg0 is exported"])


def test_thin_pools_come_first(seen: SeenGroup) -> None:
    pool = OpaqueSegment(start_le=0, length_le=1, type_word="thin-pool+METADATA_FORMAT")
    lvs = [*seen.vg.lvs, *(seen.vg.lvs[1].replace(name=name, id=name, segments=(pool,)) for name in ("p1", "p2"))]
    group = seen.replace(vg=seen.vg.replace(lvs=tuple(lvs)))
    assert [lv.name for _, lv in lvs_of(group, hidden=False)] == ["p2", "p1", "secret", "data"]
    assert [lv.name for _, lv in lvs_of(group, hidden=True)][-1] == "cryptostore1"
