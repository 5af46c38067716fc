"""Where things are kept on this machine, and the clock, randomness and host name as an Environment.

The system directory (devices file, archive, backup) is CRYPTLV_SYSTEM_DIR, else /etc/lvm for root where it exists,
else $XDG_STATE_HOME/cryptlv. The run directory (locks, files and sockets of active volumes) is CRYPTLV_RUN_DIR, else
/run/cryptlv for root, else $XDG_RUNTIME_DIR/cryptlv. Root shares stock lvm2's lock directory, unless
CRYPTLV_RUN_DIR says otherwise.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from cryptlv.environment import Environment
from cryptlv.errors import DeviceError
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STOCK_SYSTEM_DIR = "/etc/lvm"
STOCK_LOCK_DIR = "/run/lock/lvm"
_SYSTEM_DEVICES = "system.devices"
_OWN_DEVICES = "cryptlv.devices"
_PR_SET_DUMPABLE = 4


class Directories(Record):
    """Absolute paths; none of them need exist yet. `devices_file` is the file's full path."""

    system_dir: str
    run_dir: str
    lock_dir: str
    devices_file: str

    @property
    def archive_dir(self) -> str:
        """Metadata as it was before each change."""
        return os.path.join(self.system_dir, "archive")

    @property
    def backup_dir(self) -> str:
        """Metadata as it is."""
        return os.path.join(self.system_dir, "backup")


def observe_directories(environ: Mapping[str, str], uid: int) -> Directories:
    """The directories for a user id and its environment variables; looks at the file system, creates nothing."""
    home = environ.get("HOME") or "/"
    if environ.get("CRYPTLV_SYSTEM_DIR"):
        system_dir = os.path.abspath(environ["CRYPTLV_SYSTEM_DIR"])
    elif uid == 0 and os.path.isdir(STOCK_SYSTEM_DIR):
        system_dir = STOCK_SYSTEM_DIR
    else:
        state = environ.get("XDG_STATE_HOME") or os.path.join(home, ".local", "state")
        system_dir = os.path.join(os.path.abspath(state), "cryptlv")
    run_dir, lock_dir = _run_directories(environ, uid)
    return Directories(
        system_dir=system_dir, run_dir=run_dir, lock_dir=lock_dir, devices_file=_devices_file(system_dir)
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


def _devices_file(system_dir: str) -> str:
    """The devices file to use.

    Stock lvm2 sees only the devices in system.devices once that file exists, so in its own directory we never create
    it: there our entries go to a file of our own until an administrator has made system.devices.
    """
    directory = os.path.join(system_dir, "devices")
    shared = os.path.join(directory, _SYSTEM_DEVICES)
    if system_dir == STOCK_SYSTEM_DIR and not os.path.exists(shared):
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


def make_environment(command: str) -> Environment:
    """The Environment of this process, at this moment."""
    system = os.uname()
    return Environment(
        now=int(time.time()),
        random_bytes=os.urandom,
        monotonic=time.monotonic,
        hostname=system.nodename,
        uname=f"{system.sysname} {system.nodename} {system.release} {system.version} {system.machine}",
        command=command,
    )
