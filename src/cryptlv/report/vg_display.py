"""Volume groups as vgdisplay and vgscan show them, line by line (lib/display/display.c, tools/vgscan.c)."""

from __future__ import annotations

from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from cryptlv.model.vg import VolumeGroup
    from cryptlv.report.rows import SeenGroup

    Size: TypeAlias = Callable[[int], str]

_STATUS_BITS = {"EXPORTED": 0x2, "RESIZEABLE": 0x4, "CLUSTERED": 0x400, "PVMOVE": 0x2000}
_READ, _WRITE, _NO_AUTOACTIVATION = 0x100, 0x200, 0x10
_OPEN = 0
"""How many volumes are open: what has our volumes' files open is not known."""


def _access(vg: VolumeGroup) -> int:
    return (_READ if "READ" in vg.status else 0) | (_WRITE if vg.is_writable else 0)


def _status(vg: VolumeGroup) -> int:
    """The bits of lvm2's `vg->status` (lib/metadata/metadata-exported.h)."""
    bits = sum(bit for word, bit in _STATUS_BITS.items() if word in vg.status)
    return bits | _access(vg) | (_NO_AUTOACTIVATION if "NOAUTOACTIVATE" in vg.flags else 0)


def _used(group: SeenGroup) -> int:
    return sum(group.used.values())


def _visible(group: SeenGroup) -> int:
    return len(group.vg.lvs) - len(group.hidden)


def _present(group: SeenGroup) -> int:
    return len(group.vg.pvs) - len(group.missing)


def vg_full(group: SeenGroup, size: Size) -> Iterator[str]:
    """The lines of vgdisplay."""
    vg = group.vg
    words = {_READ | _WRITE: "read/write", _READ: "read", _WRITE: "write", 0: "error"}
    used, free = _used(group), vg.extent_count - _used(group)
    yield "--- Volume group ---"
    yield f"VG Name               {printable(vg.name)}"
    yield f"System ID             {printable(vg.system_id or '')}"
    yield "Format                lvm2"
    yield f"Metadata Areas        {sum(len(pv.areas) for pv in group.pvs.values())}"
    yield f"Metadata Sequence No  {vg.seqno}"
    yield f"VG Access             {words[_access(vg)]}"
    exported = "exported/" if vg.is_exported else ""
    yield f"VG Status             {exported}{'' if 'RESIZEABLE' in vg.status else 'NOT '}resizable"
    if "CLUSTERED" in vg.status:
        yield "Clustered             yes"
        yield f"Shared                {'yes' if 'SHARED' in vg.status else 'no'}"
    yield f"MAX LV                {vg.max_lv}"
    yield f"Cur LV                {_visible(group)}"
    yield f"Open LV               {_OPEN}"
    yield f"Max PV                {vg.max_pv}"
    yield f"Cur PV                {len(vg.pvs)}"
    yield f"Act PV                {_present(group)}"
    yield f"VG Size               {size(vg.extent_count * vg.extent_size_bytes)}"
    yield f"PE Size               {size(vg.extent_size_bytes)}"
    yield f"Total PE              {vg.extent_count}"
    yield f"Alloc PE / Size       {used} / {size(used * vg.extent_size_bytes)}"
    yield f"Free  PE / Size       {free} / {size(free * vg.extent_size_bytes)}"
    yield f"VG UUID               {vg.id}"
    yield " "


def vg_colons(group: SeenGroup) -> Iterator[str]:
    """The line of vgdisplay -c: sizes in KiB, -1 where lvm2 has nothing to say any more."""
    vg = group.vg
    extent_kib = vg.extent_size_bytes // 1024
    access = {_READ | _WRITE: "r/w", _READ: "r", _WRITE: "w", 0: ""}[_access(vg)]
    fields = (
        printable(vg.name), access, _status(vg), -1, vg.max_lv, _visible(group), _OPEN, -1, vg.max_pv, len(vg.pvs),
        _present(group), vg.extent_count * extent_kib, extent_kib, vg.extent_count, _used(group),
        vg.extent_count - _used(group), vg.id,
    )  # fmt: skip
    yield ":".join(map(str, fields))


def vg_short(group: SeenGroup, size: Size) -> Iterator[str]:
    """The line of vgdisplay -s."""
    vg = group.vg
    used = _used(group)
    total, taken, free = (
        size(count * vg.extent_size_bytes) for count in (vg.extent_count, used, vg.extent_count - used)
    )
    yield f'"{printable(vg.name)}" {total:<9} [{taken:<9} used / {free} free]'


def vg_scan(group: SeenGroup) -> str:
    """The line of vgscan."""
    exported = "exported " if group.vg.is_exported else ""
    return f'Found {exported}volume group "{printable(group.vg.name)}" using metadata type lvm2'
