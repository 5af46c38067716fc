"""File systems on volumes: ext2, ext3 and ext4 grown and shrunk with e2fsprogs, as lvm2's fsadm does.

The programs work on the kernel's device where the volume is active there; a file system that is mounted is grown by
the kernel. For one that is not active there is such a device for as long as the programs run, or where the kernel
cannot do that a file, through FUSE: so they see an encrypted or striped volume as what it is. No lock of lvm2's is
held then. Keys come from a ring that the caller keeps: a passphrase is asked for once though a volume is opened
twice.
"""

from __future__ import annotations

from contextlib import contextmanager

from cryptlv.activate.process import stop_server
from cryptlv.errors import FilesystemError, InUseError, RefusedError
from cryptlv.names import printable
from cryptlv.ops.activation import activate_one, deactivate
from cryptlv.ops.kernel import KERNEL, is_possible, kernel_ids
from cryptlv.ops.lv import refuse_served
from cryptlv.units import SECTOR_SIZE, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.ops.activation import KeyRing
    from cryptlv.ops.session import Session

_EXT = frozenset(("ext2", "ext3", "ext4"))
_CORRECTED = 1
"""e2fsck's exit status when it has repaired something; all above are failures (e2fsck(8))."""

_PATIENCE_SECONDS = 10.0
"""The programs have ended: nobody else is to have the volume open."""


def filesystem_of(session: Session, vg_name: str, lv_name: str, keys: KeyRing) -> str:
    """What is on a volume: libblkid's word for it, such as `ext4`; "" for nothing that is known.

    Raises NotFoundError, InUseError when it is served, ActivationError, and what unlocking raises.
    """
    with _opened(session, vg_name, lv_name, keys) as path:
        return _type_at(path)


def check_resizable(session: Session, vg_name: str, lv_name: str, keys: KeyRing) -> None:
    """Raise RefusedError when `grow_filesystem` and `shrink_filesystem` would not touch what is on a volume.

    Called before a change of size is committed. Raises what `filesystem_of` raises, too.
    """
    with _opened(session, vg_name, lv_name, keys) as path:
        _refuse_others(f"{vg_name}/{lv_name}", path)


def shrink_filesystem(session: Session, vg_name: str, lv_name: str, new_size_bytes: int, keys: KeyRing) -> None:
    """Check a volume's file system and give it `new_size_bytes`, before the volume is made as short as that.

    When it returns the new size is on the disks. Raises RefusedError for other contents than ext2, ext3 and ext4,
    FilesystemError when the check finds what it cannot repair or the data do not fit, and what `filesystem_of`
    raises: the volume must not be reduced then.
    """
    _resize(session, vg_name, lv_name, new_size_bytes, keys)


def grow_filesystem(session: Session, vg_name: str, lv_name: str, keys: KeyRing) -> None:
    """Check a volume's file system and let it fill the volume, after that was made longer.

    Raises as `shrink_filesystem` does; the volume is longer then, and its file system is not.
    """
    _resize(session, vg_name, lv_name, None, keys)


def _resize(session: Session, vg_name: str, lv_name: str, new_size_bytes: int | None, keys: KeyRing) -> None:
    name = f"{vg_name}/{lv_name}"
    with _opened(session, vg_name, lv_name, keys) as path:
        _refuse_others(name, path)
        held = _held(session, path)
        if held and new_size_bytes is not None:
            raise InUseError(f"{name} is {held}: a file system is made smaller only when it is not mounted")
        if not held:
            _run(name, "e2fsck", "-f", "-p", path, accepts=_CORRECTED, may_stop=True)
        size = [] if new_size_bytes is None else [f"{new_size_bytes // SECTOR_SIZE}s"]
        _run(name, "resize2fs", path, *size)
    of = "" if new_size_bytes is None else f" to {format_size(new_size_bytes)}"
    session.inform(f"File system on {name} resized{of}.")


def _held(session: Session, path: str) -> str:
    """Where a kernel's device is mounted; "" for one that is not, and for a file of ours."""
    from cryptlv.activate.dm import holder_of

    number = session.kernel.number_of(path)
    return holder_of(number) if number else ""


@contextmanager
def _opened(session: Session, vg_name: str, lv_name: str, keys: KeyRing) -> Iterator[str]:
    """The path of a volume for programs; one that is not active is opened for this alone. When it ends without an
    error all is on the disks."""
    name = f"{printable(vg_name)}/{printable(lv_name)}"
    with session.locked(vg_name, write=False):
        group = session.world().group(vg_name)
        lv = group.vg.lv(lv_name)
    refuse_served(session, group.vg, lv)
    if not lv.is_writable:
        raise RefusedError(f"{name} is read-only: its file system cannot be resized")
    if lv.id in kernel_ids(session):
        yield f"/dev/{vg_name}/{lv_name}"
        return
    in_kernel = is_possible(session, group.pv_paths.values())
    active = activate_one(session, vg_name, lv_name, KERNEL if in_kernel else "fuse", keys)
    if active.already:
        raise InUseError(f"{name} was activated by another command meanwhile; deactivate it first")
    try:
        yield active.path
    finally:
        if in_kernel:
            deactivate(session, vg_name, (lv_name,))
        else:
            stop_server(session.directories.run_dir, lv.id, patience_seconds=_PATIENCE_SECONDS)


def _type_at(path: str) -> str:
    from cryptlv.host.devices import FileDevice
    from cryptlv.host.signatures import find_type

    device = FileDevice(path)
    try:
        return find_type(device)
    finally:
        device.close()


def _refuse_others(name: str, path: str) -> None:
    kind = _type_at(path)
    if not kind:
        raise RefusedError(f"{name} holds no file system that is known: nothing resized")
    if kind not in _EXT and "ext4" not in kind:
        raise RefusedError(f"{name} holds {kind}, not ext2, ext3 or ext4: resize it with its own tools, without -r")


def _run(name: str, *words: str, accepts: int = 0, may_stop: bool = False) -> None:
    """Run a program of e2fsprogs. An interrupt waits for its end, as what is half resized is lost; with `may_stop`
    the program is asked to end first. Raises FilesystemError, RefusedError when it is not installed."""
    import os
    import subprocess

    environ = dict(os.environ, LC_ALL="C", PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    try:
        process = subprocess.Popen(
            words,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # out of reach of the terminal's interrupt
        )
    except OSError as error:
        raise RefusedError(
            f"{name}: {words[0]} of e2fsprogs is needed, and cannot be run: {error.strerror}"
        ) from None
    interrupted = False
    while True:
        try:
            said, _ = process.communicate()
            break
        except KeyboardInterrupt:
            interrupted = True
            if may_stop:
                process.terminate()
    if interrupted:
        raise KeyboardInterrupt
    if not 0 <= process.returncode <= accepts:
        lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
        reason = printable(lines[-1].strip()) if lines else "no reason given"
        raise FilesystemError(f"{name}: {words[0]} failed with status {process.returncode}: {reason}")
