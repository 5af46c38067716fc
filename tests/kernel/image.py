"""Debian's kernel, unpacked but never installed: what QEMU boots, made once and kept in a folder of caches.

The kernel package has a compressed kernel and four thousand modules. QEMU boots the uncompressed kernel by its PVH
entry, which under software emulation saves the five seconds that decompression takes; of the modules those are kept
that storage tests need, without their signatures (to check one takes the guest 50 ms). busybox, of which the
initramfs is made, is a package unpacked in the same way.
"""

from __future__ import annotations

import fcntl
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

WANTED = (
    "crypto/", "arch/x86/crypto/", "drivers/md/", "lib/", "drivers/virtio/", "drivers/char/virtio_console",
    "drivers/char/hw_random/", "drivers/block/loop", "drivers/block/nbd", "drivers/block/virtio_blk",
    "drivers/block/brd", "drivers/scsi/scsi_debug", "drivers/scsi/sd_mod", "net/9p/", "fs/9p/", "fs/overlayfs/",
    "fs/ext4/", "fs/fuse/", "fs/nls/",
)  # fmt: skip
"""What is kept of the modules, below kernel/; what these need comes along."""

EARLY = ("virtio_mmio", "virtio_pci", "virtio_console", "virtio_blk", "virtio_rng", "9pnet_virtio", "9p", "overlay")
"""Modules that the initramfs loads, in this order."""

APPLETS = (
    "sh", "mount", "mkdir", "ln", "cp", "cat", "date", "dmesg", "tail", "usleep", "reboot",
    "switch_root", "insmod", "modprobe", "rmmod", "mknod", "hostname", "ip", "uname",
)  # fmt: skip
SIGNED = b"~Module signature appended~\n"
HERE = Path(__file__).parent
UNUSED_SECONDS = 24 * 3600.0
"""For how long an image is kept that no run has used."""


class NoKernelError(Exception):
    """What boots a kernel cannot be had on this machine; the text says why and what to do."""


def cache_folder() -> Path:
    """Where unpacked kernels are kept: $CRYPTLV_KERNEL_CACHE, else the user's folder of caches."""
    named = os.environ.get("CRYPTLV_KERNEL_CACHE")
    return Path(
        named or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cryptlv-kernel"
    ).absolute()


class Image(NamedTuple):
    """A folder with vmlinux, initramfs (without a run's settings) and modules/; the unpacked udev if asked for."""

    folder: Path
    udev: Path | None


