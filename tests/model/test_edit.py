"""Changes of a volume group, and the proposal's rules for keystores (its example, names, sharing, removal)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.environment import Environment
from cryptlv.errors import ExistsError, UsageError
from cryptlv.model.allocate import free_count
from cryptlv.model.check import check
from cryptlv.model.edit import add_lvs, canonical, next_keystore_name
from cryptlv.model.vg import LogicalVolume, VolumeGroup
from cryptlv.names import check_lv_name, is_keystore_name
from cryptlv.ondisk.vgrender import render_disk
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.opaque import OpaqueSegment

if TYPE_CHECKING:
    from collections.abc import Callable

    GoldenVg = Callable[[str], VolumeGroup]

ENV = Environment(now=0, random_bytes=bytes, monotonic=float, hostname="h")
PV0 = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa0"
PV2 = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa2"


def test_example_of_the_proposal_is_read_with_every_key(seed_text: str) -> None:
    vg = parse_vg(seed_text)
    assert [lv.name for lv in vg.lvs] == ["tst", "luks1", "cryptostore1", "cryptostore2"]
    tst, luks1, plain, luks = (lv.segments[0] for lv in vg.lvs)
    assert isinstance(tst, CryptSegment)
    assert isinstance(luks1, CryptSegment)
    assert isinstance(plain, KeystoreSegment)
    assert isinstance(luks, KeystoreSegment)
    assert (tst.crypto_store, tst.length_le, list(tst.footprint())) == ("cryptostore1", 4, [(PV2, 12, 4)])
    assert (luks1.crypto_store, luks1.length_le, list(luks1.footprint())) == ("cryptostore2", 3, [(PV0, 4, 3)])
    assert (plain.handler, plain.cipher, plain.key_size_bits, plain.key_hash) == ("plain", "aes-xts-plain", 256, "")
    assert (plain.length_le, list(plain.footprint())) == (0, [])
    assert (luks.handler, luks.length_le, list(luks.footprint())) == ("luks1", 1, [(PV0, 3, 1)])
    assert [lv.allocation_policy for lv in vg.lvs] == ["", "", "normal", "normal"]
    assert vg.lv("tst").id == "ONqIFB-p2vX-rQ2V-B9Yg-0kPB-uKbh-NWIssL"


def test_example_of_the_proposal_is_made_safe_and_keeps_everything_else(seed_text: str) -> None:
    vg = parse_vg(seed_text)
    assert len(check(vg)) == 1  # the keystore of no extents
    safe = canonical(vg)
    assert check(safe) == ()
    assert safe.lv("cryptostore1").length_le == 1
    store = vg.lv("cryptostore1")
    mended = store.replace(segments=(store.segments[0].replace(length_le=1),))
    assert safe == vg.with_lv(mended)
    assert free_count(safe) == free_count(vg) == 3 * 31 - 4 - 3 - 1


def test_example_of_the_proposal_is_stable_when_written_and_read(seed_text: str) -> None:
    safe = canonical(parse_vg(seed_text))
    text = render_disk(safe, ENV)
    assert parse_vg(text) == safe
    assert render_disk(parse_vg(text), ENV) == text
    for line in ('crypto_store = "cryptostore1"', 'handler = "plain"', 'cipher = "aes-xts-plain"', "key_size = 256"):
        assert line in text.decode().splitlines()
    assert "extent_count = 0" not in text.decode()


def test_exact_variant_becomes_the_one_that_stock_reads(golden_vg: GoldenVg) -> None:
    exact = golden_vg("lvm2-crypt/V0_seed_exact/raw_text")
    assert canonical(exact) == golden_vg("lvm2-crypt/V3_plain_1ext_noarea/raw_text")


def test_canonical_puts_visible_volumes_first_and_is_stable(golden_vg: GoldenVg) -> None:
    vg = golden_vg("lvm2/thin/raw_text_pv0_mda0")
    shuffled = vg.replace(lvs=tuple(reversed(vg.lvs)))
    visible = [lv.is_visible for lv in canonical(shuffled).lvs]
    assert visible == sorted(visible, reverse=True)
    assert canonical(vg) == vg
    assert canonical(canonical(shuffled)) == canonical(shuffled)


@pytest.mark.parametrize("name", ["cryptostore1", "cryptostore7", "cryptostore0", "cryptostore123456"])
def test_names_of_keystores_are_reserved(name: str) -> None:
    assert is_keystore_name(name)
    with pytest.raises(UsageError, match="reserved"):
        check_lv_name("vg", name)


@pytest.mark.parametrize("name", ["cryptostore", "cryptostorex", "mycryptostore1", "cryptostore1a", "cryptostore-1"])
def test_names_like_those_of_keystores_are_free(name: str) -> None:
    assert not is_keystore_name(name)
    assert check_lv_name("vg", name) == name


def test_next_keystore_has_the_lowest_free_number_and_never_one_in_use(sound_vg: VolumeGroup) -> None:
    assert next_keystore_name(VolumeGroup(name="vg", id="x", seqno=0)) == "cryptostore1"
    assert next_keystore_name(sound_vg) == "cryptostore2"
    store = sound_vg.lv("cryptostore1")
    more = sound_vg.replace(lvs=(*sound_vg.lvs, store.replace(name="cryptostore3", id="z")))
    assert next_keystore_name(more) == "cryptostore2"
    renamed = sound_vg.with_lv(sound_vg.lv("lin").replace(name="cryptostore2"))
    assert next_keystore_name(renamed) == "cryptostore3"


def copy_of(lv: LogicalVolume, name: str) -> LogicalVolume:
    return lv.replace(name=name, id=f"zzzzzz{lv.id[6:]}")


def test_added_volumes_stand_before_hidden_ones(sound_vg: VolumeGroup) -> None:
    new = copy_of(sound_vg.lv("lin"), "new")
    assert [lv.name for lv in add_lvs(sound_vg, new).lvs] == ["lin", "one", "two", "new", "cryptostore1"]


@pytest.mark.parametrize("name", ["lin", "one", "cryptostore1"])
def test_name_that_is_taken_is_refused(sound_vg: VolumeGroup, name: str) -> None:
    with pytest.raises(ExistsError, match=name):
        add_lvs(sound_vg, copy_of(sound_vg.lv("lin"), name))


def test_two_new_volumes_of_one_name_are_refused(sound_vg: VolumeGroup) -> None:
    new = copy_of(sound_vg.lv("lin"), "new")
    with pytest.raises(ExistsError, match="new"):
        add_lvs(sound_vg, new, new)


def test_zero_extent_keystore_is_made_safe_when_added(sound_vg: VolumeGroup) -> None:
    store = KeystoreSegment(start_le=0, length_le=0, handler="plain")
    new = copy_of(sound_vg.lv("cryptostore1"), "cryptostore2").replace(segments=(store,))
    assert add_lvs(sound_vg, new).lv("cryptostore2").length_le == 1


@pytest.mark.parametrize(
    ("change", "locked"),
    [({}, False), ({"system_id": "h"}, True), ({"lock_type": "dlm"}, True), ({"lock_type": "none"}, False)],
)
def test_permission_is_written_as_lvm2_writes_it_for_whom_the_group_is(
    seed_text: str, change: dict[str, str], locked: bool
) -> None:
    """WRITE_LOCKED in the flags in place of WRITE in the status; what is read-only stays so, other flags stay."""
    plain = canonical(parse_vg(seed_text))
    reader = plain.lvs[0].replace(status=("READ", "VISIBLE"))
    kept = plain.lvs[1].replace(flags=("ACTIVATION_SKIP",))
    vg = plain.replace(lvs=(reader, kept, *plain.lvs[2:]), **change)
    written = canonical(vg)
    assert canonical(written) == written
    assert written.is_writable
    assert ("WRITE" in written.status, "WRITE_LOCKED" in written.flags) == (not locked, locked)
    assert not written.lvs[0].is_writable
    flags = ("WRITE_LOCKED", "ACTIVATION_SKIP") if locked else ("ACTIVATION_SKIP",)
    assert written.lvs[1].flags == flags
    back = written.replace(system_id="", lock_type="")
    assert canonical(back) == canonical(vg.replace(system_id=None, lock_type=""))
    assert canonical(back).lvs[1].status == plain.lvs[1].status


def test_the_store_of_a_snapshot_stays_among_the_visible_volumes() -> None:
    """Where stock writes it too; that of one that is merged is hidden."""

    def lv(name: str, status: tuple[str, ...], kind: str = "x", *body: tuple[str, str]) -> LogicalVolume:
        segment = OpaqueSegment(start_le=0, length_le=1, type_word=kind, body=body)
        return LogicalVolume(name=name, id=name, status=status, segments=(segment,))

    hidden, shown = ("READ",), ("READ", "VISIBLE")
    lvs = (
        lv("merged", hidden),
        lv("store", hidden),
        lv("home", shown),
        lv("snapshot0", hidden, "snapshot", ("origin", "home"), ("cow_store", "store")),
        lv("snapshot1", hidden, "snapshot", ("origin", "home"), ("merging_store", "merged")),
    )
    vg = canonical(VolumeGroup(name="vg", id="id", seqno=1, lvs=lvs))
    assert [volume.name for volume in vg.lvs] == ["store", "home", "merged", "snapshot0", "snapshot1"]
