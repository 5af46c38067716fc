"""Served volumes in use: file systems through FUSE and loop devices, disks that fill up or vanish."""

from __future__ import annotations

import mmap
import os
import random
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.machine import FAST, need, need_root
from support.nbd import EIO, ENOSPC, FLUSH, READ, WRITE, Client
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.machine import Machine

MIB = 2**20
KEY = ("--keyfile", "key")


@pytest.fixture
def encrypted(vg0: Machine) -> Machine:
    """vg0/s, 24 MiB, under the key file `key`."""
    vg0.key_file("key", b"secret")
    vg0.run("lvcreate", "--type", "crypt", "-L24m", "-ns", "vg0", *KEY, *FAST)
    return vg0


@contextmanager
def mounted(machine: Machine, source: str, place: Path, *options: str) -> Iterator[None]:
    """A file system mounted."""
    place.mkdir(exist_ok=True)
    machine.tool("mount", *options, source, place)
    try:
        yield
    finally:
        machine.tool("umount", place)


def fill(folder: Path) -> dict[str, bytes]:
    """Files of all sizes, flushed."""
    chance = random.Random(8)
    files = {f"file{number}": chance.randbytes(chance.randrange(200_000)) for number in range(40)}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    os.sync()
    return files


@pytest.mark.root
def test_a_file_system_on_a_loop_device_over_fuse_keeps_its_files_and_is_found_over_nbd(encrypted: Machine) -> None:
    """What is discarded of an encrypted volume would read as noise, where loop devices promise zeros: refused."""
    need_root()
    need("losetup", "mke2fs", "e2fsck", "fstrim", "nbdfuse")
    place = encrypted.folder / "mnt"
    with serving(encrypted, "--fuse", "f", "--allow-discards", *KEY, "vg0/s") as served:
        loop = encrypted.tool("losetup", "--show", "-f", served.places[0]).lines[0]
        try:
            encrypted.tool("mke2fs", "-q", "-t", "ext4", loop)
            with mounted(encrypted, loop, place):
                files = fill(place)
                for number in range(0, 40, 2):
                    (place / f"file{number}").unlink()
                    del files[f"file{number}"]
                assert "not supported" in encrypted.tool("fstrim", place, expect=1).err
                assert {path.name: path.read_bytes() for path in place.glob("file*")} == files
        finally:
            encrypted.tool("losetup", "-d", loop)
    assert (encrypted.folder / "a.img").read_bytes().find(files["file1"][:64]) < 0
    with serving(encrypted, *KEY, "vg0/s") as served:
        view = encrypted.folder / "view"
        view.mkdir()
        words = ["nbdfuse", str(view), "--unix", served.socket]
        process = subprocess.Popen(words, cwd=encrypted.folder)
        try:
            while not (view / "nbd").exists():
                assert process.poll() is None
            encrypted.tool("e2fsck", "-fn", view / "nbd")
            with mounted(encrypted, str(view / "nbd"), place, "-o", "loop,ro"):
                assert {path.name: path.read_bytes() for path in place.glob("file*")} == files
        finally:
            encrypted.tool("fusermount3", "-u", view, expect=None)
            process.wait(30)


@pytest.mark.root
def test_trimming_a_volume_in_the_clear_gives_its_storage_back_where_discards_are_allowed(vg0: Machine) -> None:
    need_root()
    need("losetup", "mke2fs", "e2fsck", "fstrim")
    vg0.run("lvcreate", "-L24m", "-np", "vg0")
    place, image = vg0.folder / "mnt", vg0.folder / "a.img"
    with serving(vg0, "--fuse", "f", "--allow-discards", "vg0/p") as served:
        loop = vg0.tool("losetup", "--show", "-f", served.places[0]).lines[0]
        try:
            vg0.tool("mke2fs", "-q", "-t", "ext4", loop)
            with mounted(vg0, loop, place):
                files = fill(place)
                (place / "large").write_bytes(b"x" * 8 * MIB)
                os.sync()
                before = image.stat().st_blocks
                (place / "large").unlink()
                os.sync()
                vg0.tool("fstrim", place)
                os.sync()
                assert image.stat().st_blocks < before - 7 * MIB // 512
                assert {path.name: path.read_bytes() for path in place.glob("file*")} == files
            vg0.tool("e2fsck", "-fn", loop)
        finally:
            vg0.tool("losetup", "-d", loop)


@pytest.mark.root
def test_a_file_through_fuse_takes_direct_io(encrypted: Machine) -> None:
    need_root()
    with serving(encrypted, "--fuse", "f", *KEY, "vg0/s") as served:
        descriptor = os.open(served.places[0], os.O_RDWR | os.O_DIRECT)
        try:
            with mmap.mmap(-1, MIB) as memory:
                memory[:] = data = random.Random(2).randbytes(MIB)
                assert os.pwritev(descriptor, [memory], 3 * MIB) == MIB
                os.fsync(descriptor)
                memory[:] = bytes(MIB)
                assert os.preadv(descriptor, [memory], 3 * MIB) == MIB
                assert memory[:] == data
        finally:
            os.close(descriptor)
        assert Path(served.places[0]).read_bytes()[3 * MIB : 4 * MIB] == data


