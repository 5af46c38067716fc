"""Every crash of a change of keyslots leaves a store that the old or the new passphrase opens, and a killed one's key
material is nowhere any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, KeystoreError, WrongCredential
from cryptlv.ops.keyslots import backup_keystore, kill_key, remove_key, restore_keystore
from support.crash import Event, RecordingDevice, crash_states
from support.disks import Disks, Known
from support.keyslots import FIRST, SECOND, THIRD, add, change, keystore_disks, opening, opens, store_of
from support.record import record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.ops.session import Session

ALL = (FIRST, SECOND, THIRD)
CHANGES: dict[str, tuple[Callable[[Session], object], tuple[bytes, ...]]] = {
    "add": (lambda session: add(session, FIRST, THIRD), (FIRST, SECOND, THIRD)),
    "add-6": (lambda session: add(session, FIRST, THIRD, 6), (FIRST, SECOND, THIRD)),
    "change": (lambda session: change(session, FIRST, THIRD), (SECOND, THIRD)),
    "remove": (lambda session: remove_key(session, "vg0", "x", Known(FIRST)), (SECOND,)),
    "kill": (lambda session: kill_key(session, "vg0", "x", 0), (SECOND,)),
}
"""What is done to a store with FIRST and SECOND, and which passphrases open it then."""
RESTORES = ("restore", "restore-same-place")
"""Backups put back where another key has its own place, or theirs."""


def prepared(folder: Path, kind: str, name: str) -> tuple[Disks, Callable[[Session], object], tuple[bytes, ...]]:
    if name not in RESTORES:
        return keystore_disks(folder, kind, FIRST, SECOND), *CHANGES[name]
    disks, kept = keystore_disks(folder, kind, FIRST), str(folder / "kept")
    with disks.session() as session:
        backup_keystore(session, "vg0", "x", kept)
        change(session, FIRST, THIRD)
        if name == "restore-same-place":
            change(session, THIRD, SECOND)  # in the keyslot that was FIRST's
    return disks, lambda session: restore_keystore(session, "vg0", "x", kept), (FIRST,)


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
@pytest.mark.parametrize("name", [*CHANGES, *RESTORES])
def test_the_old_or_the_new_passphrase_opens_the_store(tmp_path: Path, kind: str, name: str) -> None:
    disks, action, expected = prepared(tmp_path, kind, name)
    old = opening(disks, *ALL)
    before, timeline, done = record(tmp_path, disks, action)
    assert opening(done, *ALL) == expected
    seen = set()
    for point, devices in crash_states(before, timeline):
        store = store_of(Disks(tmp_path, devices))
        if store.view in seen:
            continue
        seen.add(store.view)
        staying = [phrase for phrase in old if phrase in expected] or [*old, *expected]
        assert any(opens(store, phrase) for phrase in staying), f"crash point {point} of {len(timeline)}"
    assert len(seen) == 2 if name == "restore-same-place" else len(seen) > 2, "one commit, or several steps"


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
@pytest.mark.parametrize("name", ["change", "remove", "kill"])
def test_what_was_killed_opens_nothing_nor_is_its_material_anywhere(tmp_path: Path, kind: str, name: str) -> None:
    disks, action, _ = prepared(tmp_path, kind, name)
    store = store_of(disks)
    start, length = store.keyslots.areas(store.view.image)[0]
    material = store.view.image[start : start + length]
    headers = store.keyslots.header_copies(store.view.image)
    _, _, done = record(tmp_path, disks, action)
    device = done.devices["/d"].read(0, done.devices["/d"].size_bytes)
    kept = [place for place in range(0, 32 * 4000, 512) if material[place : place + 512] in device]
    assert kept == [], "sectors of the key material are still there"
    after = store_of(done).view.image
    stale = bytearray(after)
    for place, size in headers:
        stale[place : place + size] = store.view.image[place : place + size]
    for image in (after, bytes(stale)):
        again = store.replace(view=store.view.replace(image=image))
        try:
            assert not opens(again, FIRST)
        except KeystoreError as error:
            assert "damaged" in str(error)
        assert opens(again, SECOND)


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
@pytest.mark.parametrize("name", ["add", "change", "kill", "remove", *RESTORES])
def test_a_write_that_fails_is_told_and_a_key_opens(tmp_path: Path, kind: str, name: str) -> None:
    disks, action, expected = prepared(tmp_path, kind, name)
    old = opening(disks, *ALL)
    before, timeline, _ = record(tmp_path, disks, action)
    for number, event in enumerate(timeline):
        if event.data is None:
            continue
        events: list[Event] = []
        state = Disks(tmp_path, {"/d": RecordingDevice("/d", before["/d"], events, number)})
        said: list[str] = []
        with state.session(said.append) as session:
            try:
                action(session)
            except CryptlvError as error:
                said.append(str(error))
        assert any("/d: cannot write" in line for line in said), f"write {number}: {said}"
        assert opening(state, *old, *expected), f"write {number}"


def test_a_copy_of_the_header_that_is_older_is_the_first_to_be_written(tmp_path: Path) -> None:
    """A crash has left the second copy old; when the next command is interrupted, too, that one must not count."""
    disks = keystore_disks(tmp_path, "luks2", FIRST)
    store = store_of(disks)
    (_, size), _ = store.keyslots.header_copies(store.view.image)
    before, timeline, _ = record(tmp_path, disks, lambda session: add(session, FIRST, SECOND))
    for _, devices in crash_states(before, timeline):
        crashed = Disks(tmp_path, devices)
        found = store_of(crashed)
        if found.keyslots.header_copies(found.view.image)[0] == (size, size) and opens(found, SECOND):
            break
    else:
        pytest.fail("no crash left the second copy old")
    content = {"/d": crashed.devices["/d"].read(0, crashed.devices["/d"].size_bytes)}
    whole = Disks(tmp_path, {"/d": RecordingDevice("/d", content["/d"], [])})
    before, timeline, done = record(tmp_path, whole, lambda session: kill_key(session, "vg0", "x", 0))
    assert opening(done, FIRST, SECOND) == (SECOND,)
    for point, devices in crash_states(before, timeline):
        assert opens(store_of(Disks(tmp_path, devices)), SECOND), f"crash point {point}"


def test_wrong_passphrases_are_still_told_after_a_kill(tmp_path: Path) -> None:
    disks = keystore_disks(tmp_path, "luks2", FIRST, SECOND)
    with disks.session() as session:
        kill_key(session, "vg0", "x", 0)
        with pytest.raises(WrongCredential):
            remove_key(session, "vg0", "x", Known(FIRST))
