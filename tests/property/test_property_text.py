"""Config texts and volume groups at random: written and read again they are the same."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.environment import Environment
from cryptlv.model.nodes import Section
from cryptlv.model.vg import LogicalVolume, PhysicalVolume, PvArea, Segment, VolumeGroup
from cryptlv.names import UUID_ALPHABET, render_uuid
from cryptlv.ondisk.config import parse_config, render_key, render_value
from cryptlv.ondisk.vgrender import render_backup, render_disk
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment

ENV = Environment(now=0, random_bytes=bytes, monotonic=float, hostname="h")
STRINGS = st.text(max_size=12).map(lambda text: text.replace("\0", ""))
INTEGERS = st.integers(-(2**63), 2**63 - 1)
SIXTHS = st.integers(-(10**9), 10**9).map(lambda number: number / 64)  # what %f writes exactly
SCALARS = st.one_of(STRINGS, INTEGERS, SIXTHS)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=4).map(tuple))
SMALL = st.integers(0, 2**31)
COUNTS = st.integers(0, 2**32 - 1)
NAMES = st.text("abcXYZ019._+-", max_size=12)
WORDS = st.lists(st.sampled_from(["READ", "WRITE", "VISIBLE", "FUTURE", 'odd "word"', ""]), max_size=4).map(tuple)
TAGS = st.lists(STRINGS, max_size=2).map(tuple)
IDS = st.text(UUID_ALPHABET, min_size=32, max_size=32).map(render_uuid)
EXTRA = st.lists(
    st.tuples(
        STRINGS.map(lambda text: f"future_{text}"),
        st.one_of(VALUES, st.lists(st.tuples(STRINGS, VALUES), max_size=2).map(lambda i: Section(items=tuple(i)))),
    ),
    max_size=2,
).map(tuple)


@settings(max_examples=300)
@given(st.lists(st.tuples(STRINGS, VALUES), max_size=6))
def test_items_that_were_written_are_read_the_same(items: list[tuple[str, str | int | float]]) -> None:
    text = "\n".join(f"{render_key(key)} = {render_value(value)}" for key, value in items)
    assert parse_config(text).items == tuple(items)
    assert parse_config(text.encode()).items == tuple(items)


@settings(max_examples=200)
@given(st.binary(max_size=40).filter(lambda data: b"\0" not in data))
def test_bytes_in_a_string_survive(data: bytes) -> None:
    escaped = data.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    ((_, value),) = parse_config(b'key = "' + escaped + b'"').items
    assert isinstance(value, str)
    assert value.encode("utf-8", "surrogateescape") == data
    assert render_value(value).encode("utf-8", "surrogateescape") == b'"' + escaped + b'"'


@st.composite
def volume_groups(draw: st.DrawFn) -> VolumeGroup:
    pv_ids = draw(st.lists(IDS, min_size=1, max_size=3, unique=True))
    pvs = tuple(
        PhysicalVolume(
            id=pv_id,
            device=draw(STRINGS),
            status=draw(WORDS),
            flags=draw(WORDS),
            tags=draw(TAGS),
            dev_size_sectors=draw(SMALL),
            pe_start_sectors=draw(SMALL),
            pe_count=draw(SMALL),
            extra=draw(EXTRA),
        )
        for pv_id in pv_ids
    )
    areas = st.builds(lambda pv_id, start: PvArea(pv_id=pv_id, start_pe=start), st.sampled_from(pv_ids), SMALL)
    lvs = []
    for number in range(draw(st.integers(0, 3))):
        segments: list[Segment] = []
        for start in range(draw(st.integers(0, 2))):
            kind = draw(st.integers(0, 3))
            length, extra, tags = draw(SMALL), draw(EXTRA), draw(TAGS)
            if kind == 0:
                two = draw(st.lists(areas, min_size=1, max_size=3))
                size = draw(SMALL) if len(two) > 1 else 0
                segments.append(
                    StripedSegment(
                        start_le=start,
                        length_le=length,
                        tags=tags,
                        areas=tuple(two),
                        stripe_size_sectors=size,
                        extra=extra,
                    )
                )
            elif kind == 1:
                segments.append(
                    CryptSegment(
                        start_le=start,
                        length_le=length,
                        tags=tags,
                        crypto_store=f"cryptostore{number}",
                        areas=(draw(areas),),
                        iv_base_sectors=draw(SMALL),
                        area_offset_sectors=draw(SMALL),
                        extra=extra,
                    )
                )
            elif kind == 2:
                segments.append(
                    KeystoreSegment(
                        start_le=start,
                        length_le=length,
                        tags=tags,
                        handler=f"h{draw(STRINGS)}",
                        cipher=draw(STRINGS),
                        key_size_bits=draw(SMALL),
                        key_hash=draw(STRINGS),
                        areas=tuple(draw(st.lists(areas, max_size=1))),
                        extra=extra,
                    )
                )
            else:
                segments.append(
                    OpaqueSegment(
                        start_le=start, length_le=length, tags=tags, type_word=f"acme{draw(STRINGS)}", body=extra
                    )
                )
        lvs.append(
            LogicalVolume(
                name=f"lv{number}{draw(NAMES)}",
                id=draw(IDS),
                status=draw(WORDS),
                flags=draw(WORDS),
                tags=draw(TAGS),
                creation_time=draw(st.one_of(st.none(), SMALL)),
                creation_host=draw(STRINGS),
                read_ahead=draw(st.one_of(st.none(), COUNTS)),
                segments=tuple(segments),
                extra=draw(EXTRA),
            )
        )
    return VolumeGroup(
        name="vg",
        id=draw(IDS),
        seqno=draw(COUNTS),
        status=draw(WORDS),
        flags=draw(WORDS),
        tags=draw(TAGS),
        system_id=draw(st.one_of(st.none(), STRINGS)),
        extent_size_sectors=draw(st.integers(1, 2**32 - 1)),
        max_lv=draw(SMALL),
        pvs=pvs,
        lvs=tuple(lvs),
        extra=draw(EXTRA),
    )


@settings(max_examples=150)
@given(volume_groups())
def test_volume_group_that_was_written_is_read_the_same_in_both_forms(vg: VolumeGroup) -> None:
    disk = render_disk(vg, ENV)
    assert parse_vg(disk) == vg
    assert parse_vg(render_backup(vg, ENV, "x")) == vg
    assert parse_vg(disk + b"\0" + b"rest of the sector") == vg
    assert render_disk(parse_vg(disk), ENV) == disk


@settings(max_examples=50)
@given(volume_groups(), st.randoms(use_true_random=False))
def test_order_of_the_physical_volumes_does_not_change_where_segments_lie(vg: VolumeGroup, random: object) -> None:
    shuffle = getattr(random, "shuffle", None)
    assert callable(shuffle)
    pvs = list(vg.pvs)
    shuffle(pvs)
    again = parse_vg(render_disk(vg.replace(pvs=tuple(pvs)), ENV))
    assert again.lvs == vg.lvs
