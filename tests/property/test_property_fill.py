"""Volumes filled with random data read back the same after every step of a life: extended, moved, renamed, split off,
merged again, reduced."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.sizes import LvSize
from cryptlv.ops import lv as lvs
from cryptlv.ops import pv, vg
from cryptlv.ops.lv_rename import rename
from cryptlv.ops.lv_resize import RESIZE, ResizeRequest, resize
from cryptlv.ops.pvmove import MoveRequest, move
from cryptlv.ops.vg_merge import vgmerge
from cryptlv.ops.vg_split import SplitRequest, vgsplit
from cryptlv.ops.vgck import find_faults
from support.disks import MIB, PASSPHRASE, REQUEST, Disks, Known
from support.volumes import open_volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXTENT = 64 * 1024
PATHS = ("/d0", "/d1", "/d2", "/d3")
KINDS = {
    "linear": lvs.LvRequest(name="linear"),
    "striped": lvs.LvRequest(name="striped", segment_type="striped", stripes=2),
    "crypt": REQUEST.replace(name="crypt"),
    "stacked": REQUEST.replace(name="stacked", stripes=2),
    "sharing": REQUEST.replace(name="sharing", crypto_store="cryptostore1"),
}


class Life:
    """Volumes by their present names, the volume group of each, and what they must read."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.disks = Disks(folder, {path: MemoryDevice(16 * MIB, path=path) for path in PATHS})
        self.volumes: dict[str, tuple[str, bytes]] = {}
        with self.disks.session() as session:
            for path in self.disks.devices:
                pv.create(session, (path,), pv.PvOptions())
            vg.create(session, "vg0", tuple(self.disks.devices), EXTENT)
            for name, request in KINDS.items():
                size = 4 * self.rng.randrange(1, 4) * EXTENT
                lvs.create(session, "vg0", request.replace(size_bytes=size), Known())
                self.volumes[name] = "vg0", b""
        for name in self.volumes:
            self.fill(name)

    def fill(self, name: str) -> None:
        """Random bytes into what a volume has more than is known of it."""
        group, known = self.volumes[name]
        with open_volume(self.disks, name, PASSPHRASE, group) as stream:
            more = self.rng.randbytes(stream.size_bytes - len(known))
            stream.write(len(known), more)
        self.volumes[name] = group, known + more

    def check(self) -> None:
        for name, (group, known) in self.volumes.items():
            with open_volume(self.disks, name, PASSPHRASE, group) as stream:
                assert bytes(stream.read(0, stream.size_bytes)) == known, f"{group}/{name}"
        with self.disks.session() as session:
            for group in {group for group, _ in self.volumes.values()}:
                assert find_faults(session, group) == ()

    def resize(self, sign: int) -> None:
        """Extend or reduce a volume."""
        name = self.rng.choice(sorted(self.volumes))
        group, known = self.volumes[name]
        extents = len(known) // EXTENT + sign * 2 * self.rng.randrange(1, 4)
        if extents < 2:
            return
        with self.disks.session() as session:
            resize(session, group, name, ResizeRequest(way=RESIZE, size=LvSize(extents=extents)))
        self.volumes[name] = group, known[: extents * EXTENT]
        self.fill(name)

    def move(self) -> None:
        with self.disks.session() as session:
            move(session, MoveRequest(source=self.rng.choice(sorted(self.disks.devices))))

    def rename(self) -> None:
        name = self.rng.choice(sorted(self.volumes))
        new = f"{self.rng.choice('abcdef')}{self.rng.randrange(1000)}"
        with self.disks.session() as session:
            rename(session, self.volumes[name][0], name, new)
        self.volumes[new] = self.volumes.pop(name)

    def split(self) -> None:
        """Split physical volumes off with what lies on them, and learn from the groups who went."""
        paths = tuple(self.rng.sample(sorted(self.disks.devices), self.rng.randrange(1, 3)))
        with self.disks.session() as session:
            vgsplit(session, SplitRequest(source="vg0", target="vg1", pv_paths=paths))
        self.look()

    def merge(self) -> None:
        with self.disks.session() as session:
            vgmerge(session, "vg0", "vg1")
        self.look()

    def look(self) -> None:
        with self.disks.session() as session:
            homes = {lv.name: group.vg.name for group in session.world().groups for lv in group.vg.lvs}
        self.volumes = {name: (homes[name], known) for name, (_, known) in self.volumes.items()}


@pytest.mark.parametrize("seed", range(3))
def test_volumes_read_the_same_after_every_step(tmp_path: Path, seed: int) -> None:
    life = Life(tmp_path, seed)
    life.check()
    steps: dict[str, Callable[[], None]] = {
        "extend": lambda: life.resize(1),
        "move": life.move,
        "rename": life.rename,
        "split": life.split,
        "merge": life.merge,
        "reduce": lambda: life.resize(-1),
    }
    done = dict.fromkeys(steps, 0)
    for _ in range(60):
        name = life.rng.choice(list(steps))
        try:
            steps[name]()
        except CryptlvError:
            life.look()  # refused, as when a volume would be torn apart: nothing has changed
        else:
            done[name] += 1
        life.check()
    assert all(done.values()), done
