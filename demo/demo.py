"""The main job, shown: two image files become an encrypted volume full of files, and give every file back.

Run it with `make demo`. Everything happens in a temporary directory, without root and without device-mapper; stock
lvm2, cryptsetup and e2fsprogs are asked for their opinion where they are installed.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PASSPHRASE = b"correct horse battery staple"
FILES = 3000
IMAGE_BYTES = 64 * 1024 * 1024
SHOWN_LINES = 14


class Demo:
    """The demo's working directory and its narration; `step` numbers what it says."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.number = 0
        self.started = time.monotonic()
        self.environ = dict(
            os.environ,
            CRYPTLV_SYSTEM_DIR=str(work / "system"),
            CRYPTLV_RUN_DIR=str(work / "run"),
            PATH=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
            LVM_SUPPRESS_FD_WARNINGS="1",
        )

    def step(self, text: str) -> None:
        self.number += 1
        print(f"\n\033[1m{self.number}. {text}\033[0m" if sys.stdout.isatty() else f"\n{self.number}. {text}")

    def say(self, text: str) -> None:
        print(f"   -> {text}")

    def run(self, *words: str, show: int = SHOWN_LINES, expect: int = 0) -> str:
        """Show a command, run it, show its output; stop the demo when it does not end as expected."""
        print(f"   $ {shlex.join(words)}")
        done = subprocess.run(
            words, cwd=self.work, env=self.environ, capture_output=True, text=True, errors="replace", check=False
        )
        lines = (done.stdout + done.stderr).rstrip().splitlines()
        for line in lines[:show]:
            print(f"   {line}")
        if len(lines) > show:
            print(f"   ... {len(lines) - show} more lines")
        if done.returncode != expect:
            sys.exit(f"demo: {words[0]} ended with status {done.returncode}, expected {expect}")
        return done.stdout

    def have(self, program: str, package: str) -> bool:
        if shutil.which(program, path=self.environ["PATH"]):
            return True
        self.say(f"{program} is not installed (apt-get install {package}): this comparison is left out")
        return False


def write_files(folder: Path) -> dict[str, str]:
    """A few thousand text files in folders; gives the SHA-256 of each by its path."""
    sums: dict[str, str] = {}
    for number in range(FILES):
        name = f"department-{number % 40:02d}/report-{number:04d}.txt"
        line = f"Confidential report {number}: the quick brown fox jumps over the lazy dog. "
        data = (line * (1 + number % 97)).encode()
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        sums[name] = hashlib.sha256(data).hexdigest()
    return sums


def read_sums(folder: Path, names: list[str]) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def create(demo: Demo) -> None:
    demo.step("Two empty image files become physical volumes and a volume group")
    for name in ("a.img", "b.img"):
        with open(demo.work / name, "wb") as image:
            image.truncate(IMAGE_BYTES)
    demo.run("cryptlv", "pvcreate", "a.img", "b.img")
    demo.run("cryptlv", "vgcreate", "vg0", "a.img", "b.img")
    demo.step("An encrypted logical volume; its key header lies in a hidden keystore, not in the volume")
    key_file = demo.work / "passphrase"
    key_file.touch(mode=0o600)
    key_file.write_bytes(PASSPHRASE)
    demo.run(
        "cryptlv", "lvcreate", "--type", "crypt", "--keyfile", "passphrase",
        "-L", "88M", "-n", "secret", "vg0",
    )  # fmt: skip
    demo.run("cryptlv", "pvs")
    demo.run("cryptlv", "vgs")
    demo.run("cryptlv", "lvs", "-a", "-o", "+crypt_store,crypt_handler,crypt_cipher,crypt_keysize")
    demo.say("88 MiB were asked for and 88 MiB are usable, over both images: no header is taken from the volume")


def activate(demo: Demo) -> Path:
    out = demo.run("cryptlv", "lvchange", "-ay", "--keyfile", "passphrase", "vg0/secret")
    path = next((word.strip('".,') for word in out.split() if "/vg0/secret" in word), "")
    if not path:
        sys.exit("demo: lvchange -ay printed no path")
    return Path(path)


def fill(demo: Demo, path: Path, tree: Path) -> None:
    """An ext4 with all files into the open volume, through the FUSE file or the NBD socket."""
    if path.suffix != ".nbd":
        demo.run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(path))
        return
    image = demo.work / "plain.ext4"
    with open(image, "wb") as file:
        file.truncate(88 * 1024 * 1024)
    demo.run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(image))
    demo.run("nbdcopy", str(image), f"nbd+unix:///vg0%2Fsecret?socket={path}")
    image.unlink()


