"""Volumes frozen with their keys wiped from the kernel, and thawed with a passphrase: as before a laptop sleeps.

A frozen volume stays where it is, mounted or not: what reads or writes it waits. dm-crypt's copy of the key is
overwritten, and the keyring's key dropped; what is in the page cache stays readable.
"""

from __future__ import annotations

import errno

from cryptlv.errors import CryptlvError, DeviceMapperError, InUseError, NotFoundError, RefusedError
from cryptlv.names import printable
from cryptlv.ops.activation import Failed, KeyRing, read_view
from cryptlv.ops.kernel import (
    description_of,
    forget,
    kernel_ids,
    observe_stack,
    refresh,
    store_parameters,
    used_keys,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptlv.host.scan import Group
    from cryptlv.model.stack import SeenDevice
    from cryptlv.model.vg import LogicalVolume, VolumeGroup
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.session import Session
    from cryptlv.secret import VolumeKey


def suspend_keys(
    session: Session, vg_name: str, lv_names: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], tuple[Failed, ...]]:
    """Freeze the named encrypted volumes that the kernel has active, or all of them, and wipe their keys.

    Gives the names of those that are frozen now, and what failed. Volumes whose handler stores nothing are refused: a
    wrong key would not be noticed when they are thawed. Raises NotFoundError, RefusedError for the group.
    """
    with session.locked(vg_name, write=True):
        vg = session.world().group(vg_name).vg
        session.check_accessible(vg)
        return _each(session, vg, lv_names, lambda lv: _suspend(session, vg, lv))


def resume_keys(
    session: Session, vg_name: str, lv_names: tuple[str, ...], credentials: Credentials, *, by_keyring: bool = True
) -> tuple[tuple[str, ...], tuple[Failed, ...]]:
    """Thaw the named volumes, or all that are frozen: their keys are asked for and set again.

    Without `by_keyring` the key goes into the table. Raises NotFoundError, RefusedError for the group.
    """
    with session.locked(vg_name, write=False):
        vg = session.world().group(vg_name).vg
        session.check_accessible(vg)
    with KeyRing(credentials, session.warn) as keys:
        return _each(session, vg, lv_names, lambda lv: _resume(session, vg, lv, keys, by_keyring=by_keyring))


def _each(
    session: Session, vg: VolumeGroup, lv_names: tuple[str, ...], act: Callable[[LogicalVolume], bool]
) -> tuple[tuple[str, ...], tuple[Failed, ...]]:
    """Do it to those of the volumes to which it applies; one that was named and to which it does not is a failure."""
    active = kernel_ids(session)
    done: list[str] = []
    failed: list[Failed] = []
    for name in lv_names or tuple(lv.name for lv in vg.lvs if lv.is_visible):
        where = f"{printable(vg.name)}/{printable(name)}"
        try:
            lv = vg.lv(name)
            is_encrypted = any(segment.keystores for segment in lv.segments)
            if is_encrypted and lv.id in active and act(lv):
                done.append(name)
            elif lv_names and not is_encrypted:
                raise RefusedError(f"{where} is not encrypted: there is no key to wipe")
            elif lv_names and lv.id not in active:
                raise RefusedError(f"{where} is not active in the kernel")
        except CryptlvError as error:
            failed.append(Failed(name=name, error=error))
    return tuple(done), tuple(failed)


def _crypt_starts(device: SeenDevice) -> tuple[int, ...]:
    return tuple(line.start_sectors for line in device.lines if line.kind == "crypt")


