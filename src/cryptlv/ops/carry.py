"""How physical volumes go from one volume group to another so that no crash loses a volume.

Two volume groups cannot be committed at once, so there are three commits, in lvm2's order for vgsplit, which is used
for vgmerge too:

1. The target, as it is to be but *exported*, onto the areas of the physical volumes that arrive. The first of them
   that has it takes the place of the source's metadata there. From then on the source lacks physical volumes and the
   target is exported, so that no command changes or activates what both name.
2. The source without what left, onto the areas that it keeps. It is whole and usable again. There is nothing to do
   when nothing is left of it.
3. The target, no longer exported, onto all its areas.

A crash in step 1 before the first area has the new text leaves all as it was. After it the target has all that it was
to have, and up to step 2 the source names it too, but lacks the physical volumes: the same command again, or another
vgsplit or vgmerge that finds the target exported like this (`VolumeGroup.is_unfinished`), does the three steps
from the newest target. Between 2 and 3 vgimport of the target is enough, as with lvm2. No step touches an extent of a
volume.
"""

from __future__ import annotations

from cryptlv.errors import CommitError, NotFoundError, RefusedError
from cryptlv.host.scan import Group, Parsed, read_area
from cryptlv.host.store import check_room, plan_areas, plan_places
from cryptlv.model.split_merge import rest_after
from cryptlv.model.vg_edit import ALL_COPIES
from cryptlv.names import printable
from cryptlv.ops.commit import archive_before, commit_change
from cryptlv.ops.pool_spare import with_spare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cryptlv.host.scan import MetadataArea, World
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.session import Session


class _Areas:
    """Metadata areas of some physical volumes, read again each time, since a commit moves their texts on."""

    def __init__(self, session: Session, areas: Sequence[MetadataArea], copies: int) -> None:
        self._session = session
        self._areas = tuple(areas)
        self._copies = max(copies, 0)
        self.are_all_used = copies == ALL_COPIES

    def now(self) -> tuple[MetadataArea, ...]:
        return tuple(self._read(area) for area in self._areas)

    def _written(self) -> list[MetadataArea]:
        """Those that a commit writes."""
        return plan_areas(self.now(), self._copies, use_all=self.are_all_used)[0]

    def _read(self, area: MetadataArea) -> MetadataArea:
        device = self._session.device(area.path)
        return read_area(device, area.pv_id, area.start_bytes, area.size_bytes, Parsed())

    def usable(self) -> bool:
        """Whether metadata can be stored in any of them."""
        return bool(self._written())

    def check_room(self, after: VolumeGroup) -> None:
        check_room(plan_places(self._written(), self._session.device), after, self._session.env)

    def commit(
        self, before: VolumeGroup, after: VolumeGroup, paths: Mapping[str, str], *, archive: bool = False
    ) -> VolumeGroup:
        """Put `after` in force in them, in place of `before`."""
        group = Group(vg=before, pv_paths=dict(paths), areas=self.now())
        return commit_change(self._session, group, after, use_all_areas=self.are_all_used, archive=archive)


