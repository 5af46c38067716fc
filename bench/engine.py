"""How fast sectors are encrypted, against a bare loop in C over each library. `make bench` runs it.

Ours and the bare loops turn by turn in one process; of each the shortest time counts, as other work on the machine
only ever adds to it. With two threads each has its own buffer. BENCH_ENGINE_ROUNDS says how often.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cryptlv.ciphers.engine import ENGINES, NUMPY, SectorCipher, engine_version, measure, open_sector_cipher
from cryptlv.ciphers.spec import parse_cipher_spec
from cryptlv.libraries import LIBRARIES, find_library
from cryptlv.secret import VolumeKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SPEC, KEY = "aes-xts-plain64", bytes(range(64))
SECTOR_SIZES = (512, 4096)
REQUESTS = (4096, 64 * 1024, 2**20, 16 * 2**20)
ROUNDS = int(os.environ.get("BENCH_ENGINE_ROUNDS", "15"))
_TURN_BYTES = 32 * 2**20
_OTHERS = (
    ("aes-cbc-essiv:sha256", 256), ("serpent-xts-plain64", 512), ("twofish-xts-plain64", 512),
    ("camellia-xts-plain64", 512), ("aes-lrw-benbi", 384), ("xchacha12,aes-adiantum-plain64", 256),
)  # fmt: skip


def main() -> None:
    """Print tables for docs/performance.md."""
    versions = ", ".join(f"{name} {engine_version(name)}" for name in ENGINES)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}; {versions}\n")
    bare = compile_bare()
    print("aes-xts-plain64 with 512 bits, encryption, GB/s; two threads as a multiple of one\n")
    bares = " | ".join(f"bare {name}" for name in LIBRARIES)
    print(f"| sector | request | cryptlv | {bares} | ratio | numpy | 2 threads | bare 2 threads |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for sector_size in SECTOR_SIZES:
        for request in REQUESTS:
            measure_requests(bare, sector_size, request)
    print("\nOther ciphers by the engines that are chosen, GB/s encrypted and decrypted, sectors of 512 bytes\n")
    print("| cipher | " + " | ".join(ENGINES) + " |\n|--|" + "--:|" * len(ENGINES))
    for text, bits in _OTHERS:
        speeds = [measure(parse_cipher_spec(text), bits // 8, 512, engine) for engine in ENGINES]
        shown = [f"{one / 1e9:.2f} / {two / 1e9:.2f}" if one else "" for one, two in speeds]
        print(f"| {text} | {' | '.join(shown)} |", flush=True)


def compile_bare() -> Callable[..., float]:
    """The loop of bare.c."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = os.path.join(folder, "bare.so")
        source = str(Path(__file__).parent / "bare.c")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", source, "-o", path], check=True)
        function = ctypes.CDLL(path).bare
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_int, pointer, pointer, pointer, pointer, size, size, size]
    found: Callable[..., float] = function
    return found


def measure_requests(bare: Callable[..., float], sector_size: int, request: int) -> None:
    """One line for requests of a size."""
    rounds = max(_TURN_BYTES // request, 1)
    ours = open_sector_cipher(SPEC, VolumeKey(KEY), sector_size)
    numpy = open_sector_cipher(SPEC, VolumeKey(KEY), sector_size, engine=NUMPY)
    runs: dict[str, list[Callable[[], float]]] = {"ours": [_ours(ours, request, rounds) for _ in range(2)]}
    runs |= {name: [_bare(bare, name, sector_size, request, rounds) for _ in range(2)] for name in LIBRARIES}
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, both in runs.items():
            _shorter(best, name, both[0]())
            _shorter(best, f"{name} twice", at_once(both))
        fewer = max(rounds // 64, 1)
        _shorter(best, NUMPY, _ours(numpy, request, fewer)() * rounds / fewer)
    size = rounds * request
    fastest = min(LIBRARIES, key=lambda name: best[name])
    row = [sector_size, request, *(f"{size / best[name] / 1e9:.2f}" for name in ("ours", *LIBRARIES))]
    row += [f"{best[fastest] / best['ours']:.2f}", f"{size / best[NUMPY] / 1e9:.2f}"]
    row += [f"{2 * best[name] / best[f'{name} twice']:.2f}" for name in ("ours", fastest)]
    print("|", " | ".join(map(str, row)), "|", flush=True)


def _shorter(best: dict[str, float], name: str, seconds: float) -> None:
    best[name] = min(seconds, best.get(name, seconds))


def _ours(cipher: SectorCipher, request: int, rounds: int) -> Callable[[], float]:
    buffer = memoryview(bytearray(request))
    encrypt = cipher.encrypt

    def run() -> float:
        start = time.perf_counter()
        for _ in range(rounds):
            encrypt(buffer, 0)
        return time.perf_counter() - start

    return run


def _bare(bare: Callable[..., float], name: str, sector_size: int, request: int, rounds: int) -> Callable[[], float]:
    handle = find_library(name).open("aes", "xts", memoryview(KEY), encrypts=True)
    buffer = (ctypes.c_char * request)()

    def run() -> float:
        return bare(*handle.call, buffer, request, sector_size, rounds)

    return run


def at_once(runs: Sequence[Callable[[], float]]) -> float:
    """Seconds until all are done, each in a thread of its own."""
    threads = [threading.Thread(target=run) for run in runs]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
