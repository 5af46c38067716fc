"""Labels and layouts of every size."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.errors import NoSpaceError, RefusedError
from cryptlv.names import UUID_ALPHABET, render_uuid
from cryptlv.ondisk.label import PvLabel, decode_label, encode_label, find_label
from cryptlv.ondisk.layout import plan_layout

MIB = 1024 * 1024
AREAS = st.lists(st.tuples(st.integers(1, 2**62), st.integers(0, 2**62)), max_size=4).map(tuple)
IDS = st.text(UUID_ALPHABET + "!#", min_size=32, max_size=32).map(render_uuid)


@settings(max_examples=200)
@given(
    st.builds(
        PvLabel,
        pv_id=IDS,
        device_size_bytes=st.integers(0, 2**64 - 1),
        data_areas=AREAS,
        mdas=AREAS,
        sector=st.integers(0, 3),
        flags=st.integers(0, 2**32 - 1),
        bootloader_areas=AREAS,
    )
)
def test_encoded_label_is_decoded_to_the_same(label: PvLabel) -> None:
    raw = encode_label(label)
    assert len(raw) == 512
    assert decode_label(raw, label.sector) == label
    assert find_label(bytes(label.sector * 512) + raw) == (label, ())


@settings(max_examples=300)
@given(
    st.integers(2 * MIB, 2**45),
    st.integers(0, 64 * MIB // 512).map(lambda sectors: sectors * 512),
    st.integers(0, 2),
    st.sampled_from([0, 4096, 65536, MIB, 4 * MIB]),
    st.sampled_from([0, 512, 3584]),
    st.integers(0, 8 * MIB // 512).map(lambda sectors: sectors * 512),
)
def test_parts_of_a_layout_lie_one_behind_the_other_on_the_device(
    size: int, metadata: int, copies: int, alignment: int, shift: int, bootloader: int
) -> None:
    try:
        layout = plan_layout(
            size,
            metadata_size_bytes=metadata,
            metadata_copies=copies,
            data_alignment_bytes=alignment,
            data_alignment_offset_bytes=shift,
            bootloader_area_bytes=bootloader,
        )
    except (NoSpaceError, RefusedError):
        return
    roomy = size > 4 * (metadata + bootloader) + 16 * MIB
    assert len(layout.mdas) == copies
    end = 4096
    for start, length in (*layout.mdas[:1], *layout.bootloader_areas):
        assert start >= end
        assert length > 0
        end = start + length
    assert layout.pe_start_bytes >= end
    if roomy and not bootloader:
        assert (layout.pe_start_bytes - shift) % (alignment or MIB) == 0
    if copies == 2:
        start, length = layout.mdas[1]
        assert start >= layout.pe_start_bytes
        assert start + length == size - size % 512
    if copies:
        assert layout.mdas[0][1] >= (max(metadata, 32768) if roomy else 32768)
    if roomy and bootloader:
        assert layout.bootloader_areas[0][1] >= bootloader
    label = layout.label("aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa")
    first, behind = label.data_range_sectors
    assert first * 512 == layout.pe_start_bytes
    assert first <= behind
