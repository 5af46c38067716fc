"""Changes of a volume group's own fields and of its physical volumes: functions from one value to the next.

The rules and their order are those of lvm2's tools/vgchange.c, vgexport.c, vgimport.c, vgreduce.c, vgimportclone.c
and lib/metadata/vg.c.
"""

from __future__ import annotations

from cryptlv.errors import NotFoundError, RefusedError
from cryptlv.model.allocate import used_extents
from cryptlv.model.edit import canonical, users_of
from cryptlv.model.lv_edit import remove_lv
from cryptlv.names import printable
from cryptlv.record import Record
from cryptlv.units import KIB, SECTOR_SIZE, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cryptlv.model.vg import LogicalVolume, PhysicalVolume, VolumeGroup

ALL_COPIES = -1
"""A number of metadata copies that means: use every area now, and leave it at that (stored as 0)."""
_NO_AUTOACTIVATION = "NOAUTOACTIVATE"
_ODD_STEP_SECTORS = 128 * KIB // SECTOR_SIZE
_MAX_EXTENTS = 2**32 - 1


class VgChange(Record):
    """What vgchange is asked for; None and empty tuples for what stays as it is. Policies: names.POLICY_WORDS."""

    add_tags: tuple[str, ...] = ()
    del_tags: tuple[str, ...] = ()
    max_lv: int | None = None
    max_pv: int | None = None
    is_resizeable: bool | None = None
    autoactivates: bool | None = None
    extent_size_sectors: int | None = None
    new_id: str = ""
    allocation_policy: str = ""
    metadata_copies: int | None = None
    system_id: str | None = None

    @property
    def is_safe_when_partial(self) -> bool:
        """Whether it may be done while physical volumes are missing: tags may."""
        return self == VgChange(add_tags=self.add_tags, del_tags=self.del_tags)


def change_vg(vg: VolumeGroup, change: VgChange) -> VolumeGroup:
    """The volume group with its fields changed, in lvm2's order; raises RefusedError for what cannot be."""
    if change.max_lv is not None:
        vg = with_max_lv(vg, change.max_lv)
    if change.max_pv is not None:
        vg = with_max_pv(vg, change.max_pv)
    if change.is_resizeable is not None:
        vg = _with_resizeable(vg, wanted=change.is_resizeable)
    if change.autoactivates is not None:
        vg = _with_autoactivation(vg, wanted=change.autoactivates)
    tags = [tag for tag in vg.tags if tag not in change.del_tags]
    vg = vg.replace(tags=tuple(dict.fromkeys((*tags, *change.add_tags))))
    if change.extent_size_sectors is not None:
        vg = with_extent_size(vg, change.extent_size_sectors)
    if change.new_id:
        vg = vg.replace(id=change.new_id)
    if change.allocation_policy:
        if (vg.allocation_policy or "normal") == change.allocation_policy:
            raise RefusedError(f"Volume group allocation policy is already {change.allocation_policy}")
        vg = vg.replace(allocation_policy=stored_policy(change.allocation_policy))
    if change.metadata_copies is not None:
        vg = vg.replace(metadata_copies=max(change.metadata_copies, 0))
    if change.system_id is not None:
        vg = _with_system_id(vg, change.system_id)
    return vg


def stored_policy(word: str) -> str:
    """A volume group's allocation policy as the metadata have it; raises RefusedError."""
    if word == "inherit":
        raise RefusedError("Volume Group allocation policy cannot inherit from anything")
    return "" if word == "normal" else word


def is_resizeable(vg: VolumeGroup) -> bool:
    """Whether physical volumes may come and go."""
    return "RESIZEABLE" in vg.status


def check_resizeable(vg: VolumeGroup, what: str = "") -> None:
    """Raise RefusedError when a volume group must not get or lose physical volumes, or have `what` changed."""
    if not is_resizeable(vg):
        name = printable(vg.name)
        raise RefusedError(
            f'Volume group "{name}" must be resizeable to change {what}' if what else
            f"Volume group {name} is not resizeable."
        )  # fmt: skip


def with_max_lv(vg: VolumeGroup, max_lv: int) -> VolumeGroup:
    """At most so many visible volumes, 0 for any number; raises RefusedError."""
    check_resizeable(vg, "MaxLogicalVolume")
    count = sum(lv.is_visible for lv in vg.lvs)
    if 0 < max_lv < count:
        raise RefusedError(
            f"MaxLogicalVolume is less than the current number {count} of LVs for {printable(vg.name)}"
        )
    return vg.replace(max_lv=max_lv)


