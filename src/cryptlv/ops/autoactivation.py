"""Which volumes an activation passes over in silence, as stock lvm2 does (lvm.conf: activation section)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.lvmconf import HostSettings
    from cryptlv.model.vg import LogicalVolume, VolumeGroup


def left_out(vg: VolumeGroup, settings: HostSettings, *, ignore_skip: bool, automatic: bool) -> frozenset[str]:
    """The volumes that are not activated, by name: those flagged to be skipped (tools/lvchange.c:_lvchange_activate),
    and those that the host's lists do not have; with `automatic` those that are not activated by themselves."""
    nobody = automatic and "NOAUTOACTIVATE" in vg.flags
    lists = [settings.volume_list, settings.auto_activation_volume_list if automatic else None]
    return frozenset(
        lv.name
        for lv in vg.lvs
        if nobody
        or (automatic and "NOAUTOACTIVATE" in lv.flags)
        or (not ignore_skip and "ACTIVATION_SKIP" in lv.flags)
        or not all(words is None or is_listed(vg, lv, words) for words in lists)
    )


def is_listed(vg: VolumeGroup, lv: LogicalVolume, words: tuple[str, ...]) -> bool:
    """Whether a list has a volume: by VG, VG/LV, or @TAG of either (activate.c:_lv_passes_volumes_filter).

    `@*`, a tag of the host, names nothing, as host tags are not looked at.
    """
    names = {vg.name, f"{vg.name}/{lv.name}", *(f"@{tag}" for tag in (*vg.tags, *lv.tags))}
    return not names.isdisjoint(words)
