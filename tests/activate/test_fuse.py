"""A volume as a FUSE file: what the system's calls and stock tools make of it."""

from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.fuse import FuseFile, check_usable, is_mounted, unmount
from cryptlv.errors import ActivationError
from support.machine import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from activate.conftest import Disks, MakeDisks
    from cryptlv.model.mapping import VolumeMapping

    Mappings = dict[str, Callable[..., VolumeMapping]]
    Model = Callable[..., bytes]
    Start = Callable[..., FuseFile]

SIZE = 296 * 512
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO_RANGE = 1, 2, 8, 16


@pytest.fixture
def mounted(disks: MakeDisks, mappings: Mappings, fuse: Start) -> tuple[str, Disks]:
    """The path of a volume of every kind of target, and its devices."""
    made = disks(mappings["every_target"]())
    return fuse(made.stream).path, made


@pytest.fixture
def opened(mounted: tuple[str, Disks]) -> Iterator[int]:
    """The file opened for reading and writing."""
    descriptor = os.open(mounted[0], os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def run(*words: str, given: bytes = b"") -> bytes:
    """The output of a stock tool, which must not fail."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    environ = dict(os.environ, PATH=path, LC_ALL="C")
    done = subprocess.run(words, input=given, capture_output=True, timeout=60, check=False, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fallocate(path: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """util-linux's fallocate."""
    return subprocess.run(["fallocate", *options, path], capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize(("writable", "mode"), [(True, 0o600), (False, 0o400)])
def test_the_file_is_regular_has_the_volumes_size_and_is_for_its_owner_alone(
    disks: MakeDisks, mappings: Mappings, fuse: Start, writable: bool, mode: int
) -> None:
    found = os.stat(fuse(disks(mappings["every_target"](writable=writable)).stream).path)
    assert stat.S_ISREG(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == mode
    assert (found.st_size, found.st_uid, found.st_nlink) == (SIZE, os.geteuid(), 1)
    assert found.st_blocks * 512 == SIZE


def test_reads_of_any_place_give_the_plain_bytes(
    mounted: tuple[str, Disks], opened: int, mappings: Mappings, read_by_model: Model
) -> None:
    model = read_by_model(mappings["every_target"](), mounted[1].contents())
    chance = random.Random(1)
    for _ in range(100):
        offset, length = chance.randrange(SIZE), chance.randrange(9000)
        assert os.pread(opened, length, offset) == model[offset : offset + length]
    assert os.pread(opened, 100, SIZE) == b""
    assert os.pread(opened, 100, SIZE - 7) == model[-7:]
    assert Path(mounted[0]).read_bytes() == model


def test_writes_of_any_place_reach_the_devices_as_ciphertext(
    mounted: tuple[str, Disks], opened: int, mappings: Mappings, read_by_model: Model
) -> None:
    model = bytearray(read_by_model(mappings["every_target"](), mounted[1].contents()))
    chance = random.Random(2)
    for _ in range(100):
        offset = chance.randrange(SIZE - 9000)
        data = chance.randbytes(chance.randrange(9000))
        assert os.pwrite(opened, data, offset) == len(data)
        model[offset : offset + len(data)] = data
        assert os.pread(opened, 200, offset) == model[offset : offset + 200]
    assert read_by_model(mappings["every_target"](), mounted[1].contents()) == model


@pytest.mark.parametrize("call", [os.fsync, os.fdatasync])
def test_fsync_flushes_the_devices_that_were_written(
    mounted: tuple[str, Disks], opened: int, call: Callable[[int], None]
) -> None:
    devices = mounted[1].devices
    os.pwrite(opened, b"x", 0)
    assert devices["pv1"].flushes == 0
    call(opened)
    assert (devices["pv1"].flushes, devices["pv0"].flushes) == (1, 0)


@pytest.mark.compat
def test_dd_writes_in_place_and_syncs(
    mounted: tuple[str, Disks], mappings: Mappings, read_by_model: Model, short_folder: Path
) -> None:
    need("dd")
    path, made = mounted
    model = bytearray(read_by_model(mappings["every_target"](), made.contents()))
    data = random.Random(3).randbytes(50_000)
    source = short_folder / "source"
    source.write_bytes(data)
    run("dd", f"if={source}", f"of={path}", "bs=1000", "seek=33", "conv=notrunc,fsync")
    model[33_000:83_000] = data
    assert read_by_model(mappings["every_target"](), made.contents()) == model
    assert made.devices["pv0"].flushes >= 1
    assert run("dd", f"if={path}", "bs=4096") == model


@pytest.mark.compat
def test_opening_with_truncation_changes_nothing_like_a_block_device(
    mounted: tuple[str, Disks], mappings: Mappings, read_by_model: Model
) -> None:
    need("dd")
    path, made = mounted
    model = bytearray(read_by_model(mappings["every_target"](), made.contents()))
    run("dd", f"of={path}", "bs=512", given=b"a" * 512)
    model[:512] = b"a" * 512
    assert os.stat(path).st_size == SIZE
    assert read_by_model(mappings["every_target"](), made.contents()) == model
    assert Path(path).read_bytes() == model


@pytest.mark.compat
def test_mke2fs_makes_a_file_system_that_debugfs_reads_back(
    disks: MakeDisks, mappings: Mappings, fuse: Start, read_by_model: Model, short_folder: Path
) -> None:
    need("mke2fs", "debugfs", "e2fsck")
    mapping = mappings["one_crypt"](16 * 2048)
    made = disks(mapping, device_bytes=17 * 2**20)
    path = fuse(made.stream).path
    tree = short_folder / "tree"
    tree.mkdir()
    data = random.Random(4).randbytes(3_000_001)
    (tree / "file").write_bytes(data)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), path)
    assert run("debugfs", "-R", "cat file", path) == data
    copy = short_folder / "copy"
    copy.write_bytes(read_by_model(mapping, made.contents()))
    run("e2fsck", "-f", "-n", str(copy))
    assert run("debugfs", "-R", "cat file", str(copy)) == data


@pytest.mark.parametrize("size", [1, 512, SIZE - 1, SIZE + 1, 2 * SIZE])
def test_the_size_cannot_be_changed(mounted: tuple[str, Disks], opened: int, size: int) -> None:
    before = mounted[1].contents()
    with pytest.raises(PermissionError):
        os.ftruncate(opened, size)
    with pytest.raises(PermissionError):
        os.truncate(mounted[0], size)
    assert os.fstat(opened).st_size == SIZE
    assert mounted[1].contents() == before


def test_writing_beyond_the_end_is_refused(
    mounted: tuple[str, Disks], opened: int, mappings: Mappings, read_by_model: Model
) -> None:
    """What lies before the end may be written first, as on a block device."""
    model = read_by_model(mappings["every_target"](), mounted[1].contents())
    for offset, data in ((SIZE, b"x"), (SIZE - 1, model[-1:] + b"y"), (SIZE + 4096, b"x")):
        with pytest.raises(OSError, match=r"space|too large") as caught:
            _write_all(opened, data, offset)
        assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
    assert os.fstat(opened).st_size == SIZE
    assert read_by_model(mappings["every_target"](), mounted[1].contents()) == model


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done


@pytest.mark.compat
def test_a_zeroed_range_reads_as_zeros_and_no_hole_is_punched_into_what_is_encrypted(
    mounted: tuple[str, Disks], mappings: Mappings, read_by_model: Model
) -> None:
    need("fallocate")
    path, made = mounted
    model = bytearray(read_by_model(mappings["every_target"](), made.contents()))
    assert Path(path).read_bytes() == model, "in the page cache before"
    done = fallocate(path, "--punch-hole", "--keep-size", "--offset", "0", "--length", "4096")
    assert b"unsupported" in done.stderr
    assert Path(path).read_bytes() == model
    done = fallocate(path, "--zero-range", "--keep-size", "--offset", "1000", "--length", "100000")
    assert done.returncode == 0, done.stderr
    model[1000:101_000] = bytes(100_000)
    assert Path(path).read_bytes() == model
    assert read_by_model(mappings["every_target"](), made.contents()) == model


@pytest.mark.compat
def test_other_allocations_change_nothing(mounted: tuple[str, Disks], opened: int) -> None:
    need("fallocate")
    path, made = mounted
    before = made.contents()
    os.posix_fallocate(opened, 0, SIZE)
    assert fallocate(path, "--collapse-range", "--offset", "0", "--length", "4096").returncode != 0
    with pytest.raises(OSError, match=r"space|too large"):
        os.posix_fallocate(opened, SIZE - 512, 1024)
    assert fallocate(path, "--zero-range", "--offset", str(SIZE - 512), "--length", "1024").returncode != 0
    assert made.contents() == before
    assert os.fstat(opened).st_size == SIZE


def test_a_read_only_volume_cannot_be_opened_for_writing(disks: MakeDisks, mappings: Mappings, fuse: Start) -> None:
    made = disks(mappings["every_target"](writable=False))
    before = made.contents()
    path = fuse(made.stream).path
    for flags in (os.O_WRONLY, os.O_RDWR):
        with pytest.raises(OSError, match=r"[Rr]ead-only|denied"):
            os.close(os.open(path, flags))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert len(os.read(descriptor, 512)) == 512
    finally:
        os.close(descriptor)
    assert made.contents() == before


@pytest.mark.parametrize("what", ["read", "write", "flush"])
def test_a_failing_device_is_an_input_output_error(mounted: tuple[str, Disks], opened: int, what: str) -> None:
    device = mounted[1].devices["pv1"]
    if what == "flush":
        os.pwrite(opened, bytes(512), 0)
    device.failing = frozenset([what])
    with pytest.raises(OSError, match="Input/output") as caught:
        _do(what, opened)
    assert caught.value.errno == errno.EIO
    device.failing = frozenset()
    if what == "flush":
        with pytest.raises(OSError, match="Input/output"):
            _do(what, opened)
    else:
        _do(what, opened)


def _do(what: str, descriptor: int) -> None:
    if what == "read":
        assert len(os.pread(descriptor, 512, 0)) == 512
    elif what == "write":
        assert os.pwrite(descriptor, bytes(512), 0) == 512
    else:
        os.fsync(descriptor)


def test_users_are_the_open_handles(
    disks: MakeDisks, mappings: Mappings, fuse: Start, wait_until: Callable[..., bool]
) -> None:
    file = fuse(disks(mappings["every_target"]()).stream)
    assert file.users == 0
    one, two = os.open(file.path, os.O_RDONLY), os.open(file.path, os.O_RDWR)
    assert file.users == 2
    os.close(one)
    assert wait_until(lambda: file.users == 1)
    os.close(two)
    assert wait_until(lambda: file.users == 0)


def test_stop_takes_mount_and_file_away(disks: MakeDisks, mappings: Mappings, fuse: Start) -> None:
    file = fuse(disks(mappings["every_target"]()).stream)
    assert is_mounted(file.path)
    file.stop()
    assert not is_mounted(file.path)
    assert not os.path.lexists(file.path)
    file.stop()


def test_stop_while_open_is_refused_and_the_file_goes_on(
    mounted: tuple[str, Disks], disks: MakeDisks, mappings: Mappings, fuse: Start
) -> None:
    file = fuse(disks(mappings["every_target"]()).stream)
    descriptor = os.open(file.path, os.O_RDWR)
    try:
        with pytest.raises(ActivationError, match="cannot unmount"):
            file.stop()
        assert os.pwrite(descriptor, b"still there", 100) == 11
        assert os.pread(descriptor, 11, 100) == b"still there"
    finally:
        os.close(descriptor)
    assert is_mounted(file.path)


def test_stop_with_force_ends_though_the_file_is_open(disks: MakeDisks, mappings: Mappings, fuse: Start) -> None:
    made = disks(mappings["every_target"]())
    file = fuse(made.stream)
    words = [
        sys.executable,
        "-c",
        "import os, sys; os.open(sys.argv[1], os.O_RDWR); print(flush=True); sys.stdin.read()",
    ]
    with subprocess.Popen([*words, file.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdin is not None
        assert user.stdout is not None
        user.stdout.readline()
        file.stop(force=True)
        assert not is_mounted(file.path)
        assert not os.path.lexists(file.path)
        user.stdin.close()
        assert user.wait(10) == 0


@pytest.mark.parametrize("name", ["with space", "back\\slash", "tab\there", "ümlaut", "日本", "a.b-c+d"])
def test_any_name_can_be_mounted_seen_and_taken_away(
    disks: MakeDisks, mappings: Mappings, fuse: Start, short_folder: Path, name: str
) -> None:
    folder = short_folder / name
    folder.mkdir()
    file = fuse(disks(mappings["every_target"]()).stream, str(folder / "lv"))
    assert os.stat(file.path).st_size == SIZE
    assert is_mounted(file.path)
    file.stop()
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_a_symbolic_link_can_be_used(
    disks: MakeDisks, mappings: Mappings, fuse: Start, short_folder: Path
) -> None:
    (short_folder / "real").mkdir()
    (short_folder / "link").symlink_to("real")
    file = fuse(disks(mappings["every_target"]()).stream, str(short_folder / "link" / "lv"))
    assert is_mounted(file.path)
    file.stop()
    assert list((short_folder / "real").iterdir()) == []


def test_what_is_at_the_path_already_is_an_error_and_stays(
    disks: MakeDisks, mappings: Mappings, fuse_works: None, short_folder: Path
) -> None:
    stream = disks(mappings["every_target"]()).stream
    (short_folder / "taken").write_bytes(b"mine")
    (short_folder / "link").symlink_to("nowhere")
    for name in ("taken", "link"):
        with pytest.raises(ActivationError, match=f"{name}: cannot create: File exists"):
            FuseFile(stream, str(short_folder / name)).start()
    assert (short_folder / "taken").read_bytes() == b"mine"
    with pytest.raises(ActivationError, match="No such file or directory"):
        FuseFile(stream, str(short_folder / "no" / "lv")).start()


def test_unmounting_what_is_not_mounted_does_nothing(short_folder: Path) -> None:
    path = short_folder / "file"
    path.write_bytes(b"mine")
    assert not is_mounted(str(path))
    unmount(str(path), lazily=False)
    unmount(str(short_folder / "none"), lazily=True)
    assert path.read_bytes() == b"mine"


def test_fuse_is_usable_where_it_works(fuse_works: None) -> None:
    check_usable()


def test_other_names_are_not_in_the_mount(mounted: tuple[str, Disks]) -> None:
    with pytest.raises(NotADirectoryError):
        os.stat(mounted[0] + "/other")


def test_a_client_that_goes_away_is_still_an_error_and_no_signal(
    disks: MakeDisks, mappings: Mappings, fuse: Start
) -> None:
    """libfuse gives SIGPIPE its default back when a mount ends, which would kill the server's other connections."""
    fuse(disks(mappings["every_target"]()).stream).stop()
    status = Path("/proc/self/status").read_text()
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn"))
    assert int(ignored.split()[1], 16) >> (signal.SIGPIPE - 1) & 1


def test_libfuse_is_found_without_a_compiler(fuse_works: None) -> None:
    """The same one that mfusepy finds itself; no process is started for it."""
    code = (
        "import os, subprocess\nfrom cryptlv.activate.fuse import _find_libfuse, check_usable\n"
        "def refuse(*_, **__): raise AssertionError('a process was started')\n"
        "subprocess.Popen = refuse\n_find_libfuse()\nprint(os.environ['FUSE_LIBRARY_PATH'])\ncheck_usable()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    theirs = "from ctypes.util import find_library\nprint(find_library('fuse') or find_library('fuse3'))"
    expected = subprocess.run([sys.executable, "-c", theirs], capture_output=True, text=True, check=True)
    assert done.stdout == expected.stdout
