"""Making volumes longer and shorter."""

from __future__ import annotations

from cryptlv.errors import CheckError, InUseError, RefusedError, UsageError
from cryptlv.model.allocate import Wish, allocate
from cryptlv.model.check import check
from cryptlv.model.resize import base_of, extended, freed_extents, neighbours_of, reduced
from cryptlv.model.sizes import LvSize, Striping, changed_length, check_striping
from cryptlv.names import printable
from cryptlv.ops.candidates import choose_candidates
from cryptlv.ops.commit import commit_change
from cryptlv.ops.lv_plan import crypt_maker, policy_of, striped_maker
from cryptlv.ops.wipe import wipe
from cryptlv.record import Record
from cryptlv.segments.crypt import CryptSegment, reused_tweaks
from cryptlv.segments.striped import StripedSegment
from cryptlv.units import format_size, round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import Group
    from cryptlv.model.resize import MakeSegment
    from cryptlv.model.vg import Footprint, LogicalVolume, VolumeGroup
    from cryptlv.ops.candidates import PvArgument
    from cryptlv.ops.copying import Watch
    from cryptlv.ops.session import Session

EXTEND, REDUCE, RESIZE = "extend", "reduce", "resize"


class ResizeRequest(Record):
    """What lvextend (`way` "extend"), lvreduce ("reduce") or lvresize ("resize") was asked for.

    `size` None is lvm2's short form: all the room there is on the PVs that are named.
    """

    way: str
    size: LvSize | None
    stripes: int = 0
    stripe_size_sectors: int = 0
    policy: str = ""
    pvs: tuple[PvArgument, ...] = ()


class ResizePlan(Record):
    """The group with the volume as it will be; `freed` has the extents that it no longer uses."""

    vg: VolumeGroup
    after: VolumeGroup
    lv_name: str
    before_le: int
    after_le: int
    freed: tuple[Footprint, ...] = ()

    @property
    def is_shorter(self) -> bool:
        """Whether data may be lost."""
        return self.after_le < self.before_le

    def size_bytes(self, length_le: int) -> int:
        """A length of the volume in bytes."""
        return length_le * self.vg.extent_size_bytes

    @property
    def change(self) -> str:
        """The sizes before and after, in words of lvm2's."""
        sizes = [
            f"{format_size(self.size_bytes(length))} ({length} extents)" for length in (self.before_le, self.after_le)
        ]
        return f"from {sizes[0]} to {sizes[1]}"


def plan(session: Session, group: Group, lv_name: str, request: ResizeRequest) -> ResizePlan:
    """What a change of size comes to; nothing is written.

    Raises NotFoundError, CheckError, UsageError, NoSpaceError, and RefusedError when the volume is hidden, of a type
    that is lvm2's to resize, or would not change as `way` says.
    """
    vg = group.vg
    lv = vg.lv(lv_name)
    name = f"{printable(vg.name)}/{printable(lv_name)}"
    if violations := check(vg):
        raise CheckError(violations)
    if not lv.is_visible:
        raise RefusedError(f"cannot resize internal logical volume {name}")
    if "LOCKED" in lv.status or "PVMOVE" in lv.status:
        raise RefusedError(f"cannot resize locked logical volume {name}")
    base = base_of(vg, lv)
    candidates = choose_candidates(session, group, request.pvs)
    remarks: list[str] = []
    size = request.size or LvSize(extents=100, percent_of="PVS", sign="+")
    wanted = changed_length(vg, lv, size, Striping(), candidates, base.segments)
    striping = Striping()
    if wanted.length_le > lv.length_le:
        striping = _striping(vg, base, request, remarks)
        wanted = changed_length(vg, lv, size, striping, candidates, base.segments)
    length_le = wanted.length_le
    _check_way(lv, length_le, request.way)
    if length_le < lv.length_le:
        if request.pvs:
            session.inform("Ignoring PVs on command line when reducing.")
        after = reduced(vg, lv, length_le)
    else:
        wish = Wish(
            length_le=round_up(length_le - lv.length_le, striping.count),  # more than needed over longer stripes only
            what=f"logical volume {name}",
            stripes=striping.count,
            policy=policy_of(vg, request.policy, lv.allocation_policy),
            candidates=candidates,
            neighbours=neighbours_of(base),
            is_approximate=wanted.is_approximate,
        )
        after = extended(vg, lv, allocate(vg, wish), _maker(base, striping))
        _check_tweaks(vg, after)
        for remark in remarks:
            session.inform(remark)
    for remark in wanted.remarks:
        session.inform(remark)
    return ResizePlan(
        vg=vg,
        after=after,
        lv_name=lv_name,
        before_le=lv.length_le,
        after_le=after.lv(lv_name).length_le,
        freed=freed_extents(vg, after),
    )