def with_max_pv(vg: VolumeGroup, max_pv: int) -> VolumeGroup:
    """At most so many physical volumes, 0 for any number; raises RefusedError."""
    check_resizeable(vg, "MaxPhysicalVolumes")
    if 0 < max_pv < len(vg.pvs):
        raise RefusedError(
            f'MaxPhysicalVolumes is less than the current number {len(vg.pvs)} of PVs for "{printable(vg.name)}"'
        )
    return vg.replace(max_pv=max_pv)


def _with_resizeable(vg: VolumeGroup, *, wanted: bool) -> VolumeGroup:
    if is_resizeable(vg) == wanted:
        raise RefusedError(f'Volume group "{printable(vg.name)}" is already {"" if wanted else "not "}resizeable')
    if wanted:
        return vg.replace(status=("RESIZEABLE", *vg.status))
    return vg.replace(status=tuple(word for word in vg.status if word != "RESIZEABLE"))


def _with_autoactivation(vg: VolumeGroup, *, wanted: bool) -> VolumeGroup:
    if (_NO_AUTOACTIVATION not in vg.flags) == wanted:
        raise RefusedError(f"Volume group autoactivation is already {'yes' if wanted else 'no'}.")
    return vg.replace(flags=autoactivation_flags(vg.flags, wanted=wanted))


def autoactivation_flags(flags: tuple[str, ...], *, wanted: bool) -> tuple[str, ...]:
    """Flags that say whether to activate at boot."""
    rest: tuple[str, ...] = tuple(flag for flag in flags if flag != _NO_AUTOACTIVATION)
    return rest if wanted else (*rest, _NO_AUTOACTIVATION)


def _with_system_id(vg: VolumeGroup, system_id: str) -> VolumeGroup:
    if (vg.system_id or "") == system_id:
        raise RefusedError(f'Volume Group system ID is already "{printable(system_id)}".')
    return vg.replace(system_id=system_id or None)


def check_extent_size(extent_size_sectors: int) -> None:
    """Raise RefusedError for an extent size that lvm2 would not take (lib/metadata/vg.c:vg_check_new_extent_size)."""
    if not 0 < extent_size_sectors < 2**32:
        raise RefusedError("Physical extent size must be at least one sector and smaller than 2 TiB")
    if extent_size_sectors & (extent_size_sectors - 1) and extent_size_sectors % _ODD_STEP_SECTORS:
        raise RefusedError(
            f"Physical Extent size must be a multiple of {format_size(128 * KIB)} when not a power of 2."
        )


def with_extent_size(vg: VolumeGroup, extent_size_sectors: int) -> VolumeGroup:
    """The same bytes in the same places, counted in extents of another size; raises RefusedError if they don't fit.

    Encrypted volumes keep their ciphertext: a sector's tweak is counted in sectors from the start of its volume.
    """
    check_resizeable(vg, "PE size")
    old = vg.extent_size_sectors
    if extent_size_sectors == old:
        return vg
    check_extent_size(extent_size_sectors)
    if extent_size_sectors > old and vg.extent_count * old % extent_size_sectors:
        raise RefusedError("New extent size is not a perfect fit")

    def scaler(what: str) -> Callable[[int], int]:
        def scale(extents: int) -> int:
            sectors = extents * old
            if sectors % extent_size_sectors:
                raise RefusedError(f"New size {sectors} for {printable(what)} not an exact number of new extents.")
            if sectors // extent_size_sectors > _MAX_EXTENTS:
                raise RefusedError(f"New extent count for {printable(what)} exceeds 32 bits.")
            return sectors // extent_size_sectors

        return scale

    scaler(vg.name)(vg.extent_count)
    return vg.replace(
        extent_size_sectors=extent_size_sectors,
        pvs=tuple(pv.replace(pe_count=scaler(pv.device)(pv.pe_count)) for pv in vg.pvs),
        lvs=tuple(
            lv.replace(segments=tuple(segment.rescaled(scaler(lv.name)) for segment in lv.segments)) for lv in vg.lvs
        ),
    )


def exported(vg: VolumeGroup) -> VolumeGroup:
    """The volume group and its PVs marked as exported, nobody's by system ID."""
    return vg.replace(
        status=("EXPORTED", *(word for word in vg.status if word != "EXPORTED")),
        system_id=None,
        pvs=tuple(
            pv.replace(status=(*(word for word in pv.status if word != "EXPORTED"), "EXPORTED")) for pv in vg.pvs
        ),
    )


def imported(vg: VolumeGroup, system_id: str) -> VolumeGroup:
    """The volume group and its PVs no longer marked as exported, of the host with that system ID ("" for any)."""
    return vg.replace(
        status=tuple(word for word in vg.status if word != "EXPORTED"),
        system_id=system_id or None,
        pvs=tuple(pv.replace(status=tuple(word for word in pv.status if word != "EXPORTED")) for pv in vg.pvs),
    )


