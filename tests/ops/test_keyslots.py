"""Keyslots of keystores: what is refused, what is kept in a file, and what others do meanwhile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import DeviceError, InUseError, KeystoreError, NotFoundError, RefusedError, UsageError
from cryptlv.ops import lv as lvs
from cryptlv.ops.keyslots import (
    add_key,
    backup_keystore,
    kill_key,
    put,
    read_store,
    remove_key,
    restore_keystore,
    store_names,
)
from support.disks import MIB, PLAIN_REQUEST, Disks, Known
from support.keyslots import CHEAP, FIRST, SECOND, THIRD, add, change, keystore_disks, opening, store_of

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.secret import Passphrase

KINDS = pytest.mark.parametrize("kind", ["luks1", "luks2"])


class Never(Known):
    """A credential that nobody may ask for."""

    def get(self, purpose: str, what: str, kind: str, names: tuple[str, ...] = ()) -> Passphrase:
        raise AssertionError(f"asked to {purpose} {what}")


@KINDS
def test_a_key_is_added_changed_and_removed(tmp_path: Path, kind: str) -> None:
    disks = keystore_disks(tmp_path, kind, FIRST)
    with disks.session() as session:
        assert add(session, FIRST, SECOND, 5) == 5
        assert change(session, FIRST, THIRD) == (0, 1)
        assert opening(disks, FIRST, SECOND, THIRD) == (SECOND, THIRD)
        assert change(session, SECOND, FIRST, 5) == (5, 0)
        assert remove_key(session, "vg0", "x", Known(THIRD)) == 1
    assert opening(disks, FIRST, SECOND, THIRD) == (FIRST,)


@KINDS
def test_the_last_key_is_removed_with_double_force_only(tmp_path: Path, kind: str) -> None:
    disks = keystore_disks(tmp_path, kind, FIRST)
    with disks.session() as session:
        for _ in range(2):
            with pytest.raises(RefusedError, match=r"the last that opens vg0/x.*-ff"):
                kill_key(session, "vg0", "x", 0)
            session.force += 1
        kill_key(session, "vg0", "x", 0)
        with pytest.raises(KeystoreError, match="keyslot 0"):
            kill_key(session, "vg0", "x", 0)
    assert store_of(disks).keyslots.listed(store_of(disks).view.image) == ()


@KINDS
def test_nothing_is_written_in_a_test_or_asked_in_vain(tmp_path: Path, kind: str) -> None:
    disks = keystore_disks(tmp_path, kind, FIRST, SECOND)
    before = store_of(disks)
    with disks.session() as session:
        with pytest.raises(KeystoreError, match="keyslot 1 is in use"):
            add_key(session, "vg0", "x", Never(), Never(), number=1, request=CHEAP)
        session.test = True
        add(session, FIRST, THIRD)
        change(session, FIRST, THIRD)
        kill_key(session, "vg0", "x", 0)
        backup_keystore(session, "vg0", "x", str(tmp_path / "kept"))
    assert store_of(disks) == before
    assert not (tmp_path / "kept").exists()


def test_a_change_by_somebody_else_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    disks = keystore_disks(tmp_path, "luks2", FIRST)
    store = store_of(disks)
    with disks.session() as session:
        add(session, FIRST, SECOND)
        with pytest.raises(InUseError, match="vg0/x was changed by another command"):
            put(session, store, bytes(len(store.view.image)))
    assert opening(disks, FIRST, SECOND) == (FIRST, SECOND)


@KINDS
def test_a_header_is_kept_and_put_back(tmp_path: Path, kind: str) -> None:
    disks, kept = keystore_disks(tmp_path, kind, FIRST), tmp_path / "kept"
    with disks.session() as session:
        size = backup_keystore(session, "vg0", "x", str(kept))
        assert (kept.stat().st_size, kept.stat().st_mode & 0o777) == (size, 0o600)
        with pytest.raises(UsageError, match="something already"):
            backup_keystore(session, "vg0", "x", str(kept))
        change(session, FIRST, SECOND)
        restore_keystore(session, "vg0", "x", str(kept))
    assert opening(disks, FIRST, SECOND) == (FIRST,)
    archived = b"".join(path.read_bytes() for path in (tmp_path / "system").rglob("*") if path.is_file())
    assert b"LUKS\xba\xbe" not in archived, "the metadata archive holds no key"


@KINDS
def test_what_is_not_its_backup_is_refused_and_a_damaged_header_is_put_back(tmp_path: Path, kind: str) -> None:
    disks, kept = keystore_disks(tmp_path, kind, FIRST), tmp_path / "kept"
    other = keystore_disks(tmp_path, kind, FIRST)
    with other.session() as session:
        backup_keystore(session, "vg0", "x", str(tmp_path / "other"))
    (tmp_path / "noise").write_bytes(os.urandom(4096))
    (tmp_path / "long").write_bytes(bytes(9 * MIB))
    store = store_of(disks)
    with disks.session() as session:
        backup_keystore(session, "vg0", "x", str(kept))
        for name, error, word in (
            ("other", RefusedError, "another volume"), ("noise", KeystoreError, "magic"),
            ("long", KeystoreError, "longer"), ("none", DeviceError, "No such file"),
        ):  # fmt: skip
            with pytest.raises(error, match=word):
                restore_keystore(session, "vg0", "x", str(tmp_path / name))
    assert store_of(disks) == store
    device = disks.devices["/d"]
    place = device.read(0, device.size_bytes).index(store.view.image[:4096])
    device.write(place, bytes(40960))
    with disks.session() as session:
        with pytest.raises(RefusedError, match="-f puts it back"):
            restore_keystore(session, "vg0", "x", str(kept))
        session.force = 1
        restore_keystore(session, "vg0", "x", str(kept))
    assert opening(disks, FIRST) == (FIRST,)


def test_volumes_without_keyslots_are_named(tmp_path: Path) -> None:
    disks = keystore_disks(tmp_path, "luks2", FIRST)
    with disks.session() as session:
        lvs.create(session, "vg0", lvs.LvRequest(name="bare", size_bytes=MIB))
        lvs.create(session, "vg0", PLAIN_REQUEST.replace(name="plain", size_bytes=MIB), Known(bytes(64)))
        with pytest.raises(RefusedError, match="vg0/bare is not encrypted"):
            read_store(session, "vg0", "bare")
        with pytest.raises(KeystoreError, match="'plain' has no keyslots"):
            kill_key(session, "vg0", "plain", 0)
        with pytest.raises(NotFoundError):
            read_store(session, "vg0", "none")
        vg = session.world().group("vg0").vg
    assert store_names(vg, "x") == store_names(vg, "cryptostore1") == ("cryptostore1",)


def test_a_change_that_fails_halfway_says_that_the_new_passphrase_opens(tmp_path: Path) -> None:
    from support.crash import Event, RecordingDevice
    from support.record import record

    disks = keystore_disks(tmp_path, "luks2", FIRST)
    before, timeline, _ = record(tmp_path, disks, lambda session: change(session, FIRST, SECOND))
    last = max(number for number, event in enumerate(timeline) if event.data is not None)
    events: list[Event] = []
    state = Disks(tmp_path, {"/d": RecordingDevice("/d", before["/d"], events, last)})
    with state.session() as session, pytest.raises(KeystoreError, match=r"opens vg0/x by keyslot 1.*--killkey 0"):
        change(session, FIRST, SECOND)
    assert opening(state, SECOND) == (SECOND,)
