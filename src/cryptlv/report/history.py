"""Volumes that were removed and are remembered (lvs -H): snapshots that stood between others (lib/metadata/lv.h).

Their names have a hyphen before them in lvm2's texts and reports, which no volume that is there can have.
"""

from __future__ import annotations

from cryptlv.model.vg import LogicalVolume
from cryptlv.segments.opaque import OpaqueSegment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.model.nodes import Section, Value
    from cryptlv.model.vg import VolumeGroup

PAST = "-"
_SEGMENT = OpaqueSegment(start_le=0, length_le=0, type_word="historical")


class PastVolume(LogicalVolume):
    """A volume that is no more, with its name behind a hyphen: what it was made from and what was made from it."""

    removal_time: int | None = None
    origin: str = ""
    descendants: tuple[str, ...] = ()


def past_volumes(vg: VolumeGroup) -> tuple[PastVolume, ...]:
    """Those that a group's metadata remember, as they stand there."""
    sections = vg.historical.sections() if vg.historical is not None else ()
    return tuple(_past_volume(key, section) for key, section in sections)


def _past_volume(key: str, section: Section) -> PastVolume:
    return PastVolume(
        name=PAST + (_word(section.get("name")) or key),
        id=_word(section.get("id")),
        status=(),
        allocation_policy="unknown",
        read_ahead=0,
        creation_time=_time(section.get("creation_time")),
        removal_time=_time(section.get("removal_time")),
        origin=_word(section.get("origin")),
        descendants=_words(section.get("descendants")),
        segments=(_SEGMENT,),
    )


def _word(value: Value | None) -> str:
    return value if isinstance(value, str) else ""


def _words(value: Value | None) -> tuple[str, ...]:
    return tuple(map(_word, value)) if isinstance(value, tuple) else (value,) if isinstance(value, str) else ()


def _time(value: Value | None) -> int | None:
    return value if isinstance(value, int) else None
