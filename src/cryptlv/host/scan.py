"""What lies on the devices: labels, metadata areas, texts, and the volume groups they make.

Mirrors stock lvm2's choices (lib/label/label.c, lib/cache/lvmcache.c, lib/metadata/metadata.c:_vg_read): every copy
is verified by its checksum, the highest sequence number wins, and each copy that is left out is named in a warning.
"""

from __future__ import annotations

from cryptlv.errors import CryptlvError, DeviceError, FormatError, NotFoundError
from cryptlv.names import printable
from cryptlv.ondisk.label import LABEL_SCAN_BYTES, find_label
from cryptlv.ondisk.mda import MDA_HEADER_BYTES, check_text, decode_mda_header, text_pieces
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cryptlv.device import Device
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ondisk.label import PvLabel
    from cryptlv.ondisk.mda import MdaHeader


class MetadataArea(Record):
    """One metadata area as found. `problem` says why its text cannot be used; it is "" when there is none.

    `header` is None when it cannot be read; `text` and `vg` are None when the area holds no metadata, is ignored, or
    is damaged.
    """

    path: str
    pv_id: str
    start_bytes: int
    size_bytes: int
    header: MdaHeader | None = None
    text: bytes | None = None
    vg: VolumeGroup | None = None
    problem: str = ""

    @property
    def is_ignored(self) -> bool:
        """Whether it is marked as not in use."""
        return self.header is not None and self.header.is_ignored


class FoundPv(Record):
    """A device with a label."""

    path: str
    size_bytes: int
    label: PvLabel
    areas: tuple[MetadataArea, ...]


class Group(Record):
    """A volume group as found: its newest metadata, where its PVs are, and what was odd.

    `areas` are the metadata areas of its own PVs; `pv_paths` has no entry for a PV whose device was not found.
    """

    vg: VolumeGroup
    pv_paths: Mapping[str, str]
    areas: tuple[MetadataArea, ...]

    @property
    def missing_pv_ids(self) -> tuple[str, ...]:
        """The PVs whose devices were not found."""
        return tuple(pv.id for pv in self.vg.pvs if pv.id not in self.pv_paths)


_READS = 3
"""How often a PV is read whose text is damaged: its volume group may have been changed twice meanwhile."""


class World(Record):
    """All that was found. `warnings` has one line for each thing that an administrator should know."""

    pvs: tuple[FoundPv, ...]
    groups: tuple[Group, ...]
    warnings: tuple[str, ...]

    def find_group(self, name: str) -> Group | None:
        """The volume group of that name; raises FormatError when two have it."""
        named = [group for group in self.groups if group.vg.name == name]
        if len(named) > 1:
            ids = ", ".join(group.vg.id for group in named)
            raise FormatError(f"several volume groups are named {name}: {ids}; use --devices to name one's devices")
        return named[0] if named else None

    def group(self, name: str) -> Group:
        """The volume group of that name; raises NotFoundError."""
        group = self.find_group(name)
        if group is None:
            raise NotFoundError(f"volume group {printable(name)!r} not found")
        return group

    def group_of(self, pv_id: str) -> Group | None:
        """The volume group that a PV belongs to, None for an orphan."""
        for group in self.groups:
            if any(pv.id == pv_id for pv in group.vg.pvs):
                return group
        return None


def read_pv(device: Device, warn: Callable[[str], None], parsed: dict[bytes, VolumeGroup]) -> FoundPv | None:
    """The physical volume on a device, or None when it has no label; raises DeviceError.

    `parsed` remembers texts, which are mostly the same on all PVs of a group.
    """
    head = device.read(0, min(LABEL_SCAN_BYTES, device.size_bytes))
    label, remarks = find_label(head)
    for remark in remarks:
        warn(f"{device.path}: {remark}")
    if label is None:
        return None
    areas = [read_area(device, label.pv_id, start, size, parsed) for start, size in label.mdas]
    return FoundPv(path=device.path, size_bytes=device.size_bytes, label=label, areas=tuple(areas))


def read_area(
    device: Device, pv_id: str, start_bytes: int, size_bytes: int, parsed: dict[bytes, VolumeGroup]
) -> MetadataArea:
    """One metadata area; whatever is wrong with it is said in `problem`."""
    area = MetadataArea(path=device.path, pv_id=pv_id, start_bytes=start_bytes, size_bytes=size_bytes)
    try:
        header = decode_mda_header(device.read(start_bytes, MDA_HEADER_BYTES), start_bytes, size_bytes)
    except (FormatError, DeviceError) as error:
        return area.replace(problem=f"metadata area header: {error}")
    area = area.replace(header=header)
    location = header.committed
    if header.is_ignored or location is None:
        return area
    try:
        pieces = text_pieces(size_bytes, location.offset_bytes, location.size_bytes)
        raw = b"".join(device.read(start_bytes + offset, length) for offset, length in pieces)
        text = check_text(raw, location)
        vg = parsed.get(text)
        if vg is None:
            vg = parsed[text] = parse_vg(text)
    except (FormatError, DeviceError) as error:
        return area.replace(problem=f"metadata text: {error}")
    return area.replace(text=text, vg=vg)


