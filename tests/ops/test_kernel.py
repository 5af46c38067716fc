"""Volumes in a kernel that is stood in for: activated, kept in step with the metadata, killed at every step."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import ActivationError, CryptlvError, InUseError, RefusedError
from cryptlv.keys.handler import KeystoreRequest
from cryptlv.ops import activation, kernel, vg_change, vg_remove
from cryptlv.ops import lv as lvs
from cryptlv.ops.lv_change import LvChange, change
from cryptlv.ops.lv_remove import remove
from cryptlv.ops.lv_rename import rename
from cryptlv.ops.lv_resize import REDUCE, resize
from cryptlv.ops.report import report_lvs
from cryptlv.ops.targets import LvTarget
from support.disks import MIB, REQUEST, Known
from support.faults import killed_at, watched_steps
from support.mapped import Host, larger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.ops.session import Session

    Act = Callable[[Session], object]

NAMES = ("first", "old", "wide")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_all_volumes_are_activated_with_keys_that_no_table_shows(host: Host) -> None:
    assert host.activate() == []
    assert set(host.kernel.devices) == {"vg0-first", "vg0-old", "vg0-wide", "vg0-wide_cryptdata"}
    assert set(host.kernel.links) == {("vg0", name) for name in NAMES}
    assert len(host.kernel.keys) == 2
    shown = str(host.state())
    assert not any(key.hex() in shown for key in host.kernel.keys.values())
    with host.session() as session:
        attributes = {
            row.lv.name: row.group.state_letters(row.lv) for row in report_lvs(session) if row.lv and row.group
        }
    assert attributes == dict.fromkeys(NAMES, "a-")
    assert host.deactivate() == []
    host.assert_nothing_left()


def test_a_key_stays_as_long_as_a_volume_needs_it_and_is_not_asked_for_again(host: Host) -> None:
    with host.session() as session:
        group = session.world().group("vg0").vg
        (store,) = {name for segment in group.lv("old").segments for name in segment.keystores}
        shared = lvs.LvRequest(name="more", size_bytes=MIB, segment_type="crypt", crypto_store=store)
        lvs.create(session, "vg0", shared, Known())
    assert host.activate("old", secret=b"wrong") == []
    assert host.deactivate("more") == []
    assert len(host.kernel.keys) == 1
    assert host.deactivate("old") == []
    assert host.kernel.keys == {}
    (error,) = host.activate("old", secret=b"wrong")
    assert "passphrase" in error
    host.assert_nothing_left()


def test_keys_left_by_a_killed_command_open_nothing(host: Host) -> None:
    with killed_at(0):
        host.activate("old")
    assert len(host.kernel.keys) == 1
    assert host.activate("old", secret=b"wrong") != []
    assert host.activate("old") == []
    assert host.deactivate() == []
    host.assert_nothing_left()


def test_new_volumes_are_active_unless_something_else_is_said(host: Host) -> None:
    with host.session() as session:
        for name, request in (
            ("on", lvs.LvRequest(size_bytes=MIB, name="on")),
            ("off", lvs.LvRequest(size_bytes=MIB, name="off", activates=False)),
            ("skipped", lvs.LvRequest(size_bytes=MIB, name="skipped", skips_activation=True)),
            ("secret", REQUEST.replace(name="secret")),
        ):
            assert lvs.create(session, "vg0", request, Known()).name == name
    assert {name for _, name in host.kernel.links} == {"on", "secret"}
    host.assert_in_step("on", "secret")
    host.kernel.refuses["load"] = errno.EINVAL
    with host.session() as session, pytest.raises(ActivationError, match='"bad" is created, but is not active'):
        lvs.create(session, "vg0", lvs.LvRequest(size_bytes=MIB, name="bad"))


CHANGES: dict[str, Act] = {
    "extend first": lambda session: resize(session, "vg0", "first", larger()),
    "extend old": lambda session: resize(session, "vg0", "old", larger()),
    "extend wide": lambda session: resize(session, "vg0", "wide", larger()),
    "reduce wide": lambda session: resize(session, "vg0", "wide", larger(way=REDUCE)),
    "flags of wide": lambda session: change(
        session, "vg0", (LvTarget(vg_name="vg0", lv_name="wide"),), LvChange(crypt_flags=("same_cpu_crypt",))
    ),
    "read-only old": lambda session: change(
        session, "vg0", (LvTarget(vg_name="vg0", lv_name="old"),), LvChange(is_writable=False)
    ),
    "rename old": lambda session: rename(session, "vg0", "old", "o-2"),
    "rename wide": lambda session: rename(session, "vg0", "wide", "w-2"),
}


@pytest.mark.parametrize("by_keyring", [True, False], ids=["keyring", "digits"])
@pytest.mark.parametrize("name", CHANGES)
def test_the_kernel_follows_each_change_and_needs_no_passphrase(host: Host, name: str, by_keyring: bool) -> None:
    assert host.activate(by_keyring=by_keyring) == []
    with host.session() as session:
        CHANGES[name](session)
    if by_keyring:
        host.assert_in_step()
    assert not any(suspended or loaded for _, suspended, loaded in host.state().values())
    before = host.state()
    assert host.refresh() == []
    assert host.state() == before
    assert host.deactivate() == []
    host.assert_nothing_left()


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_killed_at_any_step_is_finished_or_undone_by_the_next_command(tmp_path: Path, name: str) -> None:
    counted = Host(tmp_path / "counted")
    assert counted.activate() == []
    with watched_steps() as passed, counted.session() as session:
        CHANGES[name](session)
    assert len(passed) >= 2
    for number in range(len(passed)):
        host = Host(tmp_path / str(number))
        assert host.activate() == []
        with killed_at(number), host.session() as session:
            CHANGES[name](session)
        if number % 2:
            assert host.refresh() == []
            host.assert_in_step()
        assert host.deactivate() == []
        host.assert_nothing_left()


@pytest.mark.parametrize("number", range(21))
def test_an_activation_or_its_end_killed_at_any_step_is_done_by_the_next_command(host: Host, number: int) -> None:
    with killed_at(number):
        host.activate("wide")
        host.deactivate("wide")
    assert host.activate("wide") == []
    host.assert_in_step("wide")
    assert host.deactivate("wide") == []
    host.assert_nothing_left()


@pytest.mark.parametrize("word", ["load", "suspend"])
@pytest.mark.parametrize("name", [word for word in CHANGES if "rename" not in word])
def test_a_change_that_the_kernel_refuses_is_not_made(host: Host, name: str, word: str) -> None:
    assert host.activate() == []
    before, group = host.state(), host.disks.group()
    host.kernel.refuses[word] = errno.ENOMEM
    with host.session() as session, pytest.raises(CryptlvError):
        CHANGES[name](session)
    assert host.disks.group() == group
    assert host.state() == before


def test_a_change_that_the_kernel_does_not_follow_is_told_with_what_helps(host: Host) -> None:
    assert host.activate() == []
    host.kernel.refuses["rename"] = errno.EBUSY
    with host.session() as session, pytest.raises(ActivationError, match=r"is made, but.*lvchange --refresh vg0/old"):
        rename(session, "vg0", "old", "new")
    host.kernel.refuses.clear()
    assert host.refresh() == []
    host.assert_in_step()


def test_an_activation_that_fails_leaves_nothing(host: Host) -> None:
    for word in ("make", "load", "resume", "link", "key"):
        host.kernel.refuses = {word: errno.EDQUOT}
        assert len(host.activate("wide")) == 1
        host.assert_nothing_left()


def test_a_volume_in_use_stays_and_its_removal_is_refused(host: Host) -> None:
    assert host.activate() == []
    host.kernel.devices["vg0-wide"].opens = 1
    (error,) = host.deactivate()
    assert "vg0/wide is in use" in error
    host.assert_in_step("wide")
    with host.session() as session:
        removal = remove(session, "vg0", ("wide",), confirm=lambda _: None)
    assert ["in use" in str(problem) for problem in removal.problems] == [True]
    host.kernel.devices["vg0-wide"].opens = 0
    with host.session() as session:
        assert remove(session, "vg0", ("wide",), confirm=lambda _: None).problems == ()
    host.assert_nothing_left()


def test_what_is_read_ahead_is_told_to_the_kernel_at_once(host: Host) -> None:
    assert host.activate() == []
    for wanted, sectors in ((512, 512), (-1, 0), (None, 0), (1024, 1024)):
        with host.session() as session:
            change(session, "vg0", (LvTarget(vg_name="vg0", lv_name="old"),), LvChange(read_ahead=(wanted,)))
        assert host.kernel.devices["vg0-old"].read_ahead_sectors == sectors
    assert host.kernel.devices["vg0-first"].read_ahead_sectors == 256


def test_a_group_is_removed_with_what_is_active_but_not_with_what_is_open(host: Host) -> None:
    assert host.activate() == []
    host.kernel.devices["vg0-old"].opens = 1
    with host.session() as session, pytest.raises(InUseError, match="vg0/old is in use"):
        vg_remove.remove(session, "vg0")
    assert host.disks.group() is not None
    host.kernel.devices["vg0-old"].opens = 0
    with host.session() as session:
        session.test = True
        vg_remove.remove(session, "vg0")
    assert {"vg0-old", "vg0-wide"} <= set(host.kernel.devices)
    with host.session() as session:
        vg_remove.remove(session, "vg0")
    assert host.disks.group() is None
    host.assert_nothing_left()


def test_a_name_that_somebody_else_has_is_refused(host: Host) -> None:
    host.kernel.create("vg0-old", "CRYPT-other")
    (error,) = host.activate("old")
    assert "vg0-old" in error
    assert set(host.kernel.devices) == {"vg0-old"}
    assert host.kernel.keys == {}


def test_a_key_that_is_gone_is_asked_for_by_a_refresh_only(host: Host) -> None:
    assert host.activate("old") == []
    host.kernel.keys.clear()
    with host.session() as session, pytest.raises(RefusedError, match="lvchange --refresh vg0/old"):
        resize(session, "vg0", "old", larger())
    assert host.refresh() == []
    with host.session() as session:
        resize(session, "vg0", "old", larger())
    host.assert_in_step("old")


def test_what_was_left_without_a_table_or_a_key_is_made_whole_by_a_refresh(host: Host) -> None:
    with killed_at(2):
        host.activate("old", by_keyring=False)
    assert host.kernel.devices["vg0-old"].live is None
    (error,) = host.activate("old")
    assert "lvchange --refresh vg0/old" in error
    assert host.refresh() == []
    host.assert_in_step("old")


def test_a_wrong_key_of_a_store_that_keeps_nothing_is_never_mixed_in(host: Host) -> None:
    plain = REQUEST.replace(name="plain", handler="hashed", keystore=KeystoreRequest())
    with host.session() as session:
        lvs.create(session, "vg0", plain, Known())
    host.kernel.keys.clear()
    (error,) = host.refresh()
    assert "would not be noticed" in error


def test_a_frozen_volume_is_not_changed(host: Host) -> None:
    assert host.activate("old") == []
    host.kernel.suspend("vg0-old")
    host.kernel.message("vg0-old", 0, ("key", "wipe"))
    before = host.disks.group()
    with host.session() as session, pytest.raises(InUseError, match="is frozen"):
        resize(session, "vg0", "old", larger())
    assert host.disks.group() == before
    assert host.deactivate("old") == []
    host.assert_nothing_left()


def test_a_group_is_renamed_with_what_is_active(host: Host) -> None:
    assert host.activate() == []
    with host.session() as session:
        vg_change.rename(session, "vg0", "vg-1")
    assert set(host.kernel.devices) == {"vg--1-first", "vg--1-old", "vg--1-wide", "vg--1-wide_cryptdata"}
    assert set(host.kernel.links) == {("vg-1", name) for name in NAMES}


def test_a_volume_is_active_by_one_means_only(host: Host) -> None:
    assert host.activate("first") == []
    with host.session() as session:
        _, failed = activation.activate(session, "vg0", ("first",), "nbd", Known())
        assert "active in the kernel" in str(failed[0].error)
        done, failed = activation.activate(session, "vg0", ("first",), "dm", Known())
        assert (done[0].already, done[0].path, failed) == (True, "/dev/vg0/first", ())
        with pytest.raises(InUseError, match="active in the kernel"):
            lvs.refuse_active(session, session.world().group("vg0").vg, session.world().group("vg0").vg.lv("first"))
    assert host.deactivate() == []


def test_states_are_those_of_the_devices(host: Host) -> None:
    assert host.activate("first", "wide") == []
    host.kernel.suspend("vg0-first")
    host.kernel.devices["vg0-wide"].opens = 2
    with host.session() as session:
        vg = session.world().group("vg0").vg
        states = kernel.kernel_states(session)
        first, wide = states[vg.lv("first").id], states[vg.lv("wide").id]
        assert (first.letter, wide.letter, wide.open_count) == ("s", "a", 2)
        assert vg.lv("wide_cryptdata").id in states
        assert kernel.kernel_ids(session) == kernel.active_ids(session) == states.keys()
