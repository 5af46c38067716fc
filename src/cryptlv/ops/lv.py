"""Logical volumes: create and remove, encrypted or not."""

from __future__ import annotations

from cryptlv.errors import CheckError, CryptlvError, ExistsError, InUseError, NoSpaceError, RefusedError, UsageError
from cryptlv.model.allocate import allocate, free_count
from cryptlv.model.check import check
from cryptlv.model.edit import add_lvs, next_keystore_name, remove_lv, removed_lvs
from cryptlv.model.vg import LogicalVolume
from cryptlv.names import check_lv_name, check_vg_name, printable
from cryptlv.ops.commit import commit_change
from cryptlv.record import Record
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.striped import StripedSegment
from cryptlv.units import format_size, round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.ciphers.engine import SectorCipher
    from cryptlv.host.scan import Group
    from cryptlv.keys.handler import KeyHandler, KeystoreDraft, KeystoreRequest
    from cryptlv.model.allocate import Run
    from cryptlv.model.vg import Segment, VolumeGroup
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.session import Session
    from cryptlv.secret import Secret, VolumeKey

DEFAULT_HANDLER = "luks1"
AUTO_PREFIX = "lvol"
WIPE_BYTES = 4096
"""A new volume's first bytes are zeroed, so that no old signature is seen in it."""


class ExtentsSpec(Record):
    """`-l`: a number of extents, or a percentage of the volume group's ("VG") or its free ("FREE") extents."""

    number: int
    percent_of: str = ""


class LvRequest(Record):
    """What `lvcreate` was asked for; exactly one of `size_bytes` and `extents` is given. No name: the next lvolN."""

    name: str
    size_bytes: int | None = None
    extents: ExtentsSpec | None = None
    segment_type: str = "linear"
    handler: str = DEFAULT_HANDLER
    cipher: str = ""
    key_size_bits: int = 0
    key_hash: str = ""
    iter_time_ms: int = 2000
    force_iterations: int = 0
    pv_paths: tuple[str, ...] = ()


class _Plan(Record):
    """A creation that has been thought through: `image_area` is where the keystore's image goes, None if nowhere."""

    after: VolumeGroup
    lv: LogicalVolume
    store: LogicalVolume | None = None


def create(
    session: Session, vg_name: str, request: LvRequest, credentials: Credentials | None = None
) -> LogicalVolume:
    """Create a volume, for an encrypted one its keystore with it, in one commit.

    The key is made, and written and read back where the keystore is stored, before the metadata names it: a failure
    leaves the volume group as it was. Nobody is asked for a passphrase before the plan has been found good, and no
    lock is held meanwhile. Raises UsageError, NotFoundError, ExistsError, NoSpaceError, CipherError, CredentialError,
    CommitError, DeviceError.
    """
    check_vg_name(vg_name)
    if request.name:
        check_lv_name(vg_name, request.name)
    if request.segment_type == "linear":
        with session.locked(vg_name, write=True):
            group = session.writable_group(vg_name)
            plan = _plan_linear(session, group, request)
            commit_change(session, group, plan.after)
            if not session.test:
                _wipe_start(session, group, plan, {})
        return plan.lv
    if request.segment_type != "crypt":
        raise UsageError(f"segment type {request.segment_type!r} cannot be created; use linear or crypt")
    return _create_crypt(session, vg_name, request, credentials)


def _named(vg: VolumeGroup, request: LvRequest) -> LvRequest:
    """The request with a name: the next of lvm2's `lvolN` when none was given (lib/metadata/lv_manip.c)."""
    if request.name:
        return request
    tails = (lv.name.removeprefix(AUTO_PREFIX) for lv in vg.lvs if lv.name.startswith(AUTO_PREFIX))
    numbers = [int(tail) for tail in tails if tail.isascii() and tail.isdigit()]
    return request.replace(name=f"{AUTO_PREFIX}{max(numbers, default=-1) + 1}")


def _create_crypt(
    session: Session, vg_name: str, request: LvRequest, credentials: Credentials | None
) -> LogicalVolume:
    from cryptlv.keys.registry import find_handler

    handler = find_handler(request.handler)
    draft = handler.draft(_keystore_request(request))
    with session.locked(vg_name, write=False):
        plan = _plan_crypt(session, session.writable_group(vg_name), request, draft)
    if session.test:
        return plan.lv
    if credentials is None:
        raise UsageError("an encrypted volume needs a passphrase or key")
    what = f"{vg_name}/{plan.lv.name}"
    with credentials.get("create", what, handler.credential_kind) as credential:
        image, volume_key = handler.create(draft, credential, session.env, _rfc4122(session.env.random_bytes(16)))
        with volume_key, session.locked(vg_name, write=True):
            return _commit_crypt(session, vg_name, request, _Made(handler, draft, image, volume_key, credential))