def find_image(*, udev: bool) -> Image:
    """The kernel to boot, made if it is not there; NoKernelError."""
    if shutil.which("qemu-system-x86_64") is None:
        raise NoKernelError("qemu-system-x86_64 is missing (Debian: apt-get install qemu-system-x86)")
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    package = kernel_package()
    recipe = "\0".join(
        [package, *WANTED, *EARLY, *APPLETS, Path(__file__).read_text(), (HERE / "init.sh").read_text()]
    )
    folder = cache / f"{package}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for old in cache.glob("linux-image-*/"):
                if old.is_dir() and old.stat().st_mtime < time.time() - UNUSED_SECONDS:
                    shutil.rmtree(old)
            work = Path(tempfile.mkdtemp(dir=cache))
            try:
                _make_image(package, cache, work)
                (work / "image").rename(folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        if udev and not (folder / "udev").exists():
            _unpack(_download("udev", cache), folder / "udev.new")
            (folder / "udev.new").rename(folder / "udev")
        os.utime(folder)
    return Image(folder, folder / "udev" if udev else None)


def kernel_package() -> str:
    """The name of the kernel package that Debian's own one names; NoKernelError."""
    if os.uname().machine != "x86_64" or shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NoKernelError("the kernel tests need Debian's tools on an x86-64 machine")
    for attempt in range(2):
        if attempt:
            subprocess.run(["apt-get", "-qq", "update"], check=False, capture_output=True)
        asked = subprocess.run(
            ["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=False
        )
        if found := re.search(r"Depends: (linux-image-[0-9]\S+)", asked.stdout):
            return found[1]
    raise NoKernelError("apt knows no package linux-image-amd64: the kernel tests boot Debian's kernel")


def _download(package: str, folder: Path) -> Path:
    """The package's file, kept in `folder`; NoKernelError."""
    why = ""
    for attempt in range(2):
        if have := sorted(folder.glob(f"{package}_*.deb")):
            return have[-1]
        if attempt:
            subprocess.run(["apt-get", "-qq", "update"], check=False, capture_output=True)
        command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package]
        why = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stderr.strip()
    if have := sorted(folder.glob(f"{package}_*.deb")):
        return have[-1]
    raise NoKernelError(f"apt-get download {package} failed: {why}")


def _unpack(package: Path, folder: Path) -> Path:
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return folder


def _make_image(package: str, cache: Path, work: Path) -> None:
    """Make the folder `image` in `work`."""
    raw = _unpack(_download(package, cache), work / "raw")
    busybox = _unpack(_download("busybox-static", cache), work / "busybox") / "bin/busybox"
    if not busybox.exists():
        busybox = work / "busybox/usr/bin/busybox"
    image = work / "image"
    image.mkdir()
    [folder] = [found for found in raw.glob("**/lib/modules/*") if found.is_dir()]
    (image / "vmlinux").write_bytes(extract_vmlinux(next(raw.glob("boot/vmlinuz-*")).read_bytes()))
    shutil.copy(busybox, image / "busybox")
    subprocess.run([busybox, "depmod", "-b", folder.parents[2], folder.name], check=True)
    needs = read_dependencies((folder / "modules.dep").read_text())
    kept = [path for path in needs if any(_is_wanted(path, word) for word in WANTED)]
    below = image / "modules"
    for path in dict.fromkeys(with_needs(kept, needs)):
        (below / path).parent.mkdir(parents=True, exist_ok=True)
        (below / path).write_bytes(plain_module((folder / path).read_bytes()))
    for name in ("modules.dep", "modules.alias", "modules.symbols", "modules.builtin"):
        shutil.copy(folder / name, below / name)
    paths = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    early = list(dict.fromkeys(with_needs([paths[name] for name in EARLY if name in paths], needs)))
    files = [(name, 0o40755, b"") for name in ("bin", "dev", "proc", "sys", "modules", "lower", "upper", "new")]
    files += [
        ("bin/busybox", 0o100755, busybox.read_bytes()),
        *((f"bin/{name}", 0o120777, b"busybox") for name in APPLETS),
    ]
    files += [(f"modules/{Path(path).name}", 0o100644, (below / path).read_bytes()) for path in early]
    files += [("early", 0o100644, " ".join(Path(path).name for path in early).encode())]
    files += [("init", 0o100755, (HERE / "init.sh").read_bytes())]
    (image / "initramfs").write_bytes(encode_cpio(files))


def _is_wanted(path: str, word: str) -> bool:
    """A module below kernel/ is meant by the folder it is in, or by its name without what follows the dot."""
    path = path.removeprefix("kernel/")
    return path.startswith(word) if word.endswith("/") else path.split(".")[0] == word


def read_dependencies(text: str) -> dict[str, list[str]]:
    """The modules that each module needs, all of them, the nearest first: depmod's modules.dep."""
    lines = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {path: needed.split() for path, _colon, needed in lines}


def with_needs(paths: list[str], needs: dict[str, list[str]]) -> list[str]:
    """The modules in an order in which they load: each after those that it needs, some of them more than once."""
    ordered: list[str] = []

    def add(path: str, above: tuple[str, ...]) -> None:
        for needed in needs[path]:
            if needed not in above and needed not in ordered:
                add(needed, (*above, path))
        ordered.append(path)

    for path in paths:
        add(path, ())
    return ordered


def plain_module(content: bytes) -> bytes:
    """A module without compression and signature, whose length is in its last bytes (linux/module_signature.h)."""
    if content.startswith(b"\xfd7zXZ"):
        content = lzma.decompress(content)
    if not content.endswith(SIGNED):
        return content
    end = len(content) - len(SIGNED)
    return content[: end - 12 - int.from_bytes(content[end - 4 : end], "big")]


def extract_vmlinux(image: bytes) -> bytes:
    """The kernel proper, an ELF file, out of a bzImage, whose header says where (Documentation/arch/x86/boot.rst).

    Raises NoKernelError when it is compressed in an unknown way.
    """
    start = ((image[0x1F1] or 4) + 1) * 512 + int.from_bytes(image[0x248:0x24C], "little")
    payload = image[start : start + int.from_bytes(image[0x24C:0x250], "little")]
    if payload.startswith(b"\xfd7zXZ"):
        # What follows the stream is the length that the boot loader's part reads.
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(payload)
    for magic, tool in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\x1f\x8b", "gzip")):
        if payload.startswith(magic) and shutil.which(tool):
            unpacked = subprocess.run([tool, "-dc"], input=payload, capture_output=True, check=False).stdout
            if unpacked.startswith(b"\x7fELF"):
                return unpacked
    raise NoKernelError(f"the kernel is compressed in a way that is not known here: {payload[:6].hex()}")


def encode_cpio(files: list[tuple[str, int, bytes]]) -> bytes:
    """An initramfs of (path, mode, content); a link's content is its target (early-userspace/buffer-format.rst)."""
    archive = bytearray()
    for number, (path, mode, content) in enumerate([*files, ("TRAILER!!!", 0, b"")], 1):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)
