"""The commit: the one place that writes a volume group's metadata.

The order is the safety. The text goes into the free part of every metadata area's ring and is flushed; then each
header points its slot 1 (precommitted) at it, flushed; then its slot 0 (committed), flushed. The first slot 0 that
reaches a disk is the point of no return: before it the old volume group is in force whatever happens, after it the
new one. Stock lvm2 writes in the same order without the flushes (lib/format_text/format-text.c:_vg_write_raw,
_vg_precommit_raw, _vg_commit_raw).
"""

from __future__ import annotations

from cryptlv.errors import CheckError, CommitError, CryptlvError, NoSpaceError
from cryptlv.model.check import check
from cryptlv.model.edit import canonical
from cryptlv.names import printable
from cryptlv.ondisk.mda import (
    IGNORED,
    RawLocation,
    encode_mda_header,
    max_text_bytes,
    next_text_offset,
    raw_location,
    text_pieces,
)
from cryptlv.ondisk.vgrender import render_disk
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptlv.device import Device
    from cryptlv.environment import Environment
    from cryptlv.host.scan import MetadataArea
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ondisk.mda import MdaHeader


class Place(Record):
    """A metadata area to write, on its open device."""

    device: Device
    area: MetadataArea

    @property
    def header(self) -> MdaHeader:
        """Its header; only areas that have one are places."""
        assert self.area.header is not None  # noqa: S101 - see plan_places
        return self.area.header

    def write_header(self, header: MdaHeader) -> None:
        self.device.write(self.area.start_bytes, encode_mda_header(header))


class Outcome(Record):
    """A commit that took effect. `misses` names the areas that do not have it, empty when all have."""

    vg: VolumeGroup
    misses: tuple[str, ...] = ()


def plan_areas(
    areas: Sequence[MetadataArea], copies: int = 0, *, use_all: bool = False
) -> tuple[list[MetadataArea], list[MetadataArea]]:
    """The areas that a commit writes, and those that it marks as ignored afterwards; damaged ones are neither.

    `copies` is how many areas the group wants to use: 0 for those that are in use now, one at least. Up-to-date areas
    are kept before others. (lib/metadata/metadata.c:_vg_adjust_ignored_mdas, which chooses at random.)
    """
    sound = [area for area in areas if area.header is not None]
    idle = [area for area in sound if area.is_ignored]
    used = sorted((area for area in sound if not area.is_ignored), key=_age)
    wanted = len(sound) if use_all else copies or max(len(used), 1)
    chosen = (*used, *idle)[:wanted]
    return [area for area in sound if area in chosen], [area for area in used if area not in chosen]


def _age(area: MetadataArea) -> int:
    return -area.vg.seqno if area.vg is not None else 0


def plan_places(areas: Sequence[MetadataArea], device_of: Callable[[str], Device]) -> list[Place]:
    """Areas, all of them with sound headers, on their open devices."""
    return [Place(device=device_of(area.path), area=area) for area in areas]


def usable_places(areas: Sequence[MetadataArea], device_of: Callable[[str], Device]) -> list[Place]:
    """The areas that a commit writes when as many of them stay in use as are now."""
    return plan_places(plan_areas(areas)[0], device_of)


def ignore_areas(places: Sequence[Place]) -> tuple[str, ...]:
    """Mark areas as not in use; a line for each that could not be. What they hold is older than what is in force."""
    misses: list[str] = []
    for place in places:
        old = place.header.committed or RawLocation(offset_bytes=0, size_bytes=0, crc=0)
        try:
            place.write_header(place.header.with_slots(old.replace(flags=IGNORED), None))
            place.device.flush()
        except CryptlvError as error:
            misses.append(str(error))
    return tuple(misses)


def erase_metadata(places: Sequence[Place], vg_name: str) -> None:
    """Make a volume group one that is not there: no area points at a text any more.

    The texts stay until they are written over. The last header is the point of no return: before it the group is
    whole, on fewer areas. Raises CommitError when a write fails; the headers are put back then.
    """
    for number, place in enumerate(places):
        try:
            place.write_header(place.header.with_slots(None, None))
            place.device.flush()
        except CryptlvError as error:
            if _revert(places[: number + 1]):
                message = f"{error}; volume group {printable(vg_name)} is not removed"
                raise CommitError(message, outcome="reverted") from error
            message = f"{error}; volume group {printable(vg_name)} is not properly removed"
            raise CommitError(message, outcome="uncertain") from error


