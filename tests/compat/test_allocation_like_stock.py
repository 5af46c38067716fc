"""lvcreate, lvextend, lvreduce, lvremove by stock lvm2, at random: each volume lies where we would have put it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import NoSpaceError
from cryptlv.model.allocate import POLICIES, Candidate, Wish, allocate
from cryptlv.model.resize import extended, neighbours_of
from cryptlv.model.sizes import Striping
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.ops.lv_plan import striped_maker

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.model.vg import LogicalVolume, Segment, VolumeGroup
    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]

STEPS = 40


class Play:
    """A group of stock's on PVs of several sizes, changed at random."""

    def __init__(self, stock: StockLvm, folder: Path, seed: int) -> None:
        self.stock = stock
        self.rng = random.Random(seed)
        self.nodes = []
        for number in range(self.rng.randint(2, 5)):
            image = folder / f"{number}.img"
            with image.open("wb") as file:
                file.truncate(1024 * 1024 + self.rng.randint(20, 70) * 128 * 1024 + 1024 * 1024)
            self.nodes.append(stock.attach(image))
        stock.run("vgcreate", "-s", "128k", "vg", *self.nodes)
        self.made = 0
        self.compared = 0

    @property
    def vg(self) -> VolumeGroup:
        return parse_vg(self.stock.metadata(self.nodes[0]))

    def words(self, vg: VolumeGroup) -> tuple[list[str], list[str], Wish]:
        """Options and PVs for stock, and what they mean to us."""
        rng = self.rng
        stripes = rng.choice([1, 1, 1, 2, 2, 3])
        stripes = min(stripes, len(self.nodes))
        policy = rng.choice([*POLICIES, "normal", "normal"])
        candidates, where = None, []
        if rng.random() < 0.3:
            chosen = rng.sample(range(len(vg.pvs)), rng.randint(stripes, len(vg.pvs)))
            candidates = tuple(Candidate(pv_id=vg.pvs[number].id) for number in chosen)
            where = [str(self.nodes[number]) for number in chosen]
        wish = Wish(
            length_le=rng.randint(1, 40) * stripes, what="", stripes=stripes, policy=policy, candidates=candidates
        )
        return ["--alloc", policy, "-i", str(stripes)], where, wish

    def create(self, vg: VolumeGroup) -> None:
        options, where, wish = self.words(vg)
        name = f"v{self.made}"
        self.made += 1
        ours = self.expected(vg, None, wish)
        self.stock.run(
            "lvcreate", "-an", "-Zn", "-Wn", "-y", *options, f"-l{wish.length_le}", f"-n{name}", "vg", *where,
            expect=None,
        )  # fmt: skip
        self.compare(name, ours, wish)

    def extend(self, vg: VolumeGroup, lv: LogicalVolume) -> None:
        options, where, wish = self.words(vg)
        ours = self.expected(vg, lv, wish)
        self.stock.run("lvextend", *options, f"-l+{wish.length_le}", f"vg/{lv.name}", *where, expect=None)
        self.compare(lv.name, ours, wish)

    def expected(self, vg: VolumeGroup, lv: LogicalVolume | None, wish: Wish) -> tuple[Segment, ...]:
        """The segments that we would give the volume; those that it has when there is no room."""
        before = lv.segments if lv is not None else ()
        make = striped_maker(Striping(count=wish.stripes, size_sectors=128 if wish.stripes > 1 else 0))
        try:
            pieces = allocate(vg, wish.replace(neighbours=neighbours_of(lv) if lv is not None else None))
        except NoSpaceError:
            return before
        if lv is not None:
            return extended(vg, lv, pieces, make).lv(lv.name).segments
        start, segments = 0, []
        for piece in pieces:
            segments.append(make(start, piece))
            start += piece.length_le
        return tuple(segments)

    def compare(self, name: str, ours: tuple[Segment, ...], wish: Wish) -> None:
        lv = self.vg.find_lv(name)
        assert (lv.segments if lv is not None else ()) == ours, (name, wish)
        self.compared += 1


@pytest.mark.parametrize("seed", range(8))
def test_volumes_lie_where_stock_puts_them(tmp_path: Path, stock: StockLvm, seed: int) -> None:
    play = Play(stock, tmp_path, seed)
    for _ in range(STEPS):
        vg = play.vg
        lv = play.rng.choice(vg.lvs) if vg.lvs else None
        dice = play.rng.random()
        if lv is None or dice < 0.45:
            play.create(vg)
        elif dice < 0.75:
            play.extend(vg, lv)
        elif dice < 0.85 and lv.length_le > 6:
            stock.run("lvreduce", "-y", "-l-3", f"vg/{lv.name}", expect=None)
        else:
            stock.run("lvremove", "-y", f"vg/{lv.name}")
    assert play.compared > STEPS / 3