def _check_way(lv: LogicalVolume, length_le: int, way: str) -> None:
    now = lv.length_le
    if length_le == now:
        raise RefusedError(f"New size ({length_le} extents) matches existing size ({now} extents).")
    if way == EXTEND and length_le < now:
        raise RefusedError(f"New size given ({length_le} extents) not larger than existing size ({now} extents)")
    if way == REDUCE and length_le > now:
        raise RefusedError(f"New size given ({length_le} extents) not less than existing size ({now} extents)")


def _striping(vg: VolumeGroup, base: LogicalVolume, request: ResizeRequest, remarks: list[str]) -> Striping:
    """The striping of what is added: what was asked for, else that of the volume where it is the same all over."""
    stripings = {
        (len(segment.areas), segment.stripe_size_sectors)
        for segment in base.segments
        if isinstance(segment, StripedSegment)
    }
    count, size = request.stripes, request.stripe_size_sectors
    if not stripings:  # encrypted over PVs
        if count > 1:
            raise UsageError("an encrypted volume that is not over a striped one has no stripes: leave -i out")
        return Striping()
    sizes = {sectors for _, sectors in stripings if sectors}
    if (len({stripes for stripes, _ in stripings}) > 1 and not count) or (len(sizes) > 1 and not size):
        raise RefusedError("the segments differ in their stripes: give their number (-i) and size (-I)")
    if not count:
        count = max(stripes for stripes, _ in stripings)
    if count > 1 and not size and sizes:
        size = max(sizes)
        remarks.append(f"Using stripesize of last segment {format_size(size * 512)}")
    return check_striping(vg, count, size if count > 1 else 0, remarks)


def _maker(base: LogicalVolume, striping: Striping) -> MakeSegment:
    last = base.segments[-1]
    if isinstance(last, CryptSegment):
        return crypt_maker(last.crypto_store, last.iv_base_sectors, last.flags)
    return striped_maker(striping)


def _check_tweaks(before: VolumeGroup, after: VolumeGroup) -> None:
    """Raise RefusedError when a longer volume would use tweaks of another one with the same key."""
    known = set(reused_tweaks(before))
    for store, first, second in reused_tweaks(after):
        if (store, first, second) not in known:
            raise RefusedError(
                f"{printable(first)} cannot grow into the tweaks of {printable(second)}, which has the same key "
                f"({printable(store)}): two sectors would be encrypted alike"
            )


def foresee(session: Session, vg_name: str, lv_name: str, request: ResizeRequest) -> ResizePlan:
    """The plan as things are now, for a question to the user; what `plan` raises, and InUseError."""
    with session.locked(vg_name, write=False):
        group = session.writable_group(vg_name)
        foreseen = plan(session, group, lv_name, request)
        _check_use(session, group, foreseen)
        return foreseen


def resize(
    session: Session,
    vg_name: str,
    lv_name: str,
    request: ResizeRequest,
    foreseen: ResizePlan | None = None,
    wipe_watch: Watch | None = None,
) -> ResizePlan:
    """Make a volume longer or shorter, in one commit; gives what was done.

    What the kernel has active has its new size at once. One that is served may grow, and shows it when it is
    activated again. With `foreseen` nothing else is done
    than what that says of the sizes. With `wipe_watch` what was cut off is overwritten after the commit, while nobody
    else can have it. Raises what `plan` raises, InUseError, DeviceError, CommitError.
    """
    with session.locked(vg_name, write=True):
        group = session.writable_group(vg_name)
        planned = plan(session, group, lv_name, request)
        _check_use(session, group, planned)
        if foreseen is not None and (foreseen.before_le, foreseen.after_le) != (planned.before_le, planned.after_le):
            raise InUseError(f"{vg_name}/{lv_name} was changed by another command meanwhile; nothing changed")
        commit_change(session, group, planned.after)
        if wipe_watch is not None:
            wipe(session, group, planned.freed, wipe_watch)
        return planned


def _check_use(session: Session, group: Group, planned: ResizePlan) -> None:
    from cryptlv.activate.process import find_server
    from cryptlv.ops.lv import refuse_served

    lv = group.vg.lv(planned.lv_name)
    if planned.is_shorter:
        refuse_served(session, group.vg, lv)
    elif find_server(session.directories.run_dir, lv.id) is not None:
        session.warn(f"{group.vg.name}/{lv.name} is active: it shows its new size when it is activated again")
