"""vgmerge: all of one volume group becomes part of another (tools/vgmerge.c)."""

from __future__ import annotations

from cryptlv.errors import ExistsError
from cryptlv.model.split_merge import merge
from cryptlv.names import check_vg_name, printable
from cryptlv.ops.carry import carry_over, finish, refuse_active, spared
from cryptlv.ops.vg_split import Done

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.ops.session import Session


def vgmerge(session: Session, target_name: str, source_name: str, *, pool_metadata_spare: bool = True) -> Done:
    """Merge `source_name` into `target_name`.

    lvm2 commits once, and a crash can leave it with physical volumes in two groups. Here it is done as by vgsplit,
    see `ops.carry`; the same command again finishes what was interrupted. Raises NotFoundError, ExistsError for names
    in both, RefusedError, InUseError when a volume of the source is active, NoSpaceError, CheckError, CommitError.
    """
    check_vg_name(target_name)
    check_vg_name(source_name)
    if target_name == source_name:
        raise ExistsError(f'Duplicate volume group name "{source_name}"')
    with session.locked(target_name, source_name, write=True, global_write=True):
        finished = finish(session, source_name, target_name, spare=pool_metadata_spare)
        if finished is not None:
            return Done(vg=finished, existed=True)
        target = session.writable_group(target_name).vg
        source = session.writable_group(source_name).vg
        names = [lv.name for lv in source.lvs]
        refuse_active(session, source, names, lambda _: f'Logical volumes in "{source_name}" must be inactive')
        move = merge(source, target, session.env.new_uuid)
        done = carry_over(
            session, session.world(), source, target,
            source_after=None, target_after=spared(session, move.target, keep=pool_metadata_spare),
        )  # fmt: skip
    return Done(vg=done, existed=True, renamed=tuple((printable(old), new) for old, new in move.renamed.items()))
