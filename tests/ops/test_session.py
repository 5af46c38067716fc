"""Sessions: devices opened once, warnings said once, locks in lvm2's order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptlv.host.devices import MemoryDevice
from cryptlv.host.system import make_environment, observe_directories
from cryptlv.ops.session import Session
from support.disks import Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path


def test_a_device_is_opened_once_and_again_only_to_be_written(tmp_path: Path) -> None:
    opened: list[tuple[str, bool]] = []
    closed: list[str] = []

    class Noted(MemoryDevice):
        """Says when it is closed."""

        def close(self) -> None:
            closed.append(self.path)

    def open_device(path: str, writable: bool) -> MemoryDevice:
        opened.append((path, writable))
        return Noted(4096, path=path)

    directories = observe_directories({"CRYPTLV_SYSTEM_DIR": str(tmp_path), "CRYPTLV_RUN_DIR": str(tmp_path)}, 1)
    with Session(directories, make_environment(""), open_device=open_device) as session:
        assert session.device("/a") is session.device("/a")
        writable = session.device("/a", writable=True)
        assert session.device("/a") is writable
    assert opened == [("/a", False), ("/a", True)]
    assert closed == ["/a", "/a"]


def test_a_warning_is_said_once_however_often_devices_are_scanned(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    missing = Disks(tmp_path, {"/d0": disks.devices["/d0"]})
    said: list[str] = []
    with missing.session(said.append) as session:
        session.world(silent=True)
        assert said == []
        session.world()
        session.world()
    assert len(said) == 1
    assert "/d1" in said[0]


def test_locks_are_those_of_stock_lvm2(tmp_path: Path) -> None:
    with make_disks(tmp_path, (1,)).session() as session:
        with session.locked("b", "a", write=True, global_write=True):
            held = sorted(os.listdir(session.directories.lock_dir))
        assert held == ["P_global", "V_a", "V_b"]
        assert os.listdir(session.directories.lock_dir) == []


def test_devices_named_on_the_command_line_are_not_remembered(tmp_path: Path) -> None:
    with make_disks(tmp_path, (1,)).session() as session:
        assert session.device_paths() == ("/d0",)
        session.remember_devices([("/x", "a" * 32)])
        assert not os.path.exists(session.directories.devices_file)