def carry_over(
    session: Session,
    world: World,
    source: VolumeGroup | None,
    target: VolumeGroup,
    *,
    source_after: VolumeGroup | None,
    target_after: VolumeGroup,
) -> VolumeGroup:
    """Commit both; gives the target as it is in force. The caller holds both locks.

    `source` is None when nothing of it is on the disks any more. Raises NoSpaceError, CheckError, RefusedError before
    anything is changed, CommitError.
    """
    there = {pv.id for pv in (source.pvs if source is not None else ())}
    arriving = {pv.id for pv in target_after.pvs if pv.id in there} or {pv.id for pv in target_after.pvs}
    paths = {pv.label.pv_id: pv.path for pv in world.pvs}
    target_areas = _areas_of(session, world, target_after)
    first = _areas_of(session, world, target_after, arriving)
    if not first.usable():
        first = target_areas
    if target_after.metadata_copies == ALL_COPIES:
        target_after = target_after.replace(metadata_copies=0)
    rest = _areas_of(session, world, source_after) if source_after is not None and source_after.pvs else None
    if not target_areas.usable() or (rest is not None and not rest.usable()):
        raise RefusedError("Cannot split: Nowhere to store metadata for new Volume Group")
    exported = _exported(target_after)
    for areas in (first, target_areas):
        areas.check_room(exported)
    if rest is not None and source_after is not None:
        rest.check_room(source_after)
    if source is not None and not session.test:
        archive_before(session, source)
    done = first.commit(target, exported, paths, archive=bool(target.seqno) and not target.is_exported)
    try:
        if rest is not None and source is not None and source_after is not None:
            rest.commit(source, source_after, paths)
        done = target_areas.commit(done, _imported(done), paths)
    except CommitError as error:
        name = printable(target_after.name)
        raise CommitError(
            f"{error}; volume group {name} stays exported until the same command is run again", outcome=error.outcome
        ) from error
    return done


def _areas_of(session: Session, world: World, vg: VolumeGroup, only: set[str] | None = None) -> _Areas:
    wanted = {pv.id for pv in vg.pvs} if only is None else only
    found = [area for pv in world.pvs if pv.label.pv_id in wanted for area in pv.areas]
    return _Areas(session, found, vg.metadata_copies)


def _exported(vg: VolumeGroup) -> VolumeGroup:
    return vg if vg.is_exported else vg.replace(status=("EXPORTED", *vg.status))


def _imported(vg: VolumeGroup) -> VolumeGroup:
    return vg.replace(status=tuple(word for word in vg.status if word != "EXPORTED"))


def finish(session: Session, source_name: str, target_name: str, *, spare: bool) -> VolumeGroup | None:
    """Finish a vgsplit or vgmerge between these groups that was interrupted; None when there is none.

    The caller holds both locks. Raises RefusedError when it was with another group, or the source was changed since.
    """
    world = session.world(silent=True)
    target = world.find_group(target_name)
    if target is None or not target.vg.is_unfinished:
        return None
    session.check_usable(target, exported_ok=True)
    ids = {pv.id for pv in target.vg.pvs}
    if not ids <= {pv.label.pv_id for pv in world.pvs}:
        raise NotFoundError(f"volume group {printable(target_name)}: not all of its physical volumes are here")
    sharing = [
        group for group in world.groups if group.vg.id != target.vg.id and ids & {pv.id for pv in group.vg.pvs}
    ]
    other = next((group.vg.name for group in sharing if group.vg.name != source_name), None)
    if other is not None:
        raise RefusedError(
            f"volume group {printable(target_name)} was to get physical volumes of {printable(other)} when a command "
            "was interrupted: run that command again first"
        )
    source = sharing[0].vg if sharing else None
    rest = None
    if source is not None:
        session.check_usable(sharing[0])
        rest = rest_after(source, target.vg)
        rest = spared(session, rest, keep=spare) if rest.pvs else rest
    session.inform(f"Finishing what was interrupted with volume group {printable(target_name)}")
    return carry_over(session, world, source, target.vg, source_after=rest, target_after=target.vg)


def spared(session: Session, vg: VolumeGroup, *, keep: bool) -> VolumeGroup:
    """The group with the spare volume that its pools need; without `keep` (--poolmetadataspare n) as it is."""
    return with_spare(vg, session.env) if keep else vg


def refuse_active(session: Session, vg: VolumeGroup, names: Sequence[str], say: Callable[[str], str]) -> None:
    """Raise InUseError, with the line that `say` makes of the first name, when one of these volumes is active."""
    from cryptlv.errors import InUseError
    from cryptlv.ops.kernel import active_ids

    active = active_ids(session)
    for name in names:
        if vg.lv(name).id in active:
            raise InUseError(say(printable(name)))
