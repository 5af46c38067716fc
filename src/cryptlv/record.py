"""Records: frozen, slotted, keyword-only value classes that cost nothing at start-up.

`dataclasses` takes some 17 ms to import and a third of a millisecond a class; a command such as `lvs` runs in
scripts and at boot.  A record's `__init__` is compiled when the first instance is made, so that a class which a
command never touches costs only its definition.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_: object):  # the real one needs `typing`, which type checkers have and we don't
        return lambda cls: cls


class FrozenRecordError(AttributeError):
    """Somebody assigned to a field of a record: a bug, never a user's error."""


def _compile_init(cls: Any) -> Any:
    defaults: dict[str, Any] = cls.__defaults__
    names: tuple[str, ...] = cls.__fields__
    scope: dict[str, Any] = {f"_set_{name}": getattr(cls, name).__set__ for name in names}
    scope |= {f"_default_{name}": value for name, value in defaults.items()}
    parameters = ", ".join(f"{name}=_default_{name}" if name in defaults else name for name in names)
    star = "*, " if names else ""
    lines = [f"def __init__(self, {star}{parameters}):"]
    lines += [f"    _set_{name}(self, {name})" for name in names] or ["    pass"]
    if hasattr(cls, "__validate__"):
        lines.append("    self.__validate__()")
    exec("\n".join(lines), scope)  # noqa: S102 - the text is made of the class's own field names only
    return scope["__init__"]


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _RecordMeta(type):
    def __new__(mcls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Any:
        own = [field for field in space.get("__annotations__", {}) if not field.startswith("__")]
        fields: list[str] = []
        defaults: dict[str, Any] = {}
        for base in bases:
            fields += [field for field in getattr(base, "__fields__", ()) if field not in fields]
            defaults |= getattr(base, "__defaults__", {})
        for field in own:
            if field in space:
                defaults[field] = space.pop(field)
        inherited = set(fields)
        fields += [field for field in own if field not in inherited]
        space["__slots__"] = tuple(field for field in own if field not in inherited)
        space["__fields__"] = tuple(fields)
        space["__match_args__"] = ()
        space["__defaults__"] = defaults
        cls = super().__new__(mcls, name, bases, space)

        def first_init(self: Any, **values: Any) -> None:
            compiled = _compile_init(cls)
            type.__setattr__(cls, "__init__", compiled)
            compiled(self, **values)

        if "__init__" not in space:
            type.__setattr__(cls, "__init__", first_init)
        return cls


class Record(metaclass=_RecordMeta):
    """Base of the frozen value classes; subclasses declare annotated fields, with or without a default."""

    if TYPE_CHECKING:
        __fields__: ClassVar[tuple[str, ...]]
        __defaults__: ClassVar[dict[str, Any]]

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenRecordError(f"{type(self).__name__} is a value: replace() makes a changed copy")

    def __delattr__(self, name: str) -> None:
        raise FrozenRecordError(f"{type(self).__name__} is a value: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self).__fields__)

    def __hash__(self) -> int:
        return hash((type(self).__name__, *(getattr(self, name) for name in type(self).__fields__)))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__fields__)
        return f"{type(self).__name__}({inside})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), tuple(getattr(self, name) for name in type(self).__fields__))

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; raises TypeError for a field that the record does not have."""
        values = {name: getattr(self, name) for name in type(self).__fields__}
        values.update(changes)
        return type(self)(**values)


def _rebuild(cls: Any, values: tuple[Any, ...]) -> Any:
    return cls(**dict(zip(cls.__fields__, values, strict=True)))
