"""Logical volumes: create, encrypted or not."""

from __future__ import annotations

from cryptlv.errors import ActivationError, CipherError, CryptlvError, InUseError, UsageError
from cryptlv.names import check_lv_name, check_vg_name, printable
from cryptlv.ops.commit import commit_change
from cryptlv.ops.kernel import activate_in_kernel, check_possible, is_possible, kernel_ids
from cryptlv.ops.lv_plan import DEFAULT_HANDLER, LvPlan, LvRequest, plan_volume, shared_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.ciphers.engine import SectorCipher
    from cryptlv.host.scan import Group
    from cryptlv.keys.handler import CipherParameters, KeyHandler, KeystoreDraft
    from cryptlv.model.vg import LogicalVolume, VolumeGroup
    from cryptlv.ops.activation import KeystoreView
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.session import Session
    from cryptlv.secret import Secret, VolumeKey

__all__ = ["DEFAULT_HANDLER", "LvRequest", "create", "refuse_active", "refuse_served"]

WIPE_BYTES = 4096
"""A new volume's first bytes are zeroed, so that no old signature is seen in it."""
_WIDE_IVS = frozenset(("plain64", "plain64be", "essiv", "benbi", "eboiv"))
"""IVs that tell every sector of volumes with one key apart, however far from the start they are."""


def create(
    session: Session, vg_name: str, request: LvRequest, credentials: Credentials | None = None
) -> LogicalVolume:
    """Create a volume, for an encrypted one its keystore with it, in one commit.

    The key is made, and written and read back where the keystore is stored, before the metadata names it: a failure
    leaves the volume group as it was. Nobody is asked for a passphrase before the plan has been found good, and no
    lock is held meanwhile. It is activated in the kernel where that can be, unless `request.activates` says something
    else. Raises UsageError, NotFoundError, ExistsError, NoSpaceError, CipherError, CredentialError, CommitError,
    DeviceError, and ActivationError when it is made, but not active as it should be.
    """
    check_vg_name(vg_name)
    if request.name:
        check_lv_name(vg_name, request.name)
    if request.segment_type not in ("linear", "striped", "crypt"):
        raise UsageError(f"segment type {request.segment_type!r} cannot be created; use linear, striped or crypt")
    if request.segment_type == "crypt" and request.crypto_store:
        return _create_sharing(session, vg_name, request, credentials)
    if request.segment_type == "crypt":
        return _create_crypt(session, vg_name, request, credentials)
    with session.locked(vg_name, write=True):
        group = session.writable_group(vg_name)
        _check_activation(session, group, request)
        plan = plan_volume(session, group, request)
        after = commit_change(session, group, plan.after)
        if not session.test:
            _start(session, group, plan.replace(after=after), request, {})
    return plan.lv


def _create_crypt(
    session: Session, vg_name: str, request: LvRequest, credentials: Credentials | None
) -> LogicalVolume:
    from cryptlv.ops.handlers import find_handler

    handler = find_handler(request.handler)
    with session.locked(vg_name, write=False):
        group = session.writable_group(vg_name)
        _check_activation(session, group, request)
        draft = handler.draft(request.keystore.replace(unit_bytes=group.vg.extent_size_bytes))
        plan = plan_volume(session, group, request, draft)
    if session.test:
        return plan.lv
    if credentials is None:
        raise UsageError("an encrypted volume needs a passphrase or key")
    what = f"{vg_name}/{plan.lv.name}"
    with credentials.get("create", what, handler.credential_kind) as credential:
        image, volume_key = handler.create(draft, credential, session.env, _rfc4122(session.env.random_bytes(16)))
        with volume_key, session.locked(vg_name, write=True):
            made = _Made(handler, draft, image, volume_key, credential)
            return _commit_crypt(session, vg_name, request, made, credentials.cache_seconds)


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


def _commit_crypt(
    session: Session, vg_name: str, request: LvRequest, made: _Made, cache_seconds: int
) -> LogicalVolume:
    from cryptlv.ops.activation import view_of
    from cryptlv.ops.keystore import read_image

    group = session.writable_group(vg_name)
    plan = plan_volume(session, group, request, made.draft)
    assert plan.store is not None  # noqa: S101 - a plan with a draft has a keystore
    _store_image(session, group, plan.store, made)
    after = commit_change(session, group, plan.after)
    view = view_of(plan.after, plan.store.name, made.image)
    if cache_seconds:
        from cryptlv.ops.key_cache import keep_key

        image = read_image(session, plan.after, plan.store.name, group.pv_paths)
        keep_key(view.replace(image=image), made.volume_key, cache_seconds, session.warn)
    parameters = made.handler.parameters(view.attributes, made.image)
    keys = {plan.store.name: (parameters, made.volume_key)}
    _start(session, group, plan.replace(after=after), request, keys)
    return plan.lv


def _store_image(session: Session, group: Group, store: LogicalVolume, made: _Made) -> None:
    """The keystore's image onto its (still free) extents, read back and opened with the credential."""
    from cryptlv.errors import KeystoreError
    from cryptlv.ops.keystore import attributes_of, image_place, write_image
    from cryptlv.segments.keystore import KeystoreSegment

    (segment,) = store.segments
    assert isinstance(segment, KeystoreSegment)  # noqa: S101 - made by plan_volume
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


def _rfc4122(random: bytes) -> str:
    """A random UUID (RFC 4122 section 4.4) as LUKS headers have them."""
    import uuid

    return str(uuid.UUID(bytes=random, version=4))


