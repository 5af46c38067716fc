"""Segments that go on where the one before them ends become one with it (lib/metadata/merge.c:lv_merge_segments)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.model.vg import LogicalVolume, Segment


def merge_segments(lv: LogicalVolume) -> LogicalVolume:
    """The volume with every segment joined to the one before it where their type says that they are one.

    Nothing that is read or written through it changes place. Segments of types that are kept but not understood stay.
    """
    merged: list[Segment] = []
    for segment in lv.segments:
        one = merged[-1].joined(segment) if merged else None
        if one is None:
            merged.append(segment)
        else:
            merged[-1] = one
    return lv.replace(segments=tuple(merged)) if len(merged) < len(lv.segments) else lv
