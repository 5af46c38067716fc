"""A step done twice: by stock lvm2 on one copy of some disks and by ours on another; then stock looks at both.

What it reports of the two must be the same in every field, but for the ids and times of what the step has made.
"""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

from support.machine import Machine
from support.stock import StockLvm

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.machine import Result

    Words = Sequence[str]

STOCK_MAKES = ("-an", "-Zn", "-Wn", "-y")
"""What lvcreate of stock needs where there is no device-mapper; ours takes the same words."""
REPORTS: tuple[tuple[str, ...], ...] = (
    ("pvs", "-a", "--segments", "-o", "pv_all,pvseg_all,vg_name,lv_name"),
    ("vgs", "-o", "vg_all"),
    ("lvs", "-a", "--segments", "-o", "lv_all,seg_all,vg_name"),
)
_UUID = re.compile(r"\b\w{6}(?:-\w{4}){5}-\w{6}\b")
_OF_THE_WRITING = (
    "lv_time", "lv_host", "lv_time_removed", "pv_major", "pv_minor", "pv_mda_free", "vg_mda_free", "vg_seqno",
)  # fmt: skip
"""Times, device numbers, and what follows from how often and with which words the metadata were written."""


class Pair:
    """Disks D1, D2, ... made by stock, and a copy of them; words that name them are replaced by their nodes.

    `stock` has the disks of the one, `twin` (stock lvm2, too) and `machine` those of the other.
    """

    def __init__(self, folder: Path, sizes_mib: Sequence[int] = (40, 40, 40)) -> None:
        self.folder = folder
        self.stock = StockLvm(folder / "stock")
        self.twin = StockLvm(folder / "twin")
        (folder / "ours").mkdir()
        self.machine = Machine(folder / "ours")
        self.images = [folder / f"D{number}.img" for number in range(1, len(sizes_mib) + 1)]
        for image, mib in zip(self.images, sizes_mib, strict=True):
            with image.open("wb") as file:
                file.truncate(mib * 1024 * 1024)
        self.nodes = {image.stem: self.stock.attach(image) for image in self.images}
        self.twins: dict[str, Path] = {}
        self.known: set[str] = set()

    def setup(self, *steps: Words) -> None:
        """Commands of stock's on the disks, then the copy. Words such as `D1` are replaced by nodes."""
        for words in steps:
            self.stock.run(*self._named(words, self.nodes))
        self.copy()

    def copy(self) -> None:
        """Make the copy of the disks as they are now."""
        for image in self.images:
            twin = image.with_suffix(".twin")
            shutil.copy2(image, twin)
            self.twins[image.stem] = self.twin.attach(twin)
        shutil.copytree(self.stock.folder / "etc", self.folder / "ours" / "system", dirs_exist_ok=True)
        self.known = set(_UUID.findall(self._told(self.stock)))

    def step(self, *words: str, expect: int | None = 0, ours: Words | None = None, given: bytes = b"") -> Result:
        """The same command by both, with the same exit status; `ours` are our words where they differ.

        Gives what ours said.
        """
        theirs = self.stock.run(*self._named(words, self.nodes), expect=expect)
        mine = self.our_step(*(ours or words), expect=theirs.status, given=given)
        assert mine.status == theirs.status
        return mine

    def our_step(self, *words: str, expect: int | None = 0, given: bytes = b"") -> Result:
        """A command by ours alone."""
        command, *rest = self._named(words, self.twins)
        devices = ",".join(map(str, self.twins.values()))
        return self.machine.run(command, "--devices", devices, *rest, expect=expect, given=given)

    def _named(self, words: Words, nodes: dict[str, Path]) -> list[str]:
        """Words with `D1`, `D1:0-5` and the like naming nodes."""
        return [
            re.sub(r"^(D\d+)(?=$|:)", lambda match: str(nodes[match[1]]), word) if nodes else word for word in words
        ]

    def assert_same(self, *, without: Sequence[str] = (), is_partial: bool = False) -> None:
        """Fail when stock reports something else of ours than of its own; vgck must be content with ours.

        It never is with a group of which a disk is missing.
        """
        for words in REPORTS:
            theirs, ours = self._rows(self.stock, words, without), self._rows(self.twin, words, without)
            assert ours == theirs, f"{words[0]}: ours and stock's differ: {_difference(ours, theirs)}"
        for row in () if is_partial else self.twin.report("vg", "-o", "vg_name"):
            self.twin.run("vgck", row["vg_name"])
            self.our_step("vgck", row["vg_name"])

    def _rows(self, lvm: StockLvm, words: Words, without: Sequence[str]) -> list[dict[str, Any]]:
        text = lvm.run(*words, "--units", "s", "--reportformat", "json", "-O", "vg_name").out
        lines = (line for line in text.splitlines() if "Ignoring supplied major" not in line)
        text = "\n".join(lines).replace(str(lvm.folder), "")
        for uuid in set(_UUID.findall(text)) - self.known:
            text = text.replace(uuid, "new")
        (rows,) = (next(iter(part.values())) for part in json.loads(text[text.index("{") :])["report"])
        left_out = {*_OF_THE_WRITING, *without}
        shown = [{key: value for key, value in row.items() if key not in left_out} for row in rows]
        return sorted(shown, key=lambda row: json.dumps(row, sort_keys=True))

    def _told(self, lvm: StockLvm) -> str:
        return "".join(lvm.run(*words, expect=None).out for words in REPORTS)

    def close(self) -> None:
        """Give the loop devices back and end servers."""
        self.machine.close()
        self.stock.detach()
        self.twin.detach()


def _difference(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[Any]:
    """The fields of rows that differ, as far as the rows can be set beside each other; else the rows themselves."""
    if len(ours) != len(theirs):
        return [[row for row in ours if row not in theirs], [row for row in theirs if row not in ours]]
    return [
        {key: (our.get(key), their.get(key)) for key in {**our, **their} if our.get(key) != their.get(key)}
        for our, their in zip(ours, theirs, strict=True)
        if our != their
    ]
