"""Which directories a user and root get, and that nobody else's are used."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import DeviceError
from cryptlv.host.lvmconf import HostSettings
from cryptlv.host.system import (
    make_environment,
    make_private_directory,
    observe_directories,
    observe_page_sectors,
    observe_usable_memory,
)
from support.machine import need_root

if TYPE_CHECKING:
    from pathlib import Path


def test_the_environment_variables_decide_for_everybody() -> None:
    environ = {"CRYPTLV_SYSTEM_DIR": "/s", "CRYPTLV_RUN_DIR": "/r", "HOME": "/h"}
    for uid in (0, 1000):
        found = observe_directories(environ, uid)
        assert (found.system_dir, found.run_dir, found.lock_dir) == ("/s", "/r", "/r/@lock")
        assert found.devices_file == "/s/devices/system.devices"
        assert (found.archive_dir, found.backup_dir) == ("/s/archive", "/s/backup")


def test_a_user_gets_the_xdg_directories() -> None:
    environ = {"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/5"}
    found = observe_directories(environ, 5)
    assert (found.system_dir, found.run_dir) == ("/h/.local/state/cryptlv", "/run/user/5/cryptlv")
    assert observe_directories({**environ, "XDG_STATE_HOME": "/st"}, 5).system_dir == "/st/cryptlv"
    assert observe_directories({"HOME": "/h"}, 98765).run_dir.endswith("cryptlv-98765")


def test_root_shares_stock_lvm2s_lock_directory() -> None:
    found = observe_directories({"HOME": "/root"}, 0)
    assert (found.run_dir, found.lock_dir) == ("/run/cryptlv", "/run/lock/lvm")


def test_stocks_configuration_says_where_its_locks_and_hints_are(tmp_path: Path) -> None:
    """What shares stock's locks looks after its hints; LVM_SYSTEM_DIR is stock's, CRYPTLV_SYSTEM_DIR ours."""
    root = {"HOME": "/root"}
    assert observe_directories(root, 0).hints_dir == "/run/lvm"
    assert observe_directories(root, 0, HostSettings(uses_hints=False)).hints_dir == ""
    assert observe_directories({**root, "CRYPTLV_RUN_DIR": "/r"}, 0).hints_dir == ""
    moved = HostSettings(locking_dir="/locks", devices_file_name="mine.devices")
    assert observe_directories(root, 0, moved).lock_dir == "/locks"
    assert observe_directories({**root, "CRYPTLV_RUN_DIR": "/r"}, 0, moved).lock_dir == "/r/@lock"
    assert observe_directories({"HOME": "/h", "XDG_RUNTIME_DIR": "/x"}, 5, moved).lock_dir == "/x/cryptlv/@lock"
    for name in ("CRYPTLV_SYSTEM_DIR", "LVM_SYSTEM_DIR"):
        found = observe_directories({name: str(tmp_path), "CRYPTLV_RUN_DIR": "/r"}, 5, moved)
        assert (found.system_dir, found.lock_dir, found.hints_dir) == (str(tmp_path), "/locks", "/run/lvm")
    assert found.devices_file == str(tmp_path / "devices" / "cryptlv.devices"), "stock's file is not ours to create"
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "mine.devices").touch()
    found = observe_directories({"LVM_SYSTEM_DIR": str(tmp_path)}, 5, moved)
    assert found.devices_file == str(tmp_path / "devices" / "mine.devices")


def test_directories_are_private(tmp_path: Path) -> None:
    make_private_directory(str(tmp_path / "a" / "b"))
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    make_private_directory(str(tmp_path / "a" / "b"))
    (tmp_path / "file").touch()
    with pytest.raises(DeviceError, match="cannot create"):
        make_private_directory(str(tmp_path / "file" / "x"))


def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    need_root()
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(DeviceError, match="12345"):
        make_private_directory(str(tmp_path / "theirs"))


def test_the_environment_is_this_machine_now() -> None:
    env = make_environment("lvs -a")
    assert env.hostname == os.uname().nodename
    assert env.command == "lvs -a"
    assert env.random_bytes(16) != env.random_bytes(16)
    assert env.new_uuid() != env.new_uuid()


def test_a_process_that_handles_keys_leaves_no_core_dump() -> None:
    """The kernel's own word for it, in a process of its own: it cannot be undone for this one."""
    code = (
        "from cryptlv.host.system import forbid_dumps; import ctypes, resource; forbid_dumps(); "
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["0", "(0, 0)\n"]


def test_stocks_configuration_says_where_metadata_are_kept() -> None:
    elsewhere = HostSettings(backup_dir="/b", archive_dir="/a")
    found = observe_directories({"LVM_SYSTEM_DIR": "/s"}, 0, elsewhere)
    assert (found.backup_dir, found.archive_dir) == ("/b", "/a")
    found = observe_directories({"HOME": "/h", "XDG_RUNTIME_DIR": "/r"}, 5, elsewhere)
    assert found.backup_dir == "/h/.local/state/cryptlv/backup", "stock's directories are not a user's"


def test_a_page_is_as_getconf_says() -> None:
    found = subprocess.run(["getconf", "PAGE_SIZE"], capture_output=True, text=True, check=True).stdout
    assert observe_page_sectors() * 512 == int(found)


def test_the_processors_and_half_of_the_memory_are_what_derivations_may_use() -> None:
    env = make_environment("x")
    assert env.cpus == int(subprocess.run(["nproc", "--all"], capture_output=True, text=True, check=True).stdout)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
    assert env.usable_memory_kib() in (total // 2, 2**20) or env.usable_memory_kib() < total // 2


@pytest.mark.parametrize(
    ("total", "free", "swap", "expected"),
    [
        (16 * 2**20, 2**20, 0, 8 * 2**20),
        (2 * 2**20, 2**19, 0, 2**18),
        (2 * 2**20, 2**19, 1, 2**20),
        (2 * 2**20, 2**16, 0, 2**20),
        (2**16, 2**15, 0, 2**20),
        (2**33, 2**15, 0, 2**20),
    ],
)
def test_memory_is_reckoned_as_cryptsetup_does(
    tmp_path: Path, total: int, free: int, swap: int, expected: int
) -> None:
    """The rule of cryptsetup 2.6.1's pbkdf_adjusted_phys_memory_kb, worked out by hand for each case."""
    path = tmp_path / "meminfo"
    path.write_text(f"MemTotal: {total} kB\nMemFree: {free} kB\nBuffers: 5 kB\nSwapTotal: {swap} kB\nHugePages: 0\n")
    assert observe_usable_memory(str(path)) == expected


def test_memory_that_nobody_tells_of_is_taken_for_what_cryptsetup_wants(tmp_path: Path) -> None:
    assert observe_usable_memory(str(tmp_path / "none")) == 2**20
