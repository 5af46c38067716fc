"""`cryptlv copy`, whole processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.machine import FAST, need, need_root
from support.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from support.machine import Machine

MIB = 2**20
SIZE = 8 * MIB


def sparse_noise() -> bytes:
    """Data with holes of every size in them: 1 MiB of noise, 3 of zeros, and noise between zeros of one block."""
    chance = random.Random(4)
    blocks = (chance.randbytes(4096) if chance.random() < 0.5 else bytes(4096) for _ in range(4 * MIB // 4096))
    return chance.randbytes(MIB) + bytes(3 * MIB) + b"".join(blocks)


@pytest.fixture
def volumes(vg0: Machine) -> Machine:
    """vg0/s, encrypted with the key file `key`, vg0/p and vg0/i with two stripes, of 8 MiB each; `data`."""
    key = vg0.key_file("key", b"secret")
    vg0.run("lvcreate", "--type", "crypt", "-L8m", "-ns", "vg0", "--keyfile", key, *FAST)
    vg0.run("lvcreate", "-L8m", "-np", "vg0")
    vg0.run("lvcreate", "-L8m", "-i2", "-I4k", "-ni", "vg0")
    (vg0.folder / "data").write_bytes(sparse_noise())
    return vg0


def blocks(path: Path) -> int:
    """The bytes that a file takes on the disk."""
    return path.stat().st_blocks * 512


def test_files_go_into_volumes_and_out_again_sparsely(volumes: Machine) -> None:
    data, out = volumes.folder / "data", volumes.folder / "out"
    for name in ("s", "p", "i"):
        said = volumes.run("copy", "-y", "--keyfile", "key", "data", f"vg0/{name}")
        assert said.lines == [f"8.00m copied from data to vg0/{name}."]
        volumes.run("copy", "-y", "--keyfile", "key", f"vg0/{name}", "out")
        assert out.read_bytes() == data.read_bytes()
        assert blocks(out) < 3.5 * MIB
    assert (volumes.folder / "a.img").read_bytes().find(data.read_bytes()[:4096]) >= 0, "vg0/p is in the clear"
    out.unlink()
    volumes.run("copy", "-y", "--keyfile", "key", "vg0/s", "vg0/p")
    volumes.run("copy", "vg0/p", "out")
    assert out.read_bytes() == data.read_bytes()
    volumes.run("lvchange", "-ay", "--backend", "nbd", "--keyfile", "key", "vg0/s")
    assert "is active at" in volumes.fail("copy", "-y", "--keyfile", "key", "vg0/s", "out")
    assert "deactivate it" in volumes.fail("copy", "-y", "--keyfile", "key", "data", "vg0/s")
    volumes.run("lvchange", "-an", "vg0/s")


def test_what_an_encrypted_volume_never_held_is_left_out(volumes: Machine) -> None:
    out = volumes.folder / "out"
    part = volumes.folder / "part"
    part.write_bytes(os.urandom(2 * MIB))
    volumes.run("copy", "-y", "--keyfile", "key", "part", "vg0/s")
    volumes.run("copy", "--keyfile", "key", "vg0/s", "out")
    assert out.read_bytes() == part.read_bytes() + bytes(6 * MIB)
    assert blocks(out) == 2 * MIB


def test_pipes_at_both_ends(volumes: Machine) -> None:
    data = (volumes.folder / "data").read_bytes()
    words = ["copy", "-y", "--keyfile", "key"]
    volumes.run(*words, "-", "vg0/s", given=data)
    volumes.tool("sh", "-c", f"{sys.executable} -m cryptlv copy --keyfile key vg0/s - > piped")
    assert (volumes.folder / "piped").read_bytes() == data
    assert (
        "more than the 8388608 bytes of vg0/p" in volumes.run(*words, "-", "vg0/p", given=data + b"x", expect=5).err
    )
    volumes.run(*words, "-", "vg0/p", given=data[:1000])


@pytest.mark.compat
def test_nbd_exports_of_ours_and_of_nbdkit_are_read_and_written(volumes: Machine) -> None:
    need("nbdkit")
    data, out = volumes.folder / "data", volumes.folder / "out"
    with serving(volumes, "vg0/p") as served:
        volumes.run("copy", "-y", "data", served.places[0])
        volumes.run("copy", "-y", served.places[0], "out")
        assert out.read_bytes() == data.read_bytes()
        assert blocks(out) < 3.5 * MIB
        volumes.run("copy", "-y", "--keyfile", "key", served.places[0], "vg0/s")
    other = volumes.folder / "other"
    other.write_bytes(b"z" * SIZE)
    words = ["nbdkit", "-f", "-U", "kit.sock", "file", str(other)]
    process = subprocess.Popen(words, cwd=volumes.folder, stdout=subprocess.DEVNULL)
    try:
        while not (volumes.folder / "kit.sock").exists():
            assert process.poll() is None
        uri = f"nbd+unix:///?socket={volumes.folder}/kit.sock"
        volumes.run("copy", "-y", "--keyfile", "key", "vg0/s", uri)
        assert other.read_bytes() == data.read_bytes()
        volumes.run("copy", "-y", uri, "vg0/i")
    finally:
        process.terminate()
        process.wait()
    volumes.run("copy", "-y", "vg0/i", "out")
    assert out.read_bytes() == data.read_bytes()


def test_json_progress_is_lines_of_json_up_to_the_end(volumes: Machine) -> None:
    said = volumes.run("copy", "-y", "--progress", "json", "data", "vg0/p").err
    events = [json.loads(line) for line in said.splitlines()]
    assert events[-1]["done_bytes"] == events[-1]["total_bytes"] == SIZE
    assert {event["event"] for event in events} == {"progress"}


def test_json_progress_from_a_pipe_ends_with_what_there_was(volumes: Machine) -> None:
    said = volumes.run("copy", "-y", "--progress", "json", "-", "vg0/p", given=bytes(3 * MIB)).err
    assert [json.loads(said.splitlines()[-1])[key] for key in ("done_bytes", "total_bytes")] == [3 * MIB, 3 * MIB]


def test_a_copy_that_fails_says_that_the_target_is_incomplete(volumes: Machine) -> None:
    told = volumes.run("copy", "-y", "-", "vg0/p", given=bytes(SIZE + 1), expect=5).err
    assert told.strip() == f"standard input has more than the {SIZE} bytes of vg0/p; vg0/p is incomplete"
    (volumes.folder / "a.img").write_bytes((volumes.folder / "a.img").read_bytes()[: 3 * MIB])
    (volumes.folder / "b.img").write_bytes((volumes.folder / "b.img").read_bytes()[: 3 * MIB])
    assert volumes.run("copy", "vg0/p", "out", expect=None).err.strip().endswith("out is incomplete")


def test_a_file_that_has_the_name_of_a_volume_that_is_not_there_is_hinted_at(volumes: Machine) -> None:
    (volumes.folder / "big").mkdir()
    (volumes.folder / "big" / "src").write_bytes(bytes(4096))
    told = volumes.fail("copy", "-y", "big/src", "vg0/p")
    assert told.endswith("the file of that name is ./big/src")
    volumes.run("copy", "-y", "./big/src", "vg0/p")


def test_a_signal_before_the_copy_begins_ends_it_at_once(volumes: Machine) -> None:
    """At the questions on a terminal, by Ctrl-C."""
    need("setsid")
    for words, prompt in (
        (("copy", "--keyfile", "key", "data", "vg0/s"), b"[y/n]: "),
        (("copy", "vg0/s", "new"), b"passphrase for vg0/s: "),
    ):
        primary, secondary = os.openpty()
        process = subprocess.Popen(
            ["setsid", "-c", sys.executable, "-m", "cryptlv", *words], cwd=volumes.folder, env=volumes.environ,
            stdin=secondary, stdout=secondary, stderr=secondary,
        )  # fmt: skip
        os.close(secondary)
        try:
            said = b""
            while not said.lower().endswith(prompt.lower()):
                said += os.read(primary, 1024)
            os.write(primary, b"\x03")
            assert process.wait(10) == 130, said
        finally:
            process.kill()
            process.wait()
            os.close(primary)
    assert not (volumes.folder / "new").exists()


def test_a_pipe_from_which_nothing_comes_is_no_reason_to_wait(volumes: Machine) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "cryptlv", "copy", "-y", "--progress", "json", "-", "vg0/p"], cwd=volumes.folder,
        env=volumes.environ, stdin=reading, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(reading)
    try:
        assert process.stderr is not None
        assert b"progress" in process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
        os.close(writing)
    assert process.returncode == 130
    assert b"of 8.00m are copied; vg0/p is incomplete" in said


def test_nothing_is_overwritten_unasked_and_a_physical_volume_never(volumes: Machine) -> None:
    before = volumes.snapshot()
    (volumes.folder / "out").write_bytes(b"mine")
    (volumes.folder / "large").write_bytes(bytes(SIZE + 1))
    for words, status, told in (
        (("vg0/p", "out"), 5, "nobody can be asked"),
        (("data", "vg0/p"), 5, "nobody can be asked"),
        (("-y", "vg0/p", "a.img"), 5, "is a physical volume"),
        (("-y", "large", "vg0/p"), 5, "fewer than"),
        (("-y", "vg0/p", "vg0/p"), 3, "the same"),
        (("-y", "vg0/p"), 3, "SRC DST"),
        (("-y", "-", "out"), 3, "use cat"),
        (("-", "vg0/p"), 3, "give --keyfile"),
        (("-y", "--keyfile", "-", "-", "vg0/p"), 3, "cannot be both"),
        (("-y", "vg0/none", "out"), 5, "none"),
        (("-y", "no-such-file", "vg0/p"), 5, "no-such-file"),
        (("-y", "data", "nbd://127.0.0.1:1/x"), 5, "cannot connect"),
        (("-y", "data", "nbd:///x"), 3, "no NBD URI"),
        (("-y", "--progress", "x", "data", "vg0/p"), 3, "line, json"),
    ):
        assert told in volumes.fail("copy", *words, status=status)
    volumes.run("copy", "-t", "-y", "data", "vg0/p")
    assert volumes.snapshot() == before
    assert (volumes.folder / "out").read_bytes() == b"mine"


def test_an_interrupted_copy_says_how_far_it_came_and_lets_go(volumes: Machine) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "cryptlv", "copy", "-y", "-", "vg0/p"], cwd=volumes.folder, env=volumes.environ,
        stdin=reading, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(reading)
    try:
        os.write(writing, b"x" * 65536)
        os.write(writing, b"x" * 1024 * 1024)
        process.send_signal(signal.SIGINT)
        os.close(writing)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "of 8.00m are copied; vg0/p is incomplete" in said.decode()
    volumes.run("copy", "-y", "data", "vg0/p")


@pytest.mark.root
def test_block_devices_are_overwritten_whole_zeros_included_unless_they_are_in_use(volumes: Machine) -> None:
    need_root()
    image = volumes.folder / "disk"
    image.write_bytes(b"\xff" * SIZE)
    volumes.run("copy", "-y", "--keyfile", "key", "data", "vg0/s")
    loop = volumes.tool("losetup", "--show", "-f", "disk").lines[0]
    try:
        volumes.run("copy", "-y", "--keyfile", "key", "vg0/s", loop)
        assert image.read_bytes() == sparse_noise()
        volumes.run("copy", "-y", loop, "vg0/p")
        volumes.tool("mke2fs", "-q", loop)
        (volumes.folder / "mnt").mkdir()
        volumes.tool("mount", loop, "mnt")
        try:
            assert "Mounted filesystem" in volumes.fail("copy", "-y", "vg0/p", loop)
        finally:
            volumes.tool("umount", "mnt")
    finally:
        volumes.tool("losetup", "-d", loop)
    volumes.run("copy", "vg0/p", "out")
    assert (volumes.folder / "out").read_bytes() == sparse_noise()
