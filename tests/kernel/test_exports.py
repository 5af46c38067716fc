"""A virtual machine with an export for a disk: `make test-kernel` boots it."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kernel.image import find_image
from support.machine import FAST, need
from support.serving import serving

if TYPE_CHECKING:
    from support.machine import Machine

ROOT = Path(__file__).parents[2]
MIB = 2**20


def test_a_guest_runs_a_system_from_an_encrypted_volume_and_what_it_writes_is_there(vg0: Machine) -> None:
    """A small system in ext4, copied in; the guest runs a program of it, writes, and finds it in order; so do we."""
    need("mke2fs", "e2fsck", "debugfs")
    tree = vg0.folder / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "etc/os-release").write_text("PRETTY_NAME='a small system'\n")
    shutil.copy(find_image(udev=False).folder / "busybox", tree / "bin/busybox")
    content = random.Random(5).randbytes(3 * MIB + 77)
    (tree / "content").write_bytes(content)
    vg0.image("ext4", 16)
    vg0.tool("mke2fs", "-q", "-t", "ext4", "-d", "tree", "ext4")
    vg0.key_file("key", b"secret")
    vg0.run("lvcreate", "--type", "crypt", "-L16m", "-ns", "vg0", "-an", "--keyfile", "key", *FAST)
    vg0.run("copy", "-y", "--keyfile", "key", "ext4", "vg0/s")

    script = """
        mount -t ext4 /dev/vda /mnt && chroot /mnt /bin/busybox cat /etc/os-release
        chroot /mnt /bin/busybox sha256sum /content
        chroot /mnt /bin/busybox sh -ec 'seq 200 >/numbers; cp /content /again; rm /content'
        sync; umount /mnt; fsck.ext4 -fn /dev/vda >/dev/null 2>&1; echo in order
    """
    with serving(vg0, "--nbd", f"unix:{vg0.folder}/socket", "--keyfile", "key", "vg0/s") as served:
        command = [sys.executable, "-m", "tests.kernel.run", "--nbd", served.places[0], "--", "sh", "-ec", script]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    hashed = hashlib.sha256(content).hexdigest()
    assert done.stdout.splitlines() == ["PRETTY_NAME='a small system'", f"{hashed}  /content", "in order"]

    vg0.run("copy", "--keyfile", "key", "vg0/s", "back")
    vg0.tool("e2fsck", "-fn", "back")
    vg0.tool("debugfs", "-R", "dump /again again", "back")
    assert (vg0.folder / "again").read_bytes() == content
    assert vg0.tool("debugfs", "-R", "cat /numbers", "back").out.split() == [str(number) for number in range(1, 201)]
    assert b"a small system" not in b"".join(path.read_bytes() for path in vg0.folder.glob("*.img"))
