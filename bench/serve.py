"""How fast a volume is served and copied, against qemu-nbd, nbdkit, nbdfuse and qemu-img. `make bench-serve` runs it.

One LUKS1 image on a tmpfs (BENCH_SERVE_FOLDER, /dev/shm), which all serve: ours as the volume that its payload is.
fio's nbd engine, nbdcopy and dd are the clients, the servers turn by turn, medians of BENCH_SERVE_ROUNDS.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cryptlv.activate.process import ServeRequest, start_server, stop_server
from cryptlv.activate.volume import HeldVolume
from cryptlv.ciphers.engine import fastest_engines
from cryptlv.ciphers.spec import parse_cipher_spec
from cryptlv.model.mapping import CryptTarget, VolumeMapping
from cryptlv.ops.copying import Unwatched
from cryptlv.ops.volume_copy import FileEnd, VolumeEnd, copy_ends
from cryptlv.record import Record
from cryptlv.secret import VolumeKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

MIB = 2**20
ROUNDS = int(os.environ.get("BENCH_SERVE_ROUNDS", "5"))
SECONDS = float(os.environ.get("BENCH_SERVE_SECONDS", "1.5"))
VOLUME_BYTES = int(os.environ.get("BENCH_SERVE_MIB", "512")) * MIB
FOLDER = os.environ.get("BENCH_SERVE_FOLDER", "/dev/shm")  # noqa: S108 - a tmpfs is what is wanted
SPEC, KEY = "aes-xts-plain64", bytes(range(64))
_PASSPHRASE = b"bench"
_SEQUENTIAL = [(rw, "1M", depth) for rw in ("read", "write") for depth in (1, 16)]
_RANDOM = [(rw, "4k", depth) for rw in ("randread", "randwrite") for depth in (1, 16, 64)]
_PATIENCE_SECONDS = 20


class Served(Record):
    """A server that runs: where clients find it, and its process."""

    name: str
    uri: str
    pid: int


class Image(Record):
    """A LUKS1 image; its payload begins at `payload_bytes`."""

    path: str
    payload_bytes: int
    passphrase_path: str


def make_image(folder: Path) -> Image:
    """A LUKS1 image under KEY, its payload written through."""
    path, key, passphrase = folder / "luks.img", folder / "key", folder / "passphrase"
    key.write_bytes(KEY)
    passphrase.write_bytes(_PASSPHRASE)
    with path.open("wb") as file:
        file.truncate(VOLUME_BYTES + 4 * MIB)
    words = ["cryptsetup", "luksFormat", "--type", "luks1", "-q", "--cipher", SPEC, "--key-size", "512"]
    words += ["--iter-time", "10", "--volume-key-file", str(key), str(path), str(passphrase)]
    subprocess.run(words, check=True)
    with path.open("rb") as file:
        file.seek(104)
        payload = int.from_bytes(file.read(4), "big") * 512
    noise = os.urandom(4 * MIB)
    with path.open("r+b") as file:
        file.truncate(payload + VOLUME_BYTES)
        file.seek(payload)
        for _ in range(VOLUME_BYTES // len(noise)):
            file.write(noise)
    return Image(path=str(path), payload_bytes=payload, passphrase_path=str(passphrase))


def _wait_for(path: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            sys.exit(f"{path}: nothing listens")
        time.sleep(0.01)


def our_request(image: Image, folder: Path, backend: str) -> ServeRequest:
    """What the server process of the volume is given."""
    target = CryptTarget(
        start_sectors=0,
        length_sectors=VOLUME_BYTES // 512,
        pv_id="pv",
        offset_sectors=image.payload_bytes // 512,
        crypto_store="ks",
        iv_offset_sectors=0,
    )
    mapping = VolumeMapping(
        vg_name="vg0",
        vg_id="vg",
        lv_name="lv",
        lv_id=backend,
        length_sectors=VOLUME_BYTES // 512,
        targets=(target,),
    )
    return ServeRequest(
        mapping=mapping,
        device_paths={"pv": image.path},
        ciphers={"ks": (SPEC, 512, False)},
        backend=backend,
        run_dir=str(folder / "run"),
    )


@contextmanager
def ours(image: Image, folder: Path, backend: str = "nbd") -> Iterator[Served]:
    """The server process that lvchange -ay starts; with FUSE its `uri` is the file's path."""
    request = our_request(image, folder, backend)
    with VolumeKey(KEY) as key:
        info = start_server(request, {"ks": key})
    try:
        uri = info.path if backend == "fuse" else f"nbd+unix:///?socket={info.path}"
        yield Served(name="cryptlv", uri=uri, pid=info.pid)
    finally:
        stop_server(request.run_dir, request.mapping.lv_id, force=True)


