"""Volumes that stock lvm2 makes only with a kernel's device-mapper: as metadata text, which it restores.

The words and their order are those of lvm2's own texts (its text_export functions); stock's vgcfgrestore judges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.stock import StockLvm

    Items = Mapping[str, object]


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _items(items: Items) -> str:
    return "".join(
        f"{key} {{\n{_items(value)}}}\n" if isinstance(value, Mapping) else f"{key} = {_value(value)}\n"
        for key, value in items.items()
    )


class Volumes:
    """The logical volumes of a text under construction; extents are taken in order on each physical volume."""

    def __init__(self) -> None:
        self.text = ""
        self.past_text = ""
        self._taken: dict[int, int] = {}
        self._count = 0

    def place(self, pv: int, length: int) -> tuple[str, int]:
        """The next `length` extents of a PV."""
        start = self._taken.get(pv, 0)
        self._taken[pv] = start + length
        return f"pv{pv}", start

    def add(
        self,
        name: str,
        *segments: Items,
        hidden: bool = False,
        flags: tuple[str, ...] = (),
        status: tuple[str, ...] = (),
        more: Items | None = None,
    ) -> None:
        """A volume of these segments."""
        self._count += 1
        items: dict[str, object] = {
            "id": f"LVLVLV-0000-0000-0000-0000-0000-{self._count:06}",
            "status": (*(("READ", "WRITE") if hidden else ("READ", "WRITE", "VISIBLE")), *status),
            "flags": flags,
            "creation_time": 1700000000,
            "creation_host": "lab",
            **(more or {}),
            "segment_count": len(segments),
        }
        start = 0
        for number, segment in enumerate(segments, 1):
            items[f"segment{number}"] = {"start_extent": start, **segment}
            start += int(str(segment["extent_count"]))
        self.text += _items({name: items})

    def past(self, key: str, **items: object) -> None:
        """A volume that was removed and is remembered."""
        self.past_text += _items({key: {"id": "LVLVLV-0000-0000-0000-0000-0000-009999", **items}})

    def one(self, name: str, kind: str, length: int, **items: object) -> None:
        """A visible volume of one segment of some type."""
        self.add(name, segment(kind, length, **items))

    def linear(self, name: str, length: int, pv: int = 0, *, flags: tuple[str, ...] = ()) -> None:
        """A visible linear volume."""
        self.add(name, self.run(length, pv), flags=flags)

    def part(self, name: str, length: int, pv: int = 0, *, flags: tuple[str, ...] = ()) -> None:
        """A hidden linear volume, which is a part of another."""
        self.add(name, self.run(length, pv), hidden=True, flags=flags)

    def run(self, length: int, pv: int = 0) -> Items:
        """A linear segment."""
        return segment("striped", length, stripe_count=1, stripes=self.place(pv, length))


def segment(kind: str, length: int, **items: object) -> Items:
    """A segment of any type."""
    return {"extent_count": length, "type": kind, **items}


def restore(
    stock: StockLvm,
    folder: Path,
    make: Callable[[Volumes], None] | None = None,
    *,
    name: str = "vg",
    swaps: tuple[tuple[str, str], ...] = (),
) -> None:
    """Give a volume group without volumes the ones that `make` adds, after `swaps` of words in its text."""
    path = folder / "text"
    stock.run("vgcfgbackup", "-f", path, name)
    text = path.read_text()
    for old, new in swaps:
        assert old in text, old
        text = text.replace(old, new, 1)
    if make is not None:
        volumes = Volumes()
        make(volumes)
        end = text.rindex("}")
        past = f"historical_logical_volumes {{\n{volumes.past_text}}}\n" if volumes.past_text else ""
        text = f"{text[:end]}logical_volumes {{\n{volumes.text}}}\n{past}}}\n"
    path.write_text(text)
    stock.run("vgcfgrestore", "-y", "--force", "-f", path, name)
