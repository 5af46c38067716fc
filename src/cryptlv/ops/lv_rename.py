"""Logical volumes: rename."""

from __future__ import annotations

from cryptlv.model.lv_edit import rename_lv
from cryptlv.names import check_lv_name
from cryptlv.ops.commit import commit_change
from cryptlv.ops.lv import refuse_served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.ops.session import Session


def rename(session: Session, vg_name: str, old: str, new: str) -> None:
    """Give a volume another name, and its hidden parts names that follow it, in one commit.

    What the kernel has active is renamed there. Raises UsageError for a name that is not allowed, NotFoundError,
    ExistsError, InUseError when it is served (its server has the path), RefusedError, CommitError, DeviceMapperError.
    """
    check_lv_name(vg_name, new)
    with session.locked(vg_name, write=True):
        group = session.writable_group(vg_name)
        after = rename_lv(group.vg, old, new)
        refuse_served(session, group.vg, group.vg.lv(old))
        commit_change(session, group, after)
