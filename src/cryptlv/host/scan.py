"""What lies on the devices: labels, metadata areas, texts, and the volume groups they make.

Mirrors stock lvm2's choices (lib/label/label.c, lib/cache/lvmcache.c, lib/metadata/metadata.c:_vg_read): every copy
is verified by its checksum, the highest sequence number wins, and each copy that is left out is named in a warning.
"""

from __future__ import annotations

from cryptlv.errors import CryptlvError, DeviceError, FormatError, NotFoundError
from cryptlv.model.check import check, find_violations
from cryptlv.names import printable
from cryptlv.ondisk.config import MAX_TEXT_BYTES, Allowance, find_place
from cryptlv.ondisk.label import EXTENSION_VERSION, LABEL_SCAN_BYTES, check_layout, find_labels
from cryptlv.ondisk.mda import MDA_HEADER_BYTES, check_text, decode_mda_header, place_in_ring, text_pieces
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cryptlv.device import Device
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ondisk.label import PvLabel
    from cryptlv.ondisk.mda import MdaHeader, RawLocation

_MOST_VIOLATIONS = 8


class Parsed:
    """Texts that were read, each once, and what was found in them; a command reads the same ones several times.

    `violations` has, by the place of a text, the lines about the rules that its volume group breaks.
    """

    def __init__(self) -> None:
        self.texts: dict[bytes, tuple[bytes, VolumeGroup | FormatError]] = {}
        self.violations: dict[tuple[str, int, bytes], tuple[str, ...]] = {}


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
    """A device with a label. `problems` says what its label has wrong; nothing may be written by such a label.

    `spare` is a second label: a PV whose id is being changed has both until the metadata name the new one.
    """

    path: str
    size_bytes: int
    label: PvLabel
    areas: tuple[MetadataArea, ...]
    problems: tuple[str, ...] = ()
    spare: PvLabel | None = None

    @property
    def is_unmarked(self) -> bool:
        """Whether its label must be written when a volume group uses it: it does not say so, or there are two."""
        label = self.label
        return not label.is_used or label.extension_version < EXTENSION_VERSION or self.spare is not None

    def relabelled(self, label: PvLabel) -> FoundPv:
        """The same device with its spare label in force."""
        areas = tuple(area.replace(pv_id=label.pv_id) for area in self.areas)
        return self.replace(label=label, areas=areas, spare=self.label)


class Group(Record):
    """A volume group as found: its newest metadata, where its PVs are, and what was odd.

    `areas` are the metadata areas of its own PVs; `pv_paths` has no entry for a PV whose device was not found.
    `unmarked` are those of its PVs whose labels do not say that a volume group uses them; the next commit mends that.
    `hazards` says why writing to its volumes could destroy something else, such as metadata.
    """

    vg: VolumeGroup
    pv_paths: Mapping[str, str]
    areas: tuple[MetadataArea, ...]
    unmarked: tuple[FoundPv, ...] = ()
    hazards: tuple[str, ...] = ()

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


def read_pv(device: Device, warn: Callable[[str], None], parsed: Parsed) -> FoundPv | None:
    """The physical volume on a device, or None when it has no label; raises DeviceError.

    `parsed` remembers texts, which are mostly the same on all PVs of a group.
    """
    head = device.read(0, min(LABEL_SCAN_BYTES, device.size_bytes))
    labels, remarks = find_labels(head)
    for remark in remarks:
        warn(f"{device.path}: {remark}")
    if not labels:
        return None
    label = labels[0]
    problems = {error.field: str(error.at(device.path)) for error in check_layout(label, device.size_bytes)}
    allowance = Allowance()
    areas: list[MetadataArea] = []
    for number, (start, size) in enumerate(label.mdas):
        problem = problems.pop(f"pv_header.mda[{number}]", "")
        if problem:
            areas.append(
                MetadataArea(path=device.path, pv_id=label.pv_id, start_bytes=start, size_bytes=size, problem=problem)
            )
        else:
            areas.append(read_area(device, label.pv_id, start, size, parsed, allowance))
    for problem in problems.values():
        warn(problem)
    return FoundPv(
        path=device.path,
        size_bytes=device.size_bytes,
        label=label,
        areas=tuple(areas),
        problems=tuple(problems.values()),
        spare=labels[1] if len(labels) == 2 and labels[1].mdas == label.mdas else None,
    )