def read_back(demo: Demo, path: Path, target: Path) -> None:
    target.mkdir()
    source = path
    if path.suffix == ".nbd":
        source = demo.work / "back.ext4"
        demo.run("nbdcopy", f"nbd+unix:///vg0%2Fsecret?socket={path}", str(source))
    demo.run("debugfs", "-R", f"rdump / {target}", str(source), show=1)


def search_plaintext(demo: Demo, names: list[str]) -> None:
    demo.step("The images hold only ciphertext")
    needles = [b"Confidential report", b"quick brown fox", b"lazy dog", b"report-0001.txt", b"department-07"]
    needles += [Path(name).name.encode() for name in names[::100]] + [PASSPHRASE]
    for name in ("a.img", "b.img"):
        data = (demo.work / name).read_bytes()
        found = [needle for needle in needles if needle in data]
        if found:
            sys.exit(f"demo: {name} holds plaintext")
        used = sum(1 for start in range(0, len(data), 4096) if any(data[start : start + 4096]))
        demo.say(f"{name}: {used} of {len(data) // 4096} blocks are in use; none of {len(needles)} words is in them")


def ask_stock(demo: Demo) -> None:
    demo.step("What stock lvm2 says of an image")
    if demo.have("lvm", "lvm2"):
        demo.run("lvm", "pvck", "--dump", "metadata", "a.img", show=24)
        demo.say("lvm2's own tool finds our metadata where it expects it, with the right checksum")
    demo.step("What stock cryptsetup says of the keystore's extents")
    from cryptlv.ondisk.vgtext import parse_vg
    from cryptlv.segments.keystore import KeystoreSegment

    text_file = demo.work / "metadata.txt"
    demo.run("cryptlv", "pvck", "--dump", "metadata", "-f", str(text_file), "a.img")
    vg = parse_vg(text_file.read_bytes())
    (segment,) = vg.lv("cryptostore1").segments
    if not isinstance(segment, KeystoreSegment):
        sys.exit("demo: cryptostore1 is not a keystore")
    ((pv_id, start_pe, length_pe),) = segment.footprint()
    pv = vg.pv(pv_id)
    skip_sectors = pv.pe_start_sectors + start_pe * vg.extent_size_sectors
    demo.run(
        "dd", f"if={pv.device}", "of=header.img", "bs=512", f"skip={skip_sectors}",
        f"count={length_pe * vg.extent_size_sectors}", "status=none",
    )  # fmt: skip
    if demo.have("cryptsetup", "cryptsetup-bin"):
        demo.run("cryptsetup", "luksDump", "header.img")
        demo.run("cryptsetup", "open", "--test-passphrase", "--key-file", "passphrase", "header.img")
        demo.say("it is a LUKS2 header, and cryptsetup opens it with the same passphrase")


def main() -> None:
    """Run every step; any surprise ends the demo with a message and a status that is not 0."""
    with tempfile.TemporaryDirectory(prefix="cryptlv-") as folder:
        demo = Demo(Path(folder))
        create(demo)
        tree = demo.work / "tree"
        sums = write_files(tree)
        demo.step(f"Open it and fill it: an ext4 with {len(sums)} files, written through the open volume")
        path = activate(demo)
        try:
            fill(demo, path, tree)
            demo.run("cryptlv", "lvchange", "-an", "vg0/secret")
            demo.say("the path is gone, and so is the process that knew the key")
            search_plaintext(demo, list(sums))
            demo.step("The wrong passphrase opens nothing")
            wrong = demo.work / "wrong"
            wrong.touch(mode=0o600)
            wrong.write_bytes(b"incorrect horse")
            demo.run("cryptlv", "lvchange", "-ay", "--keyfile", "wrong", "vg0/secret", expect=5)
            demo.step("The right passphrase brings every file back")
            path = activate(demo)
            read_back(demo, path, demo.work / "back")
        finally:
            subprocess.run(
                ("cryptlv", "vgchange", "-an", "vg0"),
                cwd=demo.work,
                env=demo.environ,
                capture_output=True,
                check=False,
            )
        if read_sums(demo.work / "back", list(sums)) != sums:
            sys.exit("demo: files differ")
        demo.say(f"{len(sums)} files were read back with debugfs; all SHA-256 sums are as they were")
        ask_stock(demo)
        print(f"\nDone in {time.monotonic() - demo.started:.0f} seconds. The images were in {folder}, removed now.")


if __name__ == "__main__":
    main()