class _Made:
    """A new keystore that is not on disk yet; holds secrets, so it is no record."""

    __slots__ = ("credential", "draft", "handler", "image", "volume_key")

    def __init__(
        self, handler: KeyHandler, draft: KeystoreDraft, image: bytes, volume_key: VolumeKey, credential: Secret
    ) -> None:
        self.handler = handler
        self.draft = draft
        self.image = image
        self.volume_key = volume_key
        self.credential = credential


def _commit_crypt(session: Session, vg_name: str, request: LvRequest, made: _Made) -> LogicalVolume:
    group = session.writable_group(vg_name)
    plan = _plan_crypt(session, group, request, made.draft)
    assert plan.store is not None  # noqa: S101 - a plan of an encrypted volume has a keystore
    _store_image(session, group, plan.store, made)
    commit_change(session, group, plan.after)
    _wipe_start(session, group, plan, {plan.store.name: made})
    return plan.lv


def _store_image(session: Session, group: Group, store: LogicalVolume, made: _Made) -> None:
    """The keystore's image onto its (still free) extents, read back and opened with the credential."""
    from cryptlv.errors import KeystoreError
    from cryptlv.ops.keystore import attributes_of, image_place, write_image
    from cryptlv.segments.keystore import KeystoreSegment

    (segment,) = store.segments
    assert isinstance(segment, KeystoreSegment)  # noqa: S101 - made by _plan_crypt
    place = image_place(group.vg, segment)
    image = made.image
    if place is not None:
        pv_id, offset_bytes, _ = place
        device = session.device(group.pv_paths[pv_id], writable=True)
        write_image(device, offset_bytes, image)
        image = device.read(offset_bytes, len(image))
    with made.handler.unlock(attributes_of(segment), image, made.credential) as proof:
        if not proof.matches(made.volume_key):
            raise KeystoreError(f"the new keystore of {group.vg.name} does not give its key back; nothing changed")


def _keystore_request(request: LvRequest) -> KeystoreRequest:
    from cryptlv.keys.handler import KeystoreRequest

    return KeystoreRequest(
        cipher=request.cipher,
        key_size_bits=request.key_size_bits,
        key_hash=request.key_hash,
        iter_time_ms=request.iter_time_ms,
        force_iterations=request.force_iterations,
    )


def _rfc4122(random: bytes) -> str:
    """A random UUID (RFC 4122 section 4.4) as LUKS headers have them."""
    import uuid

    return str(uuid.UUID(bytes=random, version=4))


def _sound(vg: VolumeGroup, request: LvRequest) -> None:
    violations = check(vg)
    if violations:
        raise CheckError(violations)
    if vg.find_lv(request.name) is not None:
        raise ExistsError(f"logical volume {request.name!r} already exists in volume group {vg.name!r}")
    if vg.max_lv and sum(lv.is_visible for lv in vg.lvs) >= vg.max_lv:
        raise RefusedError(f"volume group {vg.name!r} has its maximum of {vg.max_lv} logical volumes")


def _plan_linear(session: Session, group: Group, request: LvRequest) -> _Plan:
    vg = group.vg
    request = _named(vg, request)
    _sound(vg, request)
    length_le = _length_le(session, vg, request, reserved_le=0)
    only = _only_pvs(group, request)
    runs = allocate(vg, length_le, what=f"logical volume {request.name!r}", only=only)
    lv = _new_lv(
        session,
        request.name,
        _segments(
            runs, lambda start, run: StripedSegment(start_le=start, length_le=run.length_pe, areas=(run.area,))
        ),
    )
    return _Plan(after=add_lvs(vg, lv), lv=lv)