@contextmanager
def _process(name: str, words: list[str], path: str) -> Iterator[Served]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        _wait_for(path)
        yield Served(name=name, uri=f"nbd+unix:///?socket={path}", pid=process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def qemu(image: Image, folder: Path) -> AbstractContextManager[Served]:
    """qemu-nbd with its LUKS driver."""
    path = str(folder / "qemu.sock")
    options = f"driver=luks,key-secret=sec0,file.driver=file,file.filename={image.path}"
    words = ["qemu-nbd", "-t", "-e", "16", "-k", path, "--object", f"secret,id=sec0,file={image.passphrase_path}"]
    return _process("qemu-nbd", [*words, "--image-opts", options], path)


def nbdkit(image: Image, folder: Path) -> AbstractContextManager[Served]:
    """nbdkit's file plugin under its LUKS filter."""
    path = str(folder / "nbdkit.sock")
    words = ["nbdkit", "-f", "-U", path, "--filter=luks", "file", image.path]
    return _process("nbdkit", [*words, f"passphrase=+{image.passphrase_path}"], path)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """The most memory that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().split("\n"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def fio(served: Served, rw: str, block: str, depth: int) -> tuple[float, float, float]:
    """Bytes a second, requests a second, and the server's CPU seconds a gigabyte."""
    words = ["fio", "--name=bench", "--ioengine=nbd", f"--uri={served.uri}", f"--rw={rw}", f"--bs={block}"]
    words += [f"--iodepth={depth}", "--time_based", f"--runtime={SECONDS}", f"--size={VOLUME_BYTES}"]
    words += ["--randrepeat=0", "--output-format=json", "--refill_buffers=0"]
    before = cpu_seconds(served.pid)
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tempfile.gettempdir())
    used = cpu_seconds(served.pid) - before
    job = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    side = job["write" if "write" in rw else "read"]
    return side["bw_bytes"], side["iops"], used / (side["io_bytes"] / 1e9)


def nbdcopy(served: Served) -> float:
    """Bytes a second that nbdcopy reads, with its own choice of connections."""
    start = time.perf_counter()
    subprocess.run(["nbdcopy", served.uri, "null:"], check=True)
    return VOLUME_BYTES / (time.perf_counter() - start)


@contextmanager
def nbdfuse(served: Served, folder: Path) -> Iterator[str]:
    """The path of nbdfuse's file in front of another server."""
    view = folder / f"view-{served.name}"
    view.mkdir()
    process = subprocess.Popen(["nbdfuse", str(view), served.uri])
    try:
        _wait_for(str(view / "nbd"))
        yield str(view / "nbd")
    finally:
        subprocess.run(["fusermount3", "-u", str(view)], check=False)
        process.wait()


def dd(path: str) -> float:
    """Bytes a second that dd reads by requests of 1 MiB, past the page cache."""
    start = time.perf_counter()
    words = ["dd", f"if={path}", "of=/dev/null", "bs=1M", "iflag=direct"]
    subprocess.run(words, check=True, capture_output=True)
    return VOLUME_BYTES / (time.perf_counter() - start)


def our_copy(image: Image, folder: Path) -> float:
    """Bytes a second that `copy` reads from the volume into a new file, without the start of the command."""
    request = our_request(image, folder, "copy")
    os.makedirs(f"{request.run_dir}/@servers", exist_ok=True)
    volume = HeldVolume(request)
    with VolumeKey(KEY) as key:
        source = VolumeEnd(volume, volume.open({"ks": key}))
    target = FileEnd(str(folder / "copy"), new_size_bytes=VOLUME_BYTES)
    start = time.perf_counter()
    copy_ends(source, target, Unwatched())
    took = time.perf_counter() - start
    target.close()
    source.close()
    return VOLUME_BYTES / took


