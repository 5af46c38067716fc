"""Segments that follow each other on the disks as one, as lvm2 keeps them (lib/metadata/merge.c)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptlv.model.vg import LogicalVolume, Segment


def merged(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Segments in order, with each that goes on in the next joined with it."""
    done: list[Segment] = []
    for segment in segments:
        joined = done[-1].joined(segment) if done else None
        if joined is None:
            done.append(segment)
        else:
            done[-1] = joined
    return tuple(done)


def merge_segments(lv: LogicalVolume) -> LogicalVolume:
    """The volume with the fewest segments that say the same."""
    segments = merged(lv.segments)
    return lv.replace(segments=segments) if len(segments) < len(lv.segments) else lv