def read_area(
    device: Device,
    pv_id: str,
    start_bytes: int,
    size_bytes: int,
    parsed: Parsed,
    allowance: Allowance | None = None,
) -> MetadataArea:
    """One metadata area; whatever is wrong with it is said in `problem`, with the device and the place there.

    `allowance` is the memory that its device's texts may take.
    """
    area = MetadataArea(path=device.path, pv_id=pv_id, start_bytes=start_bytes, size_bytes=size_bytes)
    try:
        header = decode_mda_header(device.read(start_bytes, MDA_HEADER_BYTES), start_bytes, size_bytes)
    except FormatError as error:
        return area.replace(problem=str(error.at(device.path)))
    except DeviceError as error:
        return area.replace(problem=f"metadata area header: {error}")
    area = area.replace(header=header)
    if header.is_ignored or header.committed is None:
        return area
    try:
        text, found = _read_text(device, area, header.committed, parsed, allowance or Allowance())
    except FormatError as error:
        place = place_in_ring(area.size_bytes, header.committed, error.offset_bytes or 0)
        return area.replace(problem=str(error.at(device.path, start_bytes + place)))
    except DeviceError as error:
        return area.replace(problem=f"metadata text: {error}")
    return area.replace(text=text, vg=found)


def _read_text(
    device: Device, area: MetadataArea, location: RawLocation, parsed: Parsed, allowance: Allowance
) -> tuple[bytes, VolumeGroup]:
    """The text at a location and what it says; the offset of a FormatError is one in the text."""
    if location.size_bytes > MAX_TEXT_BYTES:
        raise FormatError(f"text of {location.size_bytes} bytes is too long: {MAX_TEXT_BYTES} are read", field="text")
    pieces = text_pieces(area.size_bytes, location.offset_bytes, location.size_bytes)
    raw = b"".join([device.read(area.start_bytes + offset, length) for offset, length in pieces])
    text = check_text(raw, location)
    del raw  # it may be long
    if text in parsed.texts:
        text, found = parsed.texts[text]
    else:
        try:
            found = parse_vg(text, allowance)
        except FormatError as error:
            found = error.with_traceback(None)
        parsed.texts[text] = text, found
    if isinstance(found, FormatError):
        raise found
    return text, found


def scan(devices: Iterable[Device], parsed: Parsed | None = None) -> World:
    """Read every device once. A device that fails is warned about and left out.

    `parsed` remembers texts from scan to scan: what is read again under a lock is mostly what was read before.
    """
    warnings: list[str] = []
    if parsed is None:
        parsed = Parsed()
    return assemble(read_pvs(devices, warnings.append, parsed), parsed, warnings)


def read_pvs(devices: Iterable[Device], warn: Callable[[str], None], parsed: Parsed) -> list[FoundPv]:
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


def assemble(pvs: Iterable[FoundPv], parsed: Parsed, warnings: Iterable[str] = ()) -> World:
    """What physical volumes make together; `warnings` are those that their reading gave, `parsed` its texts."""
    said = list(warnings)
    kept = _without_duplicates(_settled(list(pvs)), said)
    return World(pvs=tuple(kept), groups=_group(kept, parsed, said), warnings=tuple(said))


def _settled(pvs: list[FoundPv]) -> list[FoundPv]:
    """A PV with two labels is the one that the newest metadata name (ops/vg_clone.py)."""
    if all(pv.spare is None for pv in pvs):
        return pvs
    newest: dict[str, VolumeGroup] = {}
    for vg in [area.vg for pv in pvs for area in pv.areas if area.vg is not None]:
        if vg.id not in newest or vg.seqno > newest[vg.id].seqno:
            newest[vg.id] = vg
    named = {pv.id for vg in newest.values() for pv in vg.pvs}
    return [pv.relabelled(pv.spare) if pv.spare is not None and pv.spare.pv_id in named else pv for pv in pvs]


def _without_duplicates(pvs: Iterable[FoundPv], warnings: list[str]) -> list[FoundPv]:
    """A PV id that two devices claim is used on the first only, as a copy must never be written by mistake."""
    kept: dict[str, FoundPv] = {}
    for pv in pvs:
        other = kept.setdefault(pv.label.pv_id, pv)
        if other is not pv:
            warnings.append(f"{pv.path}: ignored, {other.path} has the same PV id {pv.label.pv_id}")
    return list(kept.values())


def _group(pvs: Sequence[FoundPv], parsed: Parsed, warnings: list[str]) -> tuple[Group, ...]:
    copies: dict[str, list[MetadataArea]] = {}
    for pv in pvs:
        for area in pv.areas:
            if area.problem:
                warnings.append(area.problem)
            if area.vg is not None:
                copies.setdefault(area.vg.id, []).append(area)
    newest = [_newest(found, warnings) for found in copies.values()]
    for area in newest:
        place = area.path, area.start_bytes, area.text or b""
        if place not in parsed.violations:
            parsed.violations[place] = tuple(_violations(area))
        warnings += parsed.violations[place]
    vgs = _without_superseded([area.vg for area in newest if area.vg is not None], warnings)
    owners = _owners(vgs, pvs)
    return tuple(_assemble(vg, pvs, owners, warnings) for vg in vgs)


