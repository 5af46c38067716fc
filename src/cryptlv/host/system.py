"""Where things are kept on this machine, and the clock, randomness and host name as an Environment.

The system directory (devices file, archive, backup) is CRYPTLV_SYSTEM_DIR, else LVM_SYSTEM_DIR, else /etc/lvm for
root where it exists, else $XDG_STATE_HOME/cryptlv. The run directory (locks, files and sockets of active volumes) is
CRYPTLV_RUN_DIR, else /run/cryptlv for root, else $XDG_RUNTIME_DIR/cryptlv.

Locks are shared with stock lvm2 by root, unless CRYPTLV_RUN_DIR says otherwise, and by everybody who names a system
directory whose lvm.conf says where they are (global/locking_dir). Where locks are shared, so are stock's hints.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from cryptlv.environment import Environment
from cryptlv.errors import DeviceError
from cryptlv.host.lvmconf import STOCK_SYSTEM_DIR, SYSTEM_DEVICES
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptlv.host.lvmconf import HostSettings

STOCK_LOCK_DIR = "/run/lock/lvm"
STOCK_RUN_DIR = "/run/lvm"
_OWN_DEVICES = "cryptlv.devices"
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_LEAST_MEMORY_KIB = 128 * 1024
_BOGUS_MEMORY_KIB = 1024 * 1024
"""What is taken where the system's word on its memory cannot be believed."""


class Directories(Record):
    """Absolute paths; none of them need exist yet.

    `devices_file` is the file's full path; metadata are kept in `archive_dir` as they were before each change and in
    `backup_dir` as they are. `hints_dir` is where stock lvm2 keeps its hints, "" when they are not ours to
    look after.
    """

    system_dir: str
    run_dir: str
    lock_dir: str
    devices_file: str
    archive_dir: str
    backup_dir: str
    hints_dir: str = ""


def observe_directories(environ: Mapping[str, str], uid: int, settings: HostSettings | None = None) -> Directories:
    """The directories for a user id, its environment variables and stock's settings (none: stock's defaults).

    Looks at the file system, creates nothing.
    """
    home = environ.get("HOME") or "/"
    named = environ.get("CRYPTLV_SYSTEM_DIR") or environ.get("LVM_SYSTEM_DIR")
    if named:
        system_dir = os.path.abspath(named)
    elif uid == 0 and os.path.isdir(STOCK_SYSTEM_DIR):
        system_dir = STOCK_SYSTEM_DIR
    else:
        state = environ.get("XDG_STATE_HOME") or os.path.join(home, ".local", "state")
        system_dir = os.path.join(os.path.abspath(state), "cryptlv")
    run_dir, lock_dir = _run_directories(environ, uid)
    is_stocks = bool(named) or system_dir == STOCK_SYSTEM_DIR
    locking_dir = settings.locking_dir if settings is not None else ""
    if locking_dir and (named or lock_dir == STOCK_LOCK_DIR):
        lock_dir = os.path.abspath(locking_dir)
    archive_dir, backup_dir = os.path.join(system_dir, "archive"), os.path.join(system_dir, "backup")
    if settings is not None and is_stocks:
        archive_dir = os.path.abspath(settings.archive_dir or archive_dir)
        backup_dir = os.path.abspath(settings.backup_dir or backup_dir)
    is_shared = not lock_dir.startswith(os.path.join(run_dir, ""))
    return Directories(
        system_dir=system_dir,
        run_dir=run_dir,
        lock_dir=lock_dir,
        devices_file=_devices_file(
            system_dir,
            settings.devices_file_name if settings is not None else SYSTEM_DEVICES,
            is_stocks=not environ.get("CRYPTLV_SYSTEM_DIR") and is_stocks,
        ),
        archive_dir=archive_dir,
        backup_dir=backup_dir,
        hints_dir=STOCK_RUN_DIR if is_shared and (settings is None or settings.uses_hints) else "",
    )