def qemu_copy(image: Image, folder: Path) -> float:
    """Bytes a second that qemu-img convert reads from the LUKS image into a new file, its start included."""
    options = f"driver=luks,key-secret=sec0,file.driver=file,file.filename={image.path}"
    words = ["qemu-img", "convert", "-U", "--object", f"secret,id=sec0,file={image.passphrase_path}", "--image-opts"]
    start = time.perf_counter()
    subprocess.run([*words, options, "-O", "raw", str(folder / "copy")], check=True)
    return VOLUME_BYTES / (time.perf_counter() - start)


def measure_files(image: Image, folder: Path, servers: list[Served]) -> None:
    """FUSE against nbdfuse in front of each peer, and copies."""
    figures: dict[str, list[float]] = {served.name: [] for served in servers}
    with ExitStack() as stack:
        paths = {"cryptlv": stack.enter_context(ours(image, folder / "fuse", "fuse")).uri}
        for served in servers[1:]:
            paths[served.name] = stack.enter_context(nbdfuse(served, folder))
        for _ in range(ROUNDS):
            for name, path in paths.items():
                figures[name].append(dd(path))
    _row("FUSE, dd read 1M, GB/s", figures, ".2f", scale=1e9)
    copies: dict[str, list[float]] = {"cryptlv": [], "qemu-nbd": []}
    for _ in range(ROUNDS):
        copies["cryptlv"].append(our_copy(image, folder))
        copies["qemu-nbd"].append(qemu_copy(image, folder))
    medians = [statistics.median(values) / 1e9 for values in copies.values()]
    print(f"| copy, qemu-img convert, GB/s | {medians[0]:.2f} | {medians[1]:.2f} | | {medians[0] / medians[1]:.2f} |")


def _row(title: str, figures: dict[str, list[float]], shown: str, *, scale: float) -> None:
    medians = {name: statistics.median(values) / scale for name, values in figures.items()}
    best = max(value for name, value in medians.items() if name != "cryptlv")
    cells = [format(medians[name], shown) for name in medians]
    print(f"| {title} | {' | '.join(cells)} | {medians['cryptlv'] / best:.2f} |", flush=True)


def _versions() -> str:
    programs = (["qemu-nbd", "--version"], ["nbdkit", "--version"], ["nbdcopy", "--version"], ["fio", "--version"])
    said = [
        subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")[0] for words in programs
    ]
    engines = "/".join(dict.fromkeys(fastest_engines(parse_cipher_spec(SPEC), len(KEY), 512)))
    about = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {engines}"
    return "; ".join([about, *said])


def main() -> None:
    """Print the table for docs/performance.md."""
    print(f"{_versions()}\n\n{SPEC}, 512-byte sectors, {VOLUME_BYTES // MIB} MiB on a tmpfs; medians of {ROUNDS}\n")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=FOLDER) as name, ExitStack() as stack:
        folder = Path(name)
        image = make_image(folder)
        servers = [stack.enter_context(make(image, folder)) for make in (ours, qemu, nbdkit)]
        names = [served.name for served in servers]
        print(f"| | {' | '.join(names)} | ratio |\n|--|" + "--:|" * (len(names) + 1))
        cpu: dict[str, list[float]] = {name: [] for name in names}
        for rw, block, depth in _SEQUENTIAL + _RANDOM:
            figures: dict[str, list[float]] = {name: [] for name in names}
            for _ in range(ROUNDS):
                for served in servers:
                    speed, rate, used = fio(served, rw, block, depth)
                    figures[served.name].append(speed if block == "1M" else rate)
                    if (rw, depth) == ("read", 16):
                        cpu[served.name].append(used)
            unit = "GB/s" if block == "1M" else "1000/s"
            _row(f"fio {rw} {block}, depth {depth}, {unit}", figures, ".2f", scale=1e9 if block == "1M" else 1e3)
        figures = {name: [] for name in names}
        for _ in range(ROUNDS):
            for served in servers:
                figures[served.name].append(nbdcopy(served))
        _row("nbdcopy, read, GB/s", figures, ".2f", scale=1e9)
        measure_files(image, folder, servers)
        shown = [f"{statistics.median(cpu[name]):.2f}" for name in names]
        print(f"| server CPU s per GB, read 1M, depth 16 | {' | '.join(shown)} | |")
        print(f"| server's peak memory, MiB | {' | '.join(f'{resident_mib(one.pid):.0f}' for one in servers)} | |")


if __name__ == "__main__":
    main()
