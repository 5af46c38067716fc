"""Stock lvm2's lock files (lib/locking/file_locking.c, lib/misc/lvm-flock.c), so that both wait for each other.

`V_<vg>` protects a volume group, `P_global` the set of devices. A reader holds NAME shared, a writer exclusive; both
pass through `NAME:aux`, which keeps new readers out while a writer waits. Lock files are unlinked when they are given
up, so a lock counts only when the locked file is still the one at the path.

The devices file's lock `D_<name>` is another (lib/device/device_id.c:_lock_devices_file): stock neither looks at the
inode nor unlinks it, so we must not unlink it either.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager

from cryptlv.errors import LockError
from cryptlv.host.system import make_private_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class LockDirectory:
    """The directory of the lock files; it is created when the first lock is taken.

    Unless `waits`, what another command holds is an error at once (lvm.conf's wait_for_locks). When `is_off` no lock
    but a devices file's is taken at all (--nolocking).
    """

    def __init__(self, path: str, *, waits: bool = True, is_off: bool = False) -> None:
        self.path = path
        self._waits = waits
        self._is_off = is_off

    @contextmanager
    def vg(self, name: str, *, write: bool, wait: bool = True) -> Iterator[None]:
        """Hold a volume group's lock; raises LockError when it cannot be had (at once, unless `wait`)."""
        with self.named(f"V_{name}", write=write, wait=wait):
            yield

    @contextmanager
    def global_(self, *, write: bool, wait: bool = True) -> Iterator[None]:
        """Hold the global lock; raises LockError when it cannot be had (at once, unless `wait`)."""
        with self.named("P_global", write=write, wait=wait):
            yield

    @contextmanager
    def devices_file(self, name: str) -> Iterator[None]:
        """Hold the lock of a devices file for a change of it; raises LockError when it cannot be had."""
        make_private_directory(self.path)
        path = os.path.join(self.path, f"D_{name}")
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LockError(f"{path}: cannot lock: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def named(self, name: str, *, write: bool, wait: bool = True) -> Iterator[None]:
        """Hold the lock file of that name; raises LockError when it cannot be had (at once, unless `wait`)."""
        if self._is_off:
            yield
            return
        wait = wait and self._waits
        make_private_directory(self.path)
        path = os.path.join(self.path, name)
        aux = _acquire(f"{path}:aux", exclusive=True, wait=wait)
        try:
            if write:
                descriptor = _acquire(path, exclusive=True, wait=wait)
        finally:
            _release(f"{path}:aux", aux)
        if not write:
            descriptor = _acquire(path, exclusive=False, wait=wait)
        try:
            yield
        finally:
            _release(path, descriptor)


def _acquire(path: str, *, exclusive: bool, wait: bool) -> int:
    """A descriptor of the locked file; tries again while somebody else unlinks the file under us."""
    operation = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB)
    while True:
        descriptor = -1
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_CLOEXEC, 0o777)
            fcntl.flock(descriptor, operation)
            if _is_current(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise LockError(f"{path}: held by another command; try again when it has ended") from None
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise LockError(f"{path}: cannot lock: {error.strerror}") from None
        except BaseException:  # an interrupt while waiting must not leave the file open
            if descriptor >= 0:
                os.close(descriptor)
            raise
        os.close(descriptor)


def _is_current(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _release(path: str, descriptor: int) -> None:
    """Give the lock up; unlink the file when nobody else holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_current(path, descriptor):
            os.unlink(path)
    except OSError:
        pass  # somebody else has the lock by now, and unlinks the file after us
    finally:
        os.close(descriptor)
