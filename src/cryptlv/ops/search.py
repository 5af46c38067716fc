"""Looking for metadata texts, also those that no header points at (`pvck --dump metadata_all|metadata_search`)."""

from __future__ import annotations

from cryptlv.errors import FormatError, NotFoundError, RefusedError, UsageError
from cryptlv.host.archive import write_whole_file
from cryptlv.names import parse_uuid, printable, render_uuid
from cryptlv.ondisk.label import LABEL_SCAN_BYTES, find_label
from cryptlv.ondisk.mda import MAX_AREA_BYTES, MDA_HEADER_BYTES
from cryptlv.ondisk.search import search_texts
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.record import Record
from cryptlv.units import KIB, MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.device import Device
    from cryptlv.ops.session import Session

_FIRST_AREA = 4 * KIB
_LARGEST_SEARCH = 128 * MIB


class Settings(Record):
    """pvck's --settings, in bytes; None for what is not given."""

    mda_num: int | None = None
    mda_offset: int | None = None
    mda_size: int | None = None
    mda2_offset: int | None = None
    mda2_size: int | None = None
    metadata_offset: int | None = None
    seqno: int | None = None
    pv_uuid: str = ""
    device_size: int | None = None
    data_offset: int | None = None


def parse_settings(texts: tuple[str, ...]) -> Settings:
    """Read `key=value` pairs, several in one text or not, as lvm2's pvck has them; raises UsageError."""
    import re

    found: dict[str, int | str] = {}
    for text in texts:
        place = 0
        for pair in re.finditer(r"\s*([a-z0-9_]+)\s*=\s*(\S+)\s*", text):
            key, value = pair[1], pair[2]
            if pair.start() != place or key not in Settings.__fields__:
                break
            found[key] = _uuid(value) if key == "pv_uuid" else _number(key, value)
            place = pair.end()
        if place != len(text):
            raise UsageError(
                f"--settings: {text[place:]!r} is not understood; it has {', '.join(Settings.__fields__)}"
            )
    return Settings(**found)  # type: ignore[arg-type]


def _uuid(value: str) -> str:
    """A PV id with its hyphens, given with them or without."""
    try:
        return render_uuid(parse_uuid(value if "-" in value else render_uuid(value)))
    except ValueError:
        raise UsageError(f"--settings pv_uuid: {value!r} is no id of a physical volume") from None


def _number(key: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 19:
        raise UsageError(f"--settings {key}: {value!r} is no number")
    return int(value)


def headed_areas(device: Device) -> tuple[tuple[int, int], ...]:
    """The (offset, size) of the metadata areas by the label; none without a label."""
    label, _ = find_label(device.read(0, min(device.size_bytes, LABEL_SCAN_BYTES)))
    return label.mdas if label is not None else ()


def second_area(device_size_bytes: int) -> tuple[int, int]:
    """Where a second metadata area lies when nobody says otherwise: the last whole MiB and what is behind it."""
    offset = device_size_bytes // MIB * MIB - MIB
    return offset, device_size_bytes - offset


def dump_all(
    session: Session, path: str, settings: Settings, say: Callable[[str], None], file_path: str = ""
) -> None:
    """Say every text in the metadata area that the label names, and write them into a file if one is named.

    Raises FormatError without a label or area, DeviceError, RefusedError for a file that exists.
    """
    device = session.device(path)
    areas = headed_areas(device)
    number = settings.mda_num or 1
    if not areas:
        raise FormatError(
            "no metadata area is known; look for its texts with --dump metadata_search", device=path, field="label"
        )
    if not 1 <= number <= len(areas):
        raise NotFoundError(f"{path}: it has {len(areas)} metadata areas, not {number}")
    _dump(session, device, areas[number - 1], settings, say, file_path)


def dump_search(
    session: Session, path: str, settings: Settings, say: Callable[[str], None], file_path: str = ""
) -> None:
    """As `dump_all`, wherever the area is: by the settings, else by the label, else where lvm2 puts it."""
    device = session.device(path)
    area = _searched_area(device, settings, say)
    say(f"Searching for metadata at offset {area[0]} size {area[1]}")
    _dump(session, device, area, settings, say, file_path)


def _searched_area(device: Device, settings: Settings, say: Callable[[str], None]) -> tuple[int, int]:
    """The (offset, size) to search: as far as the settings say, else by the label, else where lvm2 has it."""
    second = settings.mda_num == 2 or (settings.mda_offset is None and settings.mda2_offset is not None)
    given = (settings.mda2_offset, settings.mda2_size) if second else (settings.mda_offset, settings.mda_size)
    if second and given == (None, None):
        given = settings.mda_offset, settings.mda_size
    areas = headed_areas(device)
    if given == (None, None) and len(areas) > second:
        return areas[second]
    offset, size = second_area(device.size_bytes) if second else (_FIRST_AREA, MIB - _FIRST_AREA)
    if given == (None, None):
        which = "defaults for second" if second else "common defaults for first"
        say(f"Using {which} mda: offset {offset} size {size}.")
        say('Override defaults with --settings "mda_offset=<bytes> mda_size=<bytes>"')
        return offset, size
    if second and given[1] is not None:
        offset, size = device.size_bytes - given[1], given[1]
    offset = offset if given[0] is None else given[0]
    if given[1] is not None:
        size = given[1]
    elif second:
        size = device.size_bytes - offset
    return offset, size


def _dump(
    session: Session,
    device: Device,
    area: tuple[int, int],
    settings: Settings,
    say: Callable[[str], None],
    target: str,
) -> None:
    offset, size = area
    if not MDA_HEADER_BYTES < size <= min(MAX_AREA_BYTES, device.size_bytes - offset):
        raise FormatError(
            f"an area of {size} bytes is not on a device of {device.size_bytes}",
            device=device.path,
            offset_bytes=offset,
        )
    if size > _LARGEST_SEARCH:
        raise RefusedError(
            f"{device.path}: an area of {size} bytes is too large to search at once; "
            f"name {_LARGEST_SEARCH} bytes of it: --settings 'mda_offset=BYTES mda_size=BYTES'"
        )
    texts: list[bytes] = []
    ids: set[str] = set()
    for found in search_texts(device.read(offset, size)):
        if settings.metadata_offset not in (None, offset + found.offset_bytes):
            continue
        if settings.seqno not in (None, found.seqno):
            continue
        say(f"metadata at {offset + found.offset_bytes} {printable(found.summary)}")
        try:
            parse_vg(found.text)
        except FormatError as error:
            session.warn(f"{device.path}: metadata at {offset + found.offset_bytes} cannot be read: {error}")
        if not found.is_whole:
            session.warn(f"{device.path}: metadata at {offset + found.offset_bytes} does not end as it should")
        ids.add(found.vg_id)
        if target:
            texts.append(found.text)
        if settings.seqno is not None:
            break
    if len(ids) > 1:
        session.warn(f"{device.path}: there is metadata of {len(ids)} volume groups")
    if target and not session.test:
        write_whole_file(target, b"\n--\n".join(texts))