def _without_superseded(vgs: list[VolumeGroup], warnings: list[str]) -> list[VolumeGroup]:
    """Of two groups with the same PVs the newer counts: one whose id is being changed is on some areas under both."""
    if len(vgs) < 2:
        return vgs
    newest: dict[frozenset[str], VolumeGroup] = {}
    for vg in vgs:
        other = newest.setdefault(frozenset(pv.id for pv in vg.pvs), vg)
        if vg.seqno > other.seqno:
            newest[frozenset(pv.id for pv in vg.pvs)] = vg
    kept = []
    for vg in vgs:
        best = newest[frozenset(pv.id for pv in vg.pvs)]
        if vg.seqno < best.seqno:
            warnings.append(
                f"ignoring metadata seqno {vg.seqno} of volume group {vg.name} {vg.id}: seqno {best.seqno} of "
                f"{best.name} {best.id} has the same physical volumes and is newer"
            )
        else:
            kept.append(vg)
    return kept


def _violations(area: MetadataArea) -> Iterator[str]:
    """The rules that a volume group breaks, with their place; the first few of them."""
    if area.vg is None or area.text is None or area.header is None or area.header.committed is None:
        return
    if not check(area.vg):
        return
    for count, violation in enumerate(find_violations(area.vg)):
        if count == _MOST_VIOLATIONS:
            yield f"{area.path}: volume group {area.vg.name} breaks more rules; the first {count} are told"
            return
        at = find_place(area.text, (area.vg.name, *violation.keys))
        place = area.start_bytes + place_in_ring(area.size_bytes, area.header.committed, at)
        field = violation.keys[-1]
        yield str(FormatError(violation.message, device=area.path, offset_bytes=place, field=field))


def _owners(vgs: Sequence[VolumeGroup], pvs: Sequence[FoundPv]) -> Mapping[str, str]:
    """The id of the volume group that a PV belongs to, by the PV's id, where several groups say it is theirs.

    It is the one whose metadata lies on the PV itself; when that is none or not one of them, nobody's ("").
    """
    claims: dict[str, list[str]] = {}
    for vg in vgs:
        for pv_id in {pv.id for pv in vg.pvs}:
            claims.setdefault(pv_id, []).append(vg.id)
    own = {pv.label.pv_id: {area.vg.id for area in pv.areas if area.vg is not None} for pv in pvs}
    owners: dict[str, str] = {}
    for pv_id, vg_ids in claims.items():
        if len(vg_ids) > 1:
            held = own.get(pv_id, set()).intersection(vg_ids)
            owners[pv_id] = held.pop() if len(held) == 1 else ""
    return owners


def _newest(areas: Sequence[MetadataArea], warnings: list[str]) -> MetadataArea:
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
    return best


def _assemble(vg: VolumeGroup, pvs: Sequence[FoundPv], owners: Mapping[str, str], warnings: list[str]) -> Group:
    ids = {pv.id for pv in vg.pvs}
    own = [pv for pv in pvs if pv.label.pv_id in ids and owners.get(pv.label.pv_id, vg.id) == vg.id]
    warnings += [
        f"{pv.path}: volume group {vg.name} says that it is its physical volume, but others do so too; not used in it"
        for pv in pvs
        if pv.label.pv_id in ids and owners.get(pv.label.pv_id, vg.id) != vg.id
    ]
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
    hazards = tuple(_hazards(vg, own))
    warnings += hazards
    return Group(
        vg=vg,
        pv_paths=paths,
        areas=tuple(area for pv in own for area in pv.areas),
        unmarked=tuple(pv for pv in own if pv.is_unmarked),
        hazards=hazards,
    )


def _hazards(vg: VolumeGroup, own: Sequence[FoundPv]) -> Iterator[str]:
    """Extents that lie over a label or a metadata area."""
    known = {pv.id: pv for pv in vg.pvs}
    for found in own:
        pv = known[found.label.pv_id]
        start = pv.pe_start_sectors * SECTOR_SIZE
        end = start + pv.pe_count * vg.extent_size_bytes
        label_end = (found.label.sector + 1) * SECTOR_SIZE
        taken = [(0, label_end), *((first, first + size) for first, size in found.label.mdas)]
        if start < end and any(start < stop and first < end for first, stop in taken):
            yield str(
                FormatError(
                    f"volume group {vg.name}: the extents of physical volume {pv.id}, bytes {start} to {end}, lie "
                    "over its label or a metadata area",
                    device=found.path,
                    offset_bytes=start,
                    field="pe_start",
                )
            )
