"""The ring of a metadata area, played through: a new text never touches the committed one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.ondisk.mda import (
    MdaHeader,
    RawLocation,
    decode_mda_header,
    encode_mda_header,
    max_text_bytes,
    next_text_offset,
    text_pieces,
)

AREAS = st.sampled_from([32768, 65536, 1044480, 1048576])


def stock_next_offset(area: int, old: tuple[int, int] | None) -> int:
    """format-text.c:_next_rlocn_offset, as the notes on stock lvm2 give it."""
    if old is None:
        return 512
    offset, size = old
    last = offset + size - area + 511 if offset + size > area else offset + size - 1
    new = 512 if area - last < 512 else -(-(last + 1) // 512) * 512
    return 512 if new > area - 512 else new


@settings(max_examples=300)
@given(AREAS, st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_texts_go_round_the_ring_as_stocks_do_and_never_overlap(area: int, sizes: list[float]) -> None:
    old: tuple[int, int] | None = None
    for part in sizes:
        size = max(1, round(part * max_text_bytes(area)))
        location = None if old is None else RawLocation(offset_bytes=old[0], size_bytes=old[1], crc=0)
        offset = next_text_offset(area, location)
        assert offset == stock_next_offset(area, old)
        assert offset % 512 == 0
        pieces = text_pieces(area, offset, size)
        assert sum(length for _, length in pieces) == size
        assert all(start >= 512 and start + length <= area for start, length in pieces)
        if old is not None:
            sectors = {s for start, length in pieces for s in range(start // 512, (start + length - 1) // 512 + 1)}
            for start, length in text_pieces(area, *old):
                assert sectors.isdisjoint(range(start // 512, (start + length - 1) // 512 + 1))
        old = (offset, size)


@st.composite
def locations(draw: st.DrawFn) -> RawLocation | None:
    if draw(st.booleans()):
        return None
    offset, size = draw(st.integers(512, 1044479)), draw(st.integers(1, 1043968))
    flags = draw(st.integers(0, 2**32 - 1))
    return RawLocation(offset_bytes=offset, size_bytes=size, crc=draw(st.integers(0, 2**32 - 1)), flags=flags)


@settings(max_examples=200)
@given(st.integers(0, 2**62), locations(), locations())
def test_encoded_header_is_decoded_to_the_same(
    start: int, committed: RawLocation | None, precommitted: RawLocation | None
) -> None:
    header = MdaHeader(start_bytes=start, size_bytes=1044480, committed=committed, precommitted=precommitted)
    data = encode_mda_header(header)
    assert len(data) == 512
    assert decode_mda_header(data, start, 1044480) == header
