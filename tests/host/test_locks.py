"""The lock files' protocol: readers together, writers alone, a waiting writer before new readers, no stale inode."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import LockError
from cryptlv.host.locks import LockDirectory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def locks(tmp_path: Path) -> LockDirectory:
    return LockDirectory(str(tmp_path / "locks"))


def test_readers_share_and_a_writer_is_alone(locks: LockDirectory) -> None:
    with (
        locks.vg("a", write=False),
        locks.vg("a", write=False, wait=False),
        pytest.raises(LockError, match="V_a"),
        locks.vg("a", write=True, wait=False),
    ):
        pass
    with locks.vg("a", write=True):
        for write in (True, False):
            with pytest.raises(LockError, match="another command"), locks.vg("a", write=write, wait=False):
                pass
        with locks.vg("b", write=True, wait=False), locks.global_(write=True, wait=False):
            pass


def test_lock_files_have_stock_names_and_vanish(locks: LockDirectory) -> None:
    with locks.vg("a", write=True), locks.global_(write=False):
        assert sorted(os.listdir(locks.path)) == ["P_global", "V_a"]
    assert os.listdir(locks.path) == []


def test_the_lock_is_given_up_when_its_holder_fails(locks: LockDirectory) -> None:
    with pytest.raises(KeyError), locks.vg("a", write=True):
        raise KeyError
    with locks.vg("a", write=True, wait=False):
        pass


def test_a_file_that_was_unlinked_while_we_waited_is_not_taken_for_the_lock(locks: LockDirectory) -> None:
    order: list[str] = []
    entered = threading.Event()

    def wait() -> None:
        entered.set()
        with locks.vg("a", write=True):
            order.append("second")
            assert os.listdir(locks.path) == ["V_a"]

    with locks.vg("a", write=True):
        thread = threading.Thread(target=wait)
        thread.start()
        entered.wait()
        while not any(name.endswith(":aux") for name in os.listdir(locks.path)):
            pass  # the second writer is on its way
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_many_writers_never_meet(locks: LockDirectory) -> None:
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with locks.vg("a", write=True):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Exception, match="file"), LockDirectory(str(tmp_path / "file" / "x")).vg("a", write=True):
        pass


def test_who_does_not_wait_is_told_at_once_and_who_takes_no_locks_meets_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    hasty = LockDirectory(str(folder), waits=False)
    with LockDirectory(str(folder)).vg("a", write=True):
        with pytest.raises(LockError, match="V_a: held by another command"), hasty.vg("a", write=False):
            pass
        with LockDirectory(str(folder), is_off=True).vg("a", write=True):
            pass
        assert [path.name for path in folder.iterdir()] == ["V_a"]
    with LockDirectory(str(tmp_path / "none"), is_off=True).global_(write=True):
        assert not (tmp_path / "none").exists()
