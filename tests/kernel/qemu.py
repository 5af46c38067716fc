"""One guest: QEMU's command line, the one command that it runs, its output, and how it ended.

Software emulation needs no rights and no KVM. The guest's root is this machine's, read-only, with memory over it: the
checkout, python and its environment, lvm2 and cryptsetup are there at their paths, and whatever is written vanishes.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from .image import HERE, Image, encode_cpio

MSIZE = 2**18 + 4096
"""Bytes of a 9p message. A power of two and a page, so that st_blksize is that power: cryptsetup, which reads headers
in such blocks, fails on files of the share with others ("IO error while decrypting keyslot")."""

CMDLINE = (
    "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic mitigations=off nokaslr no5lvl cryptomgr.notests audit=0 "
    "apparmor=0 nowatchdog tsc=reliable random.trust_cpu=on rcupdate.rcu_expedited=1 8250.nr_uarts=1 i8042.noprobe=1"
)
MICROVM_DEVICES = 20
"""microvm has 24 places for virtio devices, and hangs at boot when nearly all are in use."""


class Disk(NamedTuple):
    """A scratch disk: /dev/vda, /dev/vdb ... in their order; empty at first, unless it is somebody's NBD export."""

    size_bytes: int
    sector_bytes: int = 512
    uri: str = ""


class Outcome(NamedTuple):
    """How a run ended: the command's exit status, or None and the reason; the end of the console's text."""

    status: int | None
    reason: str
    console: str
    boot_seconds: float


def run(image: Image, command: list[str], disks: list[Disk], *, timeout: float, memory: int, cpus: int) -> Outcome:
    """Boot, run `command` in this process's folder as root, its output to our standard output.

    `timeout` is in seconds, `memory` in MiB. The guest never outlives the call.
    """
    with tempfile.TemporaryDirectory(prefix="cryptlv-guest-") as name:
        folder = Path(name)
        (folder / "command").write_text(_script(command, udev=image.udev is not None))
        settings = (
            f"NOW={int(time.time())} MSIZE={MSIZE} MODULES={shlex.quote(str(image.folder))}/modules "
            f"UDEV={shlex.quote(str(image.udev or ''))} COMMAND={shlex.quote(str(folder))}/command\n"
        )
        agent = (HERE / "agent.sh").read_bytes()
        more = encode_cpio([("settings", 0o100644, settings.encode()), ("agent.sh", 0o100755, agent)])
        # The kernel takes archives one after the other.
        (folder / "initramfs").write_bytes((image.folder / "initramfs").read_bytes() + more)
        for number, disk in enumerate(disks):
            if not disk.uri:
                with (folder / f"disk{number}").open("wb") as file:
                    file.truncate(disk.size_bytes)
        return _watch(folder, _arguments(image.folder, folder, disks, memory, cpus), timeout)


def _script(command: list[str], *, udev: bool) -> str:
    """What the guest's shell runs."""
    path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    variables = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", "TMPDIR": "/run/tmp", "CRYPTLV_GUEST": "1"}
    if not udev:
        variables["DM_DISABLE_UDEV"] = "1"  # else stock lvm2 leaves the nodes of its devices to udev
    lines = [f"export {key}={shlex.quote(value)}" for key, value in variables.items()]
    return "\n".join([*lines, f"cd {shlex.quote(str(Path.cwd()))} || exit 126", f"exec {shlex.join(command)}", ""])


def _arguments(image: Path, folder: Path, disks: list[Disk], memory: int, cpus: int) -> list[str]:
    """QEMU's command line."""
    khz = tsc_khz(Path("/proc/cpuinfo").read_text())
    # microvm boots sooner. It has no timer to calibrate the processor's clock by but one that fails on a busy host.
    micro = khz is not None and len(disks) + 3 <= MICROVM_DEVICES
    bus = "device" if micro else "pci"
    threads = "multi" if cpus > 1 else "single"
    cmdline = f"{CMDLINE} tsc_early_khz={khz}" if khz is not None else CMDLINE
    text = (
        "qemu-system-x86_64 -no-user-config -nodefaults -display none -no-reboot -monitor none "
        f"-M {'microvm' if micro else 'pc'} -accel tcg,thread={threads},tb-size=256 -cpu max,la57=off "
        f"-smp {cpus} -m {memory} -fsdev local,id=root,path=/,security_model=none,multidevs=remap,readonly=on "
        f"-device virtio-9p-{bus},fsdev=root,mount_tag=root -object rng-random,id=rng,filename=/dev/urandom "
        f"-device virtio-rng-{bus},rng=rng -device virtio-serial-{bus}"
    )
    words = [*text.split(), "-serial", f"file:{folder}/console", "-append", cmdline]
    words += ["-kernel", str(image / "vmlinux"), "-initrd", str(folder / "initramfs")]
    for name in ("output", "status"):
        os.mkfifo(folder / f"{name}.in")
        os.mkfifo(folder / f"{name}.out")
        words += ["-chardev", f"pipe,id={name},path={folder}/{name}"]
        words += ["-device", f"virtserialport,chardev={name},name={name}"]
    for number, disk in enumerate(disks):
        place = f"file={disk.uri},cache=none" if disk.uri else f"file={folder}/disk{number},cache=unsafe"
        file = f"if=none,id=disk{number},{place},format=raw,discard=unmap"
        size = f"logical_block_size={disk.sector_bytes},physical_block_size={disk.sector_bytes}"
        words += ["-drive", file, "-device", f"virtio-blk-{bus},drive=disk{number},serial=disk{number},{size}"]
    return words


def tsc_khz(cpuinfo: str) -> int | None:
    """The rate of the processor's time stamp counter, which software emulation shows as it is; None if not known."""
    found = re.search(r"bogomips\s*:\s*([\d.]+)", cpuinfo)
    return int(float(found[1]) * 500) if found and "constant_tsc" in cpuinfo else None


def _watch(folder: Path, words: list[str], timeout: float) -> Outcome:
    """Start QEMU, pass on what the command says, and wait for the end of both."""
    started = time.monotonic()
    booted = 0.0
    # Opened for both ways, so that no side waits for the other to be opened.
    pipes = {name: os.open(folder / f"{name}.out", os.O_RDWR | os.O_NONBLOCK) for name in ("output", "status")}
    status = b""
    reason = "the guest ended without a status"
    with (folder / "qemu").open("wb") as log:
        machine = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        while True:
            ended = machine.poll() is not None
            ready, _, _ = select.select(list(pipes.values()), [], [], 0 if ended else 0.2)
            if pipes["output"] in ready:
                booted = booted or time.monotonic() - started
                sys.stdout.buffer.write(os.read(pipes["output"], 65536))
                sys.stdout.buffer.flush()
            if pipes["status"] in ready:
                booted = booted or time.monotonic() - started
                status += os.read(pipes["status"], 64)
            if ended and not ready:
                break
            if time.monotonic() - started > timeout:
                reason = f"the time limit of {timeout:g} s was reached"
                status = b""
                break
    finally:
        machine.kill()
        machine.wait()
        for pipe in pipes.values():
            os.close(pipe)
    said = "\n".join(_end(folder / name) for name in ("qemu", "console"))
    return Outcome(int(status) if status.endswith(b"\n") else None, reason, said.strip(), booted)


def _end(path: Path, lines: int = 60) -> str:
    """The last lines of a file, if it is there."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