@pytest.mark.root
def test_a_full_disk_under_the_image_is_told_and_hurts_nothing_that_was_written(machine: Machine) -> None:
    need_root()
    small = machine.folder / "small"
    small.mkdir()
    machine.tool("mount", "-t", "tmpfs", "-o", "size=8m", "none", small)
    try:
        image = small / "a.img"
        with image.open("wb") as file:
            file.truncate(64 * MIB)
        machine.key_file("key", b"secret")
        machine.run("vgcreate", "vg0", image)
        machine.run("lvcreate", "--type", "crypt", "-L40m", "-ns", "vg0", *KEY, *FAST)
        data = random.Random(3).randbytes(MIB)
        with serving(machine, *KEY, "vg0/s") as served, Client(served.socket).go() as client:
            written = 0
            while (error := client.request(WRITE, written * MIB, data=data)) == 0:
                written += 1
                assert written < 20
            assert error == ENOSPC
            assert 2 < written < 8
            assert client.request(FLUSH) == 0
            for number in range(written):
                assert client.read(number * MIB, MIB) == data
            machine.tool("mount", "-o", "remount,size=32m", small)
            assert client.request(WRITE, written * MIB, data=data) == 0
            assert client.read(written * MIB, MIB) == data
    finally:
        machine.tool("umount", small)


def test_a_physical_volume_that_vanishes_takes_its_own_ranges_alone(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l100%FREE", "-np", "vg0")
    a, b = vg0.folder / "a.img", vg0.folder / "b.img"
    with serving(vg0, "vg0/p") as served, Client(served.socket).go() as client:
        half = 28 * MIB
        for offset in (0, half):
            assert client.request(WRITE, offset, data=b"x" * MIB) == 0
        os.truncate(b, 0)
        assert client.request(READ, half, MIB) == EIO
        assert client.request(READ, half - 512, 1024) == EIO
        assert client.read(0, MIB) == b"x" * MIB
        assert client.request(WRITE, 4096, data=b"y" * 4096) == 0
        assert client.request(FLUSH) == 0
        assert client.read(4096, 4096) == b"y" * 4096
    assert b"y" * 4096 in a.read_bytes()


def test_a_striped_volume_is_interleaved_as_dm_stripe_has_it(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l4", "-i2", "-I64k", "-nt", "vg0")
    content = random.Random(9).randbytes(16 * MIB)
    (vg0.folder / "data").write_bytes(content)
    vg0.run("copy", "-y", "data", "vg0/t")
    images = [(vg0.folder / name).read_bytes() for name in ("a.img", "b.img")]
    start, chunk = MIB, 64 * 1024
    found = bytearray()
    for number in range(len(content) // chunk):
        place = start + number // 2 * chunk
        found += images[number % 2][place : place + chunk]
    assert found == content


def test_fuse_works_in_a_user_namespace(encrypted: Machine) -> None:
    """Root in there and nobody outside, as in a container without privileges."""
    need("unshare")
    if encrypted.tool("unshare", "-Urm", "true", expect=None).status or not os.access("/dev/fuse", os.W_OK):
        need("user namespaces with /dev/fuse")
    script = f"""
        {sys.executable} -m cryptlv serve --fuse f --keyfile key vg0/s > place & server=$!
        while ! test -s place; do kill -0 $server; sleep 0.05; done
        printf 'from inside' | dd of=f/vg0/s bs=4096 seek=3 conv=notrunc 2>/dev/null
        dd if=f/vg0/s bs=4096 skip=3 count=1 2>/dev/null | head -c 11
        kill $server; wait $server
    """
    assert encrypted.tool("unshare", "-Urm", "sh", "-ec", script).out == "from inside"
    encrypted.run("copy", *KEY, "vg0/s", "out")
    assert (encrypted.folder / "out").read_bytes()[3 * 4096 :].startswith(b"from inside")


@pytest.mark.root
def test_fuse_works_for_a_user_without_any_privilege_to_mount(encrypted: Machine) -> None:
    """fusermount3 mounts for them. /dev/fuse is open to all, as distributions have it, in the test's mount namespace;
    the one capability is to find Python, which may be installed in root's home."""
    need_root()
    need("setpriv", "unshare", "fusermount3")
    nobody = 65534
    for path in [encrypted.folder, *encrypted.folder.rglob("*")]:
        os.chown(path, nobody, nobody)
    user = f"""
        file=$({sys.executable} -m cryptlv lvchange -ay --backend fuse --keyfile key vg0/s | tr -d ' ')
        findmnt -n -o FSTYPE,OPTIONS $file
        printf 'from a user' | dd of=$file bs=4096 seek=3 conv=notrunc,fsync 2>/dev/null
        dd if=$file bs=4096 skip=3 count=1 iflag=direct 2>/dev/null | head -c 11
        {sys.executable} -m cryptlv lvchange -an vg0/s
        {sys.executable} -m cryptlv copy --keyfile key vg0/s out
    """
    script = """
        mount -t tmpfs none device && mknod -m 666 device/fuse c 10 229 && mount --bind device/fuse /dev/fuse
        exec setpriv --reuid=65534 --regid=65534 --clear-groups \
            --inh-caps=-all,+dac_read_search --ambient-caps=+dac_read_search sh -ec "$1"
    """
    (encrypted.folder / "device").mkdir()
    said = encrypted.tool("unshare", "-m", "sh", "-ec", script, "sh", user).out
    assert "from a user" in said, said
    assert f"user_id={nobody}" in said
    assert (encrypted.folder / "out").read_bytes()[3 * 4096 :].startswith(b"from a user")
