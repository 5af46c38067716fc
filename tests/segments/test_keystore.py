"""The segment type `crypt-keystore`: every attribute but the handler is optional, and all are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import FormatError, RefusedError
from cryptlv.model.vg import PlaceLookup, PvArea
from cryptlv.segments.keystore import KeystoreSegment

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import Segment

    Read = Callable[[str], Segment]


def keystore(read_segment: Read, text: str) -> KeystoreSegment:
    segment = read_segment(f'type = "crypt-keystore"\n{text}')
    assert isinstance(segment, KeystoreSegment)
    return segment


def test_handler_alone_is_enough(read_segment: Read) -> None:
    segment = keystore(read_segment, 'handler = "acme"')
    assert list(segment.render_items({})) == [("handler", "acme")]
    assert list(segment.footprint()) == []


def test_every_attribute_is_kept(read_segment: Read, pvs: dict[str, str]) -> None:
    text = """handler = "hashed" cipher = "aes-cbc-essiv:sha256" key_size = 256 key_hash = "ripemd160"
areas = ["pv0", 3] acme_server = "x" acme_list = [1, "y"] acme { a = 1 }"""
    segment = keystore(read_segment, text)
    assert (segment.cipher, segment.key_size_bits, segment.key_hash) == ("aes-cbc-essiv:sha256", 256, "ripemd160")
    assert segment.areas == (PvArea(pv_id=pvs["pv0"], start_pe=3),)
    words = {pv_id: word for word, pv_id in pvs.items()}
    assert [key for key, _ in segment.render_items(words)] == [
        "handler", "cipher", "key_size", "key_hash", "areas", "area_ids", "acme_server", "acme_list", "acme",
    ]  # fmt: skip
    assert list(segment.footprint()) == [(pvs["pv0"], 3, 6)]


def test_no_extents_become_one_and_more_stay(read_segment: Read) -> None:
    segment = keystore(read_segment, 'handler = "plain"')
    assert segment.made_safe() is segment
    mended = segment.replace(length_le=0).made_safe()
    assert mended == segment.replace(length_le=1)


@pytest.mark.parametrize("text", ["", 'handler = ""', "handler = 1", 'handler = ["a"]'])
def test_keystore_without_a_handler_is_refused(read_segment: Read, text: str) -> None:
    with pytest.raises(FormatError, match="vg/lv segment1") as caught:
        keystore(read_segment, text)
    assert caught.value.field == "handler"


@pytest.mark.parametrize(
    ("text", "field"), [("cipher = 1", "cipher"), ('key_size = "256"', "key_size"), ("key_hash = []", "key_hash")]
)
def test_attribute_of_a_wrong_kind_is_refused(read_segment: Read, text: str, field: str) -> None:
    with pytest.raises(FormatError) as caught:
        keystore(read_segment, f'handler = "plain" {text}')
    assert caught.value.field == field


def test_keystore_is_neither_mapped_nor_cut(read_segment: Read) -> None:
    segment = keystore(read_segment, 'handler = "plain"')
    with pytest.raises(RefusedError, match="crypt-keystore"):
        list(segment.targets(PlaceLookup(extent_size_sectors=1, pe_start_sectors={}, lv_ids={})))
    with pytest.raises(RefusedError, match="crypt-keystore"):
        segment.part(0, 1)
