"""Looking at one device's metadata areas, whatever state they are in (`pvck --dump`)."""

from __future__ import annotations

from cryptlv.errors import FormatError
from cryptlv.host.archive import write_whole_file
from cryptlv.host.scan import Parsed, read_area, read_pv
from cryptlv.names import printable
from cryptlv.ondisk.label import LABEL_SCAN_BYTES, describe_label, find_label
from cryptlv.ondisk.mda import MDA_HEADER_BYTES, decode_mda_header, describe_header
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptlv.host.scan import FoundPv, MetadataArea
    from cryptlv.ops.session import Session


def _pv(session: Session, path: str) -> FoundPv:
    device = session.device(path)
    problems: list[str] = []
    found = read_pv(device, problems.append, Parsed())
    for problem in problems:
        session.warn(problem)
    if found is None:
        raise FormatError("no LVM2 label in the first four sectors", device=path, field="label")
    return found


class MetadataText(Record):
    """The committed text of a metadata area, and a line that says what it is, in the words of lvm2's pvck."""

    summary: str
    text: bytes


def find_metadata(session: Session, path: str) -> MetadataText | None:
    """The text of a device's first usable metadata area, as it lies there; None when no area has one.

    Raises FormatError, with what is wrong with each area, when there are only damaged ones.
    """
    found = _pv(session, path)
    for area in found.areas:
        metadata = _text_of(area)
        if metadata is not None:
            return metadata
    problems = [area.problem for area in found.areas if area.problem]
    if problems:
        raise FormatError("; ".join(problems))
    return None


def _text_of(area: MetadataArea) -> MetadataText | None:
    if area.text is None or area.vg is None or area.header is None or area.header.committed is None:
        return None
    location = area.header.committed
    summary = (
        f"metadata text at {area.start_bytes + location.offset_bytes} crc 0x{location.crc:x} "
        f"# vgname {printable(area.vg.name)} seqno {area.vg.seqno}"
    )
    return MetadataText(summary=summary, text=area.text)


def save_metadata(session: Session, path: str, file_path: str) -> str:
    """The text of `find_metadata` into a file; gives its summary, "" when there is none.

    Raises FormatError, DeviceError.
    """
    metadata = find_metadata(session, path)
    if metadata is None:
        return ""
    if not session.test:
        write_whole_file(file_path, metadata.text)
    return metadata.summary


def dump_headers(session: Session, path: str, say: Callable[[str], None]) -> None:
    """Say a device's label, PV header and metadata area headers, field by field, as lvm2's pvck does.

    Raises FormatError when one is damaged, after the lines of those before it.
    """
    device = session.device(path)
    label, remarks = find_label(device.read(0, min(device.size_bytes, LABEL_SCAN_BYTES)))
    for remark in remarks:
        session.warn(f"{path}: {remark}")
    if label is None:
        raise FormatError("no LVM2 label in the first four sectors", device=path, field="label")
    for line in describe_label(label):
        say(line)
    for number, (start, size) in enumerate(label.mdas, 1):
        try:
            header = decode_mda_header(device.read(start, MDA_HEADER_BYTES), start, size)
        except FormatError as error:
            raise error.at(path) from None
        for line in describe_header(header, number):
            say(line)
        area = read_area(device, label.pv_id, start, size, Parsed())
        if area.problem:
            raise FormatError(area.problem)
        metadata = _text_of(area)
        if metadata is not None:
            say(metadata.summary)


def describe_pv(session: Session, path: str) -> Iterator[str]:
    """Where the label and the sound metadata areas of a device are, as plain `pvck` says; raises FormatError."""
    found = _pv(session, path)
    yield f"Found label on {path}, sector {found.label.sector}, type=LVM2 001"
    for area in found.areas:
        if area.header is None:
            session.warn(f"{path}: {area.problem}")
        else:
            yield f"Found text metadata area: offset={area.start_bytes}, size={area.size_bytes}"
