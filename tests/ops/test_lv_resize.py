"""Volumes that grow and shrink keep what is in them; encrypted ones their key and tweaks (row S3)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, InUseError, NoSpaceError, RefusedError, UsageError
from cryptlv.keys.handler import KeystoreRequest
from cryptlv.model.check import check
from cryptlv.model.mapping import map_volume
from cryptlv.model.sizes import LvSize
from cryptlv.ops import lv as lvs
from cryptlv.ops.lv_resize import EXTEND, REDUCE, RESIZE, ResizeRequest, foresee, resize
from cryptlv.segments.crypt import CryptSegment, reused_tweaks
from support.disks import MIB, PLAIN_REQUEST, REQUEST, Disks, Known, make_disks
from support.volumes import open_volume

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(64))
PLAIN = PLAIN_REQUEST.replace(name="raw")


def request(way: str = RESIZE, **size: object) -> ResizeRequest:
    return ResizeRequest(way=way, size=LvSize(**size))  # type: ignore[arg-type]


def change(disks: Disks, name: str, way: str = RESIZE, **size: object) -> None:
    with disks.session() as session:
        resize(session, "vg0", name, request(way, **size))


@pytest.mark.parametrize("stripes", [1, 2])
@pytest.mark.parametrize("kind", ["plain", "striped"])
def test_data_stay_where_they_are_seen(tmp_path: Path, kind: str, stripes: int) -> None:
    disks = make_disks(tmp_path, (1, 2, 1))
    made = PLAIN if kind == "plain" else lvs.LvRequest(name="raw", size_bytes=3 * MIB, segment_type="striped")
    with disks.session() as session:
        lvs.create(session, "vg0", made.replace(stripes=stripes), Known(KEY))
    data = random.Random(kind + str(stripes)).randbytes(3 * MIB)
    with open_volume(disks, "raw", KEY) as stream:
        stream.write(0, data)
    change(disks, "raw", EXTEND, size_bytes=2 * MIB, sign="+")
    with disks.session() as session:  # so that the next piece lies elsewhere
        lvs.create(session, "vg0", lvs.LvRequest(name="between", size_bytes=MIB))
    change(disks, "raw", EXTEND, size_bytes=4 * MIB, sign="+")
    with open_volume(disks, "raw", KEY) as stream:
        assert stream.size_bytes == 9 * MIB
        assert stream.read(0, 3 * MIB) == data
        stream.write(3 * MIB, data)
    change(disks, "raw", REDUCE, size_bytes=6 * MIB)
    with open_volume(disks, "raw", KEY) as stream:
        assert stream.read(0, 6 * MIB) == data + data
    group = disks.group()
    assert group is not None
    assert check(group) == ()


def test_no_two_sectors_of_a_keystore_share_key_and_tweak(tmp_path: Path) -> None:
    """Volumes of one store, made, extended and reduced in turn; the tweaks are counted here sector by sector."""
    disks = make_disks(tmp_path, (1, 1, 1))
    with disks.session() as session:
        lvs.create(session, "vg0", PLAIN, Known(KEY))
        store = next(iter(session.world().group("vg0").vg.lv("raw").segments[0].keystores))
        for number in range(3):
            sharing = REQUEST.replace(name=f"s{number}", size_bytes=MIB, crypto_store=store)
            lvs.create(session, "vg0", sharing, Known(KEY))
            resize(session, "vg0", "raw", request(EXTEND, size_bytes=MIB, sign="+"))
            resize(session, "vg0", f"s{number}", request(EXTEND, size_bytes=2 * MIB, sign="+"))
        resize(session, "vg0", "s1", request(REDUCE, size_bytes=MIB))
        vg = session.world().group("vg0").vg
    seen: set[int] = set()
    for lv in vg.lvs:
        for segment in lv.segments:
            if isinstance(segment, CryptSegment) and segment.crypto_store == store:
                first = segment.iv_base_sectors + segment.start_le * vg.extent_size_sectors
                tweaks = range(first, first + segment.length_le * vg.extent_size_sectors)
                assert seen.isdisjoint(tweaks)
                seen.update(tweaks)
    assert len(seen) == (6 + 3 + 1 + 3) * MIB // 512
    assert not list(reused_tweaks(vg))
    bases = [vg.lv(name).segments[0].iv_base_sectors for name in ("raw", "s0", "s1", "s2")]  # type: ignore[attr-defined]
    assert bases == [0, 2**40, 2 * 2**40, 3 * 2**40]


def test_volumes_of_one_keystore_open_with_one_key_and_do_not_look_alike(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        lvs.create(session, "vg0", PLAIN, Known(KEY))
        lvs.create(session, "vg0", REQUEST.replace(name="two", crypto_store="cryptostore2"), Known(KEY))
    for name in ("raw", "two"):
        with open_volume(disks, name, KEY) as stream:
            assert stream.read(0, 4096) == bytes(4096), "zeroed with the key that they share"
            stream.write(0, b"the same" * 512)
    raw, two = (first_bytes(disks, name) for name in ("raw", "two"))
    assert raw != two


def first_bytes(disks: Disks, name: str) -> bytes:
    group = disks.group()
    assert group is not None
    (target, *_) = map_volume(group, group.lv(name)).targets
    (pv_id,) = target.pv_ids
    return disks.devices[group.pv(pv_id).device].read(target.offset_sectors * 512, 4096)  # type: ignore[attr-defined]


def test_a_cipher_whose_tweaks_are_few_is_not_shared(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        lvs.create(session, "vg0", PLAIN.replace(keystore=KeystoreRequest(cipher="aes-cbc-plain")), Known(bytes(32)))
        for store in ("cryptostore2", "first", "nothing"):
            sharing = REQUEST.replace(name="two", crypto_store=store)
            with pytest.raises(CryptlvError):
                lvs.create(session, "vg0", sharing, Known(bytes(32)))
    group = disks.group()
    assert group is not None
    assert group.find_lv("two") is None


def test_a_volume_that_would_grow_into_the_tweaks_of_another_is_refused(tmp_path: Path) -> None:
    from cryptlv.ops.commit import commit_change

    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        lvs.create(session, "vg0", PLAIN, Known(KEY))
        lvs.create(session, "vg0", REQUEST.replace(name="two", crypto_store="cryptostore2"), Known(KEY))
        group = session.world().group("vg0")
        two = group.vg.lv("two")
        near = tuple(part.replace(iv_base_sectors=3 * MIB // 512) for part in two.segments)
        commit_change(session, group, group.vg.with_lv(two.replace(segments=near)))
        with pytest.raises(RefusedError, match="tweaks"):
            resize(session, "vg0", "raw", request(EXTEND, size_bytes=MIB, sign="+"))
        resize(session, "vg0", "two", request(EXTEND, size_bytes=MIB, sign="+"))


def test_what_is_no_such_change_is_refused(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    cases: list[tuple[str, ResizeRequest, type[CryptlvError]]] = [
        ("first", request(EXTEND, extents=1), RefusedError),
        ("first", request(REDUCE, extents=99), RefusedError),
        ("first", request(EXTEND, extents=16), RefusedError),
        ("first", request(EXTEND, size_bytes=2**40), NoSpaceError),
        ("first", request(EXTEND, extents=1, sign="+").replace(stripes=2), NoSpaceError),
        ("old", request(EXTEND, extents=1, sign="+").replace(stripes=2), UsageError),
        ("cryptostore1", request(EXTEND, extents=1, sign="+"), RefusedError),
    ]
    before = disks.group()
    with disks.session() as session:
        for name, wanted, error in cases:
            with pytest.raises(error):
                resize(session, "vg0", name, wanted)
    assert disks.group() == before


def test_what_was_foreseen_is_what_is_done(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        less = request(REDUCE, extents=4, sign="-")
        foreseen = foresee(session, "vg0", "first", less)
        assert (foreseen.before_le, foreseen.after_le, foreseen.is_shorter) == (16, 12, True)
        resize(session, "vg0", "first", request(EXTEND, extents=1, sign="+"))
        with pytest.raises(InUseError, match="meanwhile"):
            resize(session, "vg0", "first", less, foreseen)
        done = resize(session, "vg0", "first", less, foresee(session, "vg0", "first", less))
        assert done.freed
        assert done.change == "from 1.06m (17 extents) to 832.00k (13 extents)"


def test_test_mode_changes_nothing(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    before = disks.group()
    with disks.session() as session:
        session.test = True
        assert resize(session, "vg0", "first", request(EXTEND, extents=1, sign="+")).after_le == 17
    assert disks.group() == before
