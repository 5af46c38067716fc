"""Stock's hints are emptied and locked while devices change; what is not there is not made."""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

import pytest

from cryptlv.host.hints import hints_cleared
from support.disks import make_disks

if TYPE_CHECKING:
    from pathlib import Path


def refuse(message: str) -> None:
    raise AssertionError(message)


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_hints_are_emptied_and_locked_to_the_end(tmp_path: Path) -> None:
    hints = tmp_path / "hints"
    hints.write_text("scan:/dev/a pvid:x vg:-\n")
    with hints_cleared(str(tmp_path), refuse):
        assert is_locked(hints)
        assert hints.read_text().startswith("# Created empty by cryptlv")
        assert sorted(os.listdir(tmp_path)) == ["hints", "newhints"]
    assert not is_locked(hints)


def test_nothing_is_made_where_stock_never_was(tmp_path: Path) -> None:
    for directory in ("", str(tmp_path / "none")):
        with hints_cleared(directory, refuse):
            assert os.listdir(tmp_path) == []


def test_readers_do_without_hints_while_we_wait_for_the_lock(tmp_path: Path) -> None:
    hints = tmp_path / "hints"
    hints.touch()
    entered = threading.Event()

    def clear() -> None:
        with hints_cleared(str(tmp_path), refuse):
            entered.set()

    with hints.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        thread = threading.Thread(target=clear)
        thread.start()
        while not (tmp_path / "nohints").exists():
            assert thread.is_alive()
        assert not entered.wait(0.1)
    thread.join(10)
    assert entered.is_set()
    assert not (tmp_path / "nohints").exists()


def test_hints_that_cannot_be_cleared_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "nohints").mkdir()
    said: list[str] = []
    with hints_cleared(str(tmp_path), said.append):
        pass
    assert len(said) == 1
    assert "pvscan --cache" in said[0]


@pytest.mark.parametrize(("test", "cleared"), [(False, True), (True, False)])
def test_a_session_clears_them_under_the_global_lock_for_writing(tmp_path: Path, test: bool, cleared: bool) -> None:
    (tmp_path / "lvm").mkdir()
    with make_disks(tmp_path, (1,)).session() as session:
        session.test = test
        session.directories = session.directories.replace(hints_dir=str(tmp_path / "lvm"))
        with session.locked("vg0", write=True), session.locked(write=False, global_read=True):
            assert os.listdir(tmp_path / "lvm") == []
        with session.locked("vg1", write=True, global_write=True):
            assert (tmp_path / "lvm" / "newhints").exists() is cleared