def _plan_crypt(session: Session, group: Group, request: LvRequest, draft: KeystoreDraft) -> _Plan:
    from cryptlv.ops.keystore import draft_segment

    vg = group.vg
    request = _named(vg, request)
    _sound(vg, request)
    store_name = next_keystore_name(vg)
    store_le = -(-draft.image_bytes // vg.extent_size_bytes)
    only = _only_pvs(group, request)
    length_le = _length_le(session, vg, request, reserved_le=store_le)
    area = None
    if store_le:
        (run,) = allocate(vg, store_le, what=f"the keystore of {request.name!r}", contiguous=True, only=only)
        area = run.area
    segment = draft_segment(draft, area, max(store_le, 1))
    store = _new_lv(session, store_name, (segment,)).replace(status=("READ",), allocation_policy="normal")
    with_store = add_lvs(vg, store)
    runs = allocate(with_store, length_le, what=f"logical volume {request.name!r}", only=only)
    lv = _new_lv(
        session,
        request.name,
        _segments(
            runs,
            lambda start, run: CryptSegment(
                start_le=start, length_le=run.length_pe, crypto_store=store_name, areas=(run.area,)
            ),
        ),
    )
    return _Plan(after=add_lvs(with_store, lv), lv=lv, store=store)


def _segments(runs: tuple[Run, ...], make: Callable[[int, Run], Segment]) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    start_le = 0
    for run in runs:
        segments.append(make(start_le, run))
        start_le += run.length_pe
    return tuple(segments)


def _new_lv(session: Session, name: str, segments: tuple[Segment, ...]) -> LogicalVolume:
    env = session.env
    return LogicalVolume(
        name=name, id=env.new_uuid(), creation_time=env.now, creation_host=env.hostname, segments=segments
    )


def _only_pvs(group: Group, request: LvRequest) -> frozenset[str] | None:
    """The ids of the PVs that the user named, None for any."""
    if not request.pv_paths:
        return None
    by_path = {path: pv_id for pv_id, path in group.pv_paths.items()}
    unknown = [path for path in request.pv_paths if path not in by_path]
    if unknown:
        raise UsageError(f"{printable(unknown[0])} is not a physical volume of volume group {group.vg.name!r}")
    return frozenset(by_path[path] for path in request.pv_paths)


def _length_le(session: Session, vg: VolumeGroup, request: LvRequest, *, reserved_le: int) -> int:
    """The size asked for, in extents; sizes in bytes are rounded up to whole extents, with a word about it."""
    if request.size_bytes is not None:
        length_le = -(-request.size_bytes // vg.extent_size_bytes)
        if length_le * vg.extent_size_bytes != request.size_bytes:
            rounded = format_size(round_up(request.size_bytes, vg.extent_size_bytes))
            session.inform(f"Rounding up size to full physical extent {rounded}")
    elif request.extents is not None:
        length_le = _extents(vg, request.extents, reserved_le)
    else:
        raise UsageError("lvcreate needs a size: -L SIZE or -l EXTENTS")
    if length_le < 1:
        if request.extents is not None and request.extents.percent_of:
            raise NoSpaceError(f"volume group {vg.name!r} has no free space for logical volume {request.name!r}")
        raise UsageError("a logical volume needs at least one extent")
    return length_le


def _extents(vg: VolumeGroup, extents: ExtentsSpec, reserved_le: int) -> int:
    if not extents.percent_of:
        return extents.number
    if extents.percent_of == "VG":
        return vg.extent_count * extents.number // 100
    free = max(free_count(vg) - reserved_le, 0)
    return free * extents.number // 100


def _wipe_start(session: Session, group: Group, plan: _Plan, made: dict[str, _Made]) -> None:
    """Zero the new volume's first 4 KiB through its mapping. The volume exists: a failure is a warning."""
    from cryptlv.activate.stream import VolumeStream
    from cryptlv.model.mapping import map_volume

    mapping = map_volume(plan.after, plan.lv)
    ciphers = {}
    try:
        for name, keystore in made.items():
            ciphers[name] = _open_cipher(plan.after, name, keystore)
        devices = {pv_id: session.device(group.pv_paths[pv_id], writable=True) for pv_id in mapping.pv_ids}
        stream = VolumeStream(mapping, devices, ciphers)
        stream.write(0, bytes(min(WIPE_BYTES, mapping.length_sectors * 512)))
        stream.flush()
    except CryptlvError as error:
        session.warn(f"logical volume {plan.lv.name!r} is created but its first 4 KiB are not zeroed: {error}")
    finally:
        for cipher in ciphers.values():
            cipher.close()


def _open_cipher(vg: VolumeGroup, store_name: str, made: _Made) -> SectorCipher:
    from cryptlv.ciphers.engine import open_sector_cipher
    from cryptlv.ops.keystore import attributes_of, keystore_segment

    parameters = made.handler.parameters(attributes_of(keystore_segment(vg, store_name)), made.image)
    return open_sector_cipher(parameters.cipher, made.volume_key, parameters.sector_size)


def names(session: Session, vg_name: str) -> tuple[str, ...]:
    """The visible volumes of a volume group; raises NotFoundError."""
    with session.locked(vg_name, write=False):
        return tuple(lv.name for lv in session.world().group(vg_name).vg.lvs if lv.is_visible)


def would_lose_key(session: Session, vg_name: str, lv_name: str) -> bool:
    """Whether a keystore would go with the volume, and every chance to read its data; raises NotFoundError."""
    with session.locked(vg_name, write=False):
        vg = session.world().group(vg_name).vg
    return len(removed_lvs(vg, remove_lv(vg, lv_name))) > 1


def remove(session: Session, vg_name: str, lv_name: str) -> None:
    """Remove a volume, and its keystore when no other volume uses it, in one commit; then the key header is wiped.

    Raises NotFoundError, InUseError when it is active, RefusedError, CommitError.
    """
    from cryptlv.ops.keystore import wipe_images

    with session.locked(vg_name, write=True):
        group = session.writable_group(vg_name)
        refuse_active(session, group.vg, group.vg.lv(lv_name))
        after = remove_lv(group.vg, lv_name)
        commit_change(session, group, after)
        if not session.test:
            wipe_images(session, group.vg, removed_lvs(group.vg, after), group.pv_paths)


def refuse_active(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> None:
    """Raise InUseError when a volume is being served."""
    from cryptlv.activate.process import find_server

    if find_server(session.directories.run_dir, lv.id) is not None:
        name = f"{vg.name}/{printable(lv.name)}"
        raise InUseError(f"logical volume {name} is active; deactivate it first: cryptlv lvchange -an {name}")
