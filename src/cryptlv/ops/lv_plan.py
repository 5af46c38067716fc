"""What a new volume will be, thought through on the metadata as they are; nothing here writes."""

from __future__ import annotations

from cryptlv.errors import CheckError, ExistsError, RefusedError, UsageError
from cryptlv.host.system import observe_dm_major
from cryptlv.keys.handler import KeystoreRequest
from cryptlv.model.allocate import Candidate, Wish, allocate
from cryptlv.model.check import check
from cryptlv.model.edit import add_lvs, next_keystore_name
from cryptlv.model.sizes import LvSize, Striping, check_striping, new_length
from cryptlv.model.vg import LogicalVolume, LvArea
from cryptlv.names import DATA_SUFFIX, check_lv_name, printable
from cryptlv.ops.candidates import choose_candidates
from cryptlv.record import Record
from cryptlv.segments.crypt import CryptSegment, next_iv_base
from cryptlv.segments.striped import StripedSegment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptlv.host.scan import Group
    from cryptlv.keys.handler import KeystoreDraft
    from cryptlv.model.allocate import Piece
    from cryptlv.model.resize import MakeSegment
    from cryptlv.model.vg import Segment, VolumeGroup
    from cryptlv.ops.candidates import PvArgument
    from cryptlv.ops.session import Session

__all__ = [
    "AUTO_PREFIX",
    "DEFAULT_HANDLER",
    "LvPlan",
    "LvRequest",
    "LvSize",
    "crypt_maker",
    "plan_volume",
    "policy_of",
    "shared_store",
    "striped_maker",
]

DEFAULT_HANDLER = "luks2"
AUTO_PREFIX = "lvol"


class LvRequest(Record):
    """What `lvcreate` was asked for; one of `size_bytes` and `extents` is given. No name: the next lvolN.

    `percent_of` makes `extents` a percentage of VG, FREE or PVS. `crypto_store` is a keystore to share, "" for a new
    one, of which `handler` and `keystore` say what it is to be. Without `is_zeroed` the first 4 KiB are left as they
    are. `crypt_flags` are dm-crypt's, as the metadata keep them. `activates` None is yes where the kernel can, and
    `keys_in_keyring` says how it gets the key then.
    """

    name: str
    size_bytes: int | None = None
    extents: int = 0
    percent_of: str = ""
    segment_type: str = "linear"
    stripes: int = 1
    stripe_size_sectors: int = 0
    policy: str = ""
    pvs: tuple[PvArgument, ...] = ()
    tags: tuple[str, ...] = ()
    is_writable: bool = True
    is_zeroed: bool = True
    read_ahead: int | None = None
    minor: int | None = None
    skips_activation: bool = False
    autoactivates: bool = True
    activates: bool | None = None
    keys_in_keyring: bool = True
    crypt_flags: tuple[str, ...] = ()
    crypto_store: str = ""
    handler: str = DEFAULT_HANDLER
    keystore: KeystoreRequest = KeystoreRequest()

    @property
    def size(self) -> LvSize:
        """The size that was asked for."""
        return LvSize(size_bytes=self.size_bytes, extents=self.extents, percent_of=self.percent_of)


class LvPlan(Record):
    """The group with the volume, the volume, and its keystore when that is new."""

    after: VolumeGroup
    lv: LogicalVolume
    store: LogicalVolume | None = None


