"""Volumes renamed: names of keystores are nobody's (row S8), and no key handler is needed (row S12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, UsageError
from cryptlv.ops import activation
from cryptlv.ops import lv as lvs
from cryptlv.ops.commit import commit_change
from cryptlv.ops.lv_rename import rename
from cryptlv.ops.vgck import find_faults
from cryptlv.segments.keystore import KeystoreSegment
from support.disks import REQUEST, Disks, Known, make_disks
from support.volumes import open_volume

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.model.vg import VolumeGroup
    from support.machine import Machine

PASSPHRASE = b"correct horse"
EXTRA = (("acme_server", "kms.example"), ("acme_list", (1, "y")))


def vg_of(disks: Disks) -> VolumeGroup:
    vg = disks.group()
    assert vg is not None
    return vg


def test_an_encrypted_volume_over_stripes_is_renamed_with_its_data_and_reads_the_same(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(stripes=2), Known())
    with open_volume(disks, "new", PASSPHRASE) as stream:
        stream.write(70000, b"what was written")
    seqno = vg_of(disks).seqno
    with disks.session() as session:
        rename(session, "vg0", "new", "newer")
        assert find_faults(session, "vg0") == ()
    vg = vg_of(disks)
    assert vg.seqno == seqno + 1
    assert {"newer", "newer_cryptdata"} < {lv.name for lv in vg.lvs}
    assert not {"new", "new_cryptdata"} & {lv.name for lv in vg.lvs}
    with open_volume(disks, "newer", PASSPHRASE) as stream:
        assert stream.read(70000, 16) == b"what was written"


@pytest.mark.parametrize("name", ["cryptostore1", "cryptostore7", "x_cryptdata", "x_tmeta", ""])
def test_reserved_names_are_refused(tmp_path: Path, name: str) -> None:
    disks = make_disks(tmp_path, (1,))
    before = vg_of(disks)
    with disks.session() as session, pytest.raises(UsageError):
        rename(session, "vg0", "first", name)
    assert vg_of(disks) == before


@pytest.mark.parametrize("old", ["cryptostore1", "nobody"])
def test_what_cannot_be_renamed_is_named(tmp_path: Path, old: str) -> None:
    with make_disks(tmp_path, (1,)).session() as session, pytest.raises(CryptlvError, match=old):
        rename(session, "vg0", old, "x")


def test_an_active_volume_is_refused_by_name(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l1", "-na", "vg0")
    vg0.run("lvchange", "-ay", "vg0/a")
    assert "vg0/a is active" in vg0.fail("lvrename", "vg0/a", "b")
    vg0.run("lvchange", "-an", "vg0/a")
    vg0.run("lvrename", "vg0/a", "b")


def test_without_the_handler_all_is_kept_and_only_activation_fails(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session, session.locked("vg0", write=True):
        group = session.world().group("vg0")
        store = group.vg.lv("cryptostore1")
        acme = store.replace(segments=(store.segments[0].replace(handler="acme", extra=EXTRA),))
        commit_change(session, group, group.vg.with_lv(acme))
    before = vg_of(disks)
    with disks.session() as session:
        rename(session, "vg0", "old", "kept")
        after = vg_of(disks)
        assert after.lv("cryptostore1") == before.lv("cryptostore1")
        assert after.lv("kept") == before.lv("old").replace(name="kept")
        (segment,) = after.lv("cryptostore1").segments
        assert isinstance(segment, KeystoreSegment)
        assert (segment.handler, segment.extra) == ("acme", EXTRA)
        done, failed = activation.activate(session, "vg0", ("kept",), "auto", Known())
    assert done == ()
    assert "acme" in str(failed[0].error)