def _create_sharing(
    session: Session, vg_name: str, request: LvRequest, credentials: Credentials | None
) -> LogicalVolume:
    """A volume with the key of others; the key itself is needed to zero its first bytes, and to activate it."""
    from cryptlv.ops.activation import KeyRing, read_view

    def shared_view(group: Group) -> KeystoreView:
        return read_view(session, group, shared_store(group.vg, request.crypto_store).name)

    with session.locked(vg_name, write=False):
        group = session.writable_group(vg_name)
        is_active = _check_activation(session, group, request)
        view = shared_view(group)
        parameters = _wide_parameters(view, request.crypto_store)
        plan = plan_volume(session, group, request)
    if session.test:
        return plan.lv
    if credentials is None:
        raise UsageError("an encrypted volume needs a passphrase or key")
    with KeyRing(credentials, session.warn) as keys:
        volume_keys = {}
        if request.is_zeroed or is_active:
            key = keys.unlock(vg_name, request.crypto_store, view, plan.lv.name)
            volume_keys[request.crypto_store] = (parameters, key)
        with session.locked(vg_name, write=True):
            group = session.writable_group(vg_name)
            if shared_view(group) != view:
                raise InUseError(
                    f"{vg_name}/{request.crypto_store} was changed by another command meanwhile; try again"
                )
            plan = plan_volume(session, group, request)
            after = commit_change(session, group, plan.after)
            _start(session, group, plan.replace(after=after), request, volume_keys)
    return plan.lv


def _wide_parameters(view: KeystoreView, store_name: str) -> CipherParameters:
    """The cipher of a keystore that several volumes may share; raises CipherError for one whose IVs would repeat."""
    from cryptlv.ciphers.spec import parse_cipher_spec
    from cryptlv.ops.handlers import find_handler

    parameters = find_handler(view.attributes.handler).parameters(view.attributes, view.image)
    iv = parse_cipher_spec(parameters.cipher).iv
    if iv not in _WIDE_IVS:
        raise CipherError(
            f"{printable(store_name)}: cipher {parameters.cipher} cannot be shared, its IV {iv or 'none'} would "
            "repeat from volume to volume; make the volume with a keystore of its own"
        )
    return parameters


def _check_activation(session: Session, group: Group, request: LvRequest) -> bool:
    """Whether the new volume will be activated; raises RefusedError, DeviceMapperError when it must be and cannot."""
    paths = group.pv_paths.values()
    if request.activates:
        check_possible(session, paths)
    wanted = request.activates if request.activates is not None else is_possible(session, paths)
    return wanted and not request.skips_activation


def _start(
    session: Session,
    group: Group,
    plan: LvPlan,
    request: LvRequest,
    keys: dict[str, tuple[CipherParameters, VolumeKey]],
) -> None:
    """What is done with a new volume: zero its first bytes, and activate it. Raises ActivationError."""
    from cryptlv.model.mapping import map_volume

    _wipe_start(session, group, plan, request, keys)
    if not _check_activation(session, group, request):
        return
    name = plan.lv.name
    try:
        mapping = map_volume(plan.after, plan.after.lv(name))
        by_keyring = request.keys_in_keyring
        activate_in_kernel(session, group.replace(vg=plan.after), mapping, keys, by_keyring=by_keyring)
    except CryptlvError as error:
        raise ActivationError(f'logical volume "{name}" is created, but is not active: {error}') from None


def _wipe_start(
    session: Session,
    group: Group,
    plan: LvPlan,
    request: LvRequest,
    keys: dict[str, tuple[CipherParameters, VolumeKey]],
) -> None:
    """Zero the new volume's first 4 KiB through its mapping. The volume exists: a failure is a warning."""
    if not request.is_zeroed:
        return
    from cryptlv.activate.stream import VolumeStream
    from cryptlv.model.mapping import map_volume
    from cryptlv.ops.keystore import open_with

    ciphers: dict[str, SectorCipher] = {}
    try:
        mapping = map_volume(plan.after, plan.after.lv(plan.lv.name)).replace(writable=True)
        for name, (parameters, key) in keys.items():
            ciphers[name] = open_with(parameters, key)
        devices = {pv_id: session.device(group.pv_paths[pv_id], writable=True) for pv_id in mapping.pv_ids}
        stream = VolumeStream(mapping, devices, ciphers)
        stream.write(0, bytes(min(WIPE_BYTES, mapping.length_sectors * 512)))
        stream.flush()
    except CryptlvError as error:
        session.warn(f"logical volume {plan.lv.name!r} is created but its first 4 KiB are not zeroed: {error}")
    finally:
        for cipher in ciphers.values():
            cipher.close()


def refuse_served(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> None:
    """Raise what a change of a volume that the kernel can follow is refused for: InUseError when it is being served,
    RefusedError when the kernel has it active and its devices are stock lvm2's to manage."""
    from cryptlv.activate.process import find_server
    from cryptlv.model.stack import stack_uuids

    name = f"{vg.name}/{printable(lv.name)}"
    if find_server(session.directories.run_dir, lv.id) is not None:
        raise InUseError(f"logical volume {name} is active; deactivate it first: cryptlv lvchange -an {name}")
    if lv.id in kernel_ids(session):
        stack_uuids(vg, lv)


def refuse_active(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> None:
    """Raise InUseError when a volume is being served, or when the kernel has it active."""
    if lv.id in kernel_ids(session):
        name = f"{vg.name}/{printable(lv.name)}"
        raise InUseError(f"logical volume {name} is active in the kernel; first: cryptlv lvchange -an {name}")
    refuse_served(session, vg, lv)