def _top(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> SeenDevice:
    """The device with the crypt targets; raises NotFoundError when it has no table."""
    stack = observe_stack(session, vg, lv)
    device = stack.seen.get(stack.uuids[0])
    if device is None or not device.has_live:
        raise NotFoundError(
            f"{stack.shown} has no device with a table; first: cryptlv lvchange --refresh {stack.shown}"
        )
    return device


def _is_frozen(device: SeenDevice) -> bool:
    """Whether keys may have been wiped: what wipes them leaves random digits in the table of a suspended device."""
    return device.is_suspended and any(line.key_word.startswith("=") for line in device.lines)


def _suspend(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> bool:
    from cryptlv.ops.key_cache import forget_key
    from cryptlv.ops.keystore import keystore_segment

    kernel = session.kernel
    device = _top(session, vg, lv)
    stores = sorted({name for segment in lv.segments for name in segment.keystores})
    for name in stores:
        if not keystore_segment(vg, name).areas:
            raise RefusedError(
                f"{printable(vg.name)}/{printable(lv.name)}: a wrong key of {printable(name)} would not be noticed "
                "when it is thawed: deactivate it instead"
            )
    descriptions = [description_of(vg, name) for name in stores]
    if session.test:
        return True
    for description in descriptions:
        kernel.has_key(description)  # all that is needed is loaded before its files may be frozen
    if not device.is_suspended:
        kernel.suspend(device.name)
    wiped = 0
    try:
        for start in _crypt_starts(device):
            kernel.message(device.name, start, ("key", "wipe"))
            wiped += 1
    except CryptlvError:
        if not wiped:
            kernel.resume(device.name)
        raise
    used = used_keys(session, vg)
    for name, description in zip(stores, descriptions, strict=True):
        forget_key(vg.lv(name).id)
        if description not in used:
            forget(session, description)
    return True


def _resume(session: Session, vg: VolumeGroup, lv: LogicalVolume, keys: KeyRing, *, by_keyring: bool) -> bool:
    if not _is_frozen(_top(session, vg, lv)):
        return False
    vg_name = vg.name
    with session.locked(vg_name, write=False):
        group = session.world(silent=True).group(vg_name)
        stores = dict.fromkeys(name for segment in group.vg.lv(lv.name).segments for name in segment.keystores)
        views = {name: read_view(session, group, name) for name in stores}
    if session.test:
        return True
    unlocked = {name: keys.unlock(vg_name, name, view, lv.name) for name, view in views.items()}
    with session.locked(vg_name, write=True):
        group = session.world(silent=True).group(vg_name)
        if any(read_view(session, group, name) != view for name, view in views.items()):
            raise InUseError(f"{vg_name}/{lv.name} was changed by another command meanwhile; try again")
        device = _top(session, group.vg, group.vg.lv(lv.name))
        if not _is_frozen(device):
            return False
        words = {}
        for name, key in unlocked.items():
            words[name] = "=" + name
            if by_keyring:
                words[name] = _reference(session, group, name, len(key))
                session.kernel.put_key(description_of(group.vg, name), key)
        _set_keys(session, group, lv, device, words, {"=" + name: key for name, key in unlocked.items()})
        refresh(session, group, group.vg.lv(lv.name))
    return True


def _reference(session: Session, group: Group, store_name: str, key_bytes: int) -> str:
    from cryptlv.model.stack import key_reference

    wanted = store_parameters(session, group, group.vg, store_name).key_size_bits // 8
    if wanted and wanted != key_bytes:
        raise RefusedError(f"{printable(store_name)} gives a key of {key_bytes} bytes, not {wanted}")
    return key_reference(key_bytes, description_of(group.vg, store_name))


def _set_keys(
    session: Session,
    group: Group,
    lv: LogicalVolume,
    device: SeenDevice,
    words: Mapping[str, str],
    keys: Mapping[str, VolumeKey],
) -> None:
    """Give each crypt target its key, and resume the device with the table that is live."""
    from cryptlv.model.mapping import CryptTarget, map_volume

    kernel = session.kernel
    where = f"{printable(group.vg.name)}/{printable(lv.name)}"
    stores = {
        target.start_sectors: target.crypto_store
        for target in map_volume(group.vg, group.vg.lv(lv.name)).targets
        if isinstance(target, CryptTarget)
    }
    starts = _crypt_starts(device)
    if not set(starts) <= stores.keys():
        raise RefusedError(f"{where}: its table is not that of its metadata, and its keys cannot be told apart")
    if device.has_inactive:
        kernel.clear(device.name)
    for start in starts:
        kernel.message(device.name, start, ("key", "set", words[stores[start]]), keys)
    try:
        kernel.resume(device.name)
    except DeviceMapperError as error:
        if error.errno == errno.EAGAIN:
            raise InUseError(f"{where} is still frozen: not all of its keys are set") from None
        raise
