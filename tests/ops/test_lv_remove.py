"""Volumes and their keystores removed in one commit (row S10); keys wiped, active volumes closed, refusals told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.process import active_lv_ids
from cryptlv.errors import InUseError, NotFoundError, RefusedError
from cryptlv.ops import lv as lvs
from cryptlv.ops.commit import commit_change
from cryptlv.ops.lv_remove import remove
from support.disks import MIB, REQUEST, Known, make_disks

if TYPE_CHECKING:
    from cryptlv.host.scan import Group
    from support.disks import Disks
    from support.machine import Machine


def group_of(disks: Disks) -> Group:
    with disks.session() as session:
        return session.world().group("vg0")


def names(disks: Disks) -> list[str]:
    return [lv.name for lv in group_of(disks).vg.lvs]


def header(disks: Disks, group: Group) -> bytes:
    """The extents of `cryptostore1` as they were in `group`."""
    ((pv_id, start_pe, length_pe),) = group.vg.lv("cryptostore1").segments[0].footprint()
    start = (group.vg.pv(pv_id).pe_start_sectors + start_pe * group.vg.extent_size_sectors) * 512
    return disks.devices[group.pv_paths[pv_id]].read(start, length_pe * group.vg.extent_size_bytes)


def test_a_keystore_goes_with_its_last_volume_in_the_same_commit_and_its_header_is_wiped(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(name="sharing", crypto_store="cryptostore1"), Known())
    before = group_of(disks)
    with disks.session() as session:
        remove(session, "vg0", ("old",))
    assert names(disks) == ["first", "sharing", "cryptostore1"]
    assert any(header(disks, before)), "it is still in use"
    with disks.session() as session:
        removal = remove(session, "vg0", ("sharing",))
    assert (removal.names, removal.problems) == (("sharing",), ())
    assert names(disks) == ["first"]
    assert not any(header(disks, before))
    assert group_of(disks).vg.seqno == before.vg.seqno + 2, "one commit each"


def test_several_go_in_one_commit_and_what_cannot_be_removed_does_not_stop_them(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    seqno = group_of(disks).vg.seqno
    with disks.session() as session:
        removal = remove(session, "vg0", ("first", "nobody", "cryptostore1"))
        assert removal.names == ("first",)
        assert [type(problem) for problem in removal.problems] == [NotFoundError, RefusedError]
        assert names(disks) == ["old", "cryptostore1"]
        assert group_of(disks).vg.seqno == seqno + 1
        remove(session, "vg0", ("nobody",))
        assert group_of(disks).vg.seqno == seqno + 1, "nothing to commit"
        with pytest.raises(NotFoundError, match="other"):
            remove(session, "other", ("first",))


def test_a_question_is_asked_where_a_key_would_be_lost_and_nowhere_else(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(name="sharing", crypto_store="cryptostore1"), Known())
    asked: list[str] = []

    def no(question: str) -> None:
        asked.append(question)
        raise RefusedError("Not done.")

    with disks.session() as session:
        removal = remove(session, "vg0", ("first", "old", "sharing"), no)
        assert removal.names == ("first", "old")
        assert [str(problem) for problem in removal.problems] == ["Not done."]
        assert len(asked) == 1
        assert '"vg0/sharing" and its key' in asked[0]
        remove(session, "vg0", ("sharing",), asked.append)
    assert len(asked) == 2
    assert names(disks) == []


def test_a_key_that_nobody_was_asked_about_is_not_lost(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(name="sharing", crypto_store="cryptostore1"), Known())
        lvs.create(session, "vg0", REQUEST.replace(name="third"), Known())

    asked: list[str] = []

    def meanwhile(question: str) -> None:
        asked.append(question)
        if len(asked) > 1:
            raise RefusedError("Not done.")
        with disks.session() as other:
            remove(other, "vg0", ("sharing",))

    with disks.session() as session:
        removal = remove(session, "vg0", ("old", "third"), meanwhile)
    assert ["vg0/third" in asked[0], "vg0/old" in asked[1], len(asked)] == [True, True, 2]
    assert removal.names == ("third",)
    assert names(disks) == ["first", "old", "cryptostore1"]


def test_with_a_missing_disk_volumes_go_and_a_key_that_stays_on_it_is_told(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    ((lost, *_),) = group_of(disks).vg.lv("cryptostore1").segments[0].footprint()
    gone = group_of(disks).pv_paths[lost]
    del disks.devices[gone]
    warnings: list[str] = []
    with disks.session(warnings.append) as session:
        remove(session, "vg0", ("old",))
    assert any("key header" in line and "missing" in line for line in warnings)
    assert "old" not in names(disks)


def test_test_mode_asks_and_writes_nothing(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        session.test = True
        assert remove(session, "vg0", ("old",), pytest.fail).names == ("old",)
    assert "old" in names(disks)


def test_an_active_volume_is_closed_and_removed_when_the_answer_is_yes(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l1", "-na", "vg0")
    (path,) = vg0.run("lvchange", "-ay", "vg0/a").lines
    with Path(path).open("rb"):
        assert "in use" in vg0.fail("lvremove", "-y", "vg0/a")
    assert "active" in vg0.fail("lvremove", "vg0/a")
    assert vg0.run("lvremove", "-y", "vg0/a").lines == ['Logical volume "a" successfully removed.']
    assert not active_lv_ids(vg0.environ["CRYPTLV_RUN_DIR"])


def test_without_anybody_to_ask_an_active_volume_stays(vg0: Machine) -> None:
    from cryptlv.host.system import make_environment, observe_directories
    from cryptlv.ops.session import Session

    vg0.run("lvcreate", "-l1", "-na", "vg0")
    vg0.run("lvchange", "-ay", "vg0/a")
    devices = tuple(str(vg0.folder / name) for name in ("a.img", "b.img"))
    with Session(observe_directories(vg0.environ, 0), make_environment("test"), devices=devices) as session:
        (problem,) = remove(session, "vg0", ("a",)).problems
    assert isinstance(problem, InUseError)


def test_a_volume_whose_handler_is_not_there_is_removed(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session, session.locked("vg0", write=True):
        group = session.world().group("vg0")
        store = group.vg.lv("cryptostore1")
        acme = store.replace(segments=(store.segments[0].replace(handler="acme"),))
        commit_change(session, group, group.vg.with_lv(acme))
    with disks.session() as session:
        remove(session, "vg0", ("old",))
        lvs.create(session, "vg0", lvs.LvRequest(name="x", size_bytes=MIB))
    assert names(disks) == ["first", "x"]