def scan(devices: Iterable[Device], parsed: dict[bytes, VolumeGroup] | None = None) -> World:
    """Read every device once. A device that fails is warned about and left out.

    `parsed` remembers texts from scan to scan: what is read again under a lock is mostly what was read before.
    """
    warnings: list[str] = []
    if parsed is None:
        parsed = {}
    return assemble(read_pvs(devices, warnings.append, parsed), warnings)


def read_pvs(
    devices: Iterable[Device], warn: Callable[[str], None], parsed: dict[bytes, VolumeGroup]
) -> list[FoundPv]:
    """The physical volumes on devices; one that fails is warned about and left out."""
    pvs: list[FoundPv] = []
    for device in devices:
        try:
            pv = read_pv(device, warn, parsed)
            for _ in range(1, _READS):
                if pv is not None and any(area.problem for area in pv.areas):
                    pv = read_pv(device, warn, parsed)
        except CryptlvError as error:
            warn(str(error))
            continue
        if pv is not None:
            pvs.append(pv)
    return pvs


def assemble(pvs: Iterable[FoundPv], warnings: Iterable[str] = ()) -> World:
    """What physical volumes make together; `warnings` are those that their reading gave."""
    said = list(warnings)
    kept = _without_duplicates(pvs, said)
    return World(pvs=tuple(kept), groups=_group(kept, said), warnings=tuple(said))


def _without_duplicates(pvs: Iterable[FoundPv], warnings: list[str]) -> list[FoundPv]:
    """A PV id that two devices claim is used on the first only, as a copy must never be written by mistake."""
    kept: dict[str, FoundPv] = {}
    for pv in pvs:
        other = kept.setdefault(pv.label.pv_id, pv)
        if other is not pv:
            warnings.append(f"{pv.path}: ignored, {other.path} has the same PV id {pv.label.pv_id}")
    return list(kept.values())


def _group(pvs: Sequence[FoundPv], warnings: list[str]) -> tuple[Group, ...]:
    copies: dict[str, list[MetadataArea]] = {}
    for pv in pvs:
        for area in pv.areas:
            if area.problem:
                warnings.append(f"{area.path}: {area.problem}")
            if area.vg is not None:
                copies.setdefault(area.vg.id, []).append(area)
    newest = [_newest(found, warnings) for found in copies.values()]
    return tuple(_assemble(vg, pvs, warnings) for vg in newest)


def _newest(areas: Sequence[MetadataArea], warnings: list[str]) -> VolumeGroup:
    best = max(areas, key=lambda area: area.vg.seqno if area.vg else -1)  # the first of equals
    assert best.vg is not None  # noqa: S101 - areas without a volume group are not among the copies
    for area in areas:
        if area.vg is None or area.vg == best.vg:
            continue
        if area.vg.seqno < best.vg.seqno:
            warnings.append(
                f"{area.path}: ignoring metadata seqno {area.vg.seqno} of volume group {best.vg.name}, "
                f"seqno {best.vg.seqno} is newer; the next change brings it up to date"
            )
        else:
            warnings.append(f"{area.path}: metadata of volume group {best.vg.name} differs from that on {best.path}")
    return best.vg


def _assemble(vg: VolumeGroup, pvs: Sequence[FoundPv], warnings: list[str]) -> Group:
    ids = {pv.id for pv in vg.pvs}
    own = [pv for pv in pvs if pv.label.pv_id in ids]
    warnings += [
        f"{pv.path}: has old metadata of volume group {vg.name} but is not one of its PVs any more"
        for pv in pvs
        if pv.label.pv_id not in ids and any(area.vg is not None and area.vg.id == vg.id for area in pv.areas)
    ]
    paths = {pv.label.pv_id: pv.path for pv in own}
    warnings += [
        f"volume group {vg.name}: physical volume {pv.id} not found (last seen as {printable(pv.device)})"
        for pv in vg.pvs
        if pv.id not in paths
    ]
    return Group(vg=vg, pv_paths=paths, areas=tuple(area for pv in own for area in pv.areas))
