"""The quick way and the real parser give one value, or both refuse.

Carriage returns, which are white space to the real parser and unknown to the quick one, force a text the long way.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.errors import FormatError
from cryptlv.ondisk.ordinary import OrdinaryReader
from cryptlv.ondisk.vgtext import parse_vg

if TYPE_CHECKING:
    from cryptlv.model.vg import VolumeGroup

GOLDEN = Path(__file__).parent.parent / "golden"
TEXTS = sorted([*GOLDEN.glob("lvm2/*/*.txt"), *GOLDEN.glob("lvm2-crypt/*/*.txt")])
VOLUME = b"""lv {
id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
creation_time = 1700000000\t# 2023
creation_host = "h"
segment_count = 2

segment1 {
start_extent = 0
extent_count = 3

type = "striped"
stripe_count = 1\t# linear

stripes = [
"pv0", 4
]
}
segment2 {
start_extent = 3
extent_count = 1

type = "striped"
stripe_count = 1

stripes = [
"pv0", 9
]
}
}
"""
OF_ONE = VOLUME[: VOLUME.index(b"segment2")].replace(b"segment_count = 2", b"segment_count = 1") + b"}\n"
FRAME = b"""vg {
id = "vvvvvv-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
seqno = 1
status = ["READ"]
extent_size = 8192
physical_volumes {
pv0 {
id = "pppppp-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
device = "/d"
status = ["ALLOCATABLE"]
pe_start = 2048
pe_count = 100
}
}
logical_volumes {
%s}
}
contents = "Text Format Volume Group"
version = 1
"""


def outcome(text: bytes) -> VolumeGroup | None:
    try:
        return parse_vg(text)
    except FormatError:
        return None


def the_long_way(text: bytes) -> bytes:
    return text.replace(b" = ", b"\r= ").replace(b" {\n", b"\r{\n")


@pytest.mark.parametrize("volume", [VOLUME, OF_ONE])
def test_the_quick_way_is_taken_for_what_is_ordinary(volume: bytes) -> None:
    found = OrdinaryReader().read(volume.decode(), 0)
    assert found is not None
    assert [words[0] for _, words, _ in found[1].volumes] == ["lv"]
    assert found[2] == len(volume) - 1
    assert OrdinaryReader().read(the_long_way(volume).decode(), 0) is None
    assert outcome(FRAME % volume) == outcome(the_long_way(FRAME % volume)) is not None


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_both_ways_give_one_value_for_what_stock_wrote(path: Path) -> None:
    text = path.read_bytes()
    assert outcome(text) == outcome(the_long_way(text))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from([VOLUME, OF_ONE]),
    st.lists(
        st.tuples(
            st.integers(0, len(VOLUME) - 1),  # behind the end of the shorter one is its end
            st.integers(0, 3),
            st.sampled_from(
                [b"", b" ", b"\n", b"#", b'"', b",", b"}", b"{", b"0", b"9", b"x", b"\\", b"# c\n", b"=", b"7" * 18]
            ),
        ),
        max_size=3,
    ),
)
def test_both_ways_agree_on_what_is_nearly_ordinary(volume: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    for place, length, new in edits:
        volume = volume[:place] + new + volume[place + length :]
    text = FRAME % volume
    assert outcome(text) == outcome(the_long_way(text))


def test_a_count_that_runs_into_the_next_word_is_no_count() -> None:
    joined = OF_ONE.replace(b"segment_count = 1\n\n", b"segment_count = 1")
    assert OrdinaryReader().read(joined.decode(), 0) is None
    assert outcome(FRAME % joined) is None


def test_a_section_of_that_name_elsewhere_is_kept_as_it_is() -> None:
    text = (FRAME % VOLUME).replace(b"seqno = 1\n", b"seqno = 1\nother {\nlogical_volumes {\n%s}\n}\n" % VOLUME)
    assert outcome(text) == outcome(the_long_way(text))
