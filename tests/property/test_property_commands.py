"""Five hundred commands at random against a slow model made of sets of extents; stock lvm2 looks at what is left.

The model knows of each volume the extents in order, and their content; what a command may do is said by sets.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.check import check
from cryptlv.model.sizes import LvSize
from cryptlv.ops import lv as lvs
from cryptlv.ops import lv_remove, pv, vg
from cryptlv.ops.candidates import PvArgument
from cryptlv.ops.lv_resize import RESIZE, ResizeRequest, resize
from cryptlv.ops.pvmove import MoveRequest, move
from cryptlv.ops.vgck import find_faults
from cryptlv.segments.crypt import CryptSegment, reused_tweaks
from cryptlv.segments.striped import StripedSegment
from support.disks import Disks, Known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.model.vg import LogicalVolume, VolumeGroup
    from support.stock import StockLvm

    Extent = tuple[str, int]

MIB = 1024 * 1024
EXTENT = 64 * 1024
COMMANDS = 500
KEY = bytes(range(64))


def extents_of(group: VolumeGroup, lv: LogicalVolume) -> list[frozenset[Extent]]:
    """For each logical extent of a volume the physical ones that it may lie on, worked out one by one."""
    found: list[frozenset[Extent]] = []
    for segment in lv.segments:
        if isinstance(segment, CryptSegment) and not list(segment.footprint()):
            ((_, below),) = segment.parts()
            return extents_of(group, group.lv(below))
        if isinstance(segment, StripedSegment) and len(segment.areas) > 1:
            for step in range(segment.length_le):
                row = step // len(segment.areas)
                found.append(frozenset((pv_id, start + row) for pv_id, start, _ in segment.footprint()))
            continue
        ((pv_id, start, length),) = segment.footprint()
        found += [frozenset(((pv_id, start + step),)) for step in range(length)]
    return found


class Play:
    """A group of four disks in memory, and what the model says of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        devices = {f"/d{number}": MemoryDevice((4 + number) * MIB, path=f"/d{number}") for number in range(4)}
        self.disks = Disks(folder, devices)
        with self.disks.session() as session:
            for path, copies in zip(devices, (1, 2, 0, 1), strict=True):
                pv.create(session, (path,), pv.PvOptions(metadata_copies=copies))
            vg.create(session, "vg0", tuple(devices), EXTENT)
        self.sizes: dict[str, int] = {}
        self.extents: dict[str, list[frozenset[Extent]]] = {}
        self.done = 0
        self.made = 0

    @property
    def group(self) -> VolumeGroup:
        group = self.disks.group()
        assert group is not None
        return group

    def everything(self, group: VolumeGroup) -> dict[str, list[frozenset[Extent]]]:
        return {lv.name: extents_of(group, lv) for lv in group.lvs if lv.is_visible}

    def create(self) -> str:
        rng = self.rng
        name = f"v{self.made}"
        self.made += 1
        kind = rng.choice(["linear", "linear", "striped", "crypt", "crypt", "shared"])
        stripes = rng.choice([2, 3]) if kind == "striped" or rng.random() < 0.2 else 1
        wanted = rng.randint(1, 12) * stripes
        stores = [lv.name for lv in self.group.lvs if lv.name.startswith("cryptostore")]
        request = lvs.LvRequest(
            name=name,
            extents=wanted,
            segment_type=kind if kind != "shared" else "crypt",
            stripes=stripes if kind != "linear" else 1,
            handler="plain",
            crypto_store=rng.choice(stores) if kind == "shared" and stores else "",
            policy=rng.choice(["", "", "contiguous", "cling", "anywhere"]),
            pvs=(PvArgument(path=f"/d{rng.randrange(4)}"), PvArgument(path="/d3")) if rng.random() < 0.2 else (),
        )
        with self.disks.session() as session:
            lvs.create(session, "vg0", request, Known(KEY))
        self.sizes[name] = wanted
        return name

    def resize(self) -> str:
        name = self.rng.choice(sorted(self.sizes))
        by = self.rng.randint(1, 9)
        sign = self.rng.choice(["+", "-"])
        wanted = ResizeRequest(way=RESIZE, size=LvSize(extents=by, sign=sign), pvs=())
        with self.disks.session() as session:
            done = resize(session, "vg0", name, wanted)
        assert done.before_le == self.sizes[name]
        if sign == "+":
            assert done.before_le + by <= done.after_le < done.before_le + by + 3, "but for whole stripes"
        else:
            assert done.before_le - by <= done.after_le < done.before_le - by + 3
        self.sizes[name] = done.after_le
        return name

    def remove(self) -> str:
        name = self.rng.choice(sorted(self.sizes))
        with self.disks.session() as session:
            lv_remove.remove(session, "vg0", (name,))
        del self.sizes[name]
        return name

    def move(self) -> str:
        source = f"/d{self.rng.randrange(4)}"
        name = self.rng.choice(sorted(self.sizes)) if self.rng.random() < 0.5 else ""
        with self.disks.session() as session:
            move(session, MoveRequest(source=source, lv_name=name))
        return "*"

    def step(self) -> None:
        before = self.group
        moves = [self.create, self.resize, self.resize, self.remove, self.move] if self.sizes else [self.create]
        chosen = self.rng.choice(moves)
        try:
            changed = chosen()
        except CryptlvError:
            after = self.group
            assert after.replace(seqno=0) == before.replace(seqno=0) or chosen == self.move, "refused, so unchanged"
            changed = "*" if chosen == self.move else ""
        else:
            self.done += 1
        self.compare(changed)

    def compare(self, changed: str) -> None:
        """The group is what the model says; volumes that were not meant are where they were."""
        group = self.group
        assert check(group) == ()
        now = self.everything(group)
        assert {name: len(places) for name, places in now.items()} == self.sizes
        for name, places in now.items():
            if changed not in (name, "*") and name in self.extents:
                assert places == self.extents[name], f"{name} was not meant"
            elif changed == name and name in self.extents:
                kept = min(len(places), len(self.extents[name]))
                assert places[:kept] == self.extents[name][:kept], "what stays, stays where it is"
        taken = [extent for lv in group.lvs for part in lv.segments for extent in footprint(part.footprint())]
        assert len(taken) == len(set(taken))
        counts = {item.id: item.pe_count for item in group.pvs}
        assert all(0 <= pe < counts[pv_id] for pv_id, pe in taken)
        stores = {name for lv in group.lvs for part in lv.segments for name in part.keystores}
        assert stores == {lv.name for lv in group.lvs if lv.name.startswith("cryptostore")}
        assert not list(reused_tweaks(group))
        self.extents = now


def footprint(places: Iterator[tuple[str, int, int]]) -> Iterator[Extent]:
    return ((pv_id, start + step) for pv_id, start, length in places for step in range(length))


@pytest.mark.parametrize("seed", range(2))
def test_the_group_is_what_the_model_says(tmp_path: Path, seed: int) -> None:
    play = Play(tmp_path, seed)
    for _ in range(COMMANDS):
        play.step()
    assert play.done > COMMANDS / 2
    with play.disks.session() as session:
        assert find_faults(session, "vg0") == ()


@pytest.mark.compat
@pytest.mark.root
def test_stock_is_content_with_what_is_left(stock: StockLvm) -> None:
    folder = Path(tempfile.mkdtemp(prefix="clv-"))
    play = Play(folder, 99)
    for _ in range(COMMANDS):
        play.step()
    for path, device in play.disks.devices.items():
        image = folder / path.strip("/")
        image.write_bytes(bytes(device.content))  # type: ignore[attr-defined]
        stock.attach(image)
    assert stock.run("vgck", "vg0").status == 0
    rows = {row["lv_name"]: row for row in stock.report("lv", "-o", "lv_name,seg_count", "vg0")}
    assert set(rows) == set(play.sizes)
    shutil.rmtree(folder)
