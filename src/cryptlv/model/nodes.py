"""LVM2 metadata text as a tree of values: what a parser gives, a renderer takes, and an opaque segment keeps."""

from __future__ import annotations

from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    Scalar: TypeAlias = int | float | str
    Value: TypeAlias = "Scalar | tuple[Scalar, ...] | Section"
    Item: TypeAlias = tuple[str, Value]


class PvWord(str):
    """A physical volume's id in a list of places, where the text has the PV's word of the moment (pv0, pv1, ...)."""

    __slots__ = ()


class Section(Record):
    """A section `{ ... }`: its items in order. A duplicate key is kept; `get` gives the first, as lvm2 does.

    A value is an int, a float, a str, a tuple of those (a list in the text), or a Section.
    """

    items: tuple[Item, ...] = ()

    def get(self, key: str) -> Value | None:
        """The first value under `key`, None when there is none."""
        for name, value in self.items:
            if name == key:
                return value
        return None

    def sections(self) -> Iterator[tuple[str, Section]]:
        """The nested sections, in order, with their names."""
        for name, value in self.items:
            if isinstance(value, Section):
                yield name, value


def items_without(items: Iterable[Item], keys: frozenset[str]) -> tuple[Item, ...]:
    """The items whose key is not in `keys`, in order."""
    return tuple(item for item in items if item[0] not in keys)
