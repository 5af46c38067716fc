"""vgsplit on disks in memory; what stock does is in compat/pairs, crashes in crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import ExistsError, NotFoundError, RefusedError, UsageError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops import lv as lvs
from cryptlv.ops import vg
from cryptlv.ops.candidates import PvArgument
from cryptlv.ops.vg_split import NewGroup, SplitRequest, vgsplit
from support.disks import REQUEST, Disks, Known

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    """vg0 on three disks: a linear volume on the first, an encrypted one on the second."""
    devices = {f"/d{number}": MemoryDevice(8 * MIB, path=f"/d{number}") for number in range(3)}
    made = Disks(tmp_path, devices)
    with made.session() as session:
        vg.create(session, "vg0", tuple(devices), 64 * 1024)
        lvs.create(session, "vg0", lvs.LvRequest(name="plain", size_bytes=MIB, pvs=(PvArgument(path="/d0"),)))
        secret = REQUEST.replace(name="secret", size_bytes=MIB, pvs=(PvArgument(path="/d1"),))
        lvs.create(session, "vg0", secret, Known())
    return made


def content(disks: Disks) -> list[bytes]:
    return [bytes(device.content) for device in disks.devices.values() if isinstance(device, MemoryDevice)]


@pytest.mark.parametrize("words", [{"pv_paths": ("/d1",)}, {"lv_name": "secret"}], ids=str)
def test_an_encrypted_volume_goes_with_its_key(disks: Disks, words: dict[str, object]) -> None:
    with disks.session() as session:
        done = vgsplit(session, SplitRequest(source="vg0", target="new", **words))  # type: ignore[arg-type]
        assert not done.existed
        world = session.world()
    assert [lv.name for lv in world.group("new").vg.lvs] == ["secret", "cryptostore1"]
    assert [lv.name for lv in world.group("vg0").vg.lvs] == ["plain"]
    with disks.session() as session:
        vgsplit(session, SplitRequest(source="vg0", target="rest", pv_paths=("/d0", "/d2")))
        vgsplit(session, SplitRequest(source="new", target="vg0", pv_paths=("/d1",)))
        assert [group.vg.name for group in session.world().groups] == ["rest", "vg0"]
    assert disks.opens("secret")


def test_a_keystore_whose_name_is_taken_is_renamed(disks: Disks) -> None:
    with disks.session() as session:
        vgsplit(session, SplitRequest(source="vg0", target="new", pv_paths=("/d2",)))
        lvs.create(session, "new", REQUEST.replace(name="more", size_bytes=MIB), Known())
        done = vgsplit(session, SplitRequest(source="new", target="vg0", pv_paths=("/d2",)))
        assert done.existed
        assert done.renamed == (("cryptostore1", "cryptostore2"),)
    assert disks.opens("secret")
    assert disks.opens("more")


def test_the_new_group_is_as_asked_for_or_as_the_old_one(disks: Disks) -> None:
    with disks.session() as session:
        new = NewGroup(max_lv=7, max_pv=8, allocation_policy="cling")
        done = vgsplit(session, SplitRequest(source="vg0", target="one", pv_paths=("/d2",), new=new))
        assert (done.vg.max_lv, done.vg.max_pv, done.vg.allocation_policy) == (7, 8, "cling")
        again = vgsplit(session, SplitRequest(source="one", target="two", pv_paths=("/d2",)))
        assert (again.vg.max_lv, again.vg.max_pv, again.vg.allocation_policy) == (7, 8, "cling")
        assert not NewGroup().is_given


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (SplitRequest(source="vg0", target="vg0", pv_paths=("/d1",)), ExistsError, "Duplicate volume group name"),
        (SplitRequest(source="none", target="new", pv_paths=("/d1",)), NotFoundError, "none"),
        (SplitRequest(source="a b", target="new", pv_paths=("/d1",)), UsageError, "not allowed"),
        (SplitRequest(source="vg0", target="a b", pv_paths=("/d1",)), RefusedError, "Invalid vg name"),
        (
            SplitRequest(source="vg0", target="new", pv_paths=("/none",)),
            RefusedError,
            "/none not in volume",
        ),
        (SplitRequest(source="vg0", target="new", lv_name="none"), NotFoundError, "none not in volume group vg0"),
        (SplitRequest(source="vg0", target="new", pv_paths=("/d1", "/d1")), RefusedError, "more than once"),
    ],
)
def test_refusals_change_nothing(disks: Disks, request_: SplitRequest, error: type[Exception], words: str) -> None:
    before = content(disks)
    with disks.session() as session, pytest.raises(error, match=words):
        vgsplit(session, request_)
    assert content(disks) == before


def test_a_test_run_changes_nothing(disks: Disks) -> None:
    before = content(disks)
    with disks.session() as session:
        session.test = True
        vgsplit(session, SplitRequest(source="vg0", target="new", pv_paths=("/d1",)))
    assert content(disks) == before