def _run_directories(environ: Mapping[str, str], uid: int) -> tuple[str, str]:
    """The run and the lock directory. `@lock` cannot be a volume group's directory: `@` is in no name."""
    if environ.get("CRYPTLV_RUN_DIR"):
        run_dir = os.path.abspath(environ["CRYPTLV_RUN_DIR"])
    elif uid == 0:
        return "/run/cryptlv", STOCK_LOCK_DIR
    elif environ.get("XDG_RUNTIME_DIR"):
        run_dir = os.path.join(os.path.abspath(environ["XDG_RUNTIME_DIR"]), "cryptlv")
    elif os.path.isdir(f"/run/user/{uid}"):
        run_dir = f"/run/user/{uid}/cryptlv"
    else:
        run_dir = os.path.join(environ.get("TMPDIR") or "/tmp", f"cryptlv-{uid}")  # noqa: S108 - made 0700, owner checked
    return run_dir, os.path.join(run_dir, "@lock")


def _devices_file(system_dir: str, name: str, *, is_stocks: bool) -> str:
    """The devices file to use.

    Stock lvm2 sees only the devices in its devices file once that exists, so in its own directory we never create
    it: there our entries go to a file of our own until an administrator has made it.
    """
    directory = os.path.join(system_dir, "devices")
    shared = os.path.join(directory, name)
    if is_stocks and not os.path.exists(shared):
        return os.path.join(directory, _OWN_DEVICES)
    return shared


def make_private_directory(path: str) -> None:
    """Create a directory with its parents, all 0700; raises DeviceError when it cannot be, or is somebody else's."""
    try:
        missing = []
        parent = path
        while not os.path.isdir(parent) and parent != os.path.dirname(parent):
            missing.append(parent)
            parent = os.path.dirname(parent)
        for directory in reversed(missing):
            with suppress(FileExistsError):
                os.mkdir(directory, 0o700)
        owner = os.stat(os.path.join(path, "")).st_uid
    except OSError as error:
        raise DeviceError(f"{path}: cannot create directory: {error.strerror}", errno=error.errno or 0) from None
    if owner not in (os.geteuid(), 0):
        raise DeviceError(f"{path}: belongs to user {owner}; set CRYPTLV_RUN_DIR or CRYPTLV_SYSTEM_DIR to your own")


def forbid_dumps() -> None:
    """Keep this process's memory from core dumps and from other processes of the same user, from now on."""
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def end_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when the thread that started it ends (prctl(2))."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def observe_dm_major(path: str = "/proc/devices") -> int:
    """The major number of device-mapper's devices, which the kernel chooses; 0 where it has none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            found = [line.split() for line in file]
    except OSError:
        return 0
    return next((int(words[0]) for words in found if words[1:] == ["device-mapper"]), 0)


def make_environment(command: str, system_id: str = "") -> Environment:
    """The Environment of this process, at this moment."""
    system = os.uname()
    return Environment(
        now=int(time.time()),
        random_bytes=os.urandom,
        monotonic=time.monotonic,
        hostname=system.nodename,
        uname=f"{system.sysname} {system.nodename} {system.release} {system.version} {system.machine}",
        command=command,
        system_id=system_id,
        cpus=os.cpu_count() or 1,
        usable_memory_kib=observe_usable_memory,
    )


def observe_usable_memory(path: str = "/proc/meminfo") -> int:
    """KiB of memory that a key derivation may take here, as cryptsetup reckons (lib/utils_pbkdf.c): half of all;
    where that is less than 2 GiB and there is no swap, no more than half of what is free."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            words = [line.split() for line in file]
        found = {word[0].rstrip(":"): int(word[1]) for word in words if len(word) > 1}
        total, swap, free = found["MemTotal"], found["SwapTotal"], found["MemFree"]
    except (OSError, ValueError, KeyError):
        return _BOGUS_MEMORY_KIB
    if not _LEAST_MEMORY_KIB <= total < 2**32:
        return _BOGUS_MEMORY_KIB
    half, free_half = total // 2, free // 2
    if half < 2 * _BOGUS_MEMORY_KIB and not swap and 64 * 1024 < free_half < half:
        return free_half
    return half


def observe_page_sectors() -> int:
    """The size of the kernel's pages, in sectors."""
    return os.sysconf("SC_PAGE_SIZE") // SECTOR_SIZE
