"""Records are values: equal by content, frozen, hashable, copied with changes."""

from __future__ import annotations

import copy
import pickle

import pytest

from cryptlv.record import FrozenRecordError, Record


class Point(Record):
    """Two numbers."""

    x: int
    y: int = 0


class Named(Point):
    """With a name; `y` has another default."""

    name: str
    y: int = 7


def test_equality_is_by_type_and_content() -> None:
    assert Point(x=1) == Point(x=1, y=0)
    assert Point(x=1) != Point(x=2)
    assert Named(x=1, y=0, name="") != Point(x=1, y=0)
    assert len({Point(x=1), Point(x=1, y=0), Point(x=2)}) == 2


def test_subclasses_inherit_fields_and_may_change_defaults() -> None:
    named = Named(x=1, name="n")
    assert (named.x, named.y, named.name) == (1, 7, "n")
    assert repr(named) == "Named(x=1, y=7, name='n')"


@pytest.mark.parametrize("values", [{}, {"y": 1}, {"x": 1, "z": 2}])
def test_missing_and_unknown_fields_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(TypeError):
        Point(**values)


def test_nothing_can_be_assigned_or_deleted() -> None:
    point = Point(x=1)
    with pytest.raises(FrozenRecordError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenRecordError):
        point.new = 2
    with pytest.raises(FrozenRecordError):
        del point.x
    assert point.x == 1


def test_replace_changes_a_copy() -> None:
    point = Point(x=1, y=2)
    assert point.replace(y=3) == Point(x=1, y=3)
    assert point == Point(x=1, y=2)
    with pytest.raises(TypeError):
        point.replace(z=1)


def test_copies_and_pickles_are_equal() -> None:
    named = Named(x=1, name="n")
    assert copy.deepcopy(named) == named
    assert pickle.loads(pickle.dumps(named)) == named  # noqa: S301 - our own bytes


class Checked(Record):
    """Refuses what is negative."""

    size: int

    def __validate__(self) -> None:
        if self.size < 0:
            raise ValueError("negative")


def test_validation_runs_for_every_instance() -> None:
    assert Checked(size=1).size == 1
    with pytest.raises(ValueError, match="negative"):
        Checked(size=1).replace(size=-1)
