"""What metadata alone can take back, and what is refused by name."""

from __future__ import annotations

import pytest

from cryptlv.errors import RefusedError
from cryptlv.model.undo import changed_lvs, check_undo, losses, returning_extents
from cryptlv.model.vg import LogicalVolume, LvArea, PhysicalVolume, PvArea, VolumeGroup
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment


def linear(start_pe: int, length: int = 2, start_le: int = 0, pv_id: str = "a") -> StripedSegment:
    return StripedSegment(start_le=start_le, length_le=length, areas=(PvArea(pv_id=pv_id, start_pe=start_pe),))


def pv(name: str) -> PhysicalVolume:
    return PhysicalVolume(id=name, device=f"/{name}", pe_start_sectors=2048, pe_count=20)


X = LogicalVolume(name="x", id="idx", segments=(linear(0, 4),))
GROUP = VolumeGroup(name="vg", id="vg", seqno=3, pvs=(pv("a"), pv("b")), lvs=(X,))
Y = LogicalVolume(name="y", id="idy", segments=(linear(5),))
STORE = LogicalVolume(
    name="cryptostore1",
    id="ids",
    status=("READ",),
    segments=(KeystoreSegment(start_le=0, length_le=1, handler="luks1", areas=(PvArea(pv_id="a", start_pe=9),)),),
)
PLAIN = STORE.replace(segments=(KeystoreSegment(start_le=0, length_le=1, handler="plain"),))
THIN = LogicalVolume(
    name="t",
    id="idt",
    segments=(OpaqueSegment(start_le=0, length_le=2, type_word="thin", body=(("thin_pool", "p"),)),),
)


def crypt(store: str = "cryptostore1", iv: int = 0) -> LogicalVolume:
    part = CryptSegment(
        start_le=0, length_le=2, crypto_store=store, iv_base_sectors=iv, areas=(PvArea(pv_id="b", start_pe=0),)
    )
    return LogicalVolume(name="c", id="idc", segments=(part,))


def with_lvs(*lvs: LogicalVolume) -> VolumeGroup:
    return GROUP.replace(lvs=lvs)


FINE = {
    "nothing": (GROUP, GROUP),
    "lvcreate": (with_lvs(X, Y), GROUP),
    "lvcreate of an encrypted volume": (with_lvs(X, crypt(), STORE), GROUP),
    "lvremove": (GROUP, with_lvs(X, Y)),
    "lvremove with a keystore that stores nothing": (GROUP, with_lvs(X, crypt(), PLAIN)),
    "lvremove of one of two users": (with_lvs(X, STORE), with_lvs(X, crypt(), STORE)),
    "lvrename": (with_lvs(X.replace(name="z")), GROUP),
    "a keystore has another name": (
        with_lvs(crypt("cryptostore2"), STORE.replace(name="cryptostore2")), with_lvs(crypt(), STORE)
    ),
    "lvextend": (with_lvs(X.replace(segments=(linear(0, 4), linear(3, 5, 4, "b")))), GROUP),
    "lvextend in place": (with_lvs(X.replace(segments=(linear(0, 6),))), GROUP),
    "lvreduce": (with_lvs(X.replace(segments=(linear(0, 3),))), GROUP),
    "tags": (GROUP.replace(tags=("t",)), GROUP),
    "vgextend": (GROUP.replace(pvs=(*GROUP.pvs, pv("c"))), GROUP),
    "vgreduce": (GROUP.replace(pvs=GROUP.pvs[:1]), GROUP),
}  # fmt: skip


@pytest.mark.parametrize("name", FINE)
def test_what_can_be_undone(name: str) -> None:
    check_undo(*FINE[name], name)


STACKED = CryptSegment(
    start_le=0, length_le=2, crypto_store="cryptostore1", areas=(LvArea(lv_name="c_cryptdata", start_le=0),)
)
REFUSED = {
    "keystore vg/cryptostore1 was removed": (GROUP, with_lvs(X, crypt(), STORE)),
    "vg/t was of type thin": (GROUP, with_lvs(X, THIN)),
    "vg/t is of type thin, which only lvm2 removes": (with_lvs(X, THIN), GROUP),
    "vg/t is or was of type thin": (with_lvs(THIN.replace(segments=(linear(0),))), with_lvs(THIN)),
    "extents of vg/x were moved": (with_lvs(X.replace(segments=(linear(0, 2), linear(4, 2, 2)))), GROUP),
    "extents of vg/c were moved or given another key": (with_lvs(crypt(iv=2**40), STORE), with_lvs(crypt(), STORE)),
    "keystore vg/cryptostore1 was changed": (
        with_lvs(STORE.replace(segments=(STORE.segments[0].replace(key_hash="sha1"),))), with_lvs(STORE)
    ),
    "old was renamed to vg": (GROUP, GROUP.replace(name="old")),
    "the extent size of vg was changed": (GROUP, GROUP.replace(extent_size_sectors=64)),
    "/b was resized": (GROUP, GROUP.replace(pvs=(pv("a"), pv("b").replace(pe_count=30)))),
    "/b left vg with volumes on it": (
        GROUP.replace(pvs=GROUP.pvs[:1]), with_lvs(X, Y.replace(segments=(linear(0, pv_id="b"),)))
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_undone_is_told_by_name(words: str) -> None:
    with pytest.raises(RefusedError, match="cannot be undone") as caught:
        check_undo(*REFUSED[words], "lvchange vg")
    assert words in str(caught.value)


def test_hidden_parts_are_known_by_their_ids() -> None:
    part = LogicalVolume(name="c_cryptdata", id="idp", status=("READ", "WRITE"), segments=(linear(10),))
    before = with_lvs(crypt().replace(segments=(STACKED,)), part, PLAIN)
    renamed = STACKED.with_names({"c_cryptdata": "d_cryptdata"})
    now = with_lvs(crypt().replace(name="d", segments=(renamed,)), part.replace(name="d_cryptdata"), PLAIN)
    check_undo(now, before, "lvrename vg/c vg/d")


def test_wiped_extents_do_not_come_back() -> None:
    with pytest.raises(RefusedError, match="were wiped"):
        check_undo(GROUP, with_lvs(X, Y), "lvremove --wipe vg/y")
    check_undo(GROUP, with_lvs(X, Y), "lvremove vg/y # not with --wipe")
    check_undo(with_lvs(X, Y), GROUP, "lvcreate --wipe")


def test_what_comes_back_and_what_is_given_up() -> None:
    assert returning_extents(GROUP, with_lvs(X, Y)) == 2
    assert returning_extents(with_lvs(X, Y), GROUP) == 0
    grown = X.replace(segments=(linear(0, 6),))
    assert losses(with_lvs(grown, Y, STORE), GROUP) == (
        "what was written to vg/x beyond its former size is given up",
        "what was written to vg/y is given up",
    )
    assert losses(GROUP, with_lvs(grown, Y)) == ()
    assert changed_lvs(with_lvs(X, Y), GROUP) == ("y",)
    assert changed_lvs(with_lvs(grown), GROUP) == ("x",)
    assert changed_lvs(GROUP, GROUP.replace(status=("EXPORTED",))) == ("x",)