def prepare(after: VolumeGroup, env: Environment) -> tuple[VolumeGroup, bytes]:
    """The value that will be in force and its text; raises CheckError.

    The text is parsed back and compared before anything is written: what cannot be read is never written.
    """
    vg = canonical(after.replace(seqno=after.seqno + 1))
    violations = check(vg)
    if violations:
        raise CheckError(violations)
    text = render_disk(vg, env)
    if parse_vg(text) != vg:
        raise CheckError((f"{printable(vg.name)}: the metadata text does not read back as what was meant",))
    return vg, text


def check_room(places: Sequence[Place], after: VolumeGroup, env: Environment) -> None:
    """Raise CheckError or NoSpaceError when `after` cannot be committed there; nothing is written."""
    vg, text = prepare(after, env)
    for place in places:
        _locate(place, text + b"\0", vg)


def write_metadata(
    places: Sequence[Place], after: VolumeGroup, env: Environment, before_commit: Callable[[], None] | None = None
) -> Outcome:
    """Make `after` the committed value, its seqno raised by one, in every place.

    `before_commit` is called when all is written and nothing is in force yet; when it fails, nothing will be.

    Raises CheckError or NoSpaceError before anything is written, CommitError (outcome "reverted") when a failure left
    the old value in force, and CommitError (outcome "uncertain") when the devices do not let us know.
    """
    vg, text = prepare(after, env)
    if not places:
        raise CommitError(
            f"{printable(vg.name)}: no metadata area can be written; nothing changed", outcome="reverted"
        )
    data = text + b"\0"
    located = [(place, _locate(place, data, vg)) for place in places]
    try:
        for place, location in located:
            _write_text(place, location, data)
        _flush(places)
        for place, location in located:
            place.write_header(place.header.with_slots(place.header.committed, location))
        _flush(places)
        if before_commit is not None:
            before_commit()
    except CryptlvError as error:
        _revert(places)
        raise CommitError(f"{error}; volume group {printable(vg.name)} is unchanged", outcome="reverted") from error
    return _point_of_no_return(located, vg)


def _locate(place: Place, data: bytes, vg: VolumeGroup) -> RawLocation:
    limit = max_text_bytes(place.area.size_bytes)
    if len(data) > limit:
        raise NoSpaceError(
            f"{place.area.path}: metadata of volume group {printable(vg.name)} ({len(data)} bytes) exceeds the "
            f"{limit} bytes that its metadata area can hold; nothing changed"
        )
    offset = next_text_offset(place.area.size_bytes, place.header.committed)
    return raw_location(offset, data)


def _write_text(place: Place, location: RawLocation, data: bytes) -> None:
    """The text into its pieces of the ring, the last padded with zeros to a sector."""
    done = 0
    pieces = text_pieces(place.area.size_bytes, location.offset_bytes, len(data))
    for offset, length in pieces:
        piece = data[done : done + length]
        done += length
        if done == len(data):
            piece += bytes(-(offset + length) % 512)
        place.device.write(place.area.start_bytes + offset, piece)


def _devices(places: Sequence[Place]) -> list[Device]:
    """The devices of the places, each once."""
    return list({id(place.device): place.device for place in places}.values())


def _flush(places: Sequence[Place]) -> None:
    """Flush each device once; raises the first device's error."""
    for device in _devices(places):
        device.flush()


def _revert(places: Sequence[Place]) -> bool:
    """Put the headers back as they were; whether all of them could be. A precommitted pointer that stays does no
    harm: it is never used for reading."""
    complete = True
    for place in places:
        try:
            place.write_header(place.header.with_slots(place.header.committed, None))
            place.device.flush()
        except CryptlvError:
            complete = False
    return complete


def _point_of_no_return(located: Sequence[tuple[Place, RawLocation]], vg: VolumeGroup) -> Outcome:
    misses: list[str] = []
    written: list[Place] = []
    for place, location in located:
        try:
            place.write_header(place.header.with_slots(location, None))
            written.append(place)
        except CryptlvError as error:
            misses.append(str(error))
    if not written and _revert([place for place, _ in located]):
        raise CommitError(f"{misses[0]}; volume group {printable(vg.name)} is unchanged", outcome="reverted")
    durable = 0
    for device in _devices(written):
        try:
            device.flush()
            durable += 1
        except CryptlvError as error:
            misses.append(str(error))
    if not durable:
        raise CommitError(
            f"{misses[-1]}; whether the change of volume group {printable(vg.name)} is on disk is not known: "
            f"check it with `cryptlv vgs {printable(vg.name)}`",
            outcome="uncertain",
        )
    return Outcome(vg=vg, misses=tuple(misses))
