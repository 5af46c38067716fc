"""File systems that grow and shrink with their volumes, made, filled and read by e2fsprogs."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, FilesystemError, InUseError, RefusedError
from cryptlv.host.system import make_environment, observe_directories
from cryptlv.ops.activation import KeyRing
from cryptlv.ops.filesystem import _run, check_resizable, filesystem_of, grow_filesystem, shrink_filesystem
from cryptlv.ops.lv_plan import LvSize
from cryptlv.ops.lv_resize import EXTEND, REDUCE, ResizeRequest, resize
from cryptlv.ops.session import Session
from support.disks import PASSPHRASE, Known
from support.machine import FAST, Machine, need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptlv.secret import Passphrase

MIB = 1024 * 1024


class Counted(Known):
    """Counts how often it is asked."""

    asked = 0

    def get(self, purpose: str, what: str, kind: str, names: tuple[str, ...] = ()) -> Passphrase:
        self.asked += 1
        return super().get(purpose, what, kind)


KINDS = {
    "linear": (),
    "striped": ("-i2",),
    "crypt": ("--type", "crypt", *FAST),
    "crypt over stripes": ("--type", "crypt", "-i2", *FAST),
}


@pytest.fixture
def session(vg0: Machine) -> Iterator[Session]:
    need("mke2fs", "debugfs", "e2fsck", "resize2fs")
    with session_of(vg0) as session:
        yield session


def session_of(machine: Machine) -> Session:
    return Session(
        observe_directories(machine.environ, os.geteuid()),
        make_environment("test"),
        devices=tuple(str(machine.folder / name) for name in ("a.img", "b.img")),
    )


def served(machine: Machine, name: str) -> Path:
    (path,) = machine.run("lvchange", "-ay", f"vg0/{name}", given=PASSPHRASE + b"\n").lines
    return machine.folder / path


def make_volume(
    machine: Machine, *words: str, mib: int = 16, program: tuple[str, ...] = ("mke2fs", "-q", "-t", "ext4")
) -> bytes:
    """A volume `v` with a file system that holds a file; gives the file's content."""
    machine.run("lvcreate", *words, f"-L{mib}m", "-nv", "vg0", given=PASSPHRASE + b"\n")
    content = random.Random(mib).randbytes(3 * MIB + 17)
    (machine.folder / "content").write_bytes(content)
    path = served(machine, "v")
    machine.tool(*program, path)
    machine.tool("debugfs", "-w", "-R", "write content stored", path)
    machine.run("lvchange", "-an", "vg0/v")
    return content


def look(machine: Machine) -> tuple[int, bytes]:
    """The size that the file system has, and the content of its file; e2fsck must find nothing."""
    path = served(machine, "v")
    machine.tool("e2fsck", "-f", "-n", path)
    shown = machine.tool("debugfs", "-R", "stats -h", path).out
    numbers = dict(line.split(":", 1) for line in shown.splitlines() if line.startswith("Block"))
    machine.tool("debugfs", "-R", "dump stored read", path)
    machine.run("lvchange", "-an", "vg0/v")
    return int(numbers["Block count"]) * int(numbers["Block size"]), (machine.folder / "read").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_system_shrinks_and_grows_with_its_volume_and_keeps_its_content(
    vg0: Machine, session: Session, kind: str
) -> None:
    content = make_volume(vg0, *KINDS[kind])
    assert look(vg0) == (16 * MIB, content)
    user = Counted()
    with KeyRing(user, session.warn) as keys:
        assert filesystem_of(session, "vg0", "v", keys) == "ext4"
        shrink_filesystem(session, "vg0", "v", 8 * MIB, keys)
        resize(session, "vg0", "v", ResizeRequest(way=REDUCE, size=LvSize(size_bytes=8 * MIB)))
        assert look(vg0) == (8 * MIB, content)
        check_resizable(session, "vg0", "v", keys)
        resize(session, "vg0", "v", ResizeRequest(way=EXTEND, size=LvSize(size_bytes=24 * MIB)))
        grow_filesystem(session, "vg0", "v", keys)
    assert look(vg0) == (24 * MIB, content)
    assert user.asked == (1 if kind.startswith("crypt") else 0)
    assert not vg0.server_pids()


def test_what_does_not_fit_or_cannot_be_repaired_is_left_as_it_is(vg0: Machine, session: Session) -> None:
    content = make_volume(vg0, program=("mke2fs", "-q", "-t", "ext3", "-b", "1024"))
    with KeyRing(Counted(), session.warn) as keys:
        with pytest.raises(FilesystemError, match="resize2fs failed"):
            shrink_filesystem(session, "vg0", "v", 2 * MIB, keys)
        assert look(vg0) == (16 * MIB, content)
        path = served(vg0, "v")
        vg0.tool("debugfs", "-w", "-R", "clri <2>", path)  # the root directory is gone
        vg0.run("lvchange", "-an", "vg0/v")
        before = vg0.snapshot()
        with pytest.raises(FilesystemError, match="e2fsck failed with status 4"):
            shrink_filesystem(session, "vg0", "v", 8 * MIB, keys)
    assert vg0.snapshot().keys() == before.keys()
    assert not vg0.server_pids()


def test_other_contents_and_active_volumes_are_refused_by_name(vg0: Machine, session: Session) -> None:
    vg0.run("lvcreate", "-L16m", "-nv", "vg0")
    with KeyRing(Counted(), session.warn) as keys:
        assert filesystem_of(session, "vg0", "v", keys) == ""
        with pytest.raises(RefusedError, match="no file system"):
            check_resizable(session, "vg0", "v", keys)
        path = served(vg0, "v")
        vg0.tool("mkswap", path)
        with pytest.raises(InUseError, match="vg0/v is active"):
            grow_filesystem(session, "vg0", "v", keys)
        vg0.run("lvchange", "-an", "vg0/v")
        for call in (grow_filesystem, check_resizable):
            with pytest.raises(RefusedError, match="vg0/v holds swap"):
                call(session, "vg0", "v", keys)
        with pytest.raises(CryptlvError, match="nobody"):
            filesystem_of(session, "vg0", "nobody", keys)
        vg0.run("lvchange", "-pr", "vg0/v")
        with pytest.raises(RefusedError, match="read-only"):
            grow_filesystem(session, "vg0", "v", keys)
    assert not vg0.server_pids()


def test_without_e2fsprogs_there_is_one_line() -> None:
    with pytest.raises(RefusedError, match="vg0/v: no-such-fsck of e2fsprogs is needed"):
        _run("vg0/v", "no-such-fsck")


def test_an_interrupt_ends_a_check_and_waits_for_a_resize(tmp_path: Path) -> None:
    def interrupt() -> threading.Timer:
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        return timer

    interrupt()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        _run("vg0/v", "sleep", "30", may_stop=True)
    assert time.monotonic() - started < 10
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        _run("vg0/v", "sh", "-c", f"sleep 1; echo done > {tmp_path}/done")
    assert (tmp_path / "done").read_text() == "done\n"