def plan_volume(session: Session, group: Group, request: LvRequest, draft: KeystoreDraft | None = None) -> LvPlan:
    """A volume of any kind; for an encrypted one `draft` is what its new keystore will be.

    Raises CheckError, ExistsError, RefusedError, UsageError, NotFoundError, NoSpaceError.
    """
    vg = group.vg
    request = _named(vg, request)
    _check_room(vg, request)
    remarks: list[str] = []
    striping = check_striping(vg, request.stripes, request.stripe_size_sectors, remarks)
    candidates = choose_candidates(session, group, request.pvs)
    store_le = -(-draft.image_bytes // vg.extent_size_bytes) if draft is not None else 0
    extents = new_length(vg, request.size, striping, candidates, reserved_le=store_le)
    for remark in (*remarks, *extents.remarks):
        session.inform(remark)
    _check_stripes(vg, request, candidates)
    store = None
    if draft is not None:
        store = _store(session, vg, request, draft, candidates, store_le)
        vg = add_lvs(vg, store)
    store_name = store.name if store is not None else request.crypto_store
    wish = Wish(
        length_le=extents.length_le,
        what=f"logical volume {request.name!r}",
        stripes=striping.count,
        policy=policy_of(vg, request.policy),
        candidates=candidates,
        is_approximate=extents.is_approximate,
    )
    pieces = allocate(vg, wish)
    is_crypt = request.segment_type == "crypt"
    if is_crypt and striping.count == 1:
        base = next_iv_base(vg, store_name)
        lv = _volume(session, request, _segments(pieces, crypt_maker(store_name, base, request.crypt_flags)))
        return LvPlan(after=add_lvs(vg, lv), lv=lv, store=store)
    plain = _segments(pieces, striped_maker(striping))
    if not is_crypt:
        lv = _volume(session, request, plain)
        return LvPlan(after=add_lvs(vg, lv), lv=lv, store=store)
    check_lv_name(vg.name, request.name, DATA_SUFFIX)
    below = _hidden(session, request.name + DATA_SUFFIX, plain)
    over = CryptSegment(
        start_le=0,
        length_le=plain[-1].end_le,
        crypto_store=store_name,
        areas=(LvArea(lv_name=below.name, start_le=0),),
        iv_base_sectors=next_iv_base(vg, store_name),
        flags=request.crypt_flags,
    )
    lv = _volume(session, request, (over,))
    return LvPlan(after=add_lvs(vg, lv, below), lv=lv, store=store)


def policy_of(vg: VolumeGroup, *wanted: str) -> str:
    """The allocation policy: the first that is given and not `inherit`, else the group's."""
    return next((word for word in wanted if word and word != "inherit"), "") or vg.allocation_policy or "normal"


def striped_maker(striping: Striping) -> MakeSegment:
    """Makes linear or striped segments of pieces."""

    def make(start_le: int, piece: Piece) -> Segment:
        size = striping.size_sectors if len(piece.areas) > 1 else 0
        return StripedSegment(
            start_le=start_le, length_le=piece.length_le, areas=piece.areas, stripe_size_sectors=size
        )

    return make


def crypt_maker(store_name: str, iv_base_sectors: int, flags: tuple[str, ...]) -> MakeSegment:
    """Makes encrypted segments of pieces."""

    def make(start_le: int, piece: Piece) -> Segment:
        return CryptSegment(
            start_le=start_le,
            length_le=piece.length_le,
            crypto_store=store_name,
            areas=piece.areas,
            iv_base_sectors=iv_base_sectors,
            flags=flags,
        )

    return make


def _segments(pieces: Iterable[Piece], make: MakeSegment) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for piece in pieces:
        segments.append(make(segments[-1].end_le if segments else 0, piece))
    return tuple(segments)


def _named(vg: VolumeGroup, request: LvRequest) -> LvRequest:
    """The request with a name: the next of lvm2's `lvolN` when none was given (lib/metadata/lv_manip.c)."""
    if request.name:
        return request
    tails = (lv.name.removeprefix(AUTO_PREFIX) for lv in vg.lvs if lv.name.startswith(AUTO_PREFIX))
    numbers = [int(tail) for tail in tails if tail.isascii() and tail.isdigit()]
    return request.replace(name=f"{AUTO_PREFIX}{max(numbers, default=-1) + 1}")


def _check_room(vg: VolumeGroup, request: LvRequest) -> None:
    violations = check(vg)
    if violations:
        raise CheckError(violations)
    check_lv_name(vg.name, request.name)
    for name in (request.name, request.name + DATA_SUFFIX):
        if vg.find_lv(name) is not None:
            raise ExistsError(f"logical volume {name!r} already exists in volume group {vg.name!r}")
    if vg.max_lv and sum(lv.is_visible for lv in vg.lvs) >= vg.max_lv:
        raise RefusedError(f"volume group {vg.name!r} has its maximum of {vg.max_lv} logical volumes")


def _check_stripes(vg: VolumeGroup, request: LvRequest, candidates: tuple[Candidate, ...] | None) -> None:
    there = len({candidate.pv_id for candidate in candidates}) if candidates is not None else len(vg.pvs)
    if request.stripes > there and request.policy != "anywhere":
        raise RefusedError(
            f"number of stripes ({request.stripes}) must not exceed number of physical volumes ({there})"
        )
    if request.stripes > 1 and request.segment_type == "linear":
        raise UsageError("a linear volume has no stripes: leave -i out, or write --type striped")


def _store(
    session: Session,
    vg: VolumeGroup,
    request: LvRequest,
    draft: KeystoreDraft,
    candidates: tuple[Candidate, ...] | None,
    store_le: int,
) -> LogicalVolume:
    """The new keystore's volume, in one piece."""
    from cryptlv.ops.keystore import draft_segment

    area = None
    if store_le:
        what = f"the keystore of {request.name!r}"
        (piece,) = allocate(vg, Wish(length_le=store_le, what=what, candidates=candidates, is_whole=True))
        (area,) = piece.areas
    segment = draft_segment(draft, area, max(store_le, 1))
    store = _new_lv(session, next_keystore_name(vg), (segment,))
    return store.replace(status=("READ",), allocation_policy="normal")


def _volume(session: Session, request: LvRequest, segments: tuple[Segment, ...]) -> LogicalVolume:
    """A visible volume with the properties that were asked for."""
    lv = _new_lv(session, request.name, segments)
    policy = request.policy if request.policy != "inherit" else ""
    flags = (("ACTIVATION_SKIP", request.skips_activation), ("NOAUTOACTIVATE", not request.autoactivates))
    status = (
        ("READ", True),
        ("WRITE", request.is_writable),
        ("FIXED_MINOR", request.minor is not None),
        ("VISIBLE", True),
    )
    return lv.replace(
        status=tuple(word for word, is_set in status if is_set),
        flags=tuple(word for word, is_set in flags if is_set),
        tags=request.tags,
        allocation_policy=policy,
        read_ahead=request.read_ahead,
        major=observe_dm_major() if request.minor is not None else None,
        minor=request.minor,
    )


def _hidden(session: Session, name: str, segments: tuple[Segment, ...]) -> LogicalVolume:
    return _new_lv(session, name, segments).replace(status=("READ", "WRITE"))


def _new_lv(session: Session, name: str, segments: tuple[Segment, ...]) -> LogicalVolume:
    env = session.env
    return LogicalVolume(
        name=name, id=env.new_uuid(), creation_time=env.now, creation_host=env.hostname, segments=segments
    )


def shared_store(vg: VolumeGroup, name: str) -> LogicalVolume:
    """The keystore that a new volume is to share; raises NotFoundError or RefusedError."""
    store = vg.lv(name)
    if not store.segments or store.segments[0].type_name != "crypt-keystore":
        raise RefusedError(f"{printable(vg.name)}/{printable(name)} is not a keystore")
    return store
