"""The fields of volume groups, under lvm2's names (lib/report/columns.h, lib/report/report.c)."""

from __future__ import annotations

from cryptlv.names import printable
from cryptlv.report.field import FLAG, LIST, NUMBER, POLICY_LETTERS, SIZE, TEXT, Field, flag, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptlv.report.field import Value
    from cryptlv.report.rows import Row, SeenArea, SeenGroup

_ALL_COPIES = 0xFFFFFFFF


def _free_count(group: SeenGroup) -> int:
    return group.vg.extent_count - sum(group.used.values())


def _attr(group: SeenGroup) -> str:
    vg = group.vg
    return "".join(
        (
            "w" if vg.is_writable else "r",
            "z" if "RESIZEABLE" in vg.status else "-",
            "x" if vg.is_exported else "-",
            "p" if group.missing else "-",
            POLICY_LETTERS.get(vg.allocation_policy or "normal", "-"),
            "s" if vg.lock_type not in ("", "none") else "c" if "CLUSTERED" in vg.status else "-",
        )
    )


def _areas(group: SeenGroup) -> Iterator[SeenArea]:
    for seen in group.pvs.values():
        yield from seen.areas


def _copies(group: SeenGroup) -> str:
    count = group.vg.metadata_copies
    return "unmanaged" if not count else "all" if count == _ALL_COPIES else str(count)


def _field(
    name: str, heading: str, kind: str, value: Callable[[SeenGroup], Value], text: str, width: int = 0
) -> Field:
    last: tuple[SeenGroup, Value] | None = None

    def of_row(row: Row) -> Value:
        nonlocal last
        if row.group is None:
            return None
        if last is None or last[0] is not row.group:  # a group has many rows, and counting its volumes takes time
            last = row.group, value(row.group)
        return last[1]

    return Field(prefix="vg_", name=name, heading=heading, kind=kind, value=of_row, help=text, width=width)


VG_FIELDS = (
    _field("vg_fmt", "Fmt", TEXT, lambda _: "lvm2", "Type of metadata."),
    _field("vg_uuid", "VG UUID", TEXT, lambda group: group.vg.id, "Unique identifier.", 38),
    _field("vg_name", "VG", TEXT, lambda group: printable(group.vg.name), "Name."),
    _field("vg_attr", "Attr", TEXT, _attr, "Permission, resizeable, exported, partial, policy, shared.", 5),
    _field(
        "vg_permissions", "VPerms", TEXT, lambda group: "writeable" if group.vg.is_writable else "read-only",
        "Permission.", 10,
    ),
    _field(
        "vg_extendable", "Extendable", FLAG, lambda group: flag("extendable", on="RESIZEABLE" in group.vg.status),
        "Whether it may grow.",
    ),
    _field(
        "vg_exported", "Exported", FLAG, lambda group: flag("exported", on=group.vg.is_exported),
        "Whether it is exported.", 10,
    ),
    _field(
        "vg_autoactivation", "AutoAct", FLAG,
        lambda group: flag("enabled", on="NOAUTOACTIVATE" not in group.vg.flags), "Whether it may autoactivate.",
    ),
    _field(
        "vg_partial", "Partial", FLAG, lambda group: flag("partial", on=bool(group.missing)),
        "Whether a physical volume is missing.", 10,
    ),
    _field(
        "vg_allocation_policy", "AllocPol", TEXT, lambda group: printable(group.vg.allocation_policy or "normal"),
        "Allocation policy.", 10,
    ),
    _field(
        "vg_size", "VSize", SIZE, lambda group: group.vg.extent_count * group.vg.extent_size_bytes, "Total size.",
    ),
    _field(
        "vg_free", "VFree", SIZE, lambda group: _free_count(group) * group.vg.extent_size_bytes, "Unallocated space.",
    ),
    _field(
        "vg_clustered", "Clustered", FLAG, lambda group: flag("clustered", on="CLUSTERED" in group.vg.status),
        "Whether it is clustered.", 10,
    ),
    _field(
        "vg_shared", "Shared", FLAG, lambda group: flag("shared", on=group.vg.lock_type not in ("", "none")),
        "Whether it needs lvmlockd.", 7,
    ),
    _field("vg_sysid", "SYS ID", TEXT, lambda group: printable(group.vg.system_id or ""), "The same as vg_systemid."),
    _field(
        "vg_systemid", "System ID", TEXT, lambda group: printable(group.vg.system_id or ""), "System ID of its host.",
    ),
    _field(
        "vg_lock_type", "LockType", TEXT,
        lambda group: printable(group.vg.lock_type) if group.vg.lock_type != "none" else "", "Lock type.",
    ),
    _field("vg_lock_args", "VLockArgs", TEXT, lambda group: printable(group.vg.lock_args), "Lock arguments."),
    _field("vg_extent_size", "Ext", SIZE, lambda group: group.vg.extent_size_bytes, "Size of an extent."),
    _field("vg_extent_count", "#Ext", NUMBER, lambda group: group.vg.extent_count, "Number of extents."),
    _field("vg_free_count", "Free", NUMBER, _free_count, "Number of free extents."),
    _field("max_lv", "MaxLV", NUMBER, lambda group: group.vg.max_lv, "Most volumes allowed, 0 for any number."),
    _field("max_pv", "MaxPV", NUMBER, lambda group: group.vg.max_pv, "Most PVs allowed, 0 for any number."),
    _field("pv_count", "#PV", NUMBER, lambda group: len(group.vg.pvs), "Number of PVs."),
    _field("vg_missing_pv_count", "#PV Missing", NUMBER, lambda group: len(group.missing), "Number of missing PVs."),
    _field(
        "lv_count", "#LV", NUMBER, lambda group: len(group.vg.lvs) - len(group.hidden), "Number of visible LVs.",
    ),
    _field(
        "snap_count", "#SN", NUMBER,
        lambda group: sum(part.type_name == "snapshot" for lv in group.vg.lvs for part in lv.segments),
        "Number of snapshots.",
    ),
    _field("vg_seqno", "Seq", NUMBER, lambda group: group.vg.seqno, "Number of the metadata, one more each change."),
    _field("vg_tags", "VG Tags", LIST, lambda group: listed(map(printable, group.vg.tags)), "Tags."),
    _field("vg_profile", "VProfile", TEXT, lambda group: printable(group.vg.profile), "Configuration profile."),
    _field("vg_mda_count", "#VMda", NUMBER, lambda group: sum(1 for _ in _areas(group)), "Number of metadata areas."),
    _field(
        "vg_mda_used_count", "#VMdaUse", NUMBER, lambda group: sum(not area.is_ignored for area in _areas(group)),
        "Number of metadata areas in use.",
    ),
    _field(
        "vg_mda_free", "VMdaFree", SIZE,
        lambda group: min((area.free_bytes for area in _areas(group) if not area.is_ignored), default=0),
        "Free space in the metadata areas.", 9,
    ),
    _field(
        "vg_mda_size", "VMdaSize", SIZE, lambda group: min((area.size_bytes for area in _areas(group)), default=0),
        "Size of the smallest metadata area.", 9,
    ),
    _field("vg_mda_copies", "#VMdaCps", NUMBER, _copies, "Number of metadata areas to be in use."),
)  # fmt: skip
