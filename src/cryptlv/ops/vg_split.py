"""vgsplit: some physical volumes, and what lies on them, become or join another volume group (tools/vgsplit.c)."""

from __future__ import annotations

from cryptlv.errors import ExistsError, RefusedError
from cryptlv.model.split_merge import pvs_under, split
from cryptlv.model.vg import VolumeGroup
from cryptlv.names import check_vg_name, is_name, printable
from cryptlv.ops.carry import carry_over, finish, refuse_active, spared
from cryptlv.ops.pv import absolute_paths
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import Group
    from cryptlv.model.split_merge import Move
    from cryptlv.ops.session import Session


class NewGroup(Record):
    """What a group that is made may be given; None stands for what the group that is split has."""

    max_lv: int | None = None
    max_pv: int | None = None
    allocation_policy: str | None = None
    metadata_copies: int | None = None

    @property
    def is_given(self) -> bool:
        """Whether anything is."""
        return self != NewGroup()


class SplitRequest(Record):
    """vgsplit's words: either `pv_paths` or `lv_name` says which physical volumes go."""

    source: str
    target: str
    pv_paths: tuple[str, ...] = ()
    lv_name: str = ""
    new: NewGroup = NewGroup()
    pool_metadata_spare: bool = True


class Done(Record):
    """What came of it: the other group, whether it was there before, and new names of keystores."""

    vg: VolumeGroup
    existed: bool
    renamed: tuple[tuple[str, str], ...] = ()


def vgsplit(session: Session, request: SplitRequest) -> Done:
    """Split a volume group. Crashes: see `ops.carry`; the same command again finishes what was interrupted.

    Raises NotFoundError, ExistsError, RefusedError for what would be torn apart, InUseError for active volumes,
    NoSpaceError, CheckError, CommitError.
    """
    source_name, target_name = request.source, request.target
    check_vg_name(source_name)
    if not is_name(target_name):
        raise RefusedError(f"Invalid vg name {printable(target_name)}.")
    if source_name == target_name:
        raise ExistsError(f'Duplicate volume group name "{source_name}"')
    paths = absolute_paths(request.pv_paths)
    with (
        session.locked(target_name, write=True, global_write=True),
        session.locked(source_name, write=True),
    ):
        finished = finish(session, source_name, target_name, spare=request.pool_metadata_spare)
        if finished is not None:
            left = set(paths) - {pv.device for pv in finished.pvs}
            if left and not session.test:
                raise RefusedError(
                    f"an interrupted move to {target_name} is finished now; {min(left)} was not part of it: run the "
                    "command again"
                )
            return Done(vg=finished, existed=True)
        world = session.world()
        existing = world.find_group(target_name)
        if existing is not None:
            session.writable_group(target_name)
        source = session.writable_group(source_name)
        if existing is not None and request.new.is_given:
            raise RefusedError(f'Volume group "{target_name}" exists, but new VG option specified')
        target = existing.vg if existing is not None else _new(session, source.vg, target_name, request.new)
        move = split(source.vg, target, _pv_ids(source, request, paths), session.env.new_uuid)
        _refuse_active(session, source.vg, move, existing=existing is not None)
        keep = request.pool_metadata_spare
        done = carry_over(
            session, world, source.vg, target,
            source_after=spared(session, move.source, keep=keep) if move.source.pvs else None,
            target_after=spared(session, move.target, keep=keep),
        )  # fmt: skip
    return Done(vg=done, existed=existing is not None, renamed=tuple(move.renamed.items()))


def _refuse_active(session: Session, vg: VolumeGroup, move: Move, *, existing: bool) -> None:
    if existing:
        names = [lv.name for lv in vg.lvs]
        refuse_active(session, vg, names, lambda _: f'Logical volumes in "{printable(vg.name)}" must be inactive')
    moved = [lv.name for lv in move.moved]
    refuse_active(session, vg, moved, lambda name: f"Logical volume {printable(vg.name)}/{name} must be inactive.")


def _new(session: Session, source: VolumeGroup, name: str, wanted: NewGroup) -> VolumeGroup:
    """A group without volumes that is like the one that is split, where nothing else is wanted."""
    return VolumeGroup(
        name=name,
        id=session.env.new_uuid(),
        seqno=0,
        system_id=source.system_id,
        extent_size_sectors=source.extent_size_sectors,
        max_lv=source.max_lv if wanted.max_lv is None else wanted.max_lv,
        max_pv=source.max_pv if wanted.max_pv is None else wanted.max_pv,
        allocation_policy=source.allocation_policy if wanted.allocation_policy is None else wanted.allocation_policy,
        metadata_copies=wanted.metadata_copies or 0,
    )


def _pv_ids(source: Group, request: SplitRequest, paths: tuple[str, ...]) -> tuple[str, ...]:
    if request.lv_name:
        return pvs_under(source.vg, request.lv_name)
    by_path = {path: pv_id for pv_id, path in source.pv_paths.items()}
    for path in paths:
        if path not in by_path:
            raise RefusedError(f"Physical volume {path} not in volume group {printable(source.vg.name)}")
    return tuple(by_path[path] for path in paths)
