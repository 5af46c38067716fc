"""Copying between devices."""

from __future__ import annotations

import random

import pytest

from cryptlv.errors import DeviceError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops.copying import CopyRun, copy_runs

SIZE = 100_000


def devices() -> tuple[MemoryDevice, MemoryDevice]:
    rng = random.Random(1)
    return MemoryDevice(path="a", content=rng.randbytes(SIZE)), MemoryDevice(SIZE, path="b")


def run(source: MemoryDevice, start: int, target: MemoryDevice, to: int, length: int) -> CopyRun:
    return CopyRun(source=source, source_bytes=start, target=target, target_bytes=to, length_bytes=length)


@pytest.mark.parametrize("block", [1, 7, 4096, 30_000, 1 << 20])
def test_runs_are_copied_one_after_the_other(block: int) -> None:
    a, b = devices()
    length = 40 if block == 1 else 20_000
    told: list[int] = []

    def tell(done: int) -> bool:
        told.append(done)
        return False

    runs = [run(a, 500, b, 0, length), run(a, 50_000, b, 70_000, length), run(a, 100, a, 90_000, 10)]
    assert copy_runs(runs, tell, block) == 2 * length + 10
    assert b.content[:length] == a.content[500 : 500 + length]
    assert b.content[70_000 : 70_000 + length] == a.content[50_000 : 50_000 + length]
    assert a.content[90_000:90_010] == a.content[100:110]
    assert b.content.count(0) >= SIZE - 2 * length, "nothing else is written"
    assert told == sorted(set(told))
    assert told[-1] == 2 * length + 10


def test_it_ends_when_it_is_enough() -> None:
    a, b = devices()
    runs = [run(a, 0, b, 0, 1000), run(a, 5000, b, 5000, 1000)]
    assert copy_runs(runs, lambda done: done >= 1300, 100) == 1300
    assert b.content[5000:5300] == a.content[5000:5300]
    assert not any(b.content[5300:])
    assert copy_runs([], lambda _: True, 100) == 0


def test_a_device_that_fails_is_named() -> None:
    a, b = devices()
    with pytest.raises(DeviceError, match="a: cannot read"):
        copy_runs([run(a, SIZE - 10, b, 0, 20)], lambda _: False)
    with pytest.raises(DeviceError, match="b: cannot write"):
        copy_runs([run(a, 0, b, SIZE - 10, 20)], lambda _: False)