def with_pvs(vg: VolumeGroup, *pvs: PhysicalVolume) -> VolumeGroup:
    """The volume group with more physical volumes; raises RefusedError."""
    if vg.max_pv and len(vg.pvs) + len(pvs) > vg.max_pv:
        raise RefusedError(
            f"No space for '{printable(pvs[-1].device)}' - volume group '{printable(vg.name)}' holds max "
            f"{vg.max_pv} physical volume(s)."
        )
    grown = vg.replace(pvs=(*vg.pvs, *pvs))
    if grown.extent_count > _MAX_EXTENTS:
        raise RefusedError(f"{printable(vg.name)}: {grown.extent_count} extents are more than {_MAX_EXTENTS}")
    return grown


def without_pvs(vg: VolumeGroup, gone: Collection[str], names: Mapping[str, str] | None = None) -> VolumeGroup:
    """The volume group without the PVs of those ids; `names` has what users call them.

    Raises NotFoundError, and RefusedError for one that is used or when none would be left.
    """
    used = used_extents(vg)
    for pv_id in gone:
        name = printable((names or {}).get(pv_id, pv_id))
        if all(pv.id != pv_id for pv in vg.pvs):
            raise NotFoundError(f'physical volume "{name}" is not in volume group "{printable(vg.name)}"')
        if used[pv_id]:
            raise RefusedError(f'Physical volume "{name}" still in use')
    left = tuple(pv for pv in vg.pvs if pv.id not in gone)
    if not left:
        last = printable((names or {}).get(vg.pvs[-1].id, vg.pvs[-1].id))
        raise RefusedError(f'Can\'t remove final physical volume "{last}" from volume group "{printable(vg.name)}"')
    return vg.replace(pvs=left)


def partial_lvs(vg: VolumeGroup, missing: Collection[str]) -> tuple[LogicalVolume, ...]:
    """The volumes of which something lies on missing PVs: extents, a part, or the key."""
    broken = {
        lv.name for lv in vg.lvs for segment in lv.segments for pv_id, _, _ in segment.footprint() if pv_id in missing
    }
    while True:
        more = {
            lv.name
            for lv in vg.lvs
            if lv.name not in broken
            for segment in lv.segments
            if not broken.isdisjoint((*(name for _, name in segment.parts()), *segment.keystores))
        }
        if not more:
            return tuple(lv for lv in vg.lvs if lv.name in broken)
        broken |= more


def without_partial(vg: VolumeGroup, missing: Collection[str]) -> VolumeGroup:
    """The volume group without its partial volumes and the missing PVs; raises RefusedError where lvm2 must do it.

    Keystores go with the last volume that uses them, and those on missing PVs with all volumes that use them.
    """
    partial = partial_lvs(vg, missing)
    for lv in partial:
        if any(segment.is_opaque for segment in lv.segments):  # a mirror or a raid may have all its data elsewhere
            raise _lvm2_must(vg, lv)
    for lv in partial:
        if lv.is_visible and vg.find_lv(lv.name) is not None:
            vg = remove_lv(vg, lv.name)
    for lv in partial_lvs(vg, missing):
        if users_of(vg, lv.name) or not any(segment.type_name == "crypt-keystore" for segment in lv.segments):
            raise _lvm2_must(vg, lv)
        vg = remove_lv(vg, lv.name)
    return canonical(without_pvs(vg, missing))


def _lvm2_must(vg: VolumeGroup, lv: LogicalVolume) -> RefusedError:
    where = f"{printable(vg.name)}/{printable(lv.name)}"
    return RefusedError(f"{where} is a partial volume that lvm2 must repair or remove")


def without_missing_marks(vg: VolumeGroup, pv_ids: Collection[str]) -> VolumeGroup:
    """The PVs of those ids no longer marked as missing."""
    return vg.replace(
        pvs=tuple(
            pv.replace(
                status=tuple(word for word in pv.status if word != "MISSING"),
                flags=tuple(word for word in pv.flags if word != "MISSING"),
            )
            if pv.id in pv_ids
            else pv
            for pv in vg.pvs
        )
    )


def with_pv_ids(vg: VolumeGroup, pv_ids: Mapping[str, str]) -> VolumeGroup:
    """The same volume group on PVs that have got new ids; `pv_ids` has them by their old ones."""
    return vg.replace(
        pvs=tuple(pv.replace(id=pv_ids.get(pv.id, pv.id)) for pv in vg.pvs),
        lvs=tuple(
            lv.replace(segments=tuple(segment.with_pv_ids(pv_ids) for segment in lv.segments)) for lv in vg.lvs
        ),
    )
