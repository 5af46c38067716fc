"""Looking at one device's metadata areas, whatever state they are in (`pvck --dump`)."""

from __future__ import annotations

from cryptlv.errors import FormatError
from cryptlv.host.archive import write_whole_file
from cryptlv.host.scan import read_pv
from cryptlv.ondisk.label import LABEL_SCAN_BYTES, describe_label, find_label
from cryptlv.ondisk.mda import MDA_HEADER_BYTES, decode_mda_header, describe_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.host.scan import FoundPv
    from cryptlv.ops.session import Session


def _pv(session: Session, path: str) -> FoundPv:
    device = session.device(path)
    problems: list[str] = []
    found = read_pv(device, problems.append, {})
    for problem in problems:
        session.warn(problem)
    if found is None:
        raise FormatError("no LVM2 label in the first four sectors", device=path, field="label")
    return found


def dump_metadata(session: Session, path: str) -> bytes:
    """The committed metadata text of a device's first usable metadata area, as it lies there.

    Raises FormatError, with what is wrong with each area, when there is none.
    """
    found = _pv(session, path)
    for area in found.areas:
        if area.text is not None:
            return area.text
    problems = [area.problem for area in found.areas if area.problem]
    raise FormatError("; ".join(problems) or "no metadata text on this device", device=path, field="metadata")


def save_metadata(session: Session, path: str, file_path: str) -> None:
    """`dump_metadata` into a file; raises FormatError, DeviceError."""
    text = dump_metadata(session, path)
    if not session.test:
        write_whole_file(file_path, text)


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
